import numpy as np
import pytest
from stats_support import gaussian_fields

from astro_ood.stats.novelty import novelty
from astro_ood.stats.onepoint import moments
from astro_ood.stats.spectrum import log_power, power_spectrum
from astro_ood.stats.surrogates import augment, gaussian, iaaft, periodic_component


def test_periodic_component_of_a_periodic_map_is_nearly_the_map():
    y, x = np.mgrid[:64, :64]
    wave = np.cos(2 * np.pi * 3 * y / 64) * np.sin(2 * np.pi * x / 64)
    assert np.abs(periodic_component(wave[None]) - wave).max() < 0.1


def test_periodic_component_has_no_jump_and_only_loses_a_harmonic_part():
    y, x = np.mgrid[:64, :48]
    noise = gaussian_fields(1, np.random.default_rng(0), periodic=True)[0, :, :48]
    tilted = noise + 0.3 * y - 0.2 * x
    part = periodic_component(tilted[None])[0]
    assert abs(part[0] - part[-1]).mean() < 0.2 * abs(tilted[0] - tilted[-1]).mean()
    smooth = tilted - part
    laplacian = smooth[2:, 1:-1] + smooth[:-2, 1:-1] + smooth[1:-1, 2:] + smooth[1:-1, :-2] - 4 * smooth[1:-1, 1:-1]
    assert np.abs(laplacian).max() < 1e-9


@pytest.mark.parametrize("shape", [(48, 48), (31, 46)])
def test_iaaft_keeps_values_exactly_and_names_its_parents(shape):
    x = np.random.default_rng(1).lognormal(size=(4, *shape))
    made, parents = iaaft(x, 9, np.random.default_rng(2), iterations=5)
    np.testing.assert_array_equal(np.sort(made.reshape(9, -1), axis=1), np.sort(x.reshape(4, -1), axis=1)[parents])


def test_iaaft_keeps_the_spectrum_of_periodic_maps():
    x = gaussian_fields(6, np.random.default_rng(3), periodic=True) + 0.0
    made, parents = iaaft(x, 20, np.random.default_rng(4))
    target = power_spectrum(periodic_component(x), window=None).power[parents]
    ratio = power_spectrum(made, window=None).power / target
    assert np.abs(np.log(ratio[:, 1:]).mean(axis=0)).max() < 0.05


@pytest.mark.parametrize("slope", [2.0, 3.0])
def test_iaaft_is_unbiased_at_small_scales_of_cut_outs(slope):
    x = gaussian_fields(24, np.random.default_rng(5), slope=slope)
    made, _ = iaaft(x, 72, np.random.default_rng(6))
    difference = log_power(power_spectrum(made).power).mean(axis=0) - log_power(power_spectrum(x).power).mean(axis=0)
    assert np.abs(difference[2:]).max() < 0.25
    assert np.abs(difference[:2]).max() < 0.7


def test_iaaft_surrogates_are_new_and_lose_phases():
    rng = np.random.default_rng(7)
    x = np.zeros((6, 64, 64))
    for one in x:
        for row, column in rng.integers(4, 52, size=(8, 2)):
            one[row : row + 8, column : column + 8] += 1
    held_out, (made, _) = x[3:], iaaft(x[:3] + 0.01 * rng.normal(size=(3, 64, 64)), 12, rng)
    assert novelty(made, x[:3], held_out).copy_rate == 0.0


@pytest.mark.parametrize("shape", [(32, 32), (20, 32)])
def test_augmented_maps_hold_only_values_of_their_parent(shape):
    x = np.arange(3)[:, None, None] * 10_000 + np.arange(shape[0] * shape[1]).reshape(shape) + 0.0
    made, parents = augment(x, 40, np.random.default_rng(8))
    assert made.shape == (40, *shape)
    np.testing.assert_array_equal(made.min(axis=(1, 2)) // 10_000, parents)
    np.testing.assert_array_equal(made.max(axis=(1, 2)) // 10_000, parents)
    assert len(np.unique(made[:, shape[0] // 2, shape[1] // 2])) > 30


def test_gaussian_fields_have_the_spectrum_and_nothing_else():
    rng = np.random.default_rng(4)
    x = np.exp(gaussian_fields(40, rng, slope=2.5))
    made = gaussian(x, 400, rng)
    real, own = (power_spectrum(s, window=None).power for s in (periodic_component(x), made))
    # the borders' jump, which a periodic field cannot have, sits in the lowest bin
    error = np.abs(np.log(own.mean(axis=0) / real.mean(axis=0)))[1:]
    spread = (real.std(axis=0) / real.mean(axis=0) / np.sqrt(40) + own.std(axis=0) / own.mean(axis=0) / np.sqrt(400))[1:]
    assert (error < 4 * spread).all()
    assert np.var(made, axis=(1, 2)).mean() == pytest.approx(np.var(x, axis=(1, 2)).mean(), rel=0.1)
    shape = moments(made)
    assert abs(shape[:, 2].mean()) < 5 * shape[:, 2].std() / 20
    assert abs(shape[:, 0].mean() - x.mean()) < 4 * x.mean(axis=(1, 2)).std() / np.sqrt(400)
    assert shape[:, 0].std() == pytest.approx(x.mean(axis=(1, 2)).std(ddof=1), rel=0.2)


def test_gaussian_fields_keep_the_direction_of_their_maps():
    stripes = np.random.default_rng(0).standard_normal((6, 1, 32)).repeat(32, axis=1)
    made = gaussian(stripes, 5, np.random.default_rng(1))
    assert np.abs(np.diff(made, axis=1)).max() < 1e-9 * np.abs(made).max()
