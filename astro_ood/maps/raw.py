"""What the readers of all formats hand over: an array with what its file says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from astro_ood.errors import InputError


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
    """Values of one array, with the header and the notes of its reading.

    Parameters
    ----------
    values : ndarray, shape (..., H, W), or (12, nside, nside) for HEALPix
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

    values: NDArray[Any]
    label: str
    unit: str
    header: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    nside: int = 0
    ordering: str = ""
    frame: str = ""


def squeeze(values: NDArray[Any], where: str, notes: list[str]) -> NDArray[Any]:
    """Drop axes of length 1 in front of the image axes (IN16 for what is no image)."""
    if values.ndim > 2 and 1 in values.shape[:-2]:
        kept = tuple(n for n in values.shape[:-2] if n > 1) + values.shape[-2:]
        notes.append(f"IN15 {where}: shape {values.shape} squeezed to {kept}")
        values = values.reshape(kept)
    if values.ndim < 2 or min(values.shape[-2:]) <= 1:
        raise InputError("IN16", where, f"shape {values.shape} is no image", "a map needs two axes of at least 16 pixels")
    return values


def listing(entries: tuple[Entry, ...]) -> str:
    """The arrays of a file in words."""
    shown = ", ".join(str(entry) for entry in entries[:12])
    return shown + (f" and {len(entries) - 12} more" if len(entries) > 12 else "") if entries else "nothing"
