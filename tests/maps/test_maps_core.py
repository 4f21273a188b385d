import numpy as np
import pytest
from maps_support import TAN, noise

from astro_ood.errors import InputError
from astro_ood.maps.core import Map
from astro_ood.maps.synthetic import gaussian_field
from astro_ood.maps.units import conversion, fits_unit, parse_unit
from astro_ood.maps.wcs import build, pixel_scale, shift, wcs_cards


def test_a_map_has_channels_and_native_floats():
    m = Map(noise(20, 30).astype(">f4"), "K")
    assert m.shape == (1, 20, 30)
    assert m.data.dtype == np.float32
    assert m.data.dtype.isnative
    assert Map(np.ones((3, 20, 20), np.float64)).data.dtype == np.float64
    assert Map(np.ones((20, 20), np.int16)).data.dtype == np.float32
    assert Map(np.full((20, 20), 2**31 - 1, np.int32)).data[0, 0, 0] == 2**31 - 1


def test_nan_outside_the_mask_is_refused():
    data = noise(20, 20)
    data[3, 4] = np.nan
    with pytest.raises(InputError, match=r"AOD-IN17 map: 1 pixels"):
        Map(data)
    assert Map(data, mask=np.isnan(data)).mask is not None
    with pytest.raises(InputError, match="AOD-IN25"):
        Map(noise(20, 20), mask=np.zeros((3, 3), bool))


@pytest.mark.parametrize("data", [np.ones((20, 20), complex), np.full((20, 20), "a")])
def test_values_that_are_not_real_are_refused(data):
    with pytest.raises(InputError, match="AOD-IN35"):
        Map(data)


def test_html_escapes_names_and_shows_the_range():
    text = Map(np.arange(400.0).reshape(20, 20), "K", name="<script>")._repr_html_()
    assert "<script>" not in text
    assert "0 to 399 K" in text


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("cm**(-2)", "1 / cm2"),
        ("cm-2", "1 / cm2"),
        ("JY/BEAM", "Jy / beam"),
        ("Jy/Beam ", "Jy / beam"),
        ("K_CMB", "K"),
        ("uK_CMB", "uK"),
        ("MK_CMB", "MK_CMB"),
        ("MJY/SR", "MJy / sr"),
        ("MJy/sr", "MJy / sr"),
        ("mJy/sr", "mJy / sr"),
        ("MJY/BEAM", "MJY/BEAM"),
        ("counts", "ct"),
        ("mag", "mag"),
        ("K km s-1", "K km / s"),
        ("furlongs of dust", "furlongs of dust"),
        (b"K", "K"),
        (None, ""),
        ("", ""),
        ("unknown", ""),
    ],
)
def test_units_are_spelled_like_astropy_or_kept(text, spelled):
    assert parse_unit(text) == spelled


def test_units_convert_or_say_that_they_do_not():
    assert conversion("mJy", "Jy") == pytest.approx(1e-3)
    assert conversion("K", "K") == 1
    assert conversion("K", "Jy") is None
    assert conversion("", "Jy") is None
    assert conversion("odd thing", "Jy") is None
    assert fits_unit("1 / cm2") == "cm-2"
    assert fits_unit("odd thing") == "odd thing"


def test_wcs_cards_give_the_same_sky_as_the_whole_header():
    notes: list[str] = []
    cards = wcs_cards({**TAN, "NAXIS": 2, "OBJECT": "x", "CTYPE3": "VELO", "CDELT3": 1.0}, "f", notes)
    assert set(cards) == set(TAN)
    assert not notes
    assert build(cards).wcs_pix2world([[39, 29]], 0)[0] == pytest.approx([83.0, -5.0])
    assert pixel_scale(cards) == pytest.approx((1.2, 0.6))


def test_a_shifted_patch_sees_its_own_sky():
    cards = wcs_cards(TAN, "f", [])
    whole, part = build(cards), build(shift(cards, 7, 11))
    assert part.wcs_pix2world([[2, 3]], 0) == pytest.approx(whole.wcs_pix2world([[13, 10]], 0))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "IN27"),
        ({"CD1_1": 1.0, "CD1_2": 2.0, "CD2_1": 0.5, "CD2_2": 1.0}, "IN27"),
        ({"CDELT1": 0.0}, "IN27"),
        ({"CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ"}, "IN28"),
        ({"CTYPE2": "DEC--SIN"}, "IN28"),
        ({"CRVAL1": float("nan")}, "IN30"),
        ({"CRPIX1": 1e300}, "IN30"),
        ({"CRPIX1": "text"}, "IN30"),
        ({"CUNIT1": "parsec"}, "IN30"),
        ({"PV2_1": "x" * 1000}, "IN30"),
        ({"CTYPE1": "RA---TAN" + "A" * 5000}, "IN28"),
    ],
)
def test_a_wcs_that_cannot_be_right_is_dropped_with_a_note(change, code):
    notes: list[str] = []
    assert wcs_cards({**TAN, **change}, "f", notes) == {}
    assert len(notes) == 1
    assert notes[0].startswith(code)


def test_cards_outside_the_white_list_never_reach_wcslib():
    hostile = {f"PV2_{m}": 1.0 for m in range(41, 5000)} | {"PS1_0": "x" * 60, "CQDIS1": "TPD", "PV999_1": 1.0, "A_ORDER": 9999}
    assert set(wcs_cards({**TAN, **hostile}, "f", [])) == set(TAN)


def test_missing_and_partial_wcs():
    notes: list[str] = []
    assert wcs_cards({"NAXIS": 2}, "f", notes) == {}
    assert not notes
    assert wcs_cards({k: v for k, v in TAN.items() if not k.startswith("CDELT")}, "f", notes) == {}
    assert wcs_cards({"CTYPE1": "RA---TAN", "CRVAL1": 1.0}, "f", notes) == {}
    assert [n[:4] for n in notes] == ["IN29", "IN29"]


def test_rotation_by_crota_agrees_with_astropy():
    from astropy.wcs import WCS

    header = {**TAN, "CROTA2": 30.0}
    ours = build(wcs_cards(header, "f", []))
    theirs = WCS({**header, "NAXIS": 2})
    pixels = [[0, 0], [10, 70], [55, 3]]
    assert ours.wcs_pix2world(pixels, 0) == pytest.approx(theirs.wcs_pix2world(pixels, 0), abs=1e-10)


def test_pixel_scale_agrees_with_astropy():
    from astropy.wcs.utils import proj_plane_pixel_scales

    cards = wcs_cards(
        {**{k: v for k, v in TAN.items() if "DELT" not in k}, "CD1_1": -3e-3, "CD1_2": 1e-3, "CD2_1": 2e-3, "CD2_2": 4e-3}, "f", []
    )
    dy, dx = pixel_scale(cards)
    assert [dx, dy] == pytest.approx(proj_plane_pixel_scales(build(cards)) * 60)


def test_gaussian_fields_have_the_stated_spectrum():
    fields = gaussian_field(200, 32, -2.0, 1)
    power = (np.abs(np.fft.fft2(fields)) ** 2).mean(0)
    assert fields.var() == pytest.approx(1.0, rel=0.1)
    assert abs(fields.mean()) < 1e-12
    assert power[0, 2] / power[0, 8] == pytest.approx(16.0, rel=0.4)
    assert np.array_equal(fields, gaussian_field(200, 32, -2.0, np.random.default_rng(1)))
