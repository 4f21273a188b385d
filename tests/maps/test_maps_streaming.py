"""Maps that are read a few at a time: the same maps as from whole arrays, also the second time, and an error where they changed."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
import zarr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from maps_support import TAN, noise, put

from astro_ood.errors import InputError
from astro_ood.maps import Map, Reading, Record, Stretch, collect, readers, same_unit, sift, split_regions, stretch
from astro_ood.maps import planes as planes_
from astro_ood.maps.channels import stack
from astro_ood.maps.planes import Planes, take
from astro_ood.maps.readers import read_raw

FORMATS = ("npy", "fortran.npy", "zarr", "hdf5", "contiguous.hdf5", "fits", "scaled.fits", "fits.gz")


@pytest.fixture
def few(monkeypatch):
    """Blocks of three planes of 20 x 20."""
    monkeypatch.setattr(planes_, "BLOCK_BYTES", 3 * 20 * 20 * 4)


def save(folder, kind, values):
    path = folder / f"cube.{kind}"
    if kind.endswith("npy"):
        np.save(path, np.asfortranarray(values) if kind == "fortran.npy" else values)
    elif kind == "zarr":
        zarr.create_array(path, shape=values.shape, dtype=values.dtype, chunks=(*(min(2, n) for n in values.shape[:-2]), 20, 20))[
            ...
        ] = values
    elif kind.endswith("hdf5"):
        chunks = None if kind == "contiguous.hdf5" else (*(min(2, n) for n in values.shape[:-2]), 20, 20)
        with h5py.File(path, "w") as file:
            file.create_dataset("maps", data=values, chunks=chunks)
    elif kind == "scaled.fits":
        hdu = fits.PrimaryHDU(values)
        hdu.scale("int16", bscale=0.001)
        hdu.writeto(path, checksum=True)
    else:
        fits.PrimaryHDU(values).writeto(path, checksum=True)
    return path


def raw_of(path):
    return read_raw(path, None, None, max_bytes=2**30, strict=True, notes=[])


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("shape", [(20, 20), (11, 20, 20), (1, 11, 20, 20), (3, 4, 20, 20)])
def test_blocks_are_the_array(tmp_path, few, kind, shape):
    values = noise(*shape)
    found = raw_of(save(tmp_path, kind, values)).planes
    assert found.shape == shape
    blocks = list(found.blocks())
    assert max(len(block) for block in blocks) <= 4
    tolerance = {"rtol": 0, "atol": 0.001 if kind == "scaled.fits" else 0}
    np.testing.assert_allclose(np.concatenate(blocks).reshape(shape), values, **tolerance)
    np.testing.assert_array_equal(found.values, np.concatenate(blocks).reshape(shape))


@given(array_shapes(min_dims=2, max_dims=5, max_side=4), st.data())
def test_any_planes_of_any_array(shape, data):
    values = np.arange(math.prod(shape)).reshape(shape)
    n = math.prod(shape[:-2])
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    np.testing.assert_array_equal(take(values, start, stop), values.reshape(-1, *shape[-2:])[start:stop])
    index = [data.draw(st.integers(-m, m - 1)) for m in shape[: data.draw(st.integers(0, len(shape) - 2))]]
    np.testing.assert_array_equal(Planes.of(values).at(index).values, values[tuple(index)])


@pytest.mark.parametrize("axis0", ["maps", "channels"])
def test_a_stack_of_nothing(tmp_path, axis0):
    np.save(tmp_path / "none.npy", np.empty((0, 20, 20)))
    with pytest.raises(InputError, match=r"^AOD-IN18 .*none\.npy"):
        collect(tmp_path / "none.npy", None, axis0=axis0)


@pytest.mark.parametrize("index", [[3], [-4], [0, 0]])
def test_numbers_outside_of_the_axes(index):
    with pytest.raises(IndexError):
        Planes.of(noise(3, 20, 20)).at(index)


def test_one_plane_of_a_cube_is_read_alone(tmp_path, monkeypatch):
    path = save(tmp_path, "npy", noise(50, 20, 20))
    seen = []
    monkeypatch.setattr("astro_ood.maps.arrays.take", lambda *a: seen.append(a[1:]) or take(*a))
    (image,) = collect(path, None, axis0="slice", slice=7).maps
    np.testing.assert_array_equal(image.data[0], noise(50, 20, 20)[7])
    assert seen == [(7, 8)]


@pytest.mark.parametrize("kind", FORMATS)
def test_maps_do_not_depend_on_the_blocks(tmp_path, monkeypatch, kind):
    values = noise(11, 20, 20)
    values[4, 2, 2] = values[9].max() + 1
    values[6] = 1.5
    path = save(tmp_path, kind, values)
    whole = collect(path, None, axis0="maps")
    monkeypatch.setattr(planes_, "BLOCK_BYTES", 1)
    parts = collect(path, None, axis0="maps")
    assert whole.notes == parts.notes
    assert any("1 of 11 maps without variance" in note for note in parts.notes)
    assert [(m.name, m.region, m.source, m.digest) for m in whole.maps] == [
        (m.name, m.region, m.source, m.digest) for m in parts.maps
    ]
    assert len(parts.maps) == 10


def test_saturation_is_counted_over_the_blocks(tmp_path, few):
    values = noise(10, 20, 20)
    values[[1, 8], :, :5] = 7.0
    notes = collect(save(tmp_path, "npy", values), None, axis0="maps").notes
    assert notes == [f"IN20 {tmp_path / 'cube.npy'}: 5.0% of the pixels are at the maximum, probably saturated"]


@pytest.fixture
def reading(tmp_path, few):
    """Maps of two stacks and an image cut into patches, whose units differ."""
    values = [np.exp(noise(7, 20, 20, seed=1)), np.exp(noise(8, 20, 20, seed=2)), np.exp(noise(40, 60, seed=3))]
    values[0][3, 1, 1] = np.nan
    units = ("mJy/beam", "Jy/beam", "Jy/beam")
    files = [put(tmp_path / f"f{i}.fits", v, BUNIT=unit, **TAN) for i, (v, unit) in enumerate(zip(values, units, strict=True))]
    return Reading(files, 20, axis0="maps")


def records(reading, on_error="raise"):
    return reading.collect(Record.of, on_error).maps


def test_records_are_judged_as_their_maps(reading):
    maps, light = collect(reading.files, 20, axis0="maps").maps, records(reading)
    keys = ("name", "region", "source", "unit", "shape", "digest", "n_nonpositive", "pixel_scale", "header")
    assert [[getattr(m, key) for key in keys] for m in maps] == [[getattr(m, key) for key in keys] for m in light]
    assert split_regions(maps) == split_regions(light)
    assert split_regions(maps, max_inverted=5) == split_regions(light, max_inverted=5)
    converted = same_unit(maps), same_unit(light)
    assert [(m.data.min(), m.data.max()) for m in converted[0]] == [(m.low, m.high) for m in converted[1]]
    stacked = [stack(some) for some in converted]
    assert [(m.name, m.region, m.shape, m.data.min(), m.n_nonpositive) for m in stacked[0]] == [
        (m.name, m.region, m.shape, m.low, m.n_nonpositive) for m in stacked[1]
    ]
    assert [[m.name for m in part[0]] for part in (sift(maps, positive=True), sift(light, positive=True))] == [
        [m.name for m in maps]
    ] * 2


def test_the_second_time_gives_the_same_maps(reading):
    maps, light = same_unit(collect(reading.files, 20, axis0="maps").maps), same_unit(records(reading))
    chosen = [12, 3, 18, 0]
    again = dict(reading.again([light[i] for i in chosen]))
    assert sorted(again) == [0, 1, 2, 3]
    for i, k in enumerate(chosen):
        np.testing.assert_array_equal(again[i].data, maps[k].data)
        assert again[i].unit == maps[0].unit


def test_channels_come_together(reading):
    wanted = stack(same_unit(collect(reading.files, 20, axis0="maps").maps))
    images = stack(same_unit(records(reading)))
    found = dict(reading.again(images))
    assert len(found) == len(images) > 3
    for i, image in enumerate(wanted):
        np.testing.assert_array_equal(found[i].data, image.data)
        assert found[i].name == image.name == images[i].name


@pytest.mark.parametrize("change", ["pixel", "order", "fewer", "constant"])
def test_files_that_change_in_between_are_refused(reading, change):
    light, file = records(reading), reading.files[1]
    with fits.open(file) as opened:
        values, header = opened[0].data.copy(), opened[0].header
    if change == "pixel":
        values[5, 3, 3] += 1
    elif change == "order":
        values = values[::-1]
    elif change == "constant":
        values[2] = 1
    else:
        values = values[:-1]
    fits.PrimaryHDU(values, header).writeto(file, overwrite=True)
    with pytest.raises(InputError, match=r"^AOD-IN41 .*f1\.fits: map f1:m000\d is no longer"):
        list(reading.again(light))


def test_files_that_vanish_in_between_are_refused(reading):
    light = records(reading)
    reading.files[2].unlink()
    with pytest.raises(InputError, match=r"^AOD-IN38 .*f2\.fits"):
        list(reading.again(light))


def test_what_nobody_wants_may_change(reading):
    light = [m for m in records(reading) if m.place[0] != 1]
    reading.files[1].unlink()
    assert len(list(reading.again(light))) == len(light)


@pytest.mark.parametrize(("kind", "code"), [("npy", "IN02"), ("hdf5", "IN36"), ("zarr", "IN36"), ("fits", "IN02")])
def test_a_file_that_breaks_off_gives_no_map(tmp_path, few, monkeypatch, kind, code):
    good, bad = save(tmp_path, "contiguous.hdf5", noise(20, 20, seed=5)), save(tmp_path, kind, noise(11, 20, 20))
    opened = raw_of(bad)
    monkeypatch.setattr(readers, "read_raw", lambda path, *a, **k: opened if path == bad else read_raw(path, *a, **k))
    damaged = bad / "c/4/0/0" if kind == "zarr" else bad
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    out = collect([bad, good], None, axis0="maps", on_error="skip")
    assert [m.name for m in out.maps] == ["cube.contiguous"]
    ((_, message),) = out.skipped
    assert message.startswith(f"AOD-{code} {bad}")


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(1, 60))
def test_a_sample_is_evenly_spaced_and_small(sizes, most):
    values = np.arange(float(sum(sizes)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretch, "MOST_VALUES", most)
        sample = stretch._Sample()
        for part in np.split(values, np.cumsum(sizes)[:-1]):
            sample.add(part)
        kept = sample.values
    assert len(kept) <= most
    np.testing.assert_array_equal(kept, values[:: sample.stride])
    assert sample.stride == 1 or len(values) > most * sample.stride / 2


def test_softening_of_a_sample_is_close(monkeypatch):
    maps = [Map(noise(32, 32, seed=i) + 0.2, name=f"m{i}") for i in range(64)]
    exact = Stretch.fit(iter(maps), "asinh")
    x = np.concatenate([m.data.ravel() for m in maps]).astype(np.float64)
    assert exact.scale == 1.4826 * float(np.median(np.abs(x - np.median(x))))
    monkeypatch.setattr(stretch, "MOST_VALUES", 2**14)
    assert Stretch.fit(maps, "asinh").scale == pytest.approx(exact.scale, rel=0.05)
    assert Stretch.fit(maps) == Stretch.spanning(x.min(), x.max())


def test_many_regions_are_thinned():
    maps = [Map(np.arange(256.0).reshape(16, 16) + i, name=f"m{i}", region=f"m{i}") for i in range(3000)]
    light = [Record.of(m, (0, i)) for i, m in enumerate(maps)]
    inside, outside = split_regions(light, max_inverted=1000)
    assert (len(inside), len(outside)) == (1000, 1500)
    assert inside == sorted(inside)
