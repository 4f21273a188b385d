"""E3: latents of out-of-domain maps are separable from in-domain ones.

Supports the claim: an AUROC of 0.99 or more, and centres farther apart than d^(1/4). Controls: the norm alone, and the network's own maps
*inverted* instead of noise: what they do not separate either is no property of a domain.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from astro_ood.latents.diagnostics.separability import compute_separability
from astro_ood.study.e02_gaussianity import white
from astro_ood.study.material import Material
from astro_ood.study.table import Row


def run(cell: Material) -> Iterator[Row]:
    """AUROC against the number of maps, by the whole latent, its norm and its direction; separation of the centres."""
    time = cell.effort.t_0
    z, own = cell.latents[time].all, cell.in_domain.latents[time].all
    noise = white(cell, own).astype(np.float32)
    pairs = {"maps, own maps": (z, own), "maps, noise": (z, noise), "own maps, noise": (own, noise)}
    for case, (a, b) in pairs.items():
        found = compute_separability(a, b, sizes=cell.effort.fewer, seed=cell.seed)
        n = min(found.n, found.n_other)
        for x, *area in zip(found.sizes, found.curve, found.curve_low, found.curve_high, strict=True):
            yield cell.row("E3", case, "AUROC", (float(area[0]), float(area[1]), float(area[2])), x=float(x), n=int(x))
        for part in ("norm", "direction"):
            area_of = getattr(found, part)
            yield cell.row("E3", f"{case}, {part}", "AUROC by part", (area_of.value, area_of.low, area_of.high), n=n)
        yield cell.row("E3", f"{case}, whole", "AUROC by part", (found.whole.value, found.whole.low, found.whole.high), n=n)
        yield cell.row("E3", case, "separation", found.separation, n=n)
