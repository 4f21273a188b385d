"""A physical map: an image with its unit, its place on the sky and its origin.

A map is no tensor. It becomes one only through a recorded, invertible normalisation (`astro_ood.maps.stretch`), and what a network returns
becomes a map again, with the same unit and pixel size. Region names say which maps see the same piece of sky: maps are split by region
before anything is fitted, since two neighbouring patches are not independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._html import extent, table
from astro_ood.errors import InputError
from astro_ood.maps.wcs import Cards, build, pixel_scale

if TYPE_CHECKING:
    from astropy.wcs import WCS

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Map:
    """One physical image.

    Parameters
    ----------
    data : ndarray, shape (C, H, W)
        Pixel values in `unit`, native byte order, float32, or float64 where the file has it. (H, W) is taken as one channel.
    unit : str
        Astropy's spelling; ``""`` where none is known.
    name : str
        Unique name, such as ``"HorseHead:r00c03"`` or ``"face-07"``.
    region : str
        Piece of sky or source; maps of one region are never divided between the inverted and the held-out set.
    source : str
        ``file[HDU or data set]``.
    header : dict
        White-listed WCS cards valid for this image; ``{}`` where there is no WCS.
    mask : ndarray of bool, shape (H, W), optional
        True where a pixel is not to be used.
    scale : tuple of float, optional
        Side lengths (dy, dx) of a pixel in arcmin where they are known without a WCS.

    Raises
    ------
    InputError
        IN17 for NaN or infinite values outside the mask, IN16 for a wrong number of axes, IN35 for values that are not real.
    """

    data: Floats
    unit: str = ""
    name: str = "map"
    region: str = ""
    source: str = ""
    header: Cards = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    scale: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        data = as_float(np.asarray(self.data), self.name)
        if data.ndim == 2:
            data = data[None]
        if data.ndim != 3:
            raise InputError("IN16", self.name, f"data of shape {data.shape}, expected (C, H, W)", "pick one plane")
        object.__setattr__(self, "data", data)
        if self.mask is not None and self.mask.shape != data.shape[1:]:
            raise InputError(
                "IN25", self.name, f"mask of shape {self.mask.shape}, image of {data.shape[1:]}", "give one value a pixel"
            )
        bad = ~np.isfinite(data).all(axis=0)
        if self.mask is not None:
            bad &= ~self.mask
        if bad.any():
            raise InputError(
                "IN17", self.name, f"{int(bad.sum())} pixels are NaN or infinite outside the mask", "mask or fill them"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        c, h, w = self.data.shape
        return c, h, w

    @property
    def wcs(self) -> WCS | None:
        """Astropy's WCS of this image, or None."""
        return build(self.header)

    @property
    def pixel_scale(self) -> tuple[float, float] | None:
        """Side lengths (dy, dx) of a pixel in arcmin, or None."""
        return self.scale if self.scale is not None else pixel_scale(self.header)

    @property
    def n_nonpositive(self) -> int:
        """Number of pixels that have no logarithm."""
        return int(np.count_nonzero(~(self.data > 0)))

    @property
    def digest(self) -> str:
        """SHA-256 of shape and values: equal for exact copies."""
        return hashlib.sha256(repr(self.shape).encode() + np.ascontiguousarray(self.data).tobytes()).hexdigest()

    def scaled(self, factor: float, unit: str) -> Map:
        """In another unit."""
        return replace(self, data=self.data * self.data.dtype.type(factor), unit=unit)

    @classmethod
    def stacked(cls, group: Sequence[Map], region: str) -> Map:
        """One image whose channels are the maps of a group; it carries the WCS of the first."""
        masks = [m.mask for m in group if m.mask is not None]
        return replace(
            group[0],
            data=np.concatenate([m.data for m in group]),
            name=" + ".join(m.name for m in group),
            region=region,
            mask=np.any(masks, axis=0) if masks else None,
        )

    def _repr_html_(self) -> str:
        good = self.data[np.isfinite(self.data)]
        span = f"{good.min():.4g} to {good.max():.4g} {self.unit}" if good.size else "no valid pixel"
        scale = self.pixel_scale
        rows = {
            "shape": extent(("channel", "y", "x"), self.shape),
            "range": span,
            "pixel": f"{scale[0]:.4g} x {scale[1]:.4g} arcmin" if scale else "scale not known",
            "region": self.region,
            "source": self.source,
        }
        return table(f"Map {self.name}", rows)

    def __repr__(self) -> str:
        return f"Map({self.name!r}, shape={self.shape}, unit={self.unit!r}, region={self.region!r})"


def as_float(values: NDArray[Any], where: str) -> Floats:
    """Native-endian float32, or float64 where float32 would lose digits; other types are refused (IN35)."""
    if values.dtype.kind not in "fiu":
        raise InputError("IN35", where, f"values of type {values.dtype}", "maps need real numbers")
    wide = values.dtype.itemsize > (4 if values.dtype.kind == "f" else 2)
    return values.astype(np.float64, copy=False) if wide else values.astype(np.float32, copy=False)
