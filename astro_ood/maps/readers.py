"""Maps from files of any format.

A file becomes a `RawArray` (its format's reader), the array becomes whole images (`astro_ood.maps.images`), images become patches
(`astro_ood.maps.patches`), one file and a few planes of it at a time. What was accepted, dropped or skipped comes back as notes for the
report. A `Reading` may be walked over again: so a run keeps `Record`s of its maps only, and reads the pixels when it wants them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, Literal

from astro_ood._log import Progress
from astro_ood.errors import InputError
from astro_ood.maps.channels import cropped
from astro_ood.maps.consistency import in_unit
from astro_ood.maps.core import Map
from astro_ood.maps.files import MAX_BYTES, PathLike, resolve, sniff, stem_of
from astro_ood.maps.images import Axis0, Index, images
from astro_ood.maps.patches import cut, usable
from astro_ood.maps.raw import RawArray
from astro_ood.maps.record import Item, Place, Record

OnError = Literal["raise", "skip"]


@dataclass(frozen=True)
class Readout(Generic[Item]):
    """What was read from a list of files.

    Parameters
    ----------
    maps : list of Map, or of Record
    skipped : list of (file, message)
        Files that could not be used (``on_error="skip"``).
    notes : list of str
        Accepted oddities and counts of dropped maps, one line each, with their code.
    """

    maps: list[Item]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reading:
    """Files, and how disjoint patches are taken from them.

    Parameters
    ----------
    files : sequence of paths
    patch : int or None
        Side of a patch in pixels; None keeps whole images.
    crop : int, optional
        Cut the patches to sides that are multiples of so many pixels.
    axis0 : {"maps", "channels", "slice"}, optional
        What the first axis of a cube counts: maps, channels of one map, or planes of which `slice` picks one.
    nan : {"drop", "error", "fill", "mask"}
        Patches with missing pixels are dropped and counted, refused, filled with their median, or kept with a mask.
    hdu, dataset, unit, slice, frame, strict, max_bytes
        As in `read_map`.
    """

    files: Sequence[PathLike]
    patch: int | None = 64
    _: KW_ONLY
    crop: int | None = None
    hdu: int | str | None = None
    dataset: str | None = None
    unit: str | None = None
    axis0: Axis0 | None = None
    slice: Index | None = None
    frame: str | None = None
    nan: str = "drop"
    strict: bool = False
    max_bytes: int = MAX_BYTES

    def maps(self, file: int, notes: list[str]) -> Iterator[Map]:
        """Yield the maps of the file with this number, as their pixels are read; `notes` are complete when the last one was taken.

        Raises
        ------
        InputError
            Whatever is wrong with the file; some of it is known only at its end.
        """
        path, stem = self.files[file], self._stems[file]
        raw = read_raw(path, self.hdu, self.dataset, max_bytes=self.max_bytes, strict=self.strict, notes=notes)
        given: dict[str, Any] = {"unit": self.unit, "axis0": self.axis0, "index": self.slice, "frame": self.frame}
        whole = images(raw, str(path), stem, **given, notes=notes, n_files=len(self.files))
        patches = usable((p for m in whole for p in cut(m, self.patch)), self.nan, str(path), notes)
        return patches if self.crop is None else (cropped(m, self.crop) for m in patches)

    def collect(self, keep: Callable[[Map, Place], Item], on_error: OnError = "raise") -> Readout[Item]:
        """Read all files once, and keep of each map what `keep` makes of it.

        Regions are the base face of a HEALPix map, the plane of a stack, the file where there are four or more, else about eight blocks
        of neighbouring patches per file.

        Parameters
        ----------
        keep : callable
            From a map and its place.
        on_error : {"raise", "skip"}
            Whether a bad file ends the reading or is recorded.
        """
        if not self.files:
            raise InputError("IN40", "inputs", "no file given", "name at least one file")
        found: list[Item] = []
        out: Readout[Item] = Readout(found)
        with Progress("read", len(self.files), "file") as progress:
            for file, path in enumerate(self.files):
                notes: list[str] = []
                try:
                    found.extend([keep(image, (file, i)) for i, image in enumerate(self.maps(file, notes))])
                except InputError as error:
                    if on_error == "raise":
                        raise
                    out.skipped.append((str(path), str(error)))
                out.notes.extend(notes)
                progress.advance()
        if not found:
            raise InputError(
                "IN40", "inputs", f"none of {len(self.files)} files can be used, first: {out.skipped[0][1]}", "correct them"
            )
        return replace(out, maps=_unique(found, out.notes))

    def again(self, images: Sequence[Record]) -> Iterator[tuple[int, Map]]:
        """Read recorded images once more; yield their number in `images` and themselves, in the order of the files.

        Each comes in the unit of its record. One of several channels comes with the last of them; until then, the others wait.

        Raises
        ------
        InputError
            IN41 where a map is no longer what was recorded; what `maps` raises.
        """
        number_of = {part.place: i for i, image in enumerate(images) for part in image.parts}
        waiting: dict[int, dict[Place, Map]] = {}
        for record, found in self._again(part for image in images for part in image.parts):
            i = number_of[record.place]
            image, channels = images[i], waiting.setdefault(i, {})
            channels[record.place] = in_unit(found, image.unit)
            if len(channels) == len(image.parts):
                del waiting[i]
                ordered = [channels[part.place] for part in image.parts]
                yield i, Map.stacked(ordered, image.region) if image.channels else ordered[0]

    def _again(self, records: Iterable[Record]) -> Iterator[tuple[Record, Map]]:
        for file, wanted in groupby(sorted(records, key=attrgetter("place")), key=lambda record: record.place[0]):
            numbered = enumerate(self.maps(file, []))
            for record in wanted:
                image = next((m for i, m in numbered if i == record.place[1]), None)
                if image is None or image.digest != record.digest:
                    problem = f"map {record.name} is no longer what it was when the file was read first"
                    raise InputError("IN41", str(self.files[file]), problem, "run it again when nothing writes to the file")
                yield record, image

    @cached_property
    def _stems(self) -> list[str]:
        stems = [stem_of(path) for path in self.files]
        count = Counter(stems)
        return [stem if count[stem] == 1 else f"{stem}#{i}" for i, stem in enumerate(stems)]


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
    found = list(images(raw, str(path), stem_of(path), unit=unit, axis0=axis0, index=slice, frame=frame, notes=notes))
    if len(found) != 1:
        what = "base faces" if raw.nside else "planes"
        raise InputError("IN15", path, f"{len(found)} {what}, not one map", "choose one with slice, or use read_maps")
    (image,) = usable(cut(found[0], None), "mask", str(path), [])
    return image


def read_maps(paths: PathLike | Sequence[PathLike], patch: int | None = 64, **options: Any) -> list[Map]:
    """Disjoint patches of files; see `collect` for the options and for what was dropped."""
    return collect(paths, patch, **options).maps


def collect(
    paths: PathLike | Sequence[PathLike], patch: int | None = 64, *, on_error: OnError = "raise", **options: Any
) -> Readout[Map]:
    """Disjoint patches of files, with what was skipped and noted.

    Parameters
    ----------
    paths : path or sequence of paths
    patch, options
        As in `Reading`.
    on_error : {"raise", "skip"}
        Whether a bad file ends the reading or is recorded.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    return Reading(files, patch, **options).collect(lambda image, _: image, on_error)


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


def _unique(maps: list[Item], notes: list[str]) -> list[Item]:
    """Drop exact copies: a map in both sets would pass for a perfect sample."""
    first: dict[str, Item] = {}
    copies = [m.name for m in maps if first.setdefault(m.digest, m) is not m]
    if copies:
        notes.append(
            f"IN39 {len(copies)} exact copies of other maps dropped: {', '.join(copies[:5])}" + (" ..." if len(copies) > 5 else "")
        )
    return list(first.values())
