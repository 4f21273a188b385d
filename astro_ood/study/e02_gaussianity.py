"""E2: latents of out-of-domain maps are Gaussian and white; with what certainly is, and with the network's own maps, as controls.

Supports the claim: a test of normality rejects 5 % of the directions, and the spectrum is flat. Refutes it: colour, or other than 5 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.latents.diagnostics.gaussianity import compute_gaussianity
from astro_ood.latents.diagnostics.smooth_areas import compute_smooth_areas
from astro_ood.latents.diagnostics.spectrum import compute_spectrum
from astro_ood.study.material import Material
from astro_ood.study.table import Row, bootstrap

SURROGATES = 39


def run(cell: Material) -> Iterator[Row]:
    """Against the time: rejected directions, departure from the surrogates, colour, structure in smooth areas."""
    clean = cell.frame.to_network(cell.all_maps)
    for time, latents in sorted(cell.latents.items()):
        inverted = latents.all
        for case, z in (
            ("inverted", inverted),
            ("forward-diffused", forward(cell, clean, time)),
            ("white noise", white(cell, inverted)),
        ):
            if case == "white noise" and time != cell.effort.t_0:
                continue
            yield from _gaussian(cell, case, time, z)
            yield from _colour(cell, case, time, z)
        found = compute_smooth_areas(inverted, clean, seed=cell.seed)
        variance = bootstrap(np.exp(found.log_variance), seed=cell.seed)
        yield cell.row("E2", "inverted", "variance in smooth areas", variance, x=time, n=len(inverted))
        yield cell.row("E2", "inverted", "p smooth areas", found.p, x=time, n=len(inverted))


def forward(cell: Material, clean: NDArray[np.float32], time: float) -> NDArray[np.float64]:
    """Maps noised at random to a time: what a forward process makes of them."""
    alpha, sigma = cell.amplitudes(time)
    return np.asarray(alpha * clean + sigma * stream(cell.seed, "forward").standard_normal(clean.shape))


def white(cell: Material, z: NDArray[np.float32]) -> NDArray[np.float64]:
    """White noise of the same number and shape."""
    return stream(cell.seed, "white noise").standard_normal(z.shape)


def _gaussian(cell: Material, case: str, time: float, z: NDArray[np.floating]) -> Iterator[Row]:
    found = compute_gaussianity(z, n_surrogates=SURROGATES, seed=cell.seed)
    low, high = np.quantile(found.rejected_null, [0.025, 0.975])
    surrogates = (float(found.rejected_null.mean()), float(low), float(high))
    yield cell.row("E2", case, "rejected directions", found.rejected, x=time, n=len(z))
    yield cell.row("E2", case, "rejected directions of surrogates", surrogates, x=time, n=len(z))
    yield cell.row("E2", case, "largest departure", float(np.max(np.abs(found.scores))), x=time, n=len(z))
    yield cell.row("E2", case, "p Gaussian", found.p, x=time, n=len(z))


def _colour(cell: Material, case: str, time: float, z: NDArray[np.floating]) -> Iterator[Row]:
    found = compute_spectrum(z, seed=cell.seed)
    noise = cell.amplitudes(time)[1] ** 2
    for name, ring in (("power at the largest scales", 0), ("power at the smallest scales", -1)):
        yield cell.row("E2", case, name, bootstrap(found.power[:, ring] / noise, np.mean, cell.seed), x=time, n=len(z))
    yield cell.row("E2", case, "lag-1 correlation", bootstrap(found.lag_1, np.mean, cell.seed), x=time, n=len(z))
