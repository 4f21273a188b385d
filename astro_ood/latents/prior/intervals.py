r"""Intervals at 95 % of what Gaussian priors are fitted from: the power of each octave, the variance, the norm of the centre.

All three are unbiased sums over the matrix of inner products of the latents, octave by octave:

.. math:: S = \frac{\sum_i G_{ii} - \frac1n \sum_{ij} G_{ij}}{n - 1}, \qquad |\mu|^2 = \frac{\sum_{i \ne j} G_{ij}}{n (n - 1)}.

**jackknife** (default): Tukey's, each latent left out in turn, with Student's t of n - 1; powers and variances in their logarithm. The
latent is the unit, so amplitudes that scatter from latent to latent count as what they are.

**bootstrap**: percentiles over latents drawn with replacement, for comparison. In many dimensions it fails: a latent that is drawn twice
has no distance from itself, so resamples are narrower by (n - 1) / n and their centres longer, and neither goes away where the
interval is narrower than that.

Coverage on Gaussian latents of known spectrum (32 x 32, power about k^-2, 400 trials, standard error 1 %; `benchmarks/latent_priors.py
--intervals`), least to most over four octaves and the variance: jackknife 0.95 to 0.98 for 4 latents, 0.94 to 0.96 for 16, 0.94 to 0.97 for
64; where amplitudes scatter by 30 %, 0.93 to 0.95, 0.92 to 0.95 and 0.92 to 0.95. The norm of the centre: 0.92 to 0.99. The bootstrap:
0.48 to 0.57 for 4, 0.04 to 0.85 for 16, 0.39 to 0.93 for 64, and 0.01 to 0.56 for the norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy import stats

from astro_ood._random import stream
from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.prior.base import Array, Blocks, blocks_of

Quantity = Literal["band power", "variance", "|mu|"]
Method = Literal["jackknife", "bootstrap"]
ALPHA = 0.05
LEAST = 4


@dataclass(frozen=True)
class Intervals:
    """A quantity with its interval at 95 %.

    Attributes
    ----------
    quantity : str
    k : ndarray, shape (B + 1,)
        Edges of the octaves in cycles per image; empty where there are none.
    value, low, high : ndarray, shape (B,)
        One for each octave, or one.
    n : int
        Number of latents.
    """

    quantity: str
    k: Array
    value: Array
    low: Array
    high: Array
    n: int


def intervals(
    z: Blocks, quantity: Quantity = "band power", *, method: Method = "jackknife", n_boot: int = 999, seed: int = 0
) -> Intervals:
    """Interval of a quantity of the distribution that latents come from.

    Parameters
    ----------
    z : ndarray, shape (N, C, H, W), or blocks of that kind
        At least four latents.
    quantity : {"band power", "variance", "|mu|"}
        Mean power of the modes of each octave of wavenumber about the common mean (1 for unit white noise), variance of the pixels about it, or
        norm of the mean (debiased).
    method : {"jackknife", "bootstrap"}
    n_boot : int
        Resamples of the bootstraps.
    seed : int
        Of these.

    Raises
    ------
    ConfigError
        CF44: another quantity or method.
    RunError
        IN40: fewer than four latents.
    """
    for name, given, known in (("quantity", quantity, get_args(Quantity)), ("method", method, get_args(Method))):
        if given not in known:
            raise ConfigError("CF44", name, f"found {given!r}", f"choose one of {', '.join(known)}")
    gram, counts, edges = products(z)
    n = gram.shape[1]
    if n < LEAST:
        raise RunError("IN40", "intervals", f"{n} latents, an interval needs at least {LEAST}", "invert more maps")
    if quantity != "band power":
        gram, edges = gram.sum(axis=0, keepdims=True), np.zeros(0)
        counts = np.array([1.0 if quantity == "|mu|" else counts.sum()])
    gram = gram / counts[:, None, None]
    centre = quantity == "|mu|"
    found = _jackknife(gram, centre=centre) if method == "jackknife" else _bootstrap(gram, n_boot, seed, centre=centre)
    if centre:
        found = np.sqrt(np.maximum(found, 0.0))
    value, low, high = found
    return Intervals(quantity, edges, value, low, high, n)


def octave_edges(h: int, w: int) -> Array:
    """Edges of octaves in cycles per image: 0, 2, 4, ... and infinity; the last octave holds the corners of the Fourier plane too."""
    top = max(1, int(np.log2(max(min(h, w) // 2, 2))))
    return np.array([0.0, *(2.0**i for i in range(1, top)), np.inf])


def products(z: Blocks) -> tuple[Array, Array, Array]:
    """Inner products (B, N, N) of latents in each octave, its number of modes (B,) of all channels, and the edges (B + 1,)."""
    latents = np.concatenate(list(blocks_of(z)))
    n, _, h, w = latents.shape
    edges = octave_edges(h, w)
    k = np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.fftfreq(w)[None] * w)
    octave = np.searchsorted(edges, k, side="right") - 1
    modes = np.fft.fft2(latents, norm="ortho")
    gram, counts = [], []
    for band in range(len(edges) - 1):
        flat = modes[..., octave == band].reshape(n, -1)
        gram.append((flat @ flat.conj().T).real)
        counts.append(float(flat.shape[1]))
    return np.array(gram), np.array(counts), edges


def _estimate(diagonal: Array, whole: Array, n: int, *, centre: bool) -> Array:
    """Estimate from the sums of the diagonal and of all products of `n` latents."""
    return np.asarray((whole - diagonal) / (n * (n - 1)) if centre else (diagonal - whole / n) / (n - 1))


def _jackknife(gram: Array, *, centre: bool) -> Array:
    """Estimate and ends (3, B)."""
    n = gram.shape[1]
    own, rows = np.einsum("bii->bi", gram), gram.sum(axis=2)
    diagonal, whole = own.sum(axis=1), rows.sum(axis=1)
    value = _estimate(diagonal, whole, n, centre=centre)
    rest = _estimate(diagonal[:, None] - own, whole[:, None] - 2 * rows + own, n - 1, centre=centre)
    if not centre:
        rest = np.log(np.maximum(rest, 1e-300))
    error = np.sqrt((n - 1) / n * np.sum((rest - rest.mean(axis=1, keepdims=True)) ** 2, axis=1))
    half = stats.t.ppf(1 - ALPHA / 2, n - 1) * error
    if centre:
        return np.array([value, value - half, value + half])
    with np.errstate(over="ignore"):
        return np.array([value, value * np.exp(-half), value * np.exp(half)])


def _bootstrap(gram: Array, n_boot: int, seed: int, *, centre: bool) -> Array:
    """Estimate and ends (3, B)."""
    n = gram.shape[1]
    draws = stream(seed, "intervals").integers(n, size=(n_boot, n))
    times = np.stack([np.bincount(rows, minlength=n) for rows in draws]).astype(np.float64)
    own = np.einsum("bii->bi", gram)
    diagonal, whole = times @ own.T, np.einsum("ri,bij,rj->rb", times, gram, times, optimize=True)
    ends = np.quantile(_estimate(diagonal, whole, n, centre=centre), [ALPHA / 2, 1 - ALPHA / 2], axis=0)
    return np.array([_estimate(own.sum(axis=1), gram.sum(axis=(1, 2)), n, centre=centre), *ends])
