"""Which image of a file is meant, and what its axes are."""

import numpy as np
import pytest
from astropy.io import fits
from maps_support import noise, put, refuses

from astro_ood.errors import InputError
from astro_ood.maps import collect, read_map, read_maps


def several(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def test_in12_the_only_image_is_found_in_an_extension(tmp_path):
    events = fits.BinTableHDU.from_columns([fits.Column("E", "E", array=np.ones(3))], name="EVENTS")
    path = several(tmp_path / "i.fits", events, fits.ImageHDU(noise(32, 32), name="SCI"))
    for hdu in (None, 2, "2", "SCI", "sci"):
        assert read_map(path, hdu).source.endswith("[SCI]")
    assert "'SCI' (32, 32)" in refuses("IN12", path, hdu="ERR")
    refuses("IN12", path, hdu=9)
    assert "BINTABLE 'EVENTS'" in refuses("IN13", path, hdu=1)
    refuses("IN13", path, hdu="primary")


def test_in13_only_a_table(tmp_path):
    events = fits.BinTableHDU.from_columns([fits.Column("E", "E", array=np.ones(3))], name="EVENTS")
    assert "no image; found BINTABLE 'EVENTS'" in refuses("IN13", several(tmp_path / "t.fits", events))


def test_in14_several_images_are_named(tmp_path):
    names = ("SCI", "ERR", "DQ")
    path = several(tmp_path / "s.fits", *(fits.ImageHDU(noise(32, 32, seed=i), name=n) for i, n in enumerate(names)))
    text = refuses("IN14", path)
    assert all(f"'{n}' (32, 32)" in text for n in names)
    assert np.array_equal(read_map(path, "ERR").data[0], noise(32, 32, seed=1))


def test_extver_chooses_among_equal_names(tmp_path):
    hdus = [fits.ImageHDU(noise(32, 32, seed=i), name="SCI", ver=i + 1) for i in range(2)]
    assert np.array_equal(read_map(several(tmp_path / "v.fits", *hdus), "SCI,2").data[0], noise(32, 32, seed=1))


def test_in15_degenerate_axes_are_squeezed_and_noted(tmp_path):
    out = collect(put(tmp_path / "d.fits", noise(1, 1, 32, 32)), 32)
    assert out.maps[0].shape == (1, 32, 32)
    assert out.notes == [f"IN15 {tmp_path / 'd.fits'}[0]: shape (1, 1, 32, 32) squeezed to (32, 32)"]


def test_in15_cubes_need_a_word(tmp_path):
    cube = noise(6, 32, 40)
    path = put(tmp_path / "c.fits", cube)
    assert "axis0: maps" in refuses("IN15", path)
    refuses("IN15", path, slice=6)
    assert np.array_equal(read_map(path, slice=4).data[0], cube[4])
    assert np.array_equal(read_map(path, axis0="channels").data, cube)
    maps = read_maps(path, None, axis0="maps")
    assert [m.name for m in maps] == [m.region for m in maps] == [f"c:m{i:04d}" for i in range(6)]
    with pytest.raises(InputError, match="AOD-IN15"):
        read_maps(path, 16)
    four = put(tmp_path / "f.fits", noise(2, 3, 32, 32))
    assert np.array_equal(read_map(four, slice=(1, 2)).data[0], noise(2, 3, 32, 32)[1, 2])
    refuses("IN15", four)


def test_planes_of_a_spectral_cube_share_regions_with_neighbours(tmp_path):
    path = put(tmp_path / "v.fits", noise(16, 32, 32), CTYPE3="VRAD")
    regions = [m.region for m in read_maps(path, 32, axis0="maps")]
    assert regions == [f"v:s{i // 2}" for i in range(16)]
