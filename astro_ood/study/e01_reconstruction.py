"""E1: a frozen network reconstructs arbitrary maps by deterministic inversion.

Supports the claim: round trips of out-of-domain maps within 3 dB of in-domain ones at 80 evaluations. Refutes it: a plateau.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astro_ood.diffusion import engine
from astro_ood.diffusion.presets import choose
from astro_ood.study.material import Material
from astro_ood.study.table import Row, bootstrap


def run(cell: Material) -> Iterator[Row]:
    """Round trip and latent error, in standard deviations of map and latent, against evaluations per direction, by solver."""
    x = cell.maps.inverted[: cell.effort.reconstructed]
    for solver in cell.effort.solvers:
        for evaluations in cell.effort.evaluations:
            if solver == "paper":
                t_0 = cell.preset().t_0
                preset = choose("paper", cell.model.schedule, n_steps=evaluations, t_0=t_0)
            else:
                preset = cell.preset(n_steps=evaluations, solver=solver)
            found = engine.invert(
                cell.model, x, preset, frame=cell.frame, estimate_error=evaluations <= 2 * cell.effort.n_steps, label="E1"
            )
            for quantity, values in (("round trip", found.round_trip), ("latent error", found.latent_error)):
                if np.isfinite(values).any():
                    yield cell.row("E1", solver, quantity, bootstrap(values, seed=cell.seed), x=evaluations, n=len(x))
