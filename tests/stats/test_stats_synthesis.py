import numpy as np
import pytest
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.novelty import novelty
from astro_ood.stats.onepoint import moments
from astro_ood.stats.scattering import scattering
from astro_ood.stats.spectrum import log_power, power_spectrum
from astro_ood.stats.surrogates import iaaft
from astro_ood.stats.synthesis import Misfit, synthesise


def sparse(n, seed, size=32):
    """Fields of threads: the ridges of Gaussian fields, of an amplitude and a slope that differ between maps."""
    rng = np.random.default_rng(seed)
    field = gaussian_fields(n, rng, size=size, slope=3.0, scatter=0.0)
    return 5.0 + np.exp(0.3 * rng.normal(size=(n, 1, 1))) * np.exp(-((field / 0.15) ** 2))


@pytest.fixture(scope="module")
def real():
    return sparse(12, 0)


@pytest.fixture(scope="module")
def made(real):
    return synthesise(real, 12, np.random.default_rng(1), iterations=80)


@pytest.mark.parametrize(
    ("shape", "steps", "n_angles"), [((24, 17), (1.0, 1.0), 4), ((16, 20), (1.0, 0.5), 3), ((9, 32), (1.0, 1.0), 2)]
)
def test_gradient_equals_finite_differences(shape, steps, n_angles):
    rng = np.random.default_rng(2)
    z = rng.lognormal(size=(2, *shape))
    z = (z - z.mean()) / z.std()
    misfit = Misfit(shape, steps, None, n_angles)
    target = misfit.targets(z)[1]
    for part in (misfit._scattering, misfit._spectrum, misfit._distribution, misfit):
        for _ in range(3):
            along = rng.normal(size=shape)
            slope = (part(z[0] + 1e-6 * along, target)[0] - part(z[0] - 1e-6 * along, target)[0]) / 2e-6
            assert np.sum(part(z[0], target)[1] * along) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_misfit_of_the_target_itself_is_nothing():
    z = np.random.default_rng(3).normal(size=(2, 32, 32))
    misfit = Misfit((32, 32), (1.0, 1.0), None, 4)
    targets = misfit.targets(z)
    assert misfit(z[1], targets[1])[0] < 1e-20
    assert misfit(z[0], targets[1])[0] > 1e-3
    mean = targets.mixed(np.full((1, 2), 0.5))
    np.testing.assert_allclose(mean.ln_s2[0], targets.ln_s2.mean(axis=0))
    assert (np.diff(mean.values[0]) >= 0).all()


def test_each_map_has_the_statistics_of_its_own_target(real, made):
    maps, parents = made
    assert maps.shape == (12, 32, 32)
    np.testing.assert_array_equal(np.bincount(parents), 1)
    wanted, got = scattering(real), scattering(maps)
    assert np.log(got.s1 / wanted.s1[parents]).std() < 0.04
    assert np.log(got.s2 / wanted.s2[parents]).std() < 0.07
    # Surrogates with the right spectrum and values are several times as far off.
    surrogate, of = iaaft(real, 24, np.random.default_rng(4))
    assert np.log(scattering(surrogate).s2 / wanted.s2[of]).std() > 3 * np.log(got.s2 / wanted.s2[parents]).std()
    got, wanted = moments(maps), moments(real)[parents]
    np.testing.assert_allclose(got[:, 0], wanted[:, 0], rtol=1e-3)
    np.testing.assert_allclose(got[:, 1], wanted[:, 1], rtol=0.08)
    assert (np.abs(got - wanted).mean(axis=0)[2:] < 0.1 * wanted.std(axis=0)[2:]).all()
    difference = log_power(power_spectrum(maps, n_bins=5).power) - log_power(power_spectrum(real, n_bins=5).power)[parents]
    assert np.abs(difference.mean(axis=0)).max() < 0.1
    assert difference.std() < 0.2


def test_targets_by_map_keep_the_scatter_and_the_mean_target_does_not(real, made):
    wanted = scattering(real).vector.std(axis=0)
    by_map = scattering(made[0]).vector.std(axis=0) / wanted
    maps, parents = synthesise(real, 6, np.random.default_rng(5), target="mean", iterations=80)
    by_mean = scattering(maps).vector.std(axis=0) / wanted
    assert parents is None
    assert 0.9 < np.median(by_map) < 1.1
    assert np.median(by_mean) < 0.3
    assert np.abs(scattering(maps).ln_s1.mean(axis=0) - scattering(real).ln_s1.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("target", ["map", "draw"])
def test_maps_are_new(real, made, target):
    maps = made[0] if target == "map" else synthesise(real, 8, np.random.default_rng(18), target=target, iterations=40)[0]
    result = novelty(maps, real, sparse(12, 6))
    assert result.ratio > 0.85
    # A map of one thread is defined by its statistics but for its place.
    assert result.copy_rate <= (0.1 if target == "map" else 0.0)


def test_drawn_targets_keep_the_scatter(real):
    maps, parents = synthesise(real, 20, np.random.default_rng(19), target="draw", iterations=25)
    assert parents is None
    ratio = scattering(maps).ln_s1.std(axis=0) / scattering(real).ln_s1.std(axis=0)
    # Of standard deviations of 20 and 12 values.
    assert 0.6 < np.median(ratio) < 1.5
    spread = maps.std(axis=(1, 2)).std() / real.std(axis=(1, 2)).std()
    assert 0.5 < spread < 1.8


def test_borders_are_like_the_rest(real, made):
    def edge(x):
        centred = (x - x.mean(axis=(1, 2), keepdims=True)) ** 2
        return (centred[:, [0, -1]].mean() + centred[:, :, [0, -1]].mean()) / 2 / centred[:, 4:-4, 4:-4].mean()

    assert edge(made[0]) == pytest.approx(edge(real), rel=0.35)
    opposite = [np.mean((x[:, 0] - x[:, -1]) ** 2) / x.var() for x in (real, made[0])]
    assert opposite[1] > 0.5 * opposite[0] > 0.5


def test_gaussian_fields_stay_gaussian():
    real = gaussian_fields(8, np.random.default_rng(7), size=32, slope=2.5)
    maps, _ = synthesise(real, 8, np.random.default_rng(8), iterations=60)
    assert np.abs(scattering(maps).s22.mean(axis=0) - scattering(real).s22.mean(axis=0)).max() < 0.05


def test_deterministic_and_independent_of_unit(real):
    options = {"iterations": 5}
    one, parents = synthesise(real, 3, np.random.default_rng(9), **options)
    two, _ = synthesise(real, 3, np.random.default_rng(9), **options)
    np.testing.assert_array_equal(one, two)
    scaled, same = synthesise(1e-200 * real, 3, np.random.default_rng(9), **options)
    np.testing.assert_array_equal(parents, same)
    np.testing.assert_allclose(1e200 * scaled, one, rtol=1e-6)


def test_constant_and_tiny_maps():
    flat, _ = synthesise(np.full((2, 16, 16), 3.0), 2, np.random.default_rng(10), iterations=3)
    np.testing.assert_array_equal(flat, 3.0)
    one_flat = np.stack([np.zeros((16, 16)), np.random.default_rng(11).normal(size=(16, 16))])
    assert np.isfinite(synthesise(one_flat, 4, np.random.default_rng(12), iterations=3)[0]).all()
    for shape in ((1, 1), (2, 5), (4, 4)):
        maps = np.random.default_rng(13).normal(size=(2, *shape))
        assert np.isfinite(synthesise(maps, 2, np.random.default_rng(14), iterations=3)[0]).all()
    assert synthesise(one_flat, 0, np.random.default_rng(15))[0].shape == (0, 16, 16)


@pytest.mark.parametrize("options", [{"target": "median"}, {"iterations": 0}, {"n_scales": 9}])
def test_bad_options(options):
    with pytest.raises(ConfigError, match="AOD-CF44"):
        synthesise(np.zeros((1, 16, 16)), 1, np.random.default_rng(16), **options)


def test_bad_maps():
    with pytest.raises(InputError, match="AOD-IN17"):
        synthesise(np.full((1, 16, 16), np.nan), 1, np.random.default_rng(17))
