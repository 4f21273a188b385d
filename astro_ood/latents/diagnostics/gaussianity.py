r"""Are latents Gaussian?

Tests of normality over pixels are invalid: pixels of one latent are correlated, and on exactly Gaussian fields a 5 % test rejects far more
often. Here the latent is the unit. Latents are whitened by the spectral prior of the *other* latents (by folds, so that a fit never whitens
itself), and four things are looked at:

``projections``
    Anderson and Darling's statistic of the values of all latents along a random unit direction, mean and variance estimated, and its mean
    over many directions. For Gaussian latents it has its known law whatever their covariance.
``amplitude``
    Variance over latents of the logarithm of the mean square of a whitened latent: some latents louder than others. In all modes, and in bands.
``kurtosis``, ``skewness``
    Of the pixels of a whitened latent, each latent normalised by itself, averaged over latents. In all modes, and (kurtosis) in bands.

None of these has a null distribution in closed form once the spectrum is fitted, so each is compared with surrogates: Gaussian latents drawn
from the prior fitted to all, sent through the same procedure, folds and fits included. One p-value, that of the most extreme standardised
statistic (max-T), covers all of them.

A Gaussian whose covariance is not stationary is Gaussian, but its whitened pixels have unequal variances, which kurtosis sees. The
projections are blind to that; where kurtosis alone differs, the latents may be no more than non-stationary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from astro_ood._judgement import Judgement
from astro_ood._random import stream
from astro_ood.latents.diagnostics.intervals import ALPHA, LEAST_LATENTS, Array, p_text
from astro_ood.latents.prior.bases import Fourier
from astro_ood.latents.prior.moments import Moments, shrink

FOLDS = 4
# of Anderson and Darling's statistic with mean and variance estimated, at 5 %, after Stephens' correction for n (D'Agostino & Stephens 1986, table 4.7)
CRITICAL = 0.752
# upper ends of the bands, in units of the Nyquist wavenumber
BANDS = {"k < 1/8": 0.125, "1/8 to 1/4": 0.25, "1/4 to 1/2": 0.5, "k > 1/2": np.inf}
# a difference this many standard deviations of the null away is found four times of five at 5 %
_FOUND = 2.8

Modes = NDArray[Any]


@dataclass(frozen=True)
class Gaussianity:
    """What was measured, and what Gaussian latents of the same spectrum and number give.

    Attributes
    ----------
    n, d : int
        Number of latents, and dimensions of one.
    names : tuple of str
        The statistics, S of them.
    values : ndarray, shape (S,)
    null : ndarray, shape (B, S)
        The same for each surrogate.
    rejected : float
        Fraction of projections on which a 5 % test of normality over the latents rejects.
    rejected_null : ndarray, shape (B,)
    projected : ndarray, shape (n, P)
        Latents along the random directions, each direction with mean 0 and variance 1.
    """

    n: int
    d: int
    names: tuple[str, ...]
    values: Array
    null: Array
    rejected: float
    rejected_null: Array
    projected: Array

    @property
    def scores(self) -> Array:
        """Standard deviations of the null that each statistic lies from its mean, shape (S,)."""
        return np.asarray((self.values - self.null.mean(axis=0)) / np.maximum(self.null.std(axis=0, ddof=1), 1e-300))

    @property
    def p(self) -> float:
        """Chance that Gaussian latents have any statistic as extreme: the observed set ranked among the surrogates."""
        pool = np.vstack([self.values, self.null])
        extreme = np.max(np.abs(pool - pool.mean(axis=0)) / np.maximum(pool.std(axis=0), 1e-300), axis=1)
        return float(np.mean(extreme >= extreme[0] * (1 - 1e-12)))

    @property
    def detectable(self) -> Array:
        """Difference of each statistic from its null mean that would be found four times of five at 5 %, by itself, shape (S,)."""
        return np.asarray(_FOUND * self.null.std(axis=0, ddof=1))


def compute_gaussianity(z: NDArray[Any], *, n_surrogates: int = 99, n_projections: int = 128, seed: int = 0) -> Gaussianity:
    """Compare latents with Gaussian surrogates of their own spectrum.

    Parameters
    ----------
    z : ndarray, shape (N, C, H, W)
        N >= 4.
    n_surrogates : int
        The smallest p-value is 1 / (n_surrogates + 1).
    n_projections : int
        Random directions.
    seed : int
        Of directions and surrogates.

    Raises
    ------
    ValueError
        Fewer than four latents.
    """
    if len(z) < 4:
        raise ValueError(f"{len(z)} latents; normality over latents needs at least 4")
    procedure = _Procedure(z.shape[1:], n_projections, seed)
    modes = fft.fft2(np.asarray(z, dtype=np.float32), norm="ortho")
    values, rejected, projected = procedure(modes)
    mean, factor = procedure.fit(Moments(len(modes), *_sums(modes)))
    null, rejected_null = [], []
    for item in range(n_surrogates):
        white = stream(seed, "surrogate", item).standard_normal(z.shape, dtype=np.float32)
        drawn = mean + _apply(factor, fft.fft2(white, norm="ortho"))
        value, fraction, _ = procedure(drawn)
        null.append(value)
        rejected_null.append(fraction)
    return Gaussianity(
        n=len(z),
        d=int(np.prod(z.shape[1:])),
        names=procedure.names,
        values=values,
        null=np.array(null),
        rejected=rejected,
        rejected_null=np.array(rejected_null),
        projected=projected,
    )


def judge_gaussianity(found: Gaussianity, controls: Mapping[str, Gaussianity] | None = None) -> Judgement:
    """Put the comparison into words; `controls` are other sets of latents (white, forward-diffused, inverted in-domain) by their names."""
    p, worst = found.p, int(np.argmax(np.abs(found.scores)))
    few = found.n < LEAST_LATENTS or 1 / (len(found.null) + 1) > ALPHA
    name, value = found.names[worst], float(found.values[worst])
    low, high = (float(x) for x in np.quantile(found.null[:, worst], [ALPHA / 2, 1 - ALPHA / 2]))
    kurtosis = float(found.detectable[found.names.index("kurtosis")])
    reject = f"{found.rejected:.0%} of projections are not normal at the 5% level (surrogates {found.rejected_null.mean():.0%})"
    if p <= ALPHA:
        text = f"not Gaussian in the {name}: {value:.3g}, Gaussian latents of this spectrum have {low:.3g} to {high:.3g} ({p_text(p)}); {reject}"
    elif few:
        text = f"{found.n} latents cannot show whether they are Gaussian ({p_text(p)})"
    else:
        text = f"no departure from a Gaussian was detected ({p_text(p)}); {reject}; an excess kurtosis of {kurtosis:.2g} would have been found"
    for other, control in (controls or {}).items():
        text += f"; {other}: {'not Gaussian' if control.p <= ALPHA else 'no departure'} ({p_text(control.p)})"
    passed = False if p <= ALPHA else None if few else True
    return Judgement("Gaussian", passed, value, low, high, p, text)


def anderson_darling(values: Array) -> Array:
    """Statistic of normality of each column of (N, P), mean and variance estimated, corrected for N: 5 % lie above `CRITICAL`."""
    n = len(values)
    x = np.sort((values - values.mean(axis=0)) / np.maximum(values.std(axis=0, ddof=1), 1e-300), axis=0)
    weight = (2 * np.arange(1, n + 1) - 1)[:, None] / n
    statistic = -n - np.sum(weight * (special.log_ndtr(x) + special.log_ndtr(-x[::-1])), axis=0)
    return np.asarray(statistic * (1 + 0.75 / n + 2.25 / n**2))


class _Procedure:
    """From the Fourier modes of latents (N, C, H, W) to the statistics; the same for latents and surrogates."""

    def __init__(self, shape: tuple[int, ...], n_projections: int, seed: int) -> None:
        self.basis, self.shape = Fourier(), shape
        h, w = shape[1:]
        k = np.hypot(2 * np.fft.fftfreq(h)[:, None], 2 * np.fft.fftfreq(w)[None])
        ends = (-1.0, *BANDS.values())
        masks = {name: (k > low) & (k <= high) for name, low, high in zip(BANDS, ends[:-1], ends[1:], strict=True)}
        # a band of very few modes has no statistics worth a name
        self.bands = {name: mask for name, mask in masks.items() if mask.sum() >= 8}
        directions = stream(seed, "projections").standard_normal((int(np.prod(shape)), n_projections)).astype(np.float32)
        self.directions = directions / np.linalg.norm(directions, axis=0)
        self.names = (
            "projections",
            "skewness",
            "kurtosis",
            "amplitude",
            *(f"{what}, {name}" for name in self.bands for what in ("kurtosis", "amplitude")),
        )

    def fit(self, sums: Moments) -> tuple[Modes, Modes]:
        """Modes of the mean (C, H, W), and Cholesky factor (H, W, C, C) of the spectral prior."""
        # constant latents have no spectrum; a tiny one keeps them from dividing by it
        covariance = shrink(*sums.scatter(self.basis), self.basis) + 1e-30 * np.eye(self.shape[0])
        factor = np.sqrt(covariance) if covariance.shape[-1] == 1 else np.linalg.cholesky(covariance)
        return self.basis.forward(sums.mean()[0]).astype(np.complex64), factor.astype(np.complex64)

    def whiten(self, modes: Modes) -> Modes:
        """Each fold by the prior of the others."""
        folds = [np.arange(i, len(modes), FOLDS) for i in range(min(FOLDS, len(modes)))]
        sums = [(len(rows), *_sums(modes[rows])) for rows in folds]
        n, total, products = (sum(part) for part in zip(*sums, strict=True))
        out = np.empty_like(modes)
        for rows, (own, first, second) in zip(folds, sums, strict=True):
            mean, factor = self.fit(Moments(n - own, total - first, products - second))
            out[rows] = _apply(1 / factor if factor.shape[-1] == 1 else np.linalg.inv(factor), modes[rows] - mean)
        return out

    def __call__(self, modes: Modes) -> tuple[Array, float, Array]:
        """Statistics (S,), fraction of rejected projections, standardised projections (N, P)."""
        white = self.whiten(modes)
        pixels = fft.ifft2(white, norm="ortho").real
        along = (pixels.reshape(len(pixels), -1) @ self.directions).astype(np.float64)
        tests = anderson_darling(along)
        (third, fourth), power = _shape(pixels), _squares(white)
        values = [float(tests.mean()), third, fourth, _amplitude(power)]
        for mask in self.bands.values():
            inside = white * mask
            values += [_shape(fft.ifft2(inside, norm="ortho").real)[1], _amplitude(power[..., mask])]
        along = (along - along.mean(axis=0)) / np.maximum(along.std(axis=0, ddof=1), 1e-300)
        return np.array(values), float(np.mean(tests > CRITICAL)), along


def _sums(modes: Modes) -> tuple[Array, Modes]:
    """Sum of latents (C, H, W) in pixels, and of the outer products of their modes over channels (H, W, C, C)."""
    c = modes.shape[1]
    products = np.empty((*modes.shape[2:], c, c), dtype=np.complex128)
    for a in range(c):
        products[..., a, a] = np.sum(_squares(modes[:, a]), axis=0)
        for b in range(a):
            products[..., a, b] = np.sum(modes[:, a] * modes[:, b].conj(), axis=0)
            products[..., b, a] = products[..., a, b].conj()
    return fft.ifft2(modes.sum(axis=0, dtype=np.complex128), norm="ortho").real, products


def _apply(factor: Modes, modes: Modes) -> Modes:
    """Matrices (H, W, C, C) on modes (N, C, H, W)."""
    c = factor.shape[-1]
    if c == 1:
        return np.asarray(factor[..., 0, 0] * modes)
    # factors are lower triangles
    return np.stack([sum(factor[..., a, b] * modes[:, b] for b in range(a + 1)) for a in range(c)], axis=1)


def _squares(modes: Modes) -> Modes:
    return np.asarray(modes.real**2 + modes.imag**2)


def _shape(pixels: Modes) -> tuple[float, float]:
    """Skewness and excess kurtosis within each latent, averaged over latents."""
    flat = pixels.reshape(len(pixels), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    square = flat * flat
    second = np.maximum(square.mean(axis=1, dtype=np.float64), 1e-100)
    third, fourth = np.mean(square * flat, axis=1, dtype=np.float64), np.mean(square * square, axis=1, dtype=np.float64)
    return float(np.mean(third / second**1.5)), float(np.mean(fourth / second**2 - 3))


def _amplitude(power: Modes) -> float:
    """Variance over latents of the logarithm of their mean power."""
    mean = power.reshape(len(power), -1).mean(axis=1, dtype=np.float64)
    return float(np.var(np.log(np.maximum(mean, 1e-300)), ddof=1))
