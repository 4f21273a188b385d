r"""Morlet wavelets and the scattering transform made of them, without a Fourier transform.

**Wavelets.** A round Gaussian of standard deviation 0.8 2^j times a wave of length (8 / 3) 2^j, less that multiple of the Gaussian
that makes the mean zero: the constants of Cheng, Ting, Menard & Bruna (2020, arXiv:2006.08561) and of kymatio (Andreux et al. 2020,
arXiv:1812.11214). Lengths are in units of the longer side of a pixel; pixels need not be square.

**Matrices.** A round Gaussian factorises, so each wavelet is a short sum of products of a filter along y and a filter along x. A
filter, the continuation of the map beyond its border and the grid on which the result is wanted together make one small banded
matrix, and matrix products replace padded Fourier transforms: exact to 1e-5 at each point that is computed, several times
as fast, and with a transpose that makes gradients easy.

**Borders.** Maps are not periodic. Each field that is filtered is continued by its mirror image, which is continuous; opposite
borders never meet. A taper would do for measuring but not for synthesis, where what it hides is left free.

**Grids.** |x * psi_j| is smooth over 0.8 2^j pixels and is computed at points 2^j pixels apart, at least 8 along a side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import ConfigError
from astro_ood.stats._arrays import FloatArray
from astro_ood.stats._banded import Banded, Workspace, filters

WIDTH = 0.8
WAVE_NUMBER = 0.75 * np.pi
# Smoothing before points are thinned out, in new distances of points.
_SMOOTHING = 0.9
_LEAST_POINTS = 8
_EROSION = 4
_LEAST_WEIGHT = 0.01


@lru_cache(maxsize=8)
def morlet_bank(
    shape: tuple[int, int],
    steps: tuple[float, float] = (1.0, 1.0),
    n_scales: int | None = None,
    n_angles: int = 4,
    oversampling: float = 1.0,
) -> MorletBank:
    """The bank for maps (H, W) with pixels of sides (dy, dx), the longer of which is 1. Kept: making it takes longer than using it."""
    return MorletBank(shape, steps, n_scales, n_angles, oversampling)


class MorletBank:
    """Wavelets of all scales, for maps and for the modulus fields of finer scales; see `morlet_bank`.

    Attributes
    ----------
    n_scales, n_angles : int
    pairs : list of (int, int)
        Scales (j1, j2) of the second-order coefficients.
    grids : list of (int, int)
        Points on which the modulus fields of each scale are computed.
    first : Cascade
        Of all scales, from the pixels.
    second : list of Cascade
        Of all coarser scales, from the grid of each scale but the last.
    wavelength : ndarray, shape (J,)
        In longer sides of a pixel.
    """

    def __init__(
        self, shape: tuple[int, int], steps: tuple[float, float], n_scales: int | None, n_angles: int, oversampling: float
    ) -> None:
        self.shape, self.n_angles = shape, n_angles
        self.sides = (shape[0] * steps[0], shape[1] * steps[1])
        most = max(1, int(np.log2(max(min(self.sides), 1.0)) + 1e-9) - 1)
        self.n_scales = most if n_scales is None else n_scales
        _require(1 <= self.n_scales <= most, "n_scales", n_scales, f"1 to {most} for maps of this shape")
        _require(n_angles >= 2, "n_angles", n_angles, "at least 2")
        _require(oversampling >= 1, "oversampling", oversampling, "at least 1")
        scales = list(range(self.n_scales))
        self.wavelength: FloatArray = np.asarray(2 * np.pi / WAVE_NUMBER * 2.0 ** np.arange(self.n_scales), np.float64)
        self.pairs = list(combinations(scales, 2))
        self.grids = [self._grid(j, oversampling) for j in scales]
        self.first = Cascade(shape, self.grids, self.sides, 0, scales, n_angles)
        self.second = [Cascade(self.grids[j], self.grids, self.sides, j, scales[j + 1 :], n_angles) for j in scales[:-1]]

    def coefficients(
        self, z: FloatArray, weights: list[FloatArray] | None = None, work: tuple[Workspace, Workspace] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """S1 (N, J, L) and S2 (N, P, L, L) of maps (N, H, W), averaged with the weights of `weights`."""
        one, two = work or (Workspace(), Workspace())
        n, n_angles = len(z), self.n_angles
        s1, s2 = np.empty((n, self.n_scales, n_angles)), np.empty((n, len(self.pairs), n_angles, n_angles))
        for finer, fields in self.first.fields(z, one):
            field = modulus(fields)
            s1[:, finer] = average(field, weights[finer] if weights else None)
            if finer + 1 == self.n_scales:
                break
            if weights:
                field = self._refill(finer, field, s1[:, finer, :, None, None], weights[finer])
            for angle in range(n_angles):
                part = field[:, angle]
                for scale, again in self.second[finer].fields(part, two):
                    s2[:, self.pairs.index((finer, scale)), angle] = average(modulus(again), weights[scale] if weights else None)
        return s1, s2

    def weights(self, missing: NDArray[np.bool_]) -> list[FloatArray]:
        """Weight of each grid point (N, 1, h, w), by scale: a power of the fraction of present pixels around it."""
        result = []
        for j, grid in enumerate(self.grids):
            # A modulus field of the next finer scale has looked around itself before it is filtered.
            width = np.sqrt(1.25) * WIDTH * 2.0**j
            y, x = (filters(*axis, width)[0] for axis in zip(self.shape, grid, self.sides, strict=True))
            result.append(np.clip(y @ ~missing @ x.T, 0.0, 1.0)[:, None] ** _EROSION)
        return result

    def _refill(self, scale: int, field: FloatArray, mean: FloatArray, weight: FloatArray) -> FloatArray:
        """Modulus fields (N, L, h, w) with their surroundings in the place of what has no weight, and their mean far from any."""
        y, x = (filters(n, n, side, 2.0**scale)[0] for n, side in zip(self.grids[scale], self.sides, strict=True))
        known = weight * (field - mean)
        around = y @ known @ x.T / (y @ weight @ x.T + _LEAST_WEIGHT)
        return np.asarray(mean + known + (1 - weight) * around)

    def _grid(self, scale: int, oversampling: float) -> tuple[int, int]:
        """Points along either side on which the modulus field of a scale is computed."""
        wanted = [max(_LEAST_POINTS, int(np.ceil(oversampling * side / 2**scale - 1e-9))) for side in self.sides]
        return min(self.shape[0], wanted[0]), min(self.shape[1], wanted[1])


class Cascade:
    """Wavelets of several scales on one grid, the coarse ones read from smoothed, coarser copies of what they filter.

    A Gaussian of variance t smoothes, another of variance v - t and a wave number larger by v / (v - t) make the wavelet: their
    product in Fourier space is that of the Gaussian of variance v, up to a factor. Scale j is read from points 2^(j - 2) pixels apart.

    Parameters
    ----------
    points : (int, int)
        Numbers of points along y and x of the fields to filter.
    grids : list of (int, int)
        Numbers of points wanted, by scale.
    sides : (float, float)
        Lengths of the map, in longer sides of a pixel.
    finest : int
        The points are 2^finest pixels apart.
    scales : list of int
    n_angles : int
    """

    def __init__(
        self,
        points: tuple[int, int],
        grids: list[tuple[int, int]],
        sides: tuple[float, float],
        finest: int,
        scales: list[int],
        n_angles: int,
    ) -> None:
        self._finest = finest
        levels = {finest: points} | {level: grids[level] for level in range(finest + 1, max(scales) - 1)}
        smooth = {level: (_SMOOTHING * 2.0**level) ** 2 if level > finest else 0.0 for level in levels}
        self._smoothers = {
            level: _smoother(levels[level - 1], levels[level], sides, np.sqrt(smooth[level] - smooth[level - 1]))
            for level in levels
            if level > finest
        }
        self._source = {j: max(finest, j - 2) for j in scales}
        self._wavelets = {j: Wavelets(levels[m], grids[j], sides, j, n_angles, smooth[m]) for j, m in self._source.items()}

    def fields(self, u: FloatArray, work: Workspace) -> Iterator[tuple[int, FloatArray]]:
        """Real and imaginary parts (2, N, L, h, w) of fields (N, H, W) under the wavelets of each scale, from the finest.

        The next call with the same workspace overwrites them.
        """
        level = self._finest
        for scale, wavelets in self._wavelets.items():
            while level < self._source[scale]:
                level += 1
                y, x = self._smoothers[level]
                u = x.right(y.left(u, work), work)[0, 0].copy()
            yield scale, wavelets.fields(u, work)

    def adjoint(self, gradients: dict[int, FloatArray]) -> FloatArray:
        """Transpose of `fields`: {scale: (2, N, L, h, w)} to (N, H, W)."""
        level, total = max(self._source.values()), None
        for scale in reversed(self._wavelets):
            while level > self._source[scale]:
                assert total is not None
                y, x = self._smoothers[level]
                total = y.left_adjoint(x.right_adjoint(total[None, None]))
                level -= 1
            part = self._wavelets[scale].adjoint(gradients[scale])
            total = part if total is None else total + part
        assert total is not None
        return total


@dataclass(frozen=True)
class _Wave:
    """Filters of an angle: where cosine and sine along y stand, the filters along x, the mean of the wave under the Gaussian."""

    angle: int
    rows: slice
    columns: Banded
    mean: float


class Wavelets:
    """The wavelets of one scale, all angles, from one grid of points to another that covers the same map.

    Parameters
    ----------
    points, grid : (int, int)
        Numbers of points along y and x, given and wanted.
    sides : (float, float)
        Lengths of the map, in longer sides of a pixel.
    scale : int
        j.
    n_angles : int
    smoothed : float
        Variance of the Gaussian with which the given fields were smoothed.
    """

    def __init__(
        self,
        points: tuple[int, int],
        grid: tuple[int, int],
        sides: tuple[float, float],
        scale: int,
        n_angles: int,
        smoothed: float = 0.0,
    ) -> None:
        self.grid, self.scale, self.n_angles = grid, scale, n_angles
        width, wave_number = WIDTH * 2.0**scale, WAVE_NUMBER / 2**scale
        axes = list(zip(points, grid, sides, strict=True))
        y, x = (filters(*axis, width, smoothed=smoothed)[:1] for axis in axes)
        rows, self._low, self._waves = [y], Banded(x), []
        for angle in range(n_angles // 2 + 1):
            turn = np.pi * angle / n_angles
            along_y = filters(*axes[0], width, wave_number * np.sin(turn), smoothed)
            along_x = filters(*axes[1], width, wave_number * np.cos(turn), smoothed)
            mean = float(along_y[0].sum(axis=1).mean() * along_x[0].sum(axis=1).mean())
            where = slice(2 * angle - 1, 2 * angle + 1) if angle else slice(0, 1)
            self._waves.append(_Wave(angle, where, self._low if 2 * angle == n_angles else Banded(along_x), mean))
            if angle:
                rows.append(along_y)
        self._rows = Banded(np.concatenate(rows))

    def fields(self, u: FloatArray, work: Workspace) -> FloatArray:
        """Real and imaginary parts (2, N, L, h, w) of fields (N, H, W) under each wavelet."""
        out = work.array(f"fields {self.scale}", 2, len(u), self.n_angles, *self.grid)
        rows = self._rows.left(u, work)
        low = self._low.right(rows[:1], work)[0, 0].copy()
        for wave in self._waves:
            # By cosine and sine along x, then along y; a wave along an axis has no sine along the other.
            part = wave.columns.right(rows[wave.rows], work)
            real, odd_x, odd_y, both = part[0, 0], part[-1, 0], part[0, -1], part[-1, -1]
            here, mirrored = out[:, :, wave.angle], out[:, :, -wave.angle]
            real -= wave.mean * low
            if part.shape[0] == part.shape[1]:
                np.subtract(real, both, out=here[0])
                np.add(real, both, out=mirrored[0])
                np.add(odd_y, odd_x, out=here[1])
                np.subtract(odd_y, odd_x, out=mirrored[1])
            else:
                here[0], here[1] = real, both
        return out

    def adjoint(self, g: FloatArray) -> FloatArray:
        """Transpose of `fields`: (2, N, L, h, w) to (N, H, W)."""
        rows = np.zeros((self._rows.n_filters, g.shape[1], self.grid[0], self._low.n_in))
        low = np.zeros((1, 1, *g.shape[1:2], *self.grid))
        for wave in self._waves:
            here, mirrored = g[:, :, wave.angle], g[:, :, -wave.angle]
            if not wave.angle:
                part = here[:, None]
            elif wave.columns is self._low:
                part = here[None]
            else:
                part = np.stack([here + mirrored, here - mirrored])
                part = np.stack([np.stack([part[0, 0], part[0, 1]]), np.stack([part[1, 1], -part[1, 0]])])
            low -= wave.mean * part[0, 0]
            rows[wave.rows] += wave.columns.right_adjoint(part)
        rows[:1] += self._low.right_adjoint(low)
        return self._rows.left_adjoint(rows)


def _smoother(points: tuple[int, int], grid: tuple[int, int], sides: tuple[float, float], width: float) -> tuple[Banded, Banded]:
    """Gaussians along y and x."""
    y, x = (Banded(filters(*axis, width)[:1]) for axis in zip(points, grid, sides, strict=True))
    return y, x


def modulus(fields: FloatArray) -> FloatArray:
    """Modulus of real and imaginary parts (2, ...), which are overwritten."""
    np.multiply(fields, fields, out=fields)
    return np.asarray(np.sqrt(np.add(fields[0], fields[1], out=fields[0]), out=fields[0]))


def average(field: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Average of (N, K, h, w) over the grid, weighted with (N, 1, h, w)."""
    if weight is None:
        return np.asarray(field.mean(axis=(2, 3)))
    return np.asarray((field * weight).sum(axis=(2, 3)) / weight.sum(axis=(2, 3)))


def _require(good: bool, name: str, found: object, expected: str) -> None:
    if not good:
        raise ConfigError("CF44", name, f"found {found}, expected {expected}", "change it")
