import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maps_support import TAN, noise

from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Map, Stretch
from astro_ood.maps.wcs import wcs_cards


def positive(n=4, seed=0, unit="K", **more):
    return [Map(np.exp(2 * noise(1, 16, 16, seed=seed + i)), unit, f"m{i}", f"r{i}", **more) for i in range(n)]


@settings(deadline=None)
@given(
    st.sampled_from(["linear", "log10", "asinh"]),
    st.floats(1e-20, 1e25),
    st.floats(0.1, 4),
    st.integers(0, 50),
)
def test_stretches_are_inverted_exactly_and_monotone(kind, level, width, seed):
    x = level * np.exp(width * np.random.default_rng(seed).normal(size=400))
    stretch = Stretch.fit([x], kind)
    y = stretch.forward(x)
    assert np.all(np.abs(y) < 1)
    tolerance = 1e-12 if kind == "log10" else 1e-12 * x.max() / x
    assert np.all(np.abs(stretch.inverse(y) / x - 1) < np.maximum(tolerance * 100, 1e-9))
    order = np.argsort(x)
    assert np.all(np.diff(y[order]) >= 0)
    assert np.all(np.abs(stretch.inverse(y.astype(np.float32)) - x) < 1e-5 * x.max())
    if kind == "log10":
        assert np.all(np.abs(stretch.inverse(y.astype(np.float32)) / x - 1) < 1e-5)
    assert Stretch.from_dict(stretch.to_dict()) == stretch


def test_values_beyond_the_range_are_kept_and_counted():
    stretch = Stretch.fit([np.array([0.0, 10.0])], "linear", margin=0.0)
    assert stretch.forward([-5.0, 5.0, 20.0]) == pytest.approx([-2.0, 0.0, 3.0])
    assert stretch.inverse([3.0]) == pytest.approx([20.0])
    assert stretch.clipped([-5.0, 0.0, 5.0, 10.0, 20.0]) == 2
    assert Stretch.fit([np.array([1.0, 100.0])], "log10").clipped([-1.0, 0.0, 10.0]) == 2


def test_the_margin_widens_the_range():
    assert Stretch.fit([np.array([0.0, 10.0])], "linear", margin=0.1) == Stretch("linear", -1.0, 11.0)
    logarithmic = Stretch.fit([np.array([1.0, 1000.0])], "log10", margin=0.0)
    assert (logarithmic.low, logarithmic.high) == (0.0, pytest.approx(3.0))


def test_asinh_is_scaled_by_the_noise():
    values = np.random.default_rng(0).normal(scale=3.0, size=100_000)
    values[:100] = 1e4
    assert Stretch.fit([values], "asinh").scale == pytest.approx(3.0, rel=0.02)
    sparse = np.zeros(1000)
    sparse[0] = 5.0
    assert Stretch.fit([sparse], "asinh").scale == pytest.approx(sparse.std())


def test_in18_constant_and_in19_negative():
    with pytest.raises(InputError, match="AOD-IN18"):
        Stretch.fit([Map(np.ones((16, 16)))], "linear")
    with pytest.raises(InputError, match="AOD-IN18"):
        Stretch.fit([])
    bad = Map(np.r_[np.zeros(64), np.ones(192)].reshape(16, 16), name="dark", unit="K")
    with pytest.raises(InputError, match=r"AOD-IN19 dark: 64 of 256 pixels \(25.00%\) are <= 0.*asinh"):
        Stretch.fit([*positive(), bad], "log10")
    with pytest.raises(InputError, match="AOD-IN19 dark"):
        FieldBatch.from_maps([bad], Stretch("log10", 0, 1))
    for wrong in (
        lambda: Stretch.fit([bad], "sqrt"),
        lambda: Stretch("sqrt", 0, 1),
        lambda: Stretch("linear", 1, 1),
        lambda: Stretch("log10", 0, np.inf),
    ):
        with pytest.raises(InputError):
            wrong()


def test_masked_pixels_do_not_fit_the_stretch():
    data = noise(16, 16)
    data[0, 0] = 1e9
    mask = np.zeros((16, 16), bool)
    mask[0, 0] = True
    assert Stretch.fit([Map(data, mask=mask)]).high < 100


def test_labels():
    assert Stretch("linear", 0, 1).label("K") == "value [K]"
    assert Stretch("log10", 0, 1).label("1 / cm2") == "log10(value / (1 / cm2))"
    assert Stretch("asinh", 0, 1, 2.5).label("Jy") == "asinh(value / 2.5 Jy)"
    assert Stretch("asinh", 0, 1, 2.5).label() == "asinh(value / 2.5)"


def test_a_batch_returns_to_the_physical_maps():
    maps = positive(5, header=wcs_cards(TAN, "f", []))
    batch = FieldBatch.from_maps(maps, Stretch.fit(maps, "log10"))
    assert batch.x.dtype == np.float32
    assert np.asarray(batch).shape == (5, 1, 16, 16)
    for a, b in zip(maps, batch.to_maps(), strict=True):
        assert b.data == pytest.approx(a.data, rel=1e-5)
        assert (a.unit, a.name, a.region, a.header, a.pixel_scale) == (b.unit, b.name, b.region, b.header, b.pixel_scale)
    assert batch[1:3].ids == ("m1", "m2")
    assert batch[np.array([True, False, False, False, True])].regions == ("r0", "r4")
    assert len(batch[-1]) == 1
    assert batch[[3]].headers[0]["CTYPE1"] == "RA---TAN"


def test_a_batch_can_be_made_of_bare_arrays():
    batch = FieldBatch(noise(2, 1, 16, 16), ("a", "b"), ("a", "b"), Stretch("linear", -1, 1))
    assert batch.to_maps()[1].data == pytest.approx(batch.x[1])
    with pytest.raises(InputError, match="AOD-IN25"):
        FieldBatch(noise(2, 16, 16), ("a", "b"), ("a", "b"), Stretch("linear", -1, 1))
    with pytest.raises(InputError, match="AOD-IN25"):
        FieldBatch(noise(2, 1, 16, 16), ("a",), ("a", "b"), Stretch("linear", -1, 1))


def test_in23_units_are_converted_or_refused():
    maps = [*positive(2, unit="Jy"), *positive(1, seed=9, unit="mJy")]
    batch = FieldBatch.from_maps(maps, Stretch.fit(maps, "log10"))
    assert batch.to_maps()[2].data == pytest.approx(maps[2].data * 1e-3, rel=1e-5)
    for other in ("K", "", "odd"):
        with pytest.raises(InputError, match=r"AOD-IN23 maps: m0 is in Jy, but m0"):
            FieldBatch.from_maps([*positive(1, unit="Jy"), *positive(1, seed=9, unit=other)], Stretch("linear", 0, 1))


def test_the_stretch_is_fitted_in_one_unit():
    jy = positive(2, unit="Jy")
    mjy = [Map(m.data * 1000, "mJy", m.name, m.region) for m in jy]
    mixed = Stretch.fit([jy[0], mjy[1]], "log10")
    assert (mixed.low, mixed.high) == pytest.approx(tuple(Stretch.fit(jy, "log10").to_dict()[k] for k in ("low", "high")))
    with pytest.raises(InputError, match="AOD-IN23"):
        Stretch.fit([jy[0], Map(jy[1].data, "K")])


def test_a_diverged_sample_is_named():
    batch = FieldBatch(np.full((1, 1, 16, 16), 1e3, np.float32), ("sample-3",), ("s",), Stretch("log10", 0, 1))
    with pytest.raises(InputError, match="AOD-IN17 sample-3"):
        batch.to_maps()


def test_in24_pixel_scales():
    good = [*positive(2, scale=(1.0, 1.0)), *positive(1, scale=(1.005, 1.0)), *positive(1)]
    assert FieldBatch.from_maps(good, Stretch("linear", 0, 1)).pixel_scales[3] is None
    with pytest.raises(InputError, match="AOD-IN24"):
        FieldBatch.from_maps([*good, *positive(1, scale=(1.0, 1.02))], Stretch("linear", 0, 1))


def test_in25_shapes_in17_nan_in40_none():
    odd = Map(noise(16, 20), "K", "odd")
    with pytest.raises(InputError, match=r"AOD-IN25 .*odd \(1, 16, 20\)"):
        FieldBatch.from_maps([*positive(), odd], Stretch("linear", 0, 1))
    data = noise(16, 16)
    data[0, 0] = np.nan
    with pytest.raises(InputError, match="AOD-IN17 gap"):
        FieldBatch.from_maps([Map(data, "K", "gap", mask=np.isnan(data))], Stretch("linear", 0, 1))
    with pytest.raises(InputError, match="AOD-IN40"):
        FieldBatch.from_maps([], Stretch("linear", 0, 1))
