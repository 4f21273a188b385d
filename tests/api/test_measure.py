"""Field statistics of sets of any size."""

import numpy as np
import pytest

import astro_ood as ao
from astro_ood.api.run import View
from astro_ood.maps import gaussian_field

STATISTICS = ["pdf", "moments", "spectrum", "increments", "bispectrum", "excursion", "scattering", "scatter"]


@pytest.fixture(scope="module")
def x():
    return np.exp(gaussian_field(24, 32, -2.5, np.random.default_rng(0)))


def same(a, b):
    for name, feature in a.items():
        assert np.array_equal(feature.values, b[name].values), name
        assert (feature.scales, feature.units) == (b[name].scales, b[name].units)


def test_every_column_has_a_name_and_a_finite_number_for_each_map(x):
    found = ao.measure(x, unit="K", pixel_scale=(2.0, 2.0))
    assert list(found) == STATISTICS
    for feature in found.values():
        assert feature.values.shape == (24, len(feature.scales)) == (24, len(feature.units))
        assert np.isfinite(feature.values).all()
        assert len(set(feature.scales)) == len(feature.scales)
    assert found["spectrum"].scale_unit == "cycles/arcmin"


def test_galaxies_are_measured_in_flux(x):
    natural, logarithm = ao.measure(x, galaxies=True), ao.measure(x, galaxies=True, log=True)
    assert natural["morphology"].scales == ["concentration", "asymmetry", "gini", "m20"]
    np.testing.assert_array_equal(natural["morphology"].values, logarithm["morphology"].values)
    assert "scatter" in natural
    assert "morphology: gini" in natural["scatter"].scales


def test_blocks_of_a_stored_set_are_the_whole(x):
    da = pytest.importorskip("dask.array")
    view = View(da.from_array(x[:, None], chunks=(7, 1, 16, 32)), ("item", "channel", "y", "x"), "K", {"pixel_scale": [2.0, 2.0]})
    same(ao.measure(view, log=True), ao.measure(x, log=True, unit="K", pixel_scale=(2.0, 2.0)))


def test_maps_and_batches_are_measured_in_physical_units(x):
    maps = [ao.Map(m[None].astype(np.float32), "K", f"m{i}", scale=(2.0, 2.0)) for i, m in enumerate(x)]
    plain = ao.measure(np.stack([m.data for m in maps]), unit="K", pixel_scale=(2.0, 2.0))
    same(ao.measure(maps), plain)
    assert ao.measure(maps)["moments"].units[0] == "K"


def test_channels_count_as_maps(x):
    same(ao.measure(x.reshape(8, 3, 32, 32)), ao.measure(x))


def test_what_cannot_be_measured(x):
    with pytest.raises(ao.AstroOodError, match="AOD-IN40"):
        ao.measure([])
    with pytest.raises(ao.AstroOodError, match="AOD-IN19"):
        ao.measure(x - 5, log=True)
    with pytest.raises(ao.AstroOodError, match="AOD-IN17"):
        ao.measure(np.full((2, 32, 32), np.nan))
