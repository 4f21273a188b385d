r"""The spectrum of latents: how far from white, ring by ring of wavenumber, and how their channels hang together.

Power is that of the orthonormal Fourier transform, averaged over channels and the ring of equal wavenumber: white unit noise has 1 in every
ring. The channels' coupling is the matrix of cross powers, and their coherence :math:`|P_{ab}|^2 / (P_{aa} P_{bb})`, from which the
:math:`1/m` of `m` independent modes is taken off. Latents scatter in amplitude, so intervals come from latents as units: a studentised
bootstrap whose largest ring gives a band that covers all rings together.

White noise of the same number of latents and modes is known in closed form: each mean power is :math:`\chi^2_m / m`. It gives the p-value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._judgement import Judgement
from astro_ood._random import stream
from astro_ood.latents.diagnostics.intervals import ALPHA, LEAST_LATENTS, Array, mean_interval, p_text
from astro_ood.latents.prior.bases import Fourier

WITHIN = 0.1
# of the modes, that a ring holds at least: narrow ones are joined
_SHARE = 0.01
_WHITE = 999


@dataclass(frozen=True)
class LatentSpectrum:
    """Power of latents by wavenumber.

    Attributes
    ----------
    k : ndarray, shape (K,)
        Cycles per pixel; the mean of the latent (k = 0) is no ring.
    modes : ndarray of int, shape (K,)
        Independent real numbers of a latent in each ring, all channels together.
    power : ndarray, shape (N, K)
        Of each latent, averaged over channels; 1 for white unit noise.
    low, high : ndarray, shape (K,)
        Band at 95 % of the mean over latents, for all rings together.
    coupling : ndarray, shape (K, C, C)
        Mean cross power of channels, real part.
    coherence : ndarray, shape (K,)
        Mean over pairs of channels, debiased; NaN for one channel.
    lag_1 : ndarray, shape (N,)
        Correlation of neighbouring pixels of each latent.
    std : ndarray, shape (N,)
        Standard deviation of the pixels of each latent.
    p : float
        Chance that white unit noise has a ring as far from 1.
    """

    k: Array
    modes: NDArray[np.int64]
    power: Array
    low: Array
    high: Array
    coupling: Array
    coherence: Array
    lag_1: Array
    std: Array
    p: float

    @property
    def mean(self) -> Array:
        """Mean power over latents, shape (K,): the ratio to white noise."""
        return np.asarray(self.power.mean(axis=0))

    @property
    def deviation(self) -> tuple[float, float, float]:
        """Largest distance of the mean power from 1 over rings, and the least and the largest that the band allows."""
        least = np.maximum(np.maximum(self.low - 1, 1 - self.high), 0.0)
        most = np.maximum(np.abs(self.low - 1), np.abs(self.high - 1))
        return float(np.max(np.abs(self.mean - 1))), float(least.max()), float(most.max())


def compute_spectrum(z: NDArray[Any], *, n_boot: int = 499, seed: int = 0) -> LatentSpectrum:
    """Spectrum of latents with a simultaneous band.

    Parameters
    ----------
    z : ndarray, shape (N, C, H, W)
        N >= 2.
    n_boot : int
        Bootstrap samples of the latents.
    seed : int

    Raises
    ------
    ValueError
        Fewer than two latents.
    """
    if len(z) < 2:
        raise ValueError(f"{len(z)} latents; a spectrum with an interval needs at least 2")
    z = np.asarray(z, dtype=np.float64)
    n, c, h, w = z.shape
    rings = _rings(h, w)
    counts = np.bincount(rings)
    modes = np.fft.fft2(z, norm="ortho").reshape(n, c, h * w)
    power = _ringed(np.mean(np.abs(modes) ** 2, axis=1), rings, counts)[:, 1:]
    cross = np.einsum("nak,nbk->abk", modes, modes.conj()) / n
    coupling = np.moveaxis(_ringed(cross.real.reshape(c * c, -1), rings, counts).reshape(c, c, -1), -1, 0)[1:]
    k = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None]).ravel()
    low, high = _band(power, n_boot, seed)
    around = z - z.mean(axis=(1, 2, 3), keepdims=True)
    variance = np.mean(around**2, axis=(1, 2, 3))
    lagged = [
        np.mean(around[..., 1:, :] * around[..., :-1, :], axis=(1, 2, 3)),
        np.mean(around[..., 1:] * around[..., :-1], axis=(1, 2, 3)),
    ]
    return LatentSpectrum(
        k=_ringed(k[None], rings, counts)[0, 1:],
        modes=counts[1:] * c,
        power=power,
        low=low,
        high=high,
        coupling=coupling,
        coherence=_coherence(coupling, n * counts[1:] / 2),
        lag_1=np.mean(lagged, axis=0) / np.maximum(variance, 1e-300),
        std=np.sqrt(variance),
        p=_white_p(power.mean(axis=0), n * c * counts[1:], seed),
    )


def spectra_against_t(latents: Mapping[float, NDArray[Any]], *, n_boot: int = 499, seed: int = 0) -> dict[float, LatentSpectrum]:
    """Spectra of the same maps' latents at several times, in the order of the times; latents (N, C, H, W) by time."""
    return {t: compute_spectrum(latents[t], n_boot=n_boot, seed=seed) for t in sorted(latents)}


def judge_spectrum(found: LatentSpectrum, within: float = WITHIN) -> Judgement:
    """White within `within` (a fraction of the power) in every ring, of any other colour, or undecided."""
    n = len(found.power)
    value, low, high = found.deviation
    ring = int(np.argmax(np.abs(found.mean - 1)))
    lag, lag_low, lag_high = mean_interval(found.lag_1)
    least, most = float(found.mean.min()), float(found.mean.max())
    text = f"power is {least:.3g} to {most:.3g} times that of white noise (white noise of {n} latents: {p_text(found.p)})"
    neighbours = f"neighbouring pixels correlate by {lag:.3f} ({lag_low:.3f} to {lag_high:.3f})"
    if high <= within:
        passed, words = True, f"white within {within:.0%}: {text}; {neighbours}"
    elif low > within and found.p <= ALPHA and n >= 4:
        passed, words = False, f"coloured: {text}, farthest at {found.k[ring]:.3g} cycles per pixel; {neighbours}"
    else:
        passed, words = None, f"{n} latents cannot show whether they are white within {within:.0%}: {text}; {neighbours}"
    if passed and n < LEAST_LATENTS:
        passed = None
    return Judgement("white", passed, value, low, high, found.p, words)


def _rings(h: int, w: int) -> NDArray[np.int64]:
    """Ring of each mode (H W,): that of its wavenumber, narrow ones joined with their neighbours; 0 is the mean of the latent alone."""
    fine = Fourier().groups(h, w).ravel()
    joined, held = [0], 0
    for count in np.bincount(fine)[1:]:
        joined.append(joined[-1] + (held == 0))
        held = 0 if held + count >= _SHARE * h * w else held + int(count)
    return np.array(joined, dtype=np.int64)[fine]


def _ringed(values: Array, rings: NDArray[np.int64], counts: NDArray[np.int64]) -> Array:
    """Mean over rings of values (M, H W)."""
    return np.array([np.bincount(rings, weights=row) for row in values]) / counts


def _coherence(coupling: Array, modes: Array) -> Array:
    """Mean over pairs of channels of the squared coherence, less that of so many independent complex modes."""
    c = coupling.shape[-1]
    if c == 1:
        return np.full(len(coupling), np.nan)
    a, b = np.triu_indices(c, 1)
    own = np.einsum("kaa->ka", coupling)
    raw = np.mean(coupling[:, a, b] ** 2 / np.maximum(own[:, a] * own[:, b], 1e-300), axis=1)
    # the cross power of a ring is real (its modes come in conjugate pairs): half of the noise of a complex one, 1 / (2 modes)
    noise = 1 / (2 * modes)
    return np.asarray((raw - noise) / np.maximum(1 - noise, 1e-12))


def _band(power: Array, n_boot: int, seed: int) -> tuple[Array, Array]:
    """Simultaneous band of the mean power (N, K): studentised bootstrap, largest ring."""
    n = len(power)
    mean, error = power.mean(axis=0), power.std(axis=0, ddof=1) / np.sqrt(n)
    chosen = stream(seed, "bands").integers(0, n, size=(n_boot, n))
    largest = []
    for rows in chosen:
        drawn = power[rows]
        spread = drawn.std(axis=0, ddof=1) / np.sqrt(n)
        usable = spread > 1e-9 * mean
        if usable.any():
            largest.append(np.max(np.abs(drawn.mean(axis=0) - mean)[usable] / spread[usable]))
    half = float(np.quantile(largest, 1 - ALPHA)) * error if largest else np.full_like(mean, np.inf)
    return np.maximum(mean - half, 0.0), mean + half


def _white_p(mean: Array, freedom: NDArray[np.int64], seed: int) -> float:
    """Largest standardised distance from 1 among rings, against that of white noise."""
    draws = stream(seed, "white rings").chisquare(freedom, size=(_WHITE, len(freedom))) / freedom
    error = np.sqrt(2 / freedom)
    found = np.max(np.abs(mean - 1) / error)
    return float((1 + np.sum(np.max(np.abs(draws - 1) / error, axis=1) >= found)) / (_WHITE + 1))
