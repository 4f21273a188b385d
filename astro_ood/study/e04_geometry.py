"""E4: the geometry of latents is specific to a domain. Two numbers, the norm of the centre and the spread, predict all of it.

Supports the claim: distances and angles that differ between domains by more than their intervals. The prediction should hold within 0.1 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astro_ood.latents.diagnostics.prediction import compute_prediction
from astro_ood.study.material import Material
from astro_ood.study.table import Row, scaled


def run(cell: Material) -> Iterator[Row]:
    """Centre, spread, distances and angles per dimension, and their departure from the prediction."""
    z = cell.latents[cell.effort.t_0].all
    found = compute_prediction(z)
    n, scale = len(z), (2 * found.d) ** 0.5
    yield cell.row("E4", "latents", "|mu|^2 / d", scaled(found.mu_2, 1 / found.d), n=n)
    yield cell.row("E4", "latents", "s", found.s, n=n)
    yield cell.row("E4", "latents", "distance / sqrt(2 d)", float(np.mean(found.distances)) / scale, n=n)
    yield cell.row("E4", "latents", "angle at the origin", float(np.mean(found.angles)), n=n)
    yield cell.row("E4", "latents", "distance off its prediction, %", scaled(found.distance, 100), n=n)
    yield cell.row("E4", "latents", "angle off its prediction, %", scaled(found.angle, 100), n=n)
