"""The images of an array, read from its file a few at a time.

An array (..., H, W) is a list of planes in C order. A reader says its shape and how planes are read; whoever needs the pixels walks over
blocks of some megabytes, in whole chunks of the file where it has any, and memory does not depend on the number of planes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 2**22
"""Size of a block, unless a single plane or chunk is larger."""


@dataclass(frozen=True, eq=False)
class Planes:
    """Array of images without its values.

    Parameters
    ----------
    shape : tuple of int
        (..., H, W).
    dtype : dtype
    read : callable
        From the first plane and the one after the last to an ndarray (n, H, W), which the caller may keep but not change.
    chunk : int
        Planes that the file stores together.
    first : int
        Number that `read` knows the first plane by.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[int, int], NDArray[Any]]
    chunk: int = 1
    first: int = 0

    @classmethod
    def of(cls, values: NDArray[Any]) -> Planes:
        """An array in memory."""
        return cls(values.shape, values.dtype, partial(take, values))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def values(self) -> NDArray[Any]:
        """All of it, in memory."""
        return self.read(self.first, self.first + math.prod(self.shape[:-2])).reshape(self.shape)

    def reshape(self, *leading: int) -> Planes:
        """The same planes, counted by other axes."""
        return replace(self, shape=(*leading, *self.shape[-2:]))

    def at(self, index: Sequence[int]) -> Planes:
        """Part with these numbers on the first axes; IndexError outside of them."""
        leading, number = self.shape[:-2], 0
        if len(index) > len(leading):
            raise IndexError(f"{len(index)} numbers for {len(leading)} axes")
        for i, n in zip(index, leading, strict=False):
            if not -n <= i < n:
                raise IndexError(f"{i} outside of {n}")
            number = number * n + i % n
        rest = self.shape[len(index) :]
        return replace(self, shape=rest, first=self.first + number * math.prod(rest[:-2]))

    def blocks(self) -> Iterator[NDArray[Any]]:
        """All planes in order, some at a time: arrays (n, H, W)."""
        n, chunk = math.prod(self.shape[:-2]), math.prod(self.shape[-2:]) * self.dtype.itemsize * self.chunk
        step = self.chunk * max(1, BLOCK_BYTES // chunk)
        for start in range(0, n, step):
            yield self.read(self.first + start, self.first + min(start + step, n))


def take(array: Any, start: int, stop: int) -> NDArray[Any]:
    """Planes (stop - start, H, W) of anything that is indexed as an ndarray (..., H, W)."""
    leading = array.shape[:-2]
    if not leading:
        return np.asarray(array[()])[None]
    axis, parts = _runs_along(leading), []
    while start < stop:
        key: list[int | slice] = [int(i) for i in np.unravel_index(start, leading)]
        first = int(start // math.prod(leading[axis + 1 :]) % leading[axis])
        n = min(stop - start, leading[axis] - first)
        key[axis] = slice(first, first + n)
        parts.append(np.asarray(array[tuple(key)]))
        start += n
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty((0, *array.shape[-2:]), array.dtype), *parts])


def chunk_of(array: Any) -> int:
    """Planes in a chunk of an array of HDF5 or zarr."""
    leading = array.shape[:-2]
    return int(array.chunks[_runs_along(leading)]) if leading and array.chunks else 1


def _runs_along(leading: tuple[int, ...]) -> int:
    """The last of the leading axes that is longer than 1: along it, planes follow one another."""
    return max((axis for axis, n in enumerate(leading) if n > 1), default=len(leading) - 1)
