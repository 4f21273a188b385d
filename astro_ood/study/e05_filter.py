"""E5: do criteria pick good latents? What calibrated and published bands accept, and maps of accepted against maps of rejected candidates.

Supports the claim: accepted ones are nearer to held-out maps. Refutes it: no difference, or the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.trajectories import vectors
from astro_ood.latents import criteria
from astro_ood.study.material import Material
from astro_ood.study.recipes import new_latents
from astro_ood.study.table import Row, bootstrap

PROPOSALS = ("isotropic", "spectral", "slerp", "lol", "parent")


def run(cell: Material) -> Iterator[Row]:
    """Rate of acceptance, and the distance of accepted and rejected maps from the held-out ones, in standard deviations of one map."""
    z = cell.latents[cell.effort.t_0].inverted.astype(np.float64)
    real = vectors(cell.maps.held_out)
    centre, width = real.mean(axis=0), real.std(axis=0, ddof=1)
    kept = width > 0
    for kind in ("calibrated", "paper"):
        bands = criteria.make(kind, z, seed=cell.seed)
        truth, _ = bands.accept(cell.latents[cell.effort.t_0].held_out.astype(np.float64))
        yield cell.row("E5", f"held-out latents, {kind}", "accepted", bootstrap(truth, np.mean, cell.seed), n=len(truth))
        for name in PROPOSALS:
            candidates = new_latents(cell, name, cell.effort.t_0, cell.effort.candidates)
            good, _ = bands.accept(candidates.astype(np.float64))
            yield cell.row("E5", f"{name}, {kind}", "accepted", bootstrap(good, np.mean, cell.seed), n=len(good))
            if kind == "calibrated":
                for word, rows in (("accepted", np.flatnonzero(good)), ("rejected", np.flatnonzero(~good))):
                    chosen = rows[: cell.effort.samples]
                    if len(chosen) >= 4:
                        far = _distance(cell, candidates[chosen], centre, width, kept)
                        yield cell.row("E5", f"{name}, {word}", "distance of maps", bootstrap(far, seed=cell.seed), n=len(chosen))


def _distance(
    cell: Material, z: NDArray[np.float32], centre: NDArray[np.float64], width: NDArray[np.float64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Root mean square departure (n,) of each map from the mean of the held-out ones, over all statistics of one map."""
    found = vectors(cell.decode(z))
    return np.asarray(np.sqrt(np.mean(((found - centre) / np.where(kept, width, 1.0))[:, kept] ** 2, axis=1)))
