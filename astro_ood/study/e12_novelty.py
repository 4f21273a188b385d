"""E12: are published candidates new? The distance to the nearest inverted map against the place on the great circle between two latents.

Supports the claim: as far as held-out maps are (a ratio of 1). Refutes it: near copies.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astro_ood._random import stream
from astro_ood.latents.proposal.paths import great_circle
from astro_ood.stats.novelty import copy_threshold, nearest
from astro_ood.study.material import Material
from astro_ood.study.table import Row, bootstrap

PLACES = (0.05, 0.1, 0.2, 0.3, 0.5)


def run(cell: Material) -> Iterator[Row]:
    """Nearest distance over the median of held-out maps, and the part of copies, by place."""
    inverted = cell.maps.inverted[:, 0].astype(np.float64)
    reference = nearest(cell.maps.held_out[:, 0].astype(np.float64), inverted)[0]
    usual, threshold = float(np.median(reference)), copy_threshold(reference)
    z, n = cell.latents[cell.effort.t_0].inverted.astype(np.float64), cell.effort.samples
    pairs = [stream(cell.seed, "E12", i).choice(len(z), 2, replace=False) for i in range(n)]
    for place in PLACES:
        made = np.stack([np.tensordot(great_circle(z[pair], place), z[pair], 1) for pair in pairs])
        maps = cell.decode(made.astype(np.float32))
        near = nearest(maps[:, 0].astype(np.float64), inverted)[0]
        yield cell.row("E12", "slerp", "nearest", bootstrap(near / usual, seed=cell.seed), x=place, n=n)
        yield cell.row("E12", "slerp", "copies", bootstrap(near < threshold, np.mean, cell.seed), x=place, n=n)
