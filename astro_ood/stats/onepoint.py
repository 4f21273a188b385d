"""One-point statistics: the distribution of pixel values, whatever their arrangement.

The distribution function of each map is summarised by its quantiles. A quantile carries the unit of the map, exists for every
map, and its mean over maps has a well-behaved sampling distribution, which a histogram bin that is empty in most maps has not.
Pixels of one map are correlated, so the map and never the pixel is the unit of any test on these vectors.

**Missing pixels** are left out: the numbers are those of the observed pixels, as if there were no others. A mask that follows the values
(saturated pixels, a cut in signal to noise) changes the distribution itself, which nothing here can mend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.stats._arrays import BoolArray, FloatArray, as_stack, in_chunks

QUANTILES: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOMENTS: tuple[str, ...] = ("mean", "sd", "skewness", "kurtosis")


@dataclass(frozen=True)
class Histogram:
    """Densities on shared edges: `density` (N, n_bins) per map, in 1/unit; `edges` (n_bins + 1,) in the unit of the maps."""

    edges: FloatArray
    density: FloatArray


def quantiles(x: ArrayLike, levels: ArrayLike = QUANTILES, *, mask: ArrayLike | None = None) -> FloatArray:
    """Pixel quantiles of each map, linear between order statistics.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    levels : array_like, shape (K,)
        Probabilities in [0, 1].
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing; it is left out.

    Returns
    -------
    ndarray, shape (N, K)
        In the unit of the maps.

    Raises
    ------
    InputError
        For maps that are no finite stack, a mask that does not fit, or a map without a present pixel.
    """
    at = np.asarray(levels, np.float64)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
        pixels = maps.reshape(len(maps), -1)
        if observed is not None and len(observed) > 1:
            return (_of_each(pixels, observed.reshape(pixels.shape), at),)
        shown = pixels if observed is None else pixels[:, observed.ravel()]
        return (np.quantile(shown, at, axis=1, overwrite_input=True).T,)

    return in_chunks(compute, x, mask=mask)[0]


def _of_each(pixels: FloatArray, observed: BoolArray, at: FloatArray) -> FloatArray:
    """Quantiles (N, K) of rows (N, P), of each of which other pixels were observed."""
    ranked = np.sort(np.where(observed, pixels, np.inf), axis=1)
    place = at * (observed.sum(axis=1, keepdims=True) - 1.0)
    below = place.astype(np.int64)
    share = place - below
    lower, upper = (np.take_along_axis(ranked, rank, axis=1) for rank in (below, below + (share > 0)))
    return np.asarray(lower + (upper - lower) * share)


def density(x: ArrayLike, edges: FloatArray, *, mask: ArrayLike | None = None) -> FloatArray:
    """Densities of the pixels of each map, (N, n_bins), on edges (n_bins + 1,) that span all of them; missing ones are left out."""

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
        seen = np.broadcast_to(True if observed is None else observed, maps.shape)
        return (np.stack([np.histogram(one[here], edges, density=True)[0] for one, here in zip(maps, seen, strict=True)]),)

    return in_chunks(compute, x, mask=mask)[0]


def histograms(a: ArrayLike, b: ArrayLike, n_bins: int = 50) -> tuple[Histogram, Histogram]:
    """Densities of two sets on edges that span both.

    Parameters
    ----------
    a, b : array_like, shapes (N, H, W) and (M, H, W)
    n_bins : int
        Number of bins of equal width.
    """
    sets = as_stack(a, "first set"), as_stack(b, "second set")
    low, high = min(s.min() for s in sets), max(s.max() for s in sets)
    edges = np.histogram_bin_edges([low, high], n_bins)
    return Histogram(edges, density(sets[0], edges)), Histogram(edges, density(sets[1], edges))


def moments(x: ArrayLike, *, mask: ArrayLike | None = None) -> FloatArray:
    """Mean, standard deviation, skewness and excess kurtosis of the pixels of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing; it is left out.

    Returns
    -------
    ndarray, shape (N, 4)
        In the order of `MOMENTS`; population (biased) moments. The shape moments of a constant map are 0.

    Raises
    ------
    InputError
        For maps that are no finite stack, a mask that does not fit, or a map without a present pixel.
    """
    return in_chunks(_moments, x, mask=mask)[0]


def _moments(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
    pixels = maps.reshape(len(maps), -1)
    seen = None if observed is None else observed.reshape(len(observed), -1)
    # missing pixels hold 0, so that sums are those of the others
    n = pixels.shape[1] if seen is None else seen.sum(axis=1)
    mean = pixels.sum(axis=1) / n
    z = pixels - mean[:, None]
    if seen is not None:
        z *= seen
    sd = np.sqrt(np.vecdot(z, z) / n)
    # Rounding leaves a constant map a spread of some ulp, whose "shape" would be noise.
    flat = sd <= 8 * np.finfo(np.float64).eps * np.abs(mean)
    z /= np.where(flat | (sd == 0), 1.0, sd)[:, None]
    square = z * z
    skewness = np.where(flat, 0.0, np.vecdot(square, z) / n)
    kurtosis = np.where(flat, 0.0, np.vecdot(square, square) / n - 3.0)
    return (np.stack([mean, np.where(flat, 0.0, sd), skewness, kurtosis], axis=1),)
