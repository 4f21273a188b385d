"""Statistics in torch against those in numpy, and their gradients."""

import numpy as np
import pytest
import scipy.fft
import torch

from astro_ood.diffusion.statistics import NAMES, Statistics
from astro_ood.errors import ConfigError, InputError
from astro_ood.maps import gaussian_field
from astro_ood.stats.scattering import scattering


def _maps(n=3, shape=(32, 32), seed=0):
    x = gaussian_field(n, max(shape), -2.5, seed)[:, : shape[0], : shape[1]]
    return np.exp(0.5 * x / x.std())


@pytest.mark.parametrize("shape", [(64, 64), (32, 32), (48, 40)])
@pytest.mark.parametrize("n_angles", [3, 4])
def test_scattering_is_that_of_the_numpy_statistics(shape, n_angles):
    x = _maps(shape=shape)
    found = Statistics(shape, n_angles=n_angles, dtype=torch.float64)(torch.from_numpy(x))["scattering"]
    np.testing.assert_allclose(found.numpy(), scattering(x, n_angles=n_angles).vector, atol=1e-3)


def test_single_precision_will_do():
    x = torch.from_numpy(_maps(shape=(64, 64)))
    double, single = (Statistics((64, 64), dtype=dtype)(x.to(dtype)) for dtype in (torch.float64, torch.float32))
    for name in NAMES:
        torch.testing.assert_close(single[name].double(), double[name], atol=2e-3, rtol=0)


def test_cosine_transform_is_scipys_and_bands_hold_all_of_the_variance():
    x = _maps(shape=(24, 32))
    statistics = Statistics((24, 32), dtype=torch.float64)
    c = statistics.cosine(torch.from_numpy(x))
    np.testing.assert_allclose(c.numpy(), scipy.fft.dctn(x, axes=(1, 2), norm="ortho"), atol=1e-10)
    torch.testing.assert_close(statistics.inverse_cosine(c), torch.from_numpy(x))
    counts = np.bincount(statistics._band.numpy())[1:]
    power = statistics.band_power(c).numpy()
    np.testing.assert_allclose(power @ counts, x.size / len(x) * x.var(axis=(1, 2)))


def test_rescaled_maps_have_the_power_asked_for_and_keep_their_mean():
    statistics = Statistics((32, 32), scale=3.0, dtype=torch.float64)
    x, other = (torch.from_numpy(_maps(seed=seed)) for seed in (0, 1))
    wanted = statistics(other)["spectrum"]
    moved = statistics.with_power(x, wanted)
    torch.testing.assert_close(statistics(moved)["spectrum"], wanted)
    torch.testing.assert_close(moved.mean(dim=(1, 2)), x.mean(dim=(1, 2)))


def test_amplitude_on_a_box_makes_fields_of_that_spectrum():
    x = gaussian_field(200, 64, -2.0, 0)[:, :32, :32]
    statistics = Statistics((32, 32), ("spectrum",), dtype=torch.float64)
    wanted = statistics(torch.from_numpy(x))["spectrum"].exp().mean(dim=0).log()[None]
    noise = torch.from_numpy(np.random.default_rng(1).standard_normal((200, 64, 64)))
    made = torch.fft.irfft2(torch.fft.rfft2(noise) * statistics.amplitude(wanted, (64, 64)), s=(64, 64))[:, :32, :32]
    found = statistics(made)["spectrum"].exp().mean(dim=0).log()
    assert (found - wanted[0])[4:].abs().max() < 0.25


def test_sorted_values_are_group_means():
    x = _maps()
    found = Statistics((32, 32), ("pdf",), scale=2.0, groups=64, dtype=torch.float64)(torch.from_numpy(x))["pdf"]
    np.testing.assert_allclose(found.numpy(), np.sort(x.reshape(len(x), 64 * 16), axis=1).reshape(len(x), 64, 16).mean(axis=2) / 2)


@pytest.mark.parametrize("name", NAMES)
def test_gradients(name):
    statistics = Statistics((16, 16), (name,), groups=32, dtype=torch.float64)
    x = torch.from_numpy(_maps(1, (16, 16))).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: statistics(x)[name], (x,), fast_mode=True, atol=1e-6)


@pytest.mark.parametrize("turn", [lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.mT])
def test_flips_and_turns_change_nothing(turn):
    x = torch.from_numpy(_maps())
    statistics = Statistics((32, 32), dtype=torch.float64)
    for a, b in zip(statistics(x).values(), statistics(turn(x)).values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=0)


def test_phases_know_the_sign_that_scattering_does_not():
    """Rough bright places, rough faint places: the same scattering coefficients, opposite phases; none in Gaussian fields."""
    envelope, rough = gaussian_field(40, 32, -4.0, 0), gaussian_field(40, 32, -0.5, 1)
    envelope, rough = envelope / envelope.std(), rough / rough.std()
    x = torch.from_numpy(envelope + 0.3 * rough * np.exp(envelope))
    statistics = Statistics((32, 32), dtype=torch.float64)
    bright, faint = statistics(x), statistics(-x)
    torch.testing.assert_close(bright["scattering"], faint["scattering"])
    torch.testing.assert_close(bright["phases"], -faint["phases"])
    assert float(bright["phases"].mean()) > 0.1
    assert abs(float(statistics(torch.from_numpy(rough))["phases"].mean())) < 0.05


def test_constant_maps_have_numbers():
    assert all(torch.isfinite(v).all() for v in Statistics((16, 16))(torch.ones(2, 16, 16)).values())


def test_refusals():
    with pytest.raises(ConfigError, match=r"CF44.*spectrum, pdf, scattering, phases"):
        Statistics((32, 32), ("colour",))
    with pytest.raises(ConfigError, match="CF44"):
        Statistics((32, 32), ())
    with pytest.raises(InputError, match="IN16"):
        Statistics((4, 32))
