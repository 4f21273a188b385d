"""Maps from files of any format.

A file becomes a `RawArray` (its format's reader), the array becomes whole images (`images`), images become patches
(`astro_ood.maps.patches`). Nothing is guessed silently: where a file holds several arrays, or a cube, the caller says what is meant; what
was accepted, dropped or skipped comes back as notes for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import Progress
from astro_ood.errors import InputError
from astro_ood.maps.core import Map, as_float
from astro_ood.maps.files import MAX_BYTES, PathLike, resolve, sniff
from astro_ood.maps.healpix import face_cards, frame_name, pixel_side
from astro_ood.maps.patches import cut, usable
from astro_ood.maps.raw import RawArray, squeeze
from astro_ood.maps.units import parse_unit
from astro_ood.maps.wcs import Cards, off_sky, wcs_cards

Axis0 = Literal["maps", "channels", "slice"]
Index = int | Sequence[int]
FILES_ARE_REGIONS = 4
PLATEAU = 0.01
_SPECTRAL = ("FREQ", "VELO", "VOPT", "VRAD", "WAVE", "AWAV", "ENER", "WAVN", "ZOPT", "BETA", "FELO")
_SUFFIXES = {".fits", ".fit", ".fts", ".fz", ".gz", ".bz2", ".h5", ".hdf5", ".he5", ".hdf", ".npy", ".zarr"}


@dataclass(frozen=True)
class Readout:
    """What was read from a list of files.

    Parameters
    ----------
    maps : list of Map
    skipped : list of (file, message)
        Files that could not be used (``on_error="skip"``).
    notes : list of str
        Accepted oddities and counts of dropped maps, one line each, with their code.
    """

    maps: list[Map]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_map(
    path: PathLike,
    hdu: int | str | None = None,
    dataset: str | None = None,
    *,
    unit: str | None = None,
    slice: Index | None = None,  # noqa: A002
    axis0: Axis0 | None = None,
    frame: str | None = None,
    max_bytes: int = MAX_BYTES,
    strict: bool = False,
    notes: list[str] | None = None,
) -> Map:
    """One whole image of a file; missing pixels are masked.

    Parameters
    ----------
    path : str or Path
        FITS, HDF5, ``.npy`` or zarr; ``package:NAME/inner/path`` for a file of an installed package.
    hdu : int or str, optional
        HDU of a FITS file; the only image is found by itself.
    dataset : str, optional
        HDF5 data set, zarr array, or column of a HEALPix table.
    unit : str, optional
        Unit of the pixel values where the file does not carry one (it wins where it does).
    slice : int or sequence of int, optional
        Plane of a cube, or base face of a HEALPix map.
    axis0 : {"channels"}, optional
        Keep the planes of a cube as channels.
    frame : {"galactic", "icrs", "ecliptic"}, optional
        Frame of a HEALPix map that does not say it.
    max_bytes : int
        Budget for the array.
    strict : bool
        Refuse wrong checksums instead of noting them.
    notes : list of str, optional
        Receives accepted oddities.

    Returns
    -------
    Map
        Data of shape (C, H, W).

    Raises
    ------
    InputError
        With the code of the problem; see the documentation of the inputs.
    """
    notes = [] if notes is None else notes
    raw = read_raw(path, hdu, dataset, max_bytes=max_bytes, strict=strict, notes=notes)
    found = images(raw, str(path), unit=unit, axis0=axis0, index=slice, frame=frame, notes=notes)
    if len(found) != 1:
        what = "base faces" if raw.nside else "planes"
        raise InputError("IN15", path, f"{len(found)} {what}, not one map", "choose one with slice, or use read_maps")
    return usable(cut(found[0], None), "mask", str(path), [])[0]


def read_maps(paths: PathLike | Sequence[PathLike], patch: int | None = 64, **options: Any) -> list[Map]:
    """Disjoint patches of files; see `collect` for the options and for what was dropped."""
    return collect(paths, patch, **options).maps


def collect(
    paths: PathLike | Sequence[PathLike],
    patch: int | None = 64,
    *,
    hdu: int | str | None = None,
    dataset: str | None = None,
    unit: str | None = None,
    axis0: Axis0 | None = None,
    slice: Index | None = None,  # noqa: A002
    frame: str | None = None,
    nan: str = "drop",
    on_error: Literal["raise", "skip"] = "raise",
    strict: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Readout:
    """Disjoint patches of files, with what was skipped and noted.

    Parameters
    ----------
    paths : path or sequence of paths
    patch : int or None
        Side of a patch in pixels; None keeps whole images.
    axis0 : {"maps", "channels", "slice"}, optional
        What the first axis of a cube counts: maps, channels of one map, or planes of which `slice` picks one.
    nan : {"drop", "error", "fill", "mask"}
        Patches with missing pixels are dropped and counted, refused, filled with their median, or kept with a mask.
    on_error : {"raise", "skip"}
        Whether a bad file ends the reading or is recorded.
    hdu, dataset, unit, slice, frame, strict, max_bytes
        As in `read_map`.

    Returns
    -------
    Readout
        Regions: the base face of a HEALPix map, the plane of a stack, the file where there are four or more, else about eight blocks of
        neighbouring patches per file.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise InputError("IN40", "inputs", "no file given", "name at least one file")
    out = Readout([])
    with Progress("read", len(files), "file") as progress:
        for path, stem in zip(files, _stems(files), strict=True):
            notes: list[str] = []
            try:
                raw = read_raw(path, hdu, dataset, max_bytes=max_bytes, strict=strict, notes=notes)
                whole = images(raw, str(path), unit=unit, axis0=axis0, index=slice, frame=frame, notes=notes, stem=stem)
                whole = _named(raw, whole, stem, len(files))
                note_plateau(raw.values[np.isfinite(raw.values)], str(path), notes)
                out.maps.extend(usable([p for m in whole for p in cut(m, patch)], nan, str(path), notes))
            except InputError as error:
                if on_error == "raise":
                    raise
                out.skipped.append((str(path), str(error)))
            out.notes.extend(notes)
            progress.advance()
    if not out.maps:
        raise InputError("IN40", "inputs", f"none of {len(files)} files can be used, first: {out.skipped[0][1]}", "correct them")
    return replace(out, maps=_unique(out.maps, out.notes))


def read_raw(
    path: PathLike, hdu: int | str | None, dataset: str | None, *, max_bytes: int, strict: bool, notes: list[str]
) -> RawArray:
    """Array of a file, by the reader of its format."""
    where, file = str(path), resolve(path)
    kind = sniff(file, where)
    if kind == "fits":
        from astro_ood.maps.fits import read_fits

        return read_fits(file, where, hdu, dataset, max_bytes=max_bytes, strict=strict, notes=notes)
    if hdu is not None:
        raise InputError("IN12", where, f"hdu={hdu!r} given for a file that is no FITS", "use dataset")
    if kind == "hdf5":
        from astro_ood.maps.hdf5 import read_hdf5

        return read_hdf5(file, where, dataset, max_bytes=max_bytes)
    from astro_ood.maps.arrays import read_npy, read_zarr

    if kind == "npy":
        return read_npy(file, where, max_bytes=max_bytes)
    return read_zarr(file, where, dataset, max_bytes=max_bytes, notes=notes)


def images(
    raw: RawArray,
    where: str,
    *,
    unit: str | None,
    axis0: Axis0 | None,
    index: Index | None,
    frame: str | None,
    notes: list[str],
    stem: str = "",
) -> list[Map]:
    """Whole images of an array: one, the planes of a stack, or the base faces of a HEALPix map."""
    source = f"{where}[{raw.label}]" if raw.label else where
    spelled = _unit(raw, unit, source, notes)
    if frame is not None and not frame_name(frame):
        raise InputError("IN29", source, f"unknown frame {frame!r}", "choose galactic, icrs or ecliptic")
    if raw.nside:
        return _faces(raw, source, spelled, index, frame_name(frame or "") or raw.frame, notes)
    cards = wcs_cards(raw.header, source, notes)
    values = _plane(squeeze(raw.values, source, notes), index, axis0, source)
    outside = outside_sky(raw, cards, source, notes)
    name = stem or _stem(where)
    if values.ndim == 2 or axis0 == "channels":
        return [_map(values, spelled, name, source, cards, outside)]
    return [_map(plane, spelled, f"{name}:m{i:04d}", f"{source}[{i}]", cards, outside) for i, plane in enumerate(values)]


def outside_sky(raw: RawArray, cards: Cards, where: str, notes: list[str]) -> NDArray[np.bool_] | None:
    """Pixels (H, W) where an all-sky projection has no sky: files put zeros there, which are no measurements."""
    outside = off_sky(cards, raw.values.shape[-2:])
    if outside is not None:
        notes.append(f"IN17 {where}: {outside.mean():.1%} of the pixels lie outside the sky of the projection, taken as missing")
    return outside


def note_plateau(values: NDArray[Any], where: str, notes: list[str]) -> float:
    """Fraction of the pixels at the maximum; a note where it looks like saturation."""
    fraction = float(np.mean(values == values.max(initial=-np.inf))) if values.size else 0.0
    if fraction > PLATEAU:
        notes.append(f"IN20 {where}: {fraction:.1%} of the pixels are at the maximum, probably saturated")
    return fraction


def is_spectral(raw: RawArray) -> bool:
    """Whether the planes of a cube are channels of a spectrum: neighbours that see the same sky."""
    return str(raw.header.get("CTYPE3", "")).strip().upper().startswith(_SPECTRAL)


def _plane(values: NDArray[Any], index: Index | None, axis0: Axis0 | None, where: str) -> NDArray[Any]:
    if values.ndim > 2 and index is not None:
        try:
            values = values[tuple(index) if isinstance(index, Sequence) else int(index)]
        except IndexError:
            raise InputError("IN15", where, f"slice={index} outside of shape {values.shape}", "planes are counted from 0") from None
    if values.ndim == 2:
        return values
    if values.ndim == 3 and axis0 in ("maps", "channels"):
        return values
    kind = "cube" if values.ndim == 3 else f"{values.ndim}-dimensional array"
    remedy = "say axis0: maps, axis0: channels, or slice: N" if values.ndim == 3 else f"give {values.ndim - 2} numbers as slice"
    raise InputError("IN15", where, f"a {kind} of shape {values.shape}, not one map", remedy)


def _map(values: NDArray[Any], unit: str, name: str, source: str, cards: Cards, missing: Any = None, **more: Any) -> Map:
    data = as_float(values if values.ndim == 3 else values[None], source)
    bad = np.asarray(~np.isfinite(data).all(axis=0))
    bad = bad if missing is None else bad | missing
    return Map(data, unit, name, source=source, header=cards, mask=bad if bad.any() else None, **more)


def _faces(raw: RawArray, source: str, unit: str, index: Index | None, frame: str, notes: list[str]) -> list[Map]:
    if not frame:
        notes.append(f"IN29 {source}: the frame of the coordinates is not stated, maps have no WCS; say frame: galactic or icrs")
    chosen = range(12) if index is None else [index if isinstance(index, int) else index[0]]
    if not all(0 <= face < 12 for face in chosen):
        raise InputError("IN15", source, f"slice={index}: a HEALPix map has the base faces 0 to 11", "correct slice")
    side = pixel_side(raw.nside)
    return [
        _map(
            raw.values[f],
            unit,
            f"face-{f:02d}",
            f"{source}[{f}]",
            face_cards(f, raw.nside, frame),
            region=f"face-{f:02d}",
            scale=(side, side),
        )
        for f in chosen
    ]


def _named(raw: RawArray, whole: list[Map], stem: str, n_files: int) -> list[Map]:
    """Names that are unique over the files, and the regions that a whole file decides."""
    if raw.nside:
        return whole if n_files == 1 else [replace(m, name=f"{stem}:{m.name}") for m in whole]
    if len(whole) > 1 and is_spectral(raw):
        return [replace(m, region=f"{stem}:s{i * 8 // len(whole)}") for i, m in enumerate(whole)]
    if len(whole) > 1:
        return [replace(m, region=m.name) for m in whole]
    return [replace(m, region=stem if n_files >= FILES_ARE_REGIONS else "") for m in whole]


def _unit(raw: RawArray, given: str | None, source: str, notes: list[str]) -> str:
    unit = parse_unit(given) if given is not None else ""
    if unit and raw.unit and unit != raw.unit:
        notes.append(f"IN22 {source}: unit {raw.unit!r} of the file replaced by {unit!r}")
    return unit or raw.unit


def _unique(maps: list[Map], notes: list[str]) -> list[Map]:
    """Drop exact copies: a map in both sets would pass for a perfect sample."""
    first: dict[str, Map] = {}
    copies = [m.name for m in maps if first.setdefault(m.digest, m) is not m]
    if copies:
        notes.append(
            f"IN39 {len(copies)} exact copies of other maps dropped: {', '.join(copies[:5])}" + (" ..." if len(copies) > 5 else "")
        )
    return list(first.values())


def _stem(path: PathLike) -> str:
    file = Path(str(path).rpartition(":")[2] if str(path).startswith("package:") else path)
    while file.suffix.lower() in _SUFFIXES:
        file = file.with_suffix("")
    return file.name


def _stems(paths: Sequence[PathLike]) -> list[str]:
    stems = [_stem(path) for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}#{i}" for i, stem in enumerate(stems)]
