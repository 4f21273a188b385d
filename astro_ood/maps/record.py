"""A map without its pixels: what a run keeps of each of its maps while it decides which of them to use, and how.

The pixels are read again when they are wanted (`astro_ood.maps.readers.Reading.again`), so that a run holds some hundred bytes for a map
and never all pixels. The digest tells whether the file still holds the map that was recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from astro_ood.maps.core import Map
from astro_ood.maps.wcs import Cards

Place = tuple[int, int]
"""Number of the file, and of the map in it."""


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """What is known of one map.

    Parameters
    ----------
    place : Place
        Where it is read.
    digest, shape, unit, name, region, source, header, pixel_scale, n_nonpositive
        As of a `Map`.
    low, high : floating
        Extremes of its unmasked pixels, of the type of its pixels.
    channels : tuple of Record
        Maps that are the channels of this one; empty for a map that is read as it is.
    """

    place: Place
    digest: str
    shape: tuple[int, int, int]
    unit: str
    name: str
    region: str
    source: str
    header: Cards
    pixel_scale: tuple[float, float] | None
    n_nonpositive: int
    low: np.floating
    high: np.floating
    channels: tuple[Record, ...] = ()

    @classmethod
    def of(cls, image: Map, place: Place) -> Record:
        """Record of a map that was read at some place."""
        good = image.data if image.mask is None else image.data[:, ~image.mask]
        return cls(
            place,
            image.digest,
            image.shape,
            image.unit,
            image.name,
            image.region,
            image.source,
            image.header,
            image.pixel_scale,
            image.n_nonpositive,
            good.min(),
            good.max(),
        )

    @property
    def parts(self) -> tuple[Record, ...]:
        """Maps to read."""
        return self.channels or (self,)

    def scaled(self, factor: float, unit: str) -> Record:
        """In another unit, rounded as its pixels will be."""
        low, high = (end * end.dtype.type(factor) for end in (self.low, self.high))
        return replace(self, low=low, high=high, unit=unit)

    @classmethod
    def stacked(cls, group: Sequence[Record], region: str) -> Record:
        """One image whose channels are the maps of a group."""
        return replace(
            group[0],
            shape=(len(group), *group[0].shape[1:]),
            name=" + ".join(m.name for m in group),
            region=region,
            n_nonpositive=sum(m.n_nonpositive for m in group),
            low=min(m.low for m in group),
            high=max(m.high for m in group),
            channels=tuple(group),
        )


Item = TypeVar("Item", Map, Record)
"""Maps and their records are judged and put together alike."""
