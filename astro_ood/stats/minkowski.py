r"""Minkowski functionals of excursion sets: how much of a map lies above a threshold, how ragged its border is, how connected it is.

The excursion set at threshold nu holds the pixels with x >= nu. Every additive, motion-invariant and continuous measure of its shape
is a combination of three (Hadwiger), given here per unit area of the map:

- **area** (V0), the fraction of the map that it covers;
- **length** (V1) of its boundary. Schmalzing & Gorski (1998, astro-ph/9710185) define V1 as a quarter of it;
- **Euler characteristic** (V2), the number of its connected pieces minus the number of its holes.

For an isotropic Gaussian field of unit variance, tau the variance of one component of its gradient (Tomita 1986),

.. math:: \tfrac12 \mathrm{erfc}(\nu/\sqrt2), \qquad \tfrac12 \sqrt{\tau}\, e^{-\nu^2/2}, \qquad (2\pi)^{-3/2} \tau\, \nu\, e^{-\nu^2/2}.

They depend on all n-point functions, so with thresholds in standard deviations of each map they see shape (filaments, sheets, clumps)
where one-point and power spectrum agree.

Estimator: counts of the 16 configurations of 2 x 2 pixels (Gray 1971, IEEE Trans. Comput. C-20, 551). The boundary is measured by
Cauchy-Crofton, from how often the lattice lines of the rows, columns and both diagonals cross it, each direction weighted by its share
of the half circle: unbiased for isotropic maps; a single straight edge comes out 5 % short along a row or column and 2.6 % long in
between (square pixels). The Euler characteristic is the mean of those in which diagonal neighbours are joined and are not, so that
maps upside down give -V2 at -nu. Each block is a sample of its own and the map is not closed at its border: means are those of a field
without end, whatever the border and the missing pixels. Structures hardly wider than a pixel lose detail: in pixels of size h, the
length of a Gaussian field of correlation length l (covariance exp(-r^2 / 2 l^2)) is low by the fraction h^2 / 8 l^2 at the mean and
h^2 / 3 l^2 at 2 standard deviations, its Euler characteristic by h^2 / 10 l^2 at 1 and h^2 / 3 l^2 at 2.

The bits of 64 pixels share one word, and the blocks of all words are counted at once: a threshold costs no more than a few passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, in_chunks
from astro_ood.stats.spectrum import PixelScale, pixel_steps

THRESHOLDS: tuple[float, ...] = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
# In standard deviations: rounding must not decide on which side of a threshold a pixel lies that equals it.
TIE = 1e-9
_RUN_PIXELS = 1 << 16

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Minkowski:
    """Minkowski functionals of the excursion sets of a stack of maps.

    Attributes
    ----------
    thresholds : ndarray, shape (K,)
        In `threshold_unit`.
    area : ndarray, shape (N, K)
        Fraction of the map at or above each threshold.
    length : ndarray, shape (N, K)
        Length of boundary per unit area, in 1 / `unit`.
    euler : ndarray, shape (N, K)
        Euler characteristic per unit area, in 1 / `unit`^2.
    threshold_unit : str
        ``"sd"`` (standard deviations of each map about its mean) or ``"map"`` (unit of the maps).
    unit : str
        Of lengths: ``"arcmin"`` or ``"pixel"``.
    """

    thresholds: FloatArray
    area: FloatArray
    length: FloatArray
    euler: FloatArray
    threshold_unit: str
    unit: str


def minkowski(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    thresholds: ArrayLike = THRESHOLDS,
    *,
    absolute: bool = False,
    mask: ArrayLike | None = None,
) -> Minkowski:
    """Minkowski functionals of each map.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    thresholds : array_like, shape (K,)
        Rising; in standard deviations of each map about its mean.
    absolute : bool
        Thresholds are in the unit of the maps instead.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing. Mean, standard deviation and area are those of the observed pixels, length and Euler
        characteristic those of the 2 x 2 blocks of observed pixels.

    Returns
    -------
    Minkowski
        Of a constant map: all of it at thresholds up to 0 sd, nothing above; no boundary.

    Raises
    ------
    InputError
        For maps without a 2 x 2 block of observed pixels, and as `in_chunks`.
    """
    levels, steps = rising(thresholds, "thresholds"), pixel_steps(pixel_scale)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, FloatArray, FloatArray]:
        if absolute:
            return _functionals(maps, observed, np.broadcast_to(levels, (len(maps), len(levels))), steps)
        mean, sd = mean_and_sd(maps, observed)
        # A constant map lies at its mean, whatever rounding says.
        cuts = np.where(levels <= 0, -np.inf, np.inf) * np.ones((len(maps), 1))
        varied = sd > 0
        cuts[varied] = mean[varied, None] + (levels - TIE) * sd[varied, None]
        return _functionals(maps, observed, cuts, steps)

    area, length, euler = in_chunks(compute, x, mask=mask, planes=4)
    return Minkowski(levels, area, length, euler, "map" if absolute else "sd", "pixel" if pixel_scale is None else "arcmin")


def rising(values: ArrayLike, where: str) -> FloatArray:
    """Check that thresholds (K,) are finite and rise."""
    levels = np.atleast_1d(np.asarray(values, np.float64))
    if levels.ndim != 1 or not levels.size or not np.isfinite(levels).all() or (np.diff(levels) <= 0).any():
        raise ConfigError("CF44", where, f"found {str(values)[:80]}, expected rising numbers", "sort them and drop repeats")
    return levels


def short_runs(maps: FloatArray) -> list[slice]:
    """Slices of a stack so short that temporary arrays stay in the cache."""
    step = max(1, _RUN_PIXELS // maps[0].size)
    return [slice(start, start + step) for start in range(0, len(maps), step)]


def part_of(plane: BoolArray | None, run: slice) -> BoolArray | None:
    """Pixels (n, H, W) of a run of maps; those of all (1, H, W) are those of each run."""
    return plane if plane is None or len(plane) == 1 else plane[run]


def mean_and_sd(maps: FloatArray, observed: BoolArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Mean and (population) standard deviation (N,) of maps whose missing pixels hold 0; that of a constant map is 0."""
    parts = [_mean_and_sd(maps[run], part_of(observed, run)) for run in short_runs(maps)]
    return np.concatenate([mean for mean, _ in parts]), np.concatenate([sd for _, sd in parts])


def _mean_and_sd(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, FloatArray]:
    # A power of two takes nothing from the precision and keeps the squares of any finite map in range.
    largest = np.maximum(maps.max(axis=(1, 2)), -maps.min(axis=(1, 2)))
    scale = np.ldexp(1.0, -np.clip(np.frexp(largest)[1], -1000, 1000))
    z = maps * scale[:, None, None]
    n = float(maps[0].size) if observed is None else observed.sum(axis=(1, 2))
    mean = z.sum(axis=(1, 2)) / n
    z -= mean[:, None, None]
    if observed is not None:
        z *= observed
    line = z.reshape(len(z), -1)
    sd = np.sqrt(np.vecdot(line, line) / n)
    # Rounding leaves a constant map a spread of some ulp.
    sd[sd <= 8 * np.finfo(np.float64).eps * np.abs(mean)] = 0.0
    return mean / scale, sd / scale


def _functionals(
    maps: FloatArray, observed: BoolArray | None, levels: FloatArray, steps: tuple[float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Area, length and Euler characteristic (N, K) of the pixels at or above `levels` (N, K)."""
    seen = np.ones((1, *maps.shape[1:]), np.bool_) if observed is None else observed
    pixels, blocks, words = _pack(seen), _pack(_blocks(seen)), -(-maps.shape[2] // 64)
    n_blocks = _count(blocks)
    if not n_blocks.all():
        raise InputError("IN18", "minkowski", "maps without 2 x 2 neighbouring pixels that were observed", "leave these maps out")
    inside = [_pack(maps >= level[:, None, None]) for level in levels.T]
    area = np.stack([_count(bits & pixels) for bits in inside], axis=1) / _count(pixels)[:, None]
    counts = np.stack([_configurations(bits, blocks, words) for bits in inside], axis=2) / n_blocks[:, None]
    odd, three, row, column, diagonal = counts
    dy, dx = steps
    angle = np.arctan2(dy, dx)
    # Crossings of lattice lines per unit length of line, half of the weights of their directions: together pi / 2.
    across = angle * (odd / 2 + row) / dx + (np.pi / 2 - angle) * (odd / 2 + column) / dy
    length = (across + np.pi / 2 * (odd / 2 + diagonal) / np.hypot(dy, dx)) / 2
    return area, length, (odd - 2 * three) / (4 * dy * dx)


def _configurations(bits: Words, blocks: Words, words: int) -> FloatArray:
    """How many `blocks` are of each kind (5, N): one or three corners inside; three; pairs split in rows; columns; diagonals."""
    right = bits >> np.uint64(1)
    right[:, :-1] |= bits[:, 1:] << np.uint64(63)
    a, b, c, d = bits[:, :-words], right[:, :-words], bits[:, words:], right[:, words:]
    top, bottom = a ^ b, c ^ d
    odd = (top ^ bottom) & blocks[:, :-words]
    three = odd & ((a & b) | (c & d))
    row = top & bottom & blocks[:, :-words]
    column = (a ^ c) & (b ^ d) & blocks[:, :-words]
    diagonal = (a ^ d) & (b ^ c) & blocks[:, :-words]
    return np.stack([_count(kind) for kind in (odd, three, row, column, diagonal)])


def _blocks(seen: BoolArray) -> BoolArray:
    """Upper left corners of the 2 x 2 blocks of observed pixels."""
    corner = np.zeros_like(seen)
    pairs = seen[:, :, :-1] & seen[:, :, 1:]
    corner[:, :-1, :-1] = pairs[:, :-1] & pairs[:, 1:]
    return corner


def _pack(plane: BoolArray) -> Words:
    """Bits of (N, H, W) in words of 64 pixels, each row from a new word: (N, H * words)."""
    if plane.shape[2] % 64:
        plane = np.pad(plane, ((0, 0), (0, 0), (0, -plane.shape[2] % 64)))
    return np.packbits(plane.reshape(-1), bitorder="little").view("<u8").reshape(len(plane), -1)


def _count(words: Words) -> FloatArray:
    """Number of bits set in each row of (N, L)."""
    return np.bitwise_count(words).sum(axis=1, dtype=np.int64).astype(np.float64)
