"""Rows that come in blocks of any length and order, and wait until their chunk is full.

A chunk that is written in two steps is compressed twice, and lost if two threads do it; whole ones are written once. Which rows came
is counted, so that no row is written twice or forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.stores.variable import ArraySpec, storable


class RowBuffer:
    """Rows of one array, from blocks of any length to whole chunks.

    Parameters
    ----------
    name : str
        For messages.
    spec : ArraySpec
        The array.
    size : int
        Rows of a chunk.
    """

    def __init__(self, name: str, spec: ArraySpec, size: int) -> None:
        self.name, self.spec, self.size = name, spec, size
        self.missing = np.ones(spec.shape[0], dtype=bool)
        self._waiting: dict[int, NDArray[Any]] = {}

    def check(self, start: int, values: NDArray[Any]) -> None:
        """Refuse rows of another type or shape, outside the array, or written before."""
        stop = start + len(values) if values.ndim else start
        if storable(values.dtype) != self.spec.dtype:
            raise TypeError(f"{self.name}: {values.dtype} rows, {self.spec.dtype} was declared")
        if values.ndim == 0 or values.shape[1:] != self.spec.shape[1:] or not 0 <= start <= stop <= len(self.missing):
            raise ValueError(f"{self.name}: values of shape {values.shape} from row {start} do not fit {self.spec.shape}")
        if not self.missing[start:stop].all():
            raise ValueError(f"{self.name}: rows {start} to {stop - 1} were written before, at least in part")

    def take(self, start: int, values: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Copy rows; yield each chunk that they complete, with its first row."""
        stop = start + len(values)
        for first in range(start - start % self.size, stop, self.size) if len(values) else ():
            last = min(first + self.size, len(self.missing))
            low, high = max(start, first), min(stop, last)
            if first not in self._waiting:
                self._waiting[first] = np.empty((last - first, *self.spec.shape[1:]), self.spec.dtype)
            self._waiting[first][low - first : high - first] = values[low - start : high - start]
            self.missing[low:high] = False
            if not self.missing[first:last].any():
                yield first, self._waiting.pop(first)

    def cut(self, n: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Take `n` for the number of rows, where fewer came than were declared; yield the chunk that this completes."""
        if not self.missing[n:].all():
            raise ValueError(f"{self.name}: rows beyond {n} were written")
        self.missing = self.missing[:n]
        first = n - n % self.size
        if first in self._waiting and n > first and not self.missing[first:].any():
            yield first, self._waiting.pop(first)[: n - first]

    def require_complete(self) -> None:
        """Refuse an array of which rows are missing."""
        if self.missing.any():
            n, first = int(self.missing.sum()), int(self.missing.argmax())
            raise ValueError(f"{self.name}: {n} of {len(self.missing)} rows were not written, the first is {first}")
