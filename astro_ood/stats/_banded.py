"""Filters of mirrored fields as small banded matrices.

A filter along one side of a field, the continuation of the field by its mirror image beyond both borders, and a grid of points other
than its own on which the result is wanted, together are one matrix with entries around its diagonal only.
"""

from __future__ import annotations

import numpy as np

from astro_ood.stats._arrays import FloatArray

# Standard deviations at which a Gaussian is cut off.
_REACH = 5.0
# Rows of a matrix in one dense block.
_BLOCK = 16


class Workspace:
    """Memory for intermediate fields, kept between calls: to get fresh pages takes longer than to compute what they hold."""

    def __init__(self) -> None:
        self._kept: dict[str, FloatArray] = {}

    def array(self, name: str, *shape: int) -> FloatArray:
        """Array of undefined values, which shares memory with the one of the same name before."""
        size = int(np.prod(shape))
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = np.empty(size)
        return self._kept[name][:size].reshape(shape)


class Banded:
    """Filters (Q, n_out, n_in) as dense blocks around the diagonal."""

    def __init__(self, filters: FloatArray) -> None:
        self.n_filters, self.n_out, self.n_in = filters.shape
        self._blocks: list[tuple[slice, slice, FloatArray]] = []
        for start in range(0, self.n_out, _BLOCK):
            out = slice(start, min(start + _BLOCK, self.n_out))
            used = np.flatnonzero(filters[:, out].any(axis=(0, 1)))
            points = slice(int(used[0]), int(used[-1]) + 1)
            self._blocks.append((out, points, np.ascontiguousarray(filters[:, out, points])))

    def left(self, u: FloatArray, work: Workspace) -> FloatArray:
        """Each filter along y: (N, H, W) to (Q, N, h, W)."""
        result = work.array("rows", self.n_filters, len(u), self.n_out, u.shape[2])
        for out, points, block in self._blocks:
            np.matmul(block[:, None], u[:, points], out=result[:, :, out])
        return result

    def left_adjoint(self, g: FloatArray) -> FloatArray:
        """Transpose of `left`."""
        result = np.zeros((g.shape[1], self.n_in, g.shape[3]))
        for out, points, block in self._blocks:
            for filter_, part in zip(block, g[:, :, out], strict=True):
                result[:, points] += filter_.T @ part
        return result

    def right(self, u: FloatArray, work: Workspace) -> FloatArray:
        """Each filter along x: (R, N, H, W) to (Q, R, N, H, w)."""
        result = work.array("columns", self.n_filters, *u.shape[:3], self.n_out)
        for out, points, block in self._blocks:
            np.matmul(u[..., points], block.swapaxes(1, 2)[:, None, None], out=result[..., out])
        return result

    def right_adjoint(self, g: FloatArray) -> FloatArray:
        """Transpose of `right`."""
        result = np.zeros((*g.shape[1:4], self.n_in))
        for out, points, block in self._blocks:
            for filter_, part in zip(block, g[..., out], strict=True):
                result[..., points] += part @ filter_
        return result


def filters(n_in: int, n_out: int, side: float, width: float, wave_number: float = 0.0, smoothed: float = 0.0) -> FloatArray:
    """Gaussian of unit sum times cosine and sine, from `n_in` to `n_out` points of a mirrored side: (2, n_out, n_in).

    What a Gaussian of variance `smoothed` did to the points beforehand is part of the filter.
    """
    rest = width**2 - smoothed
    gain = np.exp(0.5 * wave_number**2 * smoothed * width**2 / rest)
    wave_number, width = wave_number * width**2 / rest, np.sqrt(rest)
    step = side / n_in
    beyond = int(np.ceil(_REACH * width / step)) + 1
    points = np.arange(-beyond, n_in + beyond)
    lag = ((np.arange(n_out) + 0.5) * (side / n_out))[:, None] - (points + 0.5) * step
    gauss = np.where(np.abs(lag) <= _REACH * width, np.exp(-0.5 * (lag / width) ** 2), 0.0)
    gauss /= gauss.sum(axis=1, keepdims=True)
    fold = points % (2 * n_in)
    fold = np.minimum(fold, 2 * n_in - 1 - fold)
    filters = np.zeros((2, n_in, n_out))
    np.add.at(filters[0], fold, (gain * gauss * np.cos(wave_number * lag)).T)
    np.add.at(filters[1], fold, (gain * gauss * np.sin(wave_number * lag)).T)
    return filters.swapaxes(1, 2)
