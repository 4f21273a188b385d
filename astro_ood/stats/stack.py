"""Sets of maps as they are compared: in their natural variable, with their missing pixels, a few maps at a time.

A set is anything of shape (N, H, W) that gives arrays when it is sliced: an array, or one that lies on disk. What is kept of each map is
its statistics, some hundreds of numbers, so that a set may be larger than the memory.

**Missing pixels.** A mask leaves its trace in every statistic (it couples modes, breaks pieces, hides peaks), so sets are alike only under masks
of one kind. Real maps have theirs; generated ones have none, and are given those of the real maps that they are compared with, each
equally often (`dealt`). Where a statistic takes no mask (distances of pixels, image features, methods without a network), missing pixels are
filled smoothly from those around them, in all sets alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.errors import InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray, as_stack, observed_pixels
from astro_ood.stats.scattering import fill

# Of the maps of one block in double precision; statistics take a few times that.
_BLOCK_BYTES = 1 << 25


class Sliceable(Protocol):
    """What a set may be: an array, or one on disk that is read where it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True)
class Stack:
    """A set of maps.

    Attributes
    ----------
    values : array or Sliceable, shape (N, H, W)
        As they were given.
    where : str
        Name of the set, for messages.
    missing : ndarray of bool or None, shape (N, H, W) or (1, H, W)
    log : bool
        Whether log10 of the values is compared.
    """

    values: Sliceable
    where: str = "maps"
    missing: BoolArray | None = None
    log: bool = False
    _lent: BoolArray | None = None
    _lender: IntArray | None = None

    @classmethod
    def of(cls, values: Any, where: str = "maps", mask: ArrayLike | None = None, *, log: bool = False, least: int = 1) -> Stack:
        """A set from what a caller gave.

        Raises
        ------
        InputError
            IN16 for another number of axes, IN40 for fewer than `least` maps; IN18, IN25, IN35 for masks that do not fit.
        """
        if not hasattr(values, "shape"):
            values = np.asarray(values)
        shape = tuple(values.shape)
        if len(shape) == 2:
            values, shape = values[None], (1, *shape)
        if len(shape) != 3 or 0 in shape[1:]:
            raise InputError("IN16", where, f"shape {shape}, expected (N, H, W)", "give one stack of 2-D maps")
        if shape[0] < least:
            raise InputError("IN40", where, f"{shape[0]} maps, expected at least {least}", "give more maps")
        seen = None if mask is None else observed_pixels(mask, shape, where)
        return cls(values, where, None if seen is None else ~seen, log)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W)."""
        return tuple(self.values.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def blocks(self, most_bytes: int = _BLOCK_BYTES) -> Iterator[tuple[FloatArray, BoolArray | None]]:
        """The maps as they are compared, and which pixels of them are missing (and hold 0), some maps at a time.

        Raises
        ------
        InputError
            IN17 for values that are not finite, IN19 for those that have no logarithm, IN35 for those that are no numbers.
        """
        step = max(1, most_bytes // (8 * int(np.prod(self.shape[1:]))))
        for start in range(0, len(self), step):
            yield self._block(slice(start, min(start + step, len(self))))

    def filled(self, most_bytes: int = _BLOCK_BYTES) -> Iterator[FloatArray]:
        """The same with missing pixels filled from those around them."""
        for maps, missing in self.blocks(most_bytes):
            yield maps if missing is None else filled(maps, missing)

    def extent(self) -> tuple[float, float]:
        """Smallest and greatest value."""
        ends = [
            (m.min(), m.max())
            for maps, missing in self.blocks()
            for m in [maps if missing is None else maps[~np.broadcast_to(missing, maps.shape)]]
        ]
        low, high = zip(*ends, strict=True)
        return float(min(low)), float(max(high))

    def dealt(self, other: Stack, rng: np.random.Generator) -> Stack:
        """This set under the masks of another beside its own, each of them equally often, in random order."""
        if other.missing is None:
            return self
        rounds = -(-len(self) // len(other.missing))
        order = np.concatenate([rng.permutation(len(other.missing)) for _ in range(rounds)])[: len(self)]
        return replace(self, _lent=other.missing, _lender=order.astype(np.int64))

    def _block(self, rows: slice) -> tuple[FloatArray, BoolArray | None]:
        values, missing = np.asarray(self.values[rows]), self._missing(rows)
        x = as_stack(values if missing is None else np.where(missing, 1, values), self.where)
        if self.log:
            bad = float(np.mean(x <= 0))
            if bad:
                problem = f"{bad:.2%} of the pixels are not positive, their log10 does not exist"
                raise InputError("IN19", self.where, problem, "compare without log")
            x = np.log10(x, out=x)
        if missing is not None:
            x[np.broadcast_to(missing, x.shape)] = 0.0
        return x, missing

    def _missing(self, rows: slice) -> BoolArray | None:
        own = self.missing if self.missing is None or len(self.missing) == 1 else self.missing[rows]
        if self._lent is None or self._lender is None:
            return own
        lent = self._lent[self._lender[rows]]
        return lent if own is None else lent | own


def filled(maps: FloatArray, missing: BoolArray) -> FloatArray:
    """Maps (N, H, W) with missing pixels filled smoothly from those around them; far from any, with the mean of the map."""
    gone = np.broadcast_to(missing, maps.shape)
    mean = np.mean(maps, axis=(1, 2), where=~gone, keepdims=True)
    return np.asarray(fill(np.where(gone, 0.0, maps - mean), gone) + mean)
