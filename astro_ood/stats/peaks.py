r"""Peaks and voids: local maxima and minima of maps, by height.

A peak is a pixel higher than its 8 neighbours, a void one lower; a plateau of equal pixels counts once, if all that surround it are
lower (higher). A pixel with a neighbour missing or beyond the border is none, nor is a plateau that reaches such a pixel, and counts
refer to the area of the pixels that could have been one: densities are those of a field without end, whatever border and mask.

Counts of peaks above a threshold and of voids below it depend on all n-point functions; on lensing maps they carry as much as the power
spectrum (Jain & Van Waerbeke 2000, astro-ph/9910459; Dietrich & Hartlap 2010, arXiv 0906.3512). The peaks of an isotropic Gaussian
field have the density (Longuet-Higgins 1957; Bond & Efstathiou 1987)

.. math:: \frac{1}{8 \sqrt 3 \pi} \frac{\sigma_2^2}{\sigma_1^2}, \qquad \sigma_j^2 = \int k^{2j} P(k) \, d^2k / (2 \pi)^2,

k in radians per length. Pixels merge the narrowest: for the covariance exp(-r^2 / 2 l^2) counts are low by 9 % at l of 2 pixels, 4 %
at 3, and right to 1 % from 5 on. The smallest structures rule: in white noise every ninth pixel is a peak. Noise is therefore smoothed
away first, by a Gaussian whose standard deviation is a scale of the comparison; at the border and beside missing pixels its weights
are those of the observed pixels, divided by their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import label

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray, in_chunks
from astro_ood.stats.minkowski import THRESHOLDS, TIE, mean_and_sd, part_of, rising, short_runs
from astro_ood.stats.spectrum import PixelScale, pixel_steps

# Of every extremum, the index of its map and its height.
Extrema = tuple[IntArray, FloatArray]

_IN_PLANE = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])


@dataclass(frozen=True)
class Peaks:
    """Numbers of peaks and voids per unit area of a stack of maps.

    Attributes
    ----------
    thresholds : ndarray, shape (K,)
        In `threshold_unit`.
    peak_histogram : ndarray, shape (N, K + 1)
        Peaks of height below the first threshold, from each threshold up to the next, and from the last on, in 1 / `unit`^2.
    void_histogram : ndarray, shape (N, K + 1)
        Voids of height up to the first threshold, above each threshold up to the next, and above the last.
    threshold_unit : str
        ``"sd"`` (standard deviations of each map, after smoothing, about its mean) or ``"map"`` (unit of the maps).
    unit : str
        Of lengths: ``"arcmin"`` or ``"pixel"``.
    smoothing : float
        Standard deviation of the Gaussian, in `unit`.
    """

    thresholds: FloatArray
    peak_histogram: FloatArray
    void_histogram: FloatArray
    threshold_unit: str
    unit: str
    smoothing: float

    @property
    def peaks(self) -> FloatArray:
        """Peaks at or above each threshold, (N, K)."""
        return np.asarray(self.peak_histogram[:, :0:-1].cumsum(axis=1)[:, ::-1])

    @property
    def voids(self) -> FloatArray:
        """Voids at or below each threshold, (N, K)."""
        return np.asarray(self.void_histogram[:, :-1].cumsum(axis=1))


def peaks(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    thresholds: ArrayLike = THRESHOLDS,
    *,
    absolute: bool = False,
    smoothing: float = 0.0,
    mask: ArrayLike | None = None,
) -> Peaks:
    """Peak and void counts of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    thresholds : array_like, shape (K,)
        Rising; in standard deviations of each (smoothed) map about its mean.
    absolute : bool
        Thresholds are in the unit of the maps instead.
    smoothing : float
        Standard deviation of a Gaussian to smooth with, in arcmin, or in pixels without a scale; 0 for none.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing.

    Returns
    -------
    Peaks
        Of a constant map: none.

    Raises
    ------
    InputError
        For maps without a pixel whose 8 neighbours were all observed, and as `in_chunks`.
    """
    levels, steps, sigma = rising(thresholds, "thresholds"), pixel_steps(pixel_scale), _in_pixels(smoothing, pixel_scale)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, FloatArray]:
        inside = _interior(maps.shape, observed)
        area = np.count_nonzero(inside, axis=(1, 2))[:, None] * (steps[0] * steps[1])
        smoothed, parts = _Gaussian(sigma, maps.shape, observed) if smoothing else None, []
        for run in short_runs(maps):
            seen, within = part_of(observed, run), inside if len(inside) == 1 else inside[run]
            part = smoothed(maps[run], seen) if smoothed else maps[run]
            parts.append(_histograms(part, within, levels, None if absolute else mean_and_sd(part, seen)))
        high, low = (np.concatenate(part) / area for part in zip(*parts, strict=True))
        return high, low

    high, low = in_chunks(compute, x, mask=mask, planes=4)
    unit = "pixel" if pixel_scale is None else "arcmin"
    return Peaks(levels, high, low, "map" if absolute else "sd", unit, float(smoothing))


def smooth(x: ArrayLike, smoothing: float, pixel_scale: PixelScale = None, mask: ArrayLike | None = None) -> FloatArray:
    """Smooth each map with a Gaussian, weights being those of the observed pixels.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    smoothing : float
        Standard deviation of the Gaussian, in arcmin, or in pixels without a scale.
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing.

    Returns
    -------
    ndarray, shape (N, H, W)
        Missing pixels hold 0. A constant map stays as it is.
    """
    sigma = _in_pixels(smoothing, pixel_scale)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
        smoothed = _Gaussian(sigma, maps.shape, observed)
        return (np.concatenate([smoothed(maps[run], part_of(observed, run)) for run in short_runs(maps)]),)

    (result,) = in_chunks(compute, x, mask=mask, planes=4)
    return result


def _in_pixels(smoothing: float, pixel_scale: PixelScale) -> tuple[float, float]:
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise ConfigError(
            "CF44", "smoothing", f"found {smoothing}, expected a number not below 0", "give a length in arcmin or pixels"
        )
    dy, dx = pixel_steps(pixel_scale)
    return smoothing / dy, smoothing / dx


class _Gaussian:
    """Gaussian mean of the observed pixels around each; 0 at missing ones. The sum of the weights is kept where maps share it."""

    def __init__(self, sigma: tuple[float, float], shape: tuple[int, ...], observed: BoolArray | None) -> None:
        self.sigma = sigma
        self.seen = np.ones((1, *shape[1:]), np.bool_) if observed is None else observed
        self.total = self.total_of(self.seen) if len(self.seen) == 1 else None

    def total_of(self, observed: BoolArray) -> FloatArray:
        return np.where(observed, self.sums(observed.astype(np.float64)), 1.0)

    def sums(self, plane: FloatArray) -> FloatArray:
        """Whole rows are added, of the map and of its transpose: faster than a walk along each line."""
        turned = np.ascontiguousarray(_along_columns(plane, self.sigma[0]).swapaxes(1, 2))
        return np.ascontiguousarray(_along_columns(turned, self.sigma[1]).swapaxes(1, 2))

    def __call__(self, maps: FloatArray, observed: BoolArray | None) -> FloatArray:
        seen = self.seen if observed is None else observed
        total = self.total_of(seen) if self.total is None else self.total
        # Above its floor a map is 0 on it, and stays so: rounding would strew peaks over a constant floor.
        floor = np.where(seen, maps, np.inf).min(axis=(1, 2), keepdims=True)
        return np.asarray((self.sums((maps - floor) * seen) / total + floor) * seen)


def _along_columns(plane: FloatArray, sigma: float) -> FloatArray:
    """Weights are cut at four sigma, which below an eighth of a pixel leaves the pixel itself."""
    reach = int(min(4 * sigma + 0.5, plane.shape[1] - 1))
    result = plane.copy()
    for distance in range(1, reach + 1):
        share = plane * np.exp(-0.5 * (distance / sigma) ** 2)
        result[:, distance:] += share[:, :-distance]
        result[:, :-distance] += share[:, distance:]
    return result


def _interior(shape: tuple[int, ...], observed: BoolArray | None) -> BoolArray:
    """Observed pixels (N or 1, H, W) whose 8 neighbours were observed."""
    seen = np.ones((1, *shape[1:]), np.bool_) if observed is None else observed
    inside = np.zeros_like(seen)
    rows = seen[:, :, :-2] & seen[:, :, 1:-1] & seen[:, :, 2:]
    inside[:, 1:-1, 1:-1] = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    if not inside.any(axis=(1, 2)).all():
        raise InputError("IN18", "peaks", "maps without a pixel whose 8 neighbours were observed", "leave these maps out")
    return inside


def _histograms(
    maps: FloatArray, inside: BoolArray, levels: FloatArray, unit: tuple[FloatArray, FloatArray] | None
) -> tuple[FloatArray, FloatArray]:
    """Numbers of peaks and voids (N, K + 1) between levels, which are in the `unit` (mean, sd) of each map if there is one."""
    high, low, tie = *_extrema(maps, inside), 0.0
    if unit is not None:
        high, low, tie = _deviations(high, *unit), _deviations(low, *unit), TIE
    return _binned(high, levels - tie, "right", len(maps)), _binned(low, levels + tie, "left", len(maps))


def _deviations(found: Extrema, mean: FloatArray, sd: FloatArray) -> Extrema:
    """Heights in standard deviations; those in constant maps are rounding and are dropped."""
    varied = sd[found[0]] > 0
    owner, height = found[0][varied], found[1][varied]
    return owner, (height - mean[owner]) / sd[owner]


def _binned(found: Extrema, levels: FloatArray, side: Literal["left", "right"], n: int) -> FloatArray:
    """Number of heights of each map between levels; the side says to which bin a height belongs that equals a level."""
    owner, height = found
    bins = owner * (len(levels) + 1) + np.searchsorted(levels, height, side=side)
    return np.bincount(bins, minlength=n * (len(levels) + 1)).reshape(n, -1).astype(np.float64)


def _extrema(maps: FloatArray, inside: BoolArray) -> tuple[Extrema, Extrema]:
    """Maxima and minima among the pixels `inside`.

    Rows are strung together, for one long loop is faster than many short ones; what that gives at the border is not used. Four
    comparisons serve all eight neighbours, and maxima and minima alike.
    """
    width, size = maps.shape[2], maps[0].size
    line, first, last = maps.reshape(len(maps), -1), width + 1, size - width - 1
    lower, higher, ties = [], [], False
    for step in _steps(width):
        rises, falls = line[:, :-step] < line[:, step:], line[:, :-step] > line[:, step:]
        lower += [falls[:, first:last], rises[:, first - step : last - step]]
        higher += [rises[:, first:last], falls[:, first - step : last - step]]
        ties = ties or bool(np.count_nonzero(rises) + np.count_nonzero(falls) < rises.size)
    allowed = inside.reshape(len(inside), -1)[:, first:last]

    def found(below: list[BoolArray], above: list[BoolArray]) -> Extrema:
        if ties:
            top = np.zeros(line.shape, np.bool_)
            top[:, first:last] = allowed & ~reduce(np.logical_or, above)
            return _plateaus(maps, top.reshape(maps.shape))
        place = np.flatnonzero(allowed & reduce(np.logical_and, below))
        owner = place // (last - first)
        return owner, line[owner, place % (last - first) + first]

    return found(lower, higher), found(higher, lower)


def _plateaus(maps: FloatArray, top: BoolArray) -> Extrema:
    """Connected pieces of `top`, the pixels that no neighbour exceeds, next to no other pixel of their height."""
    labels, count = label(top, _IN_PLANE)
    line, tops, names = maps.reshape(len(maps), -1), top.reshape(len(maps), -1), labels.reshape(len(maps), -1)
    kept = np.arange(count + 1) > 0
    for step in _steps(maps.shape[2]):
        leak = (line[:, :-step] == line[:, step:]) & (tops[:, :-step] != tops[:, step:])
        kept[names[:, :-step][leak]] = kept[names[:, step:][leak]] = False
    pixels = np.flatnonzero(top)
    one = np.zeros(count + 1, np.int64)
    one[labels.reshape(-1)[pixels]] = pixels
    return one[kept] // line.shape[1], maps.reshape(-1)[one[kept]]


def _steps(width: int) -> tuple[int, int, int, int]:
    """From a pixel to the neighbours that follow it, in rows strung together."""
    return 1, width - 1, width, width + 1
