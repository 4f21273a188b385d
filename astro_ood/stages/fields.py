"""Reading, splitting and normalising the maps: the store `fields`.

The files are read twice, and their pixels are never kept. The first time, a `Record` of each map is made; from the records follows which
images a run is made of, and the stretch. The second time, the images of these records go to the store as they come. A file that changed
in between is refused. (The scale of an asinh stretch is a median: the inverted maps are read once more for it.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from astro_ood._log import Progress, logger
from astro_ood.config import Config, expand
from astro_ood.maps import Reading, Readout, Record, Stretch, resolve, same_unit, sift, split_regions
from astro_ood.maps.channels import stack
from astro_ood.maps.consistency import check_positive, check_scales, check_shapes
from astro_ood.maps.stretch import Kind
from astro_ood.stages.common import MAP_DIMS
from astro_ood.stores import ArraySpec, RunPaths, StoreWriter


@dataclass(frozen=True)
class Selection:
    """The images of a run, without their pixels.

    Parameters
    ----------
    reading : Reading
        How their maps are read.
    readout : Readout
        With what was skipped and noted.
    images : list of Record
        Of one shape, unit and pixel size; those to invert first.
    n_inverted : int
    stretch : Stretch
        Fitted to the images to invert.
    """

    reading: Reading
    readout: Readout[Record]
    images: list[Record]
    n_inverted: int
    stretch: Stretch


def prepare(config: Config, *, overwrite: bool = False) -> None:
    """Read the maps, split them by region, fit the stretch to the inverted ones; write `fields`."""
    paths = RunPaths(config.run)
    found = select(config)
    for line in [*found.readout.notes, *(message for _, message in found.readout.skipped)]:
        logger.warning("%s", line)
    images, stretch = found.images, found.stretch
    n, n_inverted, unit, outside = len(images), found.n_inverted, images[0].unit, 0
    spec = ArraySpec((n, *images[0].shape), stretch.dtype, MAP_DIMS, unit)
    with (
        StoreWriter(
            paths.fields, {"field": spec}, stage="fields", settings=config.only("data"), inputs={}, overwrite=overwrite
        ) as store,
        Progress("prepare", n) as progress,
    ):
        for i, image in found.reading.again(images):
            store.write("field", i, image.data[None].astype(stretch.dtype, copy=False))
            outside += stretch.clipped(image.data) if i >= n_inverted else 0
            progress.advance()
        attrs = _attributes(config, found, outside)
        # the records make room for the text that the attributes become
        del found, images
        store.finish(attrs=attrs)
    logger.info("prepare: %d maps to invert, %d held out, in %s", n_inverted, n - n_inverted, unit or "no unit")


def select(config: Config) -> Selection:
    """Read the maps of a configuration once and decide which images a run is made of; what `check` does too.

    Raises
    ------
    InputError
        Whatever makes the maps unusable: nothing about them is left for later but a change of the files.
    """
    data = config.data
    # sorted: the order in which files are named changes nothing
    reading = Reading(expand(data.files), data.patch, **data.reading)
    readout = reading.collect(Record.of, data.on_error)
    if data.on_error == "skip":
        kept, odd = sift(readout.maps, positive=data.stretch == "log10")
        readout = replace(readout, maps=kept, skipped=[*readout.skipped, *odd])
    inverted, held_out = split_regions(readout.maps, data.inverted, max_inverted=data.max_inverted, min_held_out=0)
    maps = same_unit([readout.maps[i] for i in (*inverted, *held_out)])
    parts = maps[: len(inverted)], maps[len(inverted) :]
    if data.channels == "stack":
        parts = stack(parts[0]), stack(parts[1]) if len(parts[1]) > 2 else []
    images = [*parts[0], *parts[1]]
    check_shapes(images)
    check_scales(images)
    if data.stretch == "log10":
        check_positive(images)
    n_inverted = len(parts[0])
    return Selection(reading, readout, images, n_inverted, _fit(reading, images[:n_inverted], data.stretch))


def _fit(reading: Reading, images: Sequence[Record], kind: Kind) -> Stretch:
    """As `Stretch.fit` of the images themselves; only asinh needs to look at their pixels."""
    if kind == "asinh":
        return Stretch.fit((image for _, image in reading.again(images)), kind)
    low, high = min(m.low for m in images), max(m.high for m in images)
    return Stretch.spanning(float(low), float(high), kind, where=images[0].name)


def _attributes(config: Config, found: Selection, outside: int) -> dict[str, Any]:
    images, n_inverted = found.images, found.n_inverted
    notes = list(found.readout.notes)
    if outside:
        notes.append(f"{outside} pixels of held-out maps lie outside the range of the stretch (they are kept)")
    used = {part.place[0] for image in images for part in image.parts}
    return {
        "items": list(range(len(images))),
        "ids": [m.name for m in images],
        "regions": [m.region for m in images],
        "split": ["inverted"] * n_inverted + ["held_out"] * (len(images) - n_inverted),
        "stretch": found.stretch.to_dict(),
        "channels": config.data.channels,
        "fit": config.data.fit,
        "headers": [m.header for m in images],
        "pixel_scale": images[0].pixel_scale,
        "sources": [m.source for m in images],
        "files": [_fingerprint(str(name)) for i, name in enumerate(found.reading.files) if i in used],
        "skipped": found.readout.skipped,
        "notes": notes,
    }


def _fingerprint(name: str) -> dict[str, Any]:
    path = resolve(name)
    if path.is_dir():
        return {"path": name, "sha256": None, "bytes": None}
    with path.open("rb") as file:
        return {"path": name, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
