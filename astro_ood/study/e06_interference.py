"""E6: mode interference. Stochastic decoding, and badly placed latents, end in the network's own domain.

Supports the claim: a captured part that grows with eta and is low up to 0.3. Refutes it: a flat one.
"""

from __future__ import annotations

from collections.abc import Iterator

from astro_ood.api.trajectories import vectors
from astro_ood.diffusion.diagnostics import compute_interference
from astro_ood.study.material import Material
from astro_ood.study.recipes import ISOTROPIC, new_latents
from astro_ood.study.table import Row

MOST = 12


def run(cell: Material) -> Iterator[Row]:
    """Captured part against eta, of inverted latents and of two proposals; and what the rule says of real maps."""
    time = cell.effort.t_0
    n = min(MOST, cell.effort.samples, len(cell.maps.inverted))
    starts = {"inverted": cell.latents[time].inverted[:n], "lol": new_latents(cell, "lol", time, n)}
    starts[ISOTROPIC] = new_latents(cell, ISOTROPIC, time, n)
    for case, z in starts.items():
        found = compute_interference(
            cell.model,
            z,
            cell.preset(time),
            cell.effort.etas,
            features=vectors,
            own=cell.maps.held_out,
            net=cell.in_domain.all_maps,
            frame=cell.frame,
            seed=cell.seed,
        )
        for eta, (part, low, high) in zip(found.etas, found.fraction, strict=True):
            yield cell.row("E6", case, "captured", (float(part), float(low), float(high)), x=float(eta), n=len(z))
    yield cell.row("E6", "rule", "held-out maps captured", found.rule.false_capture, n=len(found.rule.own))
    yield cell.row("E6", "rule", "own maps captured", found.rule.sensitivity, n=len(found.rule.net))
