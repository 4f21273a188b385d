"""E14: theory against practice. The lemma takes latents for forward-diffused maps; inversion makes others.

Supports the lemma: centre and spread of inverted latents equal those of forward-diffused ones at every time.
"""

from __future__ import annotations

from collections.abc import Iterator

from astro_ood.latents.diagnostics.prediction import compare_with_forward
from astro_ood.study.e02_gaussianity import forward
from astro_ood.study.material import Material
from astro_ood.study.table import Row, scaled


def run(cell: Material) -> Iterator[Row]:
    """Norm of the centre and spread against the time, inverted and forward-diffused, with what the lemma allows."""
    clean = cell.frame.to_network(cell.all_maps)
    inverted = {time: latents.all for time, latents in cell.latents.items()}
    alpha = {time: cell.amplitudes(time)[0] for time in inverted}
    diffused = {time: forward(cell, clean, time) for time in inverted}
    found = compare_with_forward(inverted, diffused, maps=clean, alpha=alpha)
    n, d = len(clean), clean[0].size
    for i, time in enumerate(found.t):
        for case in ("inverted", "forward"):
            mu, s = getattr(found, f"mu_{case}")[i], getattr(found, f"s_{case}")[i]
            yield cell.row("E14", case, "|mu| / sqrt(d)", scaled(mu, d**-0.5), x=float(time), n=n)
            yield cell.row("E14", case, "s", scaled(s), x=float(time), n=n)
        yield cell.row("E14", "lemma", "|mu| / sqrt(d)", float(found.mu_lemma[i]) / d**0.5, x=float(time), n=n)
