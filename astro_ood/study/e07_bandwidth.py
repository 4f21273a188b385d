"""E7: the larger the gap between a domain and the network's own, the larger the bandwidth of its trajectories.

The gap is the energy distance between the domain's maps and the network's samples, in their statistics: it knows of no trajectory. Supports
the claim: a rank correlation over domains above 0.7. Refutes it: none, or a negative one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astro_ood.api.trajectories import vectors
from astro_ood.diffusion.diagnostics import compute_bandwidth
from astro_ood.stats.distances import energy_distance
from astro_ood.study.material import Material
from astro_ood.study.table import Row, bootstrap

TIMES = (300.0, 700.0)
NARROW = 4


def run(cell: Material) -> Iterator[Row]:
    """Gap; bandwidth along noise and towards another map, per root of the dimension, at two times."""
    maps, own = vectors(cell.all_maps), vectors(cell.in_domain.all_maps)
    yield cell.row("E7", "maps, own maps", "gap", energy_distance(maps, own), n=len(maps))
    for time in (t for t in TIMES if t in cell.latents):
        z = cell.latents[time].inverted[: cell.effort.reconstructed]
        found = compute_bandwidth(
            cell.model, z, cell.preset(time), n_directions=cell.effort.directions, narrow=NARROW, frame=cell.frame, seed=cell.seed
        )
        size = np.sqrt(z[0].size)
        for case, radius in (("noise", np.median(found.radius, axis=1)), ("towards another map", found.real)):
            yield cell.row("E7", f"{case}, t {time:g}", "bandwidth", bootstrap(radius / size, seed=cell.seed), x=time, n=len(z))
