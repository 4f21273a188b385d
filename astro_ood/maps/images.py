"""Whole images of an array: one, the planes of a stack, or the base faces of a HEALPix map.

Nothing is guessed silently: of a cube, the caller says what its first axis counts. Images come one by one, as their pixels are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps.core import Map, as_float
from astro_ood.maps.healpix import face_cards, frame_name, pixel_side
from astro_ood.maps.planes import Planes
from astro_ood.maps.raw import RawArray, squeeze
from astro_ood.maps.units import parse_unit
from astro_ood.maps.wcs import Cards, off_sky, wcs_cards

Axis0 = Literal["maps", "channels", "slice"]
Index = int | Sequence[int]
FILES_ARE_REGIONS = 4
PLATEAU = 0.01
_SPECTRAL = ("FREQ", "VELO", "VOPT", "VRAD", "WAVE", "AWAV", "ENER", "WAVN", "ZOPT", "BETA", "FELO")


def images(
    raw: RawArray,
    where: str,
    stem: str,
    *,
    unit: str | None,
    axis0: Axis0 | None,
    index: Index | None,
    frame: str | None,
    notes: list[str],
    n_files: int = 1,
) -> Iterator[Map]:
    """Yield the whole images of an array, with names that are unique over the files.

    Parameters
    ----------
    raw : RawArray
    where, stem : str
        File, and the name that its images begin with.
    unit, axis0, index, frame
        As in `read_map`.
    notes : list of str
        Receives accepted oddities; complete when the last image was taken.
    n_files : int
        Number of files that are read; from four on, each is a region.
    """
    source = f"{where}[{raw.label}]" if raw.label else where
    spelled, plateau = _unit(raw, unit, source, notes), Plateau()
    if frame is not None and not frame_name(frame):
        raise InputError("IN29", source, f"unknown frame {frame!r}", "choose galactic, icrs or ecliptic")
    if raw.nside:
        prefix = "" if n_files == 1 else f"{stem}:"
        for face, cards in _faces(raw, source, index, frame_name(frame or "") or raw.frame, notes):
            values, region = plateau.add(raw.planes.at([face]).values), f"face-{face:02d}"
            scale = (pixel_side(raw.nside),) * 2
            yield _map(values, spelled, f"{prefix}{region}", f"{source}[{face}]", cards, region=region, scale=scale)
    else:
        cards = wcs_cards(raw.header, source, notes)
        planes = _chosen(squeeze(raw.planes, source, notes), index, axis0, source)
        outside = outside_sky(raw, cards, source, notes)
        if planes.ndim == 2 or axis0 == "channels":
            region = stem if n_files >= FILES_ARE_REGIONS else ""
            yield _map(plateau.add(planes.values), spelled, stem, source, cards, outside, region=region)
        else:
            spectral, every = is_spectral(raw), (plane for block in planes.blocks() for plane in plateau.add(block))
            for i, plane in enumerate(every):
                name = f"{stem}:m{i:04d}"
                region = f"{stem}:s{i * 8 // planes.shape[0]}" if spectral else name
                yield _map(plane, spelled, name, f"{source}[{i}]", cards, outside, region=region)
    plateau.note(where, notes)


def outside_sky(raw: RawArray, cards: Cards, where: str, notes: list[str]) -> NDArray[np.bool_] | None:
    """Pixels (H, W) where an all-sky projection has no sky: files put zeros there, which are no measurements."""
    height, width = raw.planes.shape[-2:]
    outside = off_sky(cards, (height, width))
    if outside is not None:
        notes.append(f"IN17 {where}: {outside.mean():.1%} of the pixels lie outside the sky of the projection, taken as missing")
    return outside


class Plateau:
    """Fraction of the finite pixels that are at the maximum of all, counted as they come."""

    def __init__(self) -> None:
        self.top, self.n_top, self.n = -np.inf, 0, 0

    def add(self, values: NDArray[Any]) -> NDArray[Any]:
        """Count some pixels; they are returned as they are."""
        good = values[np.isfinite(values)]
        if good.size:
            top = good.max()
            if top > self.top:
                self.top, self.n_top = top, 0
            self.n_top += int(np.count_nonzero(good == self.top))
            self.n += good.size
        return values

    def note(self, where: str, notes: list[str]) -> float:
        """The fraction; a note where it looks like saturation."""
        fraction = self.n_top / self.n if self.n else 0.0
        if fraction > PLATEAU:
            notes.append(f"IN20 {where}: {fraction:.1%} of the pixels are at the maximum, probably saturated")
        return fraction


def is_spectral(raw: RawArray) -> bool:
    """Whether the planes of a cube are channels of a spectrum: neighbours that see the same sky."""
    return str(raw.header.get("CTYPE3", "")).strip().upper().startswith(_SPECTRAL)


def _chosen(planes: Planes, index: Index | None, axis0: Axis0 | None, where: str) -> Planes:
    if planes.ndim > 2 and index is not None:
        try:
            planes = planes.at(index if isinstance(index, Sequence) else [int(index)])
        except IndexError:
            raise InputError("IN15", where, f"slice={index} outside of shape {planes.shape}", "planes are counted from 0") from None
    if planes.ndim == 2:
        return planes
    if planes.ndim == 3 and axis0 in ("maps", "channels"):
        return planes
    kind = "cube" if planes.ndim == 3 else f"{planes.ndim}-dimensional array"
    remedy = "say axis0: maps, axis0: channels, or slice: N" if planes.ndim == 3 else f"give {planes.ndim - 2} numbers as slice"
    raise InputError("IN15", where, f"a {kind} of shape {planes.shape}, not one map", remedy)


def _faces(raw: RawArray, source: str, index: Index | None, frame: str, notes: list[str]) -> Iterator[tuple[int, Cards]]:
    if not frame:
        notes.append(f"IN29 {source}: the frame of the coordinates is not stated, maps have no WCS; say frame: galactic or icrs")
    chosen = range(12) if index is None else [index if isinstance(index, int) else index[0]]
    if not all(0 <= face < 12 for face in chosen):
        raise InputError("IN15", source, f"slice={index}: a HEALPix map has the base faces 0 to 11", "correct slice")
    return ((face, face_cards(face, raw.nside, frame)) for face in chosen)


def _map(values: NDArray[Any], unit: str, name: str, source: str, cards: Cards, missing: Any = None, **more: Any) -> Map:
    data = as_float(values if values.ndim == 3 else values[None], source)
    bad = np.asarray(~np.isfinite(data).all(axis=0))
    bad = bad if missing is None else bad | missing
    return Map(data, unit, name, source=source, header=cards, mask=bad if bad.any() else None, **more)


def _unit(raw: RawArray, given: str | None, source: str, notes: list[str]) -> str:
    unit = parse_unit(given) if given is not None else ""
    if unit and raw.unit and unit != raw.unit:
        notes.append(f"IN22 {source}: unit {raw.unit!r} of the file replaced by {unit!r}")
    return unit or raw.unit
