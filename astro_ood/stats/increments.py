r"""Increments of maps: structure functions to order 6, their exponents and flatness, and the distribution of the gradient.

.. math:: S_p(l) = \langle |x(r + l) - x(r)|^p \rangle

over all pairs of observed pixels a vector of length l apart, whose mean over a map needs neither a mean level nor periodic
borders. S_2(l) = 2 (C(0) - C(l)) holds what the power spectrum holds; the higher orders weigh the rare large steps (filaments,
shocks), to which a spectrum is blind. For scale-free fields S_p ~ l^zeta_p with zeta_p = p H where the field is self-similar and
curved in p where it is intermittent (She & Leveque 1994; She & Waymire 1995). The flatness S_4 / S_2^2 is 3 at every lag of a
Gaussian field.

**Directions.** A lag is averaged over eight directions, 22.5 degrees apart on the sky (pixels need not be square): along each, the
pixel offset nearest to the point at that lag, within 15 % in length; along the two axes it lies on the axis. The set is closed
under flips, and under quarter turns for square pixels. Where all eight exist, anisotropies of order below 16 average out; one pixel
away only the axes do, and order 2 alone averages out. Every pair of a lag weighs the same, which is unbiased for any stationary
field and keeps the variance least; the lag that is stated is the mean length of its offsets.

**Gradient.** On every block of 2 x 2 observed pixels the difference across the block in y and in x, each the mean of two, over the
pixel size: the smallest stencil that flips and turns leave alone. In units of its rms over the map the modulus of a
statistically isotropic Gaussian field is Rayleigh distributed, with quantiles sqrt(-ln(1 - q)), whatever its spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray, as_stack, in_chunks
from astro_ood.stats._fit import fit_line, floored_log
from astro_ood.stats._weights import standardise
from astro_ood.stats.spectrum import PixelScale, pixel_steps

ORDERS: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
GRADIENT_LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_SECTOR = np.pi / 8
_TOLERANCE = 0.15
# Largest lag as a fraction of the shorter side: beyond, a map holds few independent pairs.
_REACH = 0.25
# Temporary arrays of a few maps stay in the cache.
_PLANES = 64


@dataclass(frozen=True)
class StructureFunctions:
    """Structure functions of a stack of maps.

    Attributes
    ----------
    lag : ndarray, shape (K,)
        Mean length of the offsets of each lag, in `lag_unit`.
    scaled : ndarray, shape (N, K, 6)
        S_p / scale^p for the `ORDERS` p; 0 for constant maps.
    scale : ndarray, shape (N,)
        Standard deviation of the observed pixels of each map, in its unit.
    pairs : ndarray of int, shape (N, K)
        Number of pairs of observed pixels.
    lag_unit : str
        ``"arcmin"`` or ``"pixel"``.
    """

    lag: FloatArray
    scaled: FloatArray
    scale: FloatArray
    pairs: IntArray
    lag_unit: str

    @property
    def values(self) -> FloatArray:
        """S_p, (N, K, 6), in the unit of the maps to the power p."""
        return np.asarray(self.scaled * self.scale[:, None, None] ** np.array(ORDERS))

    @property
    def flatness(self) -> FloatArray:
        """S_4 / S_2^2, (N, K); 3, as of a Gaussian field, at lags without any increment."""
        second = np.where(self.scaled[..., 1] > 0, self.scaled[..., 1], 1.0)
        return np.asarray(np.where(self.scaled[..., 1] > 0, self.scaled[..., 3] / second**2, 3.0))


@dataclass(frozen=True)
class ScalingExponents:
    """Exponents of S_p ~ l^zeta_p.

    Attributes
    ----------
    zeta, error : ndarray, shape (N, 6)
        Per map and order, and the standard error of the straight line; lags share pixels, and the scatter between maps is larger.
    lag_range : tuple of float
        Shortest and longest lag in the fit, in `lag_unit`.
    lag_unit : str
    """

    zeta: FloatArray
    error: FloatArray
    lag_range: tuple[float, float]
    lag_unit: str


@dataclass(frozen=True)
class GradientQuantiles:
    """Distribution of the modulus of the gradient.

    Attributes
    ----------
    levels : ndarray, shape (K,)
        Probabilities.
    values : ndarray, shape (N, K)
        Quantiles of |grad x| / rms; 0 for constant maps.
    rms : ndarray, shape (N,)
        Root mean square of |grad x|, in unit/arcmin, or unit/pixel.
    """

    levels: FloatArray
    values: FloatArray
    rms: FloatArray


def structure_functions(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    n_lags: int = 8,
    *,
    lags: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> StructureFunctions:
    """Structure functions of orders 1 to 6 of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    n_lags : int
        Number of lags, equally spaced in the logarithm from one pixel (the longer side of a pixel) to a quarter of the shorter side
        of the map, rounded to whole pixels; those that coincide are taken once.
    lags : array_like, shape (K,), optional
        Lags to take instead, in arcmin (pixels without a scale).
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing; its pairs are left out.

    Returns
    -------
    StructureFunctions

    Raises
    ------
    InputError
        For maps of one row or column, and masks that leave a lag without any pair.
    """
    shape, steps = _shape(x), pixel_steps(pixel_scale)
    wanted = default_lags(shape, steps, n_lags) if lags is None else np.atleast_1d(np.asarray(lags, np.float64))
    rings = [offsets(float(lag), steps) for lag in wanted]

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, IntArray, FloatArray]:
        weight = None if observed is None else observed.astype(np.float64)
        unit, scale = standardise(maps, weight)
        sums, pairs = zip(*(_ring(unit, weight, ring) for ring in rings), strict=True)
        count = np.stack(pairs, axis=1)
        if not count.all():
            lag = wanted[int(np.argmin(count.all(axis=0)))]
            raise InputError(
                "IN18", "lags", f"a map without two observed pixels {lag:.4g} apart", "leave it out, or shorten the lags"
            )
        return np.stack(sums, axis=1) / count[..., None], count, scale

    scaled, pairs, scale = in_chunks(compute, x, mask=mask, planes=_PLANES)
    lag = np.array([np.hypot(ring[:, 0] * steps[0], ring[:, 1] * steps[1]).mean() for ring in rings])
    return StructureFunctions(lag, scaled, scale, pairs.astype(np.int64), "pixel" if pixel_scale is None else "arcmin")


def scaling_exponents(functions: StructureFunctions, lag_range: tuple[float, float] | None = None) -> ScalingExponents:
    """Slopes of ln S_p against ln l of each map, by least squares with equal weights.

    Parameters
    ----------
    functions : StructureFunctions
    lag_range : (float, float), optional
        Shortest and longest lag to take; by default all.

    Returns
    -------
    ScalingExponents
        0 for constant maps.

    Raises
    ------
    ConfigError
        For fewer than three lags in the range.
    """
    low, high = (0.0, np.inf) if lag_range is None else lag_range
    taken = np.flatnonzero((functions.lag >= low) & (functions.lag <= high))
    if len(taken) < 3:
        raise ConfigError(
            "CF44", "lag_range", f"{len(taken)} lags in {lag_range}, expected at least 3", "widen it, or take more lags"
        )
    lag = functions.lag[taken]
    fits = [fit_line(np.log(lag), floored_log(functions.scaled[:, taken, p]), np.ones(len(lag))) for p in range(len(ORDERS))]
    zeta, error = (np.stack(part, axis=1) for part in zip(*fits, strict=True))
    return ScalingExponents(zeta, error, (float(lag[0]), float(lag[-1])), functions.lag_unit)


def gradient_quantiles(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    levels: ArrayLike = GRADIENT_LEVELS,
    *,
    mask: ArrayLike | None = None,
) -> GradientQuantiles:
    """Quantiles of the modulus of the gradient of each map, in units of its rms.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    levels : array_like, shape (K,)
        Probabilities in [0, 1].
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing; blocks that hold it are left out.

    Returns
    -------
    GradientQuantiles
    """
    _shape(x)
    steps, asked = pixel_steps(pixel_scale), np.asarray(levels, np.float64)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, FloatArray]:
        across, down = np.diff(maps, axis=2) / (2 * steps[1]), np.diff(maps, axis=1) / (2 * steps[0])
        square = ((across[:, 1:] + across[:, :-1]) ** 2 + (down[:, :, 1:] + down[:, :, :-1]) ** 2).reshape(len(maps), -1)
        count = np.full(len(maps), square.shape[1])
        total = square
        if observed is not None:
            whole = observed[:, 1:, 1:] & observed[:, 1:, :-1] & observed[:, :-1, 1:] & observed[:, :-1, :-1]
            whole = np.broadcast_to(whole.reshape(len(whole), -1), square.shape)
            count = whole.sum(axis=1)
            total, square = np.where(whole, square, 0.0), np.where(whole, square, np.inf)
        if not count.all():
            raise InputError("IN18", "mask", "a map without a whole block of 2 x 2 observed pixels", "leave it out")
        rms = np.sqrt(total.sum(axis=1) / count)
        return _root_quantiles(np.sort(square, axis=1), count, asked) / np.where(rms > 0, rms, 1.0)[:, None], rms

    values, rms = in_chunks(compute, x, mask=mask, planes=_PLANES)
    return GradientQuantiles(asked, values, rms)


def default_lags(shape: tuple[int, int], steps: tuple[float, float], n_lags: int) -> FloatArray:
    """Lags of whole pixels (of their longer side) for which both axes have an offset."""
    if n_lags < 1:
        raise ConfigError("CF44", "n_lags", f"found {n_lags}, expected at least 1", "give more lags")
    coarse, fine = max(steps), min(steps)
    longest = _REACH * min(n * d for n, d in zip(shape, steps, strict=True))
    whole = coarse * np.arange(1, max(1, int(longest / coarse * (1 + 1e-9))) + 1)
    fits = np.abs(np.rint(whole / fine) * fine / whole - 1) <= _TOLERANCE
    candidates = whole[fits] if fits.any() else whole[:1]
    targets = np.geomspace(candidates[0], candidates[-1], n_lags)
    return np.asarray(candidates[np.unique(np.argmin(np.abs(np.log(candidates[:, None] / targets)), axis=0))])


def offsets(lag: float, steps: tuple[float, float]) -> IntArray:
    """Pixel offsets (V, 2), one of each opposite pair, of a length near `lag` in the eight directions 22.5 degrees apart."""
    if not (np.isfinite(lag) and lag > 0):
        raise ConfigError("CF44", "lags", f"found {lag}, expected positive lengths", "correct it")
    rows, columns = (np.arange(int(lag * (1 + _TOLERANCE) / d) + 1) for d in steps)
    y, x = rows[:, None] * steps[0], columns[None, :] * steps[1]
    excess = np.round(np.abs(np.hypot(y, x) / lag - 1), 9)
    found: list[tuple[int, int]] = []
    for sector in range(5):
        # Exact where it is 0, so that mirrored directions choose mirrored offsets.
        up, right = (0.0 if s == 0 else float(np.sin(s * _SECTOR)) for s in (sector, 4 - sector))
        miss = np.round(((y - lag * up) ** 2 + (x - lag * right) ** 2) / lag**2, 9)
        on_axis = ((y == 0) if up == 0 else (y > 0)) & ((x == 0) if right == 0 else (x > 0))
        near = np.argwhere(on_axis & (excess <= _TOLERANCE) & (miss <= _SECTOR**2 / 4))
        if len(near):
            a, b = min(near.tolist(), key=lambda at: (miss[at[0], at[1]], excess[at[0], at[1]], -abs(at[0] - at[1])))
            found += [(a, b), (a, -b)] if a and b else [(a, b)]
    if not found:
        raise ConfigError("CF44", "lags", f"no pixel offset within 15 % of {lag:.4g}", "give a lag of whole pixels")
    return np.array(found, np.int64)


def _ring(unit: FloatArray, weight: FloatArray | None, ring: IntArray) -> tuple[FloatArray, IntArray]:
    """Sums of |difference|^p over all pairs of a lag, (N, 6), and their number, (N,)."""
    sums = np.zeros((len(unit), len(ORDERS)))
    pairs = np.zeros(len(unit))
    for a, b in ring:
        one, two = _ends(unit, a, b)
        if 0 in one.shape:
            continue
        d = (one - two).reshape(len(unit), -1)
        np.abs(d, out=d)
        if weight is None:
            pairs += d.shape[1]
        else:
            first, second = _ends(weight, a, b)
            both = (first * second).reshape(len(weight), -1)
            d *= both
            pairs += both.sum(axis=1)
        sums += _power_sums(d)
    return sums, np.rint(pairs).astype(np.int64)


def _power_sums(d: FloatArray) -> FloatArray:
    """Sums of d^p, p = 1 to 6, over the last axis of (N, M): (N, 6)."""
    square = d * d
    cube = square * d
    products = np.vecdot(d, d), np.vecdot(d, square), np.vecdot(square, square), np.vecdot(square, cube), np.vecdot(cube, cube)
    return np.stack([d.sum(axis=1), *products], axis=1)


def _ends(x: FloatArray, a: int, b: int) -> tuple[FloatArray, FloatArray]:
    """The two overlapping views of `x` (N, H, W) whose pixels lie an offset (a, b), a >= 0, apart."""
    height, width = x.shape[1:]
    low, high = x[:, : max(height - a, 0)], x[:, a:]
    if b >= 0:
        return low[:, :, : max(width - b, 0)], high[:, :, b:]
    return low[:, :, -b:], high[:, :, : max(width + b, 0)]


def _root_quantiles(ranked: FloatArray, count: IntArray, levels: FloatArray) -> FloatArray:
    """Quantiles (N, K) of the roots of the first `count` of sorted rows, linear between order statistics."""
    at = levels[None, :] * (count[:, None] - 1)
    low = np.floor(at).astype(np.int64)
    below, above = (np.sqrt(np.take_along_axis(ranked, np.minimum(i, count[:, None] - 1), axis=1)) for i in (low, low + 1))
    return np.asarray(below + (at - low) * (above - below))


def _shape(x: ArrayLike) -> tuple[int, int]:
    """Sides of the maps, which need two pixels each."""
    shape = np.shape(x)
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        as_stack(x)
    if min(shape[-2:]) < 2:
        raise InputError("IN16", "maps", f"{shape[-2]} x {shape[-1]} pixels", "increments need at least 2 x 2")
    return shape[-2], shape[-1]
