"""Wavelet scattering against direct sums, known waves and maps that differ in phases alone."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._morlet import WAVE_NUMBER, WIDTH
from astro_ood.stats.scattering import scattering
from astro_ood.stats.surrogates import iaaft


def direct(x, scale, angle, n_angles):
    """|x * psi| at every pixel, the map mirrored at its borders, as a sum over all offsets."""
    sigma, wave = WIDTH * 2.0**scale, WAVE_NUMBER / 2.0**scale
    reach = int(np.ceil(5 * sigma))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    gauss = np.exp(-(u**2 + v**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
    turn = np.pi * angle / n_angles
    carrier = np.exp(1j * wave * (u * np.cos(turn) + v * np.sin(turn)))
    psi = gauss * (carrier - (gauss * carrier).sum() / gauss.sum())
    padded = np.pad(x, reach, mode="symmetric")
    h, w = x.shape
    views = np.lib.stride_tricks.sliding_window_view(padded, psi.shape)
    assert views.shape[:2] == (h, w)
    return np.abs(np.einsum("ijab,ab->ij", views, psi[::-1, ::-1]))


def test_first_order_is_the_mean_modulus_of_a_direct_sum():
    x = np.random.default_rng(0).normal(size=(24, 20))
    found = scattering(x, n_scales=2, oversampling=2).s1[0]
    for j in range(2):
        for angle in range(4):
            assert found[j, angle] == pytest.approx(direct(x - x.mean(), j, angle, 4).mean(), rel=0.02), (j, angle)


def test_second_order_is_the_scattering_of_the_modulus():
    x = gaussian_fields(1, np.random.default_rng(1), size=32)[0]
    found = scattering(x, n_scales=2, oversampling=2).s2[0, 0]
    for first in range(4):
        inner = direct(x - x.mean(), 0, first, 4)
        for second in range(4):
            assert found[first, second] == pytest.approx(direct(inner, 1, second, 4).mean(), rel=0.03), (first, second)


def test_white_noise_has_the_mean_modulus_of_a_complex_gaussian():
    """|psi|^2 summed gives the variance of x * psi, and the mean modulus of a round complex Gaussian is sqrt(pi / 4) of its rms."""
    x = np.random.default_rng(2).normal(size=(40, 64, 64))
    fields = [direct(m, 1, 1, 4) for m in x[:3]]
    rms = np.sqrt(np.mean(np.square(fields)))
    assert scattering(x, n_scales=2).s1[:, 1, 1].mean() == pytest.approx(np.sqrt(np.pi / 4) * rms, rel=0.03)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_wave_is_found_at_its_length_and_direction(scale):
    y, x = np.mgrid[:64, :64]
    length = 8 / 3 * 2.0**scale
    turn = np.pi / 4
    wave = np.cos(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / length)
    found = scattering(wave)
    assert np.unravel_index(np.argmax(found.s1[0]), found.s1[0].shape) == (scale, 1)
    assert found.wavelength[scale] == pytest.approx(length)


def test_turns_and_flips_leave_the_reduced_vector():
    x = np.exp(gaussian_fields(3, np.random.default_rng(3), size=32))
    before = scattering(x).vector
    for turned in (x[:, ::-1], x[:, :, ::-1], x.transpose(0, 2, 1), np.rot90(x, axes=(1, 2))):
        assert scattering(turned).vector == pytest.approx(before, abs=1e-9)


def test_units_and_scale():
    x = gaussian_fields(4, np.random.default_rng(4), size=32)
    plain, large = scattering(x), scattering(3 * x + 7)
    assert large.s1 == pytest.approx(3 * plain.s1)
    assert large.ln_ratio == pytest.approx(plain.ln_ratio)
    assert scattering(3 * x + 7, normalise=True).s1 == pytest.approx(scattering(x, normalise=True).s1)
    assert scattering(x, 2.5).wavelength == pytest.approx(2.5 * plain.wavelength)
    assert scattering(x, 2.5).unit == "arcmin"
    assert len(plain.labels) == plain.vector.shape[1] == len(set(plain.labels))


def test_opposite_borders_do_not_meet():
    """A bright column at the left border is no neighbour of the right one."""
    x = np.zeros((1, 32, 32))
    x[0, :, 0] = 1
    moved = np.roll(x, 8, axis=2)
    both = x.copy()
    both[0, :, -1] = 1
    finest = scattering(np.concatenate([x, moved, both]), n_scales=1, oversampling=1).s1[:, 0, 0]
    assert finest[2] == pytest.approx(2 * finest[0], rel=0.05)


def test_phases_are_seen_where_power_and_values_agree():
    rng = np.random.default_rng(5)
    field = gaussian_fields(16, rng, scatter=0)
    threads = -np.abs(gaussian_filter(field, (0, 1, 1)))
    random = iaaft(threads, 16, rng)[0]
    real, made = (scattering(x).vector[:, 6:] for x in (threads, random))
    distance = np.abs(real.mean(axis=0) - made.mean(axis=0)) / np.sqrt((real.var(axis=0) + made.var(axis=0)) / 16)
    assert (distance > 5).sum() >= 3


def test_missing_pixels_have_no_say_and_little_effect():
    rng = np.random.default_rng(6)
    x = gaussian_fields(6, rng, size=64)
    mask = np.zeros(x.shape, bool)
    mask[:, 20:26, 30:38] = True
    spoiled = np.where(mask, rng.normal(size=x.shape) * 1e6, x)
    spoiled[:, 22, 33] = np.nan
    a, b = scattering(x, mask=mask), scattering(spoiled, mask=mask)
    assert np.array_equal(a.vector, b.vector)
    assert a.ln_s1[:, :4] == pytest.approx(scattering(x).ln_s1[:, :4], abs=0.1)


def test_maps_of_any_kind_have_finite_vectors():
    for x in (np.ones((2, 16, 16)), np.zeros((1, 20, 9)), np.full((1, 8, 8), 1e30), np.eye(16)[None]):
        found = scattering(x)
        assert np.isfinite(found.vector).all()
    assert (scattering(np.ones((1, 16, 16))).s1 == 0).all()


def test_what_cannot_be_transformed():
    with pytest.raises(InputError, match="AOD-IN17"):
        scattering(np.full((1, 16, 16), np.nan))
    with pytest.raises(InputError, match="AOD-IN"):
        scattering(np.ones((1, 16, 16)), mask=np.ones((16, 16), bool))
    with pytest.raises(ConfigError, match="AOD-CF44"):
        scattering(np.ones((1, 16, 16)), n_scales=9)
