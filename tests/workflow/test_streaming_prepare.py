"""`prepare` on files that it never holds in memory: the same store, a flat peak, and an error where a file changes."""

from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pytest
import zarr
from workflow_support import image, write_fits

from astro_ood import launch
from astro_ood.config import Config
from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Stretch, collect, gaussian_field, planes, same_unit, split_regions
from astro_ood.maps.channels import crop, stack
from astro_ood.stages import fields, prepare, select
from astro_ood.stores import open_store, writing

SIDE = 96
KINDS = ("npy", "zarr", "hdf5", "fits")


def cube(path, n, side=SIDE):
    """A file of n square maps, written in chunks of four."""
    values = np.exp(gaussian_field(n, side, -2.0, np.random.default_rng(n))).astype(np.float32)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".zarr":
        zarr.create_array(path, shape=values.shape, dtype=values.dtype, chunks=(4, side, side))[...] = values
    elif path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            file.create_dataset("maps", data=values, chunks=(4, side, side), compression="gzip")
    else:
        write_fits(path, values)
    return path


def config_of(path, **data):
    return Config(name=path.name.replace(".", "-"), data={"files": [str(path)], "patch": SIDE, "axis0": "maps"} | data)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{"stretch": "asinh"}, {"channels": "stack", "stretch": "log10"}, {"crop": 40, "max_inverted": 5}]
)
def test_the_store_holds_what_was_read(here, kind, changes, monkeypatch):
    monkeypatch.setattr(planes, "BLOCK_BYTES", 1)
    config = config_of(cube(here / f"maps.{kind}", 21), **changes)
    prepare(config)
    maps = collect(config.data.files, SIDE, axis0="maps").maps
    inverted, held_out = split_regions(maps, max_inverted=config.data.max_inverted)
    parts = [[maps[i] for i in part] for part in (inverted, held_out)]
    if config.data.crop:
        parts = [crop(part, config.data.crop) for part in parts]
    if config.data.channels == "stack":
        parts = [stack(part) for part in parts]
    everything = same_unit(parts[0] + parts[1])
    stretch = Stretch.fit(parts[0], config.data.stretch)
    batch = FieldBatch.from_maps(everything, stretch)
    store = open_store(config.run / "fields")
    np.testing.assert_array_equal(store.load("field"), np.stack([m.data for m in everything]).astype(stretch.dtype))
    assert store.attrs["stretch"] == stretch.to_dict()
    assert store.attrs["ids"] == list(batch.ids)
    assert store.attrs["regions"] == list(batch.regions)
    assert store.attrs["headers"] == list(batch.headers)
    assert store.attrs["sources"] == list(batch.sources)
    assert store.attrs["split"].count("inverted") == len(parts[0])
    assert [file["path"] for file in store.attrs["files"]] == config.data.files


def test_every_file_that_was_used_is_listed(here):
    names = [str(here / f"m{i}.npy") for i in range(6)]
    for i, name in enumerate(names):
        np.save(name, image(i, SIDE))
    prepare(config_of(here / "stacked", files=names, channels="stack", axis0=None))
    assert [file["path"] for file in open_store("results/stacked/fields").attrs["files"]] == names


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [*KINDS, "files"])
@pytest.mark.parametrize("stage", ["prepare", "check"])
def test_memory_does_not_grow_with_the_maps(here, monkeypatch, kind, stage):
    monkeypatch.setattr(planes, "BLOCK_BYTES", 2**17)
    monkeypatch.setattr(writing, "CHUNK_BYTES", 2**17)
    configs = []
    for n in (24, 8 * 24):
        if kind == "files":
            (here / f"{n}").mkdir()
            for i in range(n):
                write_fits(here / f"{n}/m{i}.fits", image(i, SIDE))
            configs.append(config_of(here / f"{n}", files=[str(here / f"{n}/*.fits")]))
        else:
            configs.append(config_of(cube(here / f"maps{n}.{kind}", n)))
    call = select if stage == "check" else prepare
    call(configs[0].model_copy(update={"name": "first"}))  # what is imported and cached once
    few, many = (peak_of(lambda c=c: call(c)) for c in configs)
    # names, header and file of a map, as objects and as text, but not its 37 kB of pixels
    assert many - few < 7 * 24 * (8_000 if stage == "prepare" else 3_000)


def test_a_file_that_changes_meanwhile_leaves_no_store(here, monkeypatch):
    path = cube(here / "maps.npy", 20)
    config, fit = config_of(path), fields._fit

    def changing(*given):
        values = np.load(path)
        values[13, 5, 5] *= 2
        np.save(path, values)
        return fit(*given)

    monkeypatch.setattr(fields, "_fit", changing)
    with pytest.raises(InputError, match=r"AOD-IN41 .*maps\.npy: map maps:m0013 is no longer what it was"):
        prepare(config)
    assert not (config.run / "fields").exists()
    assert list(config.run.glob("**/*")) == []


def test_the_pilot_of_a_plan_is_that_of_the_maps(here):
    config = config_of(cube(here / "maps.npy", 20, 64), patch=64)
    opened = launch._open(config)
    maps = collect(config.data.files, 64, axis0="maps").maps
    inverted, _ = split_regions(maps)
    batch = FieldBatch.from_maps([maps[i] for i in inverted], opened.maps.stretch)
    assert len(opened.pilot) == 8
    np.testing.assert_array_equal(opened.pilot, opened.frame.to_network(batch.x[[0, 1, 3, 4, 5, 6, 8, 9]]))
