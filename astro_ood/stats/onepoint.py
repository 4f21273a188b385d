"""One-point statistics: the distribution of pixel values, whatever their arrangement.

The distribution function of each map is summarised by its quantiles. A quantile carries the unit of the map, exists for every
map, and its mean over maps has a well-behaved sampling distribution, which a histogram bin that is empty in most maps has not.
Pixels of one map are correlated, so the map and never the pixel is the unit of any test on these vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.stats._arrays import FloatArray, as_stack, in_chunks

QUANTILES: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOMENTS: tuple[str, ...] = ("mean", "sd", "skewness", "kurtosis")


@dataclass(frozen=True)
class Histogram:
    """Densities on shared edges: `density` (N, n_bins) per map, in 1/unit; `edges` (n_bins + 1,) in the unit of the maps."""

    edges: FloatArray
    density: FloatArray


def quantiles(x: ArrayLike, levels: ArrayLike = QUANTILES) -> FloatArray:
    """Pixel quantiles of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    levels : array_like, shape (K,)
        Probabilities in [0, 1].

    Returns
    -------
    ndarray, shape (N, K)
        In the unit of the maps.
    """
    at = np.asarray(levels, np.float64)

    def compute(maps: FloatArray, _: object) -> tuple[FloatArray]:
        return (np.quantile(maps.reshape(len(maps), -1), at, axis=1, overwrite_input=True).T,)

    return in_chunks(compute, x)[0]


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
    one, two = (Histogram(edges, np.stack([np.histogram(m, edges, density=True)[0] for m in s])) for s in sets)
    return one, two


def moments(x: ArrayLike) -> FloatArray:
    """Mean, standard deviation, skewness and excess kurtosis of the pixels of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)

    Returns
    -------
    ndarray, shape (N, 4)
        In the order of `MOMENTS`; population (biased) moments. The shape moments of a constant map are 0.
    """
    return in_chunks(_moments, x)[0]


def _moments(maps: FloatArray, _: object) -> tuple[FloatArray]:
    pixels = maps.reshape(len(maps), -1)
    mean, sd = pixels.mean(axis=1), pixels.std(axis=1)
    # Rounding leaves a constant map a spread of some ulp, whose "shape" would be noise.
    flat = sd <= 8 * np.finfo(np.float64).eps * np.abs(mean)
    z = (pixels - mean[:, None]) / np.where(flat | (sd == 0), 1.0, sd)[:, None]
    square = z * z
    skewness = np.where(flat, 0.0, (square * z).mean(axis=1))
    kurtosis = np.where(flat, 0.0, (square * square).mean(axis=1) - 3.0)
    return (np.stack([mean, np.where(flat, 0.0, sd), skewness, kurtosis], axis=1),)
