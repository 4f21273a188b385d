"""Field statistics of sets of any size."""

import numpy as np
import pytest

import astro_ood as ao
from astro_ood.api.run import View
from astro_ood.maps import gaussian_field
from astro_ood.stats.features import features

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


def holes(shape, rng):
    return rng.random(shape) < 0.1


@pytest.mark.parametrize("shape", [(32, 32), (8, 32, 32), (8, 3, 32, 32)])
def test_missing_pixels_of_arrays(x, shape):
    gone = holes(shape, np.random.default_rng(1))
    cube = x.reshape(8, 3, 32, 32)
    of_every_map = np.broadcast_to(gone[:, None] if gone.ndim == 3 else gone, cube.shape)
    plain = ao.measure(np.where(of_every_map, 1.0, cube).reshape(-1, 32, 32), mask=of_every_map.reshape(-1, 32, 32), log=True)
    same(ao.measure(np.where(of_every_map, -np.inf, cube), mask=gone, log=True), plain)
    da = pytest.importorskip("dask.array")
    same(ao.measure(da.from_array(np.where(of_every_map, np.nan, cube), chunks=(3, 1, 16, 32)), mask=gone, log=True), plain)


def test_missing_pixels_that_maps_know(x):
    rng = np.random.default_rng(2)
    gone = holes(x.shape, rng)
    gone[::2] = False
    cut = np.where(gone, np.nan, x)
    maps = [ao.Map(m, "K", scale=(2.0, 2.0), mask=hole if hole.any() else None) for m, hole in zip(cut, gone, strict=True)]
    same(ao.measure(maps), ao.measure(x, mask=gone, unit="K", pixel_scale=(2.0, 2.0)))
    more = holes((32, 32), rng)
    same(ao.measure(maps, mask=more), ao.measure(x, mask=gone | more, unit="K", pixel_scale=(2.0, 2.0)))
    for mask, code in (
        (more[:16], "IN25"),
        (np.zeros((7, 32, 32), bool), "IN25"),
        (more.astype(int), "IN35"),
        (more | True, "IN18"),
    ):
        with pytest.raises(ao.AstroOodError, match=f"AOD-{code}"):
            ao.measure(x, mask=mask)


def test_a_set_on_disk_is_read_in_blocks(x, tmp_path, monkeypatch):
    stored = pytest.importorskip("zarr").create_array(tmp_path / "maps.zarr", shape=x.shape, chunks=(5, 32, 16), dtype=x.dtype)
    stored[:] = x
    plain, sizes = ao.measure(x), []

    def spy(maps, *args, **options):
        sizes.append(len(maps))
        return features(maps, *args, **options)

    monkeypatch.setattr("astro_ood.api.measure._BLOCK_BYTES", 6 * x[0].nbytes)
    monkeypatch.setattr("astro_ood.api.measure.features", spy)
    same(ao.measure(stored), plain)
    assert sum(sizes) == 24
    assert max(sizes) <= 6
