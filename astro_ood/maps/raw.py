"""What the readers of all formats hand over: an array with what its file says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from astro_ood.errors import InputError
from astro_ood.maps.planes import Planes


@dataclass(frozen=True)
class Entry:
    """One array of a file: its label (HDU or data set), kind, shape and type."""

    label: str
    kind: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.label} {self.shape} {self.dtype}" if self.kind == "image" else f"{self.kind.upper()} {self.label}"


@dataclass(frozen=True)
class RawArray:
    """One array, with what its header says.

    Parameters
    ----------
    planes : Planes, shape (..., H, W), or (12, nside, nside) for HEALPix
    label : str
        HDU or data set.
    unit : str
    header : mapping
        Everything the header says; only white-listed cards of it are used later.
    entries : tuple of Entry
        All arrays of the file.
    nside : int
        Resolution of a HEALPix map, else 0.
    ordering : str
        ``"RING"`` or ``"NESTED"``.
    frame : str
        ``"galactic"``, ``"icrs"``, ``"ecliptic"`` or ``""``.
    """

    planes: Planes
    label: str
    unit: str
    header: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    nside: int = 0
    ordering: str = ""
    frame: str = ""


def squeeze(planes: Planes, where: str, notes: list[str]) -> Planes:
    """Drop axes of length 1 in front of the image axes (IN16 for what is no image)."""
    shape = planes.shape
    if planes.ndim > 2 and 1 in shape[:-2]:
        planes = planes.reshape(*(n for n in shape[:-2] if n > 1))
        notes.append(f"IN15 {where}: shape {shape} squeezed to {planes.shape}")
    if planes.ndim < 2 or min(planes.shape[-2:]) <= 1:
        raise InputError("IN16", where, f"shape {planes.shape} is no image", "a map needs two axes of at least 16 pixels")
    return planes


def listing(entries: tuple[Entry, ...]) -> str:
    """The arrays of a file in words."""
    shown = ", ".join(str(entry) for entry in entries[:12])
    return shown + (f" and {len(entries) - 12} more" if len(entries) > 12 else "") if entries else "nothing"
