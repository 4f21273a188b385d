"""What a file holds, and which settings suit it: the basis of a first configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps.core import as_float
from astro_ood.maps.files import MAX_BYTES, PathLike, resolve, sniff
from astro_ood.maps.images import Plateau, is_spectral, outside_sky
from astro_ood.maps.raw import squeeze
from astro_ood.maps.readers import read_raw
from astro_ood.maps.wcs import wcs_cards

PATCHES = (64, 32, 16)
LARGE_RATIO = 10.0
"""Positive data that span more than this factor are better seen in the logarithm."""

LARGE_TAIL = 30.0
"""Largest distance from the median, in robust standard deviations, that a linear stretch still shows."""


@dataclass(frozen=True)
class FileSummary:
    """Content of one file and suggestions for its use.

    Parameters
    ----------
    path, format, label : str
        File, its format, and the HDU or data set that would be read.
    alternatives : list of str
        All arrays of the file, with shapes.
    shape, dtype, unit
        Of the chosen array; (12, nside, nside) for HEALPix.
    finite_fraction, minimum, median, maximum, fraction_nonpositive, dynamic_range : float
        Of its pixels in `unit`; the dynamic range is maximum / smallest positive value.
    fraction_at_maximum : float
        Large where a detector saturated.
    stretch, patch, axis0 : suggestions
        `axis0` is None for a single image.
    nside, ordering, frame
        Of a HEALPix map, else 0 and ``""``.
    notes : list of str
    """

    path: str
    format: str
    label: str
    alternatives: list[str]
    shape: tuple[int, ...]
    dtype: str
    unit: str
    finite_fraction: float
    minimum: float
    median: float
    maximum: float
    fraction_nonpositive: float
    dynamic_range: float
    fraction_at_maximum: float
    stretch: str
    patch: int
    axis0: str | None
    nside: int = 0
    ordering: str = ""
    frame: str = ""
    notes: list[str] = field(default_factory=list)


def inspect(
    path: PathLike, hdu: int | str | None = None, dataset: str | None = None, *, max_bytes: int = MAX_BYTES, strict: bool = False
) -> FileSummary:
    """Summary of a file with suggested settings.

    Raises
    ------
    InputError
        What `read_map` raises for broken, ambiguous or constant files; IN16 for images smaller than 16 pixels.
    """
    notes: list[str] = []
    raw = read_raw(path, hdu, dataset, max_bytes=max_bytes, strict=strict, notes=notes)
    where = f"{path}[{raw.label}]" if raw.label else str(path)
    values = as_float((raw.planes if raw.nside else squeeze(raw.planes, where, notes)).values, where)
    outside = None if raw.nside else outside_sky(raw, wcs_cards(raw.header, where, notes), where, notes)
    good = values[np.isfinite(values) if outside is None else np.isfinite(values) & ~outside]
    if good.size < 2 or good.min() == good.max():
        raise InputError("IN18", where, "no variance: all pixels are equal or missing, cannot normalise", "check the file")
    positive = good[good > 0]
    plateau = Plateau()
    plateau.add(good)
    at_maximum = plateau.note(where, notes)
    axis0 = _axis0(values, raw.nside)
    if axis0 == "maps" and is_spectral(raw):
        notes.append(f"IN15 {where}: the planes are channels of a spectrum and see the same sky; neighbours share a region")
    return FileSummary(
        path=str(path),
        format=sniff(resolve(path), str(path)),
        label=raw.label,
        alternatives=[str(entry) for entry in raw.entries],
        shape=values.shape,
        dtype=str(raw.planes.dtype),
        unit=raw.unit,
        finite_fraction=good.size / values.size,
        minimum=float(good.min()),
        median=float(np.median(good)),
        maximum=float(good.max()),
        fraction_nonpositive=1 - positive.size / good.size,
        dynamic_range=float(positive.max()) / float(positive.min()) if positive.size else 0.0,
        fraction_at_maximum=at_maximum,
        stretch=suggest_stretch(good),
        patch=_patch(values.shape, where),
        axis0=axis0,
        nside=raw.nside,
        ordering=raw.ordering,
        frame=raw.frame,
        notes=notes,
    )


def suggest_stretch(good: NDArray[Any]) -> str:
    """``"log10"`` for positive data over a large range, ``"asinh"`` for a long tail with zeros or negatives, else ``"linear"``."""
    low, high = float(good.min()), float(good.max())
    if low > 0:
        return "log10" if high / low > LARGE_RATIO else "linear"
    middle = float(np.median(good))
    width = 1.4826 * float(np.median(np.abs(good - middle)))
    return "asinh" if max(high - middle, middle - low) > LARGE_TAIL * width else "linear"


def _patch(shape: tuple[int, ...], where: str) -> int:
    side = min(shape[-2:])
    fitting = [patch for patch in PATCHES if patch <= side]
    if not fitting:
        raise InputError("IN16", where, f"{shape[-2]} x {shape[-1]} pixels", f"a map needs {PATCHES[-1]} x {PATCHES[-1]}")
    return fitting[0]


def _axis0(values: NDArray[Any], nside: int) -> str | None:
    if nside or values.ndim == 2:
        return None
    if values.ndim > 3:
        return "slice"
    return "maps" if len(values) > 4 else "channels"
