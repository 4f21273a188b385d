"""Reading, splitting and normalising the maps: the store `fields`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from astro_ood._log import logger
from astro_ood.config import Config, expand
from astro_ood.maps import FieldBatch, Map, Readout, Stretch, collect, resolve, same_unit, sift, split_regions
from astro_ood.maps.channels import crop, stack
from astro_ood.stages.common import MAP_DIMS
from astro_ood.stores import RunPaths, Variable, write_store


def prepare(config: Config, *, overwrite: bool = False) -> None:
    """Read the maps, split them by region, fit the stretch to the inverted ones; write `fields`."""
    paths, data = RunPaths(config.run), config.data
    readout, maps, n_inverted = read(config)
    for line in [*readout.notes, *(message for _, message in readout.skipped)]:
        logger.warning("%s", line)
    stretch = Stretch.fit(maps[:n_inverted], data.stretch)
    batch = FieldBatch.from_maps(maps, stretch)
    outside = sum(stretch.clipped(m.data) for m in maps[n_inverted:])
    notes = list(readout.notes)
    if outside:
        notes.append(f"{outside} pixels of held-out maps lie outside the range of the stretch (they are kept)")
    sources = {m.source for m in maps}
    write_store(
        paths.fields,
        {"field": Variable(np.stack([m.data for m in maps]).astype(stretch.dtype), MAP_DIMS, batch.unit)},
        stage="fields",
        attrs={
            "items": list(range(len(maps))),
            "ids": batch.ids,
            "regions": batch.regions,
            "split": ["inverted"] * n_inverted + ["held_out"] * (len(maps) - n_inverted),
            "stretch": stretch.to_dict(),
            "channels": data.channels,
            "fit": data.fit,
            "headers": batch.headers,
            "pixel_scale": batch.pixel_scales[0],
            "sources": batch.sources,
            "files": [_fingerprint(name) for name in expand(data.files) if any(s.startswith(f"{name}[") for s in sources)],
            "skipped": readout.skipped,
            "notes": notes,
        },
        settings=config.only("data"),
        inputs={},
        overwrite=overwrite,
    )
    logger.info("prepare: %d maps to invert, %d held out, in %s", n_inverted, len(maps) - n_inverted, batch.unit or "no unit")


def read(config: Config) -> tuple[Readout, list[Map], int]:
    """Read the maps of a configuration; what `check` does too.

    Returns
    -------
    readout : Readout
        With what was skipped and noted.
    maps : list of Map
        In one unit, those to invert first.
    n_inverted : int
    """
    data = config.data
    # sorted: the order in which files are named changes nothing
    readout = collect(
        expand(data.files),
        data.patch,
        hdu=data.hdu,
        dataset=data.dataset,
        unit=data.unit,
        axis0=data.axis0,
        slice=data.slice,
        frame=data.frame,
        nan=data.nan,
        on_error=data.on_error,
        strict=data.strict,
        max_bytes=data.max_map_bytes,
    )
    if data.on_error == "skip":
        maps, odd = sift(readout.maps, positive=data.stretch == "log10")
        readout = replace(readout, maps=maps, skipped=[*readout.skipped, *odd])
    inverted, held_out = split_regions(readout.maps, data.inverted, max_inverted=data.max_inverted, min_held_out=0)
    maps = same_unit([readout.maps[i] for i in (*inverted, *held_out)])
    parts = maps[: len(inverted)], maps[len(inverted) :]
    if data.crop:
        parts = crop(parts[0], data.crop), crop(parts[1], data.crop)
    if data.channels == "stack":
        parts = stack(parts[0]), stack(parts[1]) if len(parts[1]) > 2 else []
    return readout, [*parts[0], *parts[1]], len(parts[0])


def _fingerprint(name: str) -> dict[str, Any]:
    path = resolve(name)
    if path.is_dir():
        return {"path": name, "sha256": None, "bytes": None}
    with path.open("rb") as file:
        return {"path": name, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
