"""Normalised maps as one array, and back.

A tensor exists only after a recorded, invertible normalisation: a batch carries the stretch, the unit and the WCS that bring its content
back to physical maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._html import extent, table
from astro_ood.errors import InputError
from astro_ood.maps.consistency import check_scales, check_shapes, same_unit
from astro_ood.maps.core import Map
from astro_ood.maps.stretch import Stretch
from astro_ood.maps.wcs import Cards

__all__ = ["FieldBatch", "check_scales", "check_shapes", "same_unit"]


@dataclass(frozen=True, eq=False)
class FieldBatch:
    """Normalised maps.

    Parameters
    ----------
    x : ndarray of float32, shape (N, C, H, W)
        Normalised values, about [-1, 1].
    ids, regions : tuple of str, length N
    stretch : Stretch
    unit : str
        Of the physical values.
    headers : tuple of dict, length N
        WCS cards.
    pixel_scales : tuple of ((dy, dx) or None), length N
        In arcmin.
    sources : tuple of str, length N
    """

    x: NDArray[np.float32]
    ids: tuple[str, ...]
    regions: tuple[str, ...]
    stretch: Stretch
    unit: str = ""
    headers: tuple[Cards, ...] = ()
    pixel_scales: tuple[tuple[float, float] | None, ...] = ()
    sources: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.x)
        if self.x.ndim != 4:
            raise InputError("IN25", "batch", f"array of shape {self.x.shape}", "it needs (N, C, H, W)")
        defaults: dict[str, Any] = {"headers": {}, "pixel_scales": None, "sources": ""}
        for key in ("ids", "regions", "headers", "pixel_scales", "sources"):
            value = tuple(getattr(self, key)) or ((defaults[key],) * n if key in defaults else ())
            if len(value) != n:
                raise InputError("IN25", "batch", f"{len(value)} {key} for {n} maps", "give one for each map")
            object.__setattr__(self, key, value)

    @classmethod
    def from_maps(cls, maps: Sequence[Map], stretch: Stretch) -> FieldBatch:
        """Normalise maps of one shape, unit and pixel scale.

        Raises
        ------
        InputError
            IN17 missing pixels, IN19 values <= 0 under log10, IN23 units, IN24 pixel scales, IN25 shapes that differ, IN40 no map.
        """
        if not maps:
            raise InputError("IN40", "batch", "no map", "give at least one")
        check_shapes(maps)
        check_scales(maps)
        maps = same_unit(maps)
        for m in maps:
            if not np.isfinite(m.data).all():
                raise InputError("IN17", m.name, "holds NaN", "drop or fill them before a network sees them")
        return cls(
            x=np.stack([stretch.forward(m.data, m.name).astype(np.float32) for m in maps]),
            ids=tuple(m.name for m in maps),
            regions=tuple(m.region for m in maps),
            stretch=stretch,
            unit=maps[0].unit,
            headers=tuple(m.header for m in maps),
            pixel_scales=tuple(m.pixel_scale for m in maps),
            sources=tuple(m.source for m in maps),
        )

    @property
    def physical(self) -> NDArray[np.float32] | NDArray[np.float64]:
        """Physical values (N, C, H, W) in `unit`: float32, or float64 where that cannot hold them."""
        with np.errstate(over="ignore"):
            values = self.stretch.inverse(self.x)
        return values if self.stretch.dtype is np.float64 else values.astype(np.float32)

    def to_maps(self) -> list[Map]:
        """Physical maps in `unit`; IN17 where a value is not finite in them (a sample that diverged)."""
        rows = zip(self.physical, self.ids, self.regions, self.headers, self.pixel_scales, self.sources, strict=True)
        return [Map(x, self.unit, name, region, source, header, None, scale) for x, name, region, header, scale, source in rows]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, key: Any) -> FieldBatch:
        """Sub-batch of a slice, a list of numbers, a boolean array or one number."""
        index = np.atleast_1d(np.arange(len(self))[key])
        picked: dict[str, Any] = {
            k: tuple(getattr(self, k)[i] for i in index) for k in ("ids", "regions", "headers", "pixel_scales", "sources")
        }
        return replace(self, x=self.x[index], **picked)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.x, dtype=dtype, copy=copy)

    def _repr_html_(self) -> str:
        rows = {
            "shape": extent(("item", "channel", "y", "x"), self.x.shape),
            "stretch": f"{self.stretch.label(self.unit)}, from {self.stretch.low:.4g} to {self.stretch.high:.4g}",
            "unit": self.unit or "not known",
            "regions": len(set(self.regions)),
        }
        return table("FieldBatch", rows)

    def __repr__(self) -> str:
        return f"FieldBatch(shape={self.x.shape}, stretch={self.stretch.kind!r}, unit={self.unit!r})"
