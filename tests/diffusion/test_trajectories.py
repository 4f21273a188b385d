"""Room and capture around trajectories, against the closed form of a linear flow and a planted domain."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from astro_ood.diffusion.diagnostics import (
    CaptureRule,
    choose_t_0,
    compute_bandwidth,
    compute_interference,
    judge_bandwidth,
    judge_interference,
    scan_bandwidth,
)
from astro_ood.diffusion.diagnostics.bandwidth import _directions
from astro_ood.diffusion.diagnostics.intervals import median_over_maps, wilson
from astro_ood.diffusion.engine import invert
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.own import own_maps
from astro_ood.diffusion.presets import choose
from astro_ood.errors import InputError, RunError
from astro_ood.selftest import gaussian_oracle


@pytest.fixture(scope="module")
def oracle():
    return gaussian_oracle(16)


@pytest.fixture(scope="module")
def bandwidth(oracle):
    denoiser, maps = oracle
    preset = choose("fast", denoiser.schedule, t_0=600.0)
    z = denoiser.exact(maps, 0.0, 600.0).float().numpy()
    return z, compute_bandwidth(denoiser, z, preset, tau=0.1, n_directions=3, micro_batch=64)


def test_bandwidth_of_a_linear_flow(oracle, bandwidth):
    """B = tau sd sqrt(d) / |D u|, along noise and towards another map."""
    denoiser, _ = oracle
    z, found = bandwidth
    directions, gap = _directions(z, 3, 0)
    np.testing.assert_allclose(found.gap, gap)

    def decoded(x):
        return denoiser.exact(torch.from_numpy(np.asarray(x, dtype=np.float64)), 600.0, 0.0).numpy()

    sd = decoded(z).std(axis=(1, 2, 3))
    length = np.linalg.norm(decoded(directions.reshape(-1, 1, 16, 16)).reshape(4, 4, -1), axis=2)
    expected = 0.1 * sd[:, None] * 16 / length
    np.testing.assert_allclose(found.radius, expected[:, :3], rtol=0.01)
    np.testing.assert_allclose(found.real, expected[:, 3], rtol=0.01)
    # maps of the network's domain differ in what it hears, noise in what it does not
    judged = judge_bandwidth(found)
    assert judged.passed in (True, None)
    assert judged.value == pytest.approx(np.median(np.median(expected[:, :3] / expected[:, 3:], axis=1)), rel=0.02)
    assert found.evaluations == 24 * (1 + 8 * 4)


def test_room_without_an_end_and_without_a_beginning(oracle, bandwidth):
    denoiser, _ = oracle
    z, _ = bandwidth
    preset = choose("fast", denoiser.schedule, n_steps=4, t_0=600.0)
    wide, none = (compute_bandwidth(denoiser, z, preset, tau=tau, n_directions=1, narrow=1, micro_batch=64) for tau in (1e3, 1e-7))
    assert np.isinf(wide.radius).all()
    assert (none.radius == 0).all()
    assert (wide.ratio == 1).all()


def test_a_time_is_chosen_by_its_rule(oracle, bandwidth):
    denoiser, maps = oracle
    _, found = bandwidth
    rng = np.random.default_rng(0)

    def at(t, ratio):
        real = np.exp(0.01 * rng.standard_normal(12))
        return replace(found, t=t, radius=ratio * np.ones((12, 3)), real=real, gap=real, norm=np.ones(12))

    chosen = choose_t_0([at(500.0, 1.5), at(300.0, 2.0), at(700.0, 1.0), at(900.0, 0.5)])
    assert (chosen.t_0, chosen.times) == (500.0, (300.0, 500.0, 700.0, 900.0))
    assert "the largest time at which" in chosen.words
    chosen = choose_t_0([at(500.0, 0.7), at(300.0, 0.5)])
    assert chosen.t_0 == 500.0
    assert "at no time" in chosen.words
    with pytest.raises(InputError, match="IN40"):
        choose_t_0([])
    scanned = list(scan_bandwidth(denoiser, maps.float().numpy(), (200.0, 600.0), n_steps=6, n_directions=1, narrow=2))
    assert [one.t for one in scanned] == [200.0, 600.0]
    assert judge_bandwidth(at(1.0, 2.0)).passed is True
    assert judge_bandwidth(at(1.0, 0.5)).passed is False


def powers(maps):
    """Logarithms of power in four rings."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    power = np.abs(np.fft.fft2(maps[:, 0])) ** 2
    return np.log([power[:, (k > low) & (k <= low + 0.125)].mean(axis=1) for low in (0.0, 0.125, 0.25, 0.375)]).T


@pytest.fixture(scope="module")
def planted(oracle):
    """Maps of another spectrum than the network's, latents of some of them, and maps of the network's own."""
    denoiser, _ = oracle
    rng = np.random.default_rng(1)

    def fields(n, power):
        return np.fft.ifft2(np.fft.fft2(rng.standard_normal((n, 1, 16, 16))) * np.sqrt(power)).real.astype(np.float32)

    net = fields(24, denoiser.power.numpy())
    own = fields(24, np.full((16, 16), 0.05))
    preset = choose("fast", denoiser.schedule, n_steps=20, t_0=700.0)
    return own, net, invert(denoiser, own[:16], preset, estimate_error=False).z, preset


def test_ancestral_decoding_is_captured_and_deterministic_is_not(oracle, planted):
    """The flow of the oracle gives any map back; with fresh noise at every step it makes maps of its own domain."""
    own, net, z, preset = planted
    found = compute_interference(oracle[0], z, preset, (0.0, 0.5, 1.0), features=powers, own=own, net=net, micro_batch=16)
    assert found.rule.sensitivity == 1
    assert found.rule.false_capture <= 0.05
    assert found.fraction[0, 0] == 0
    assert found.fraction[2, 0] > 0.9
    assert (np.diff(found.fraction[:, 0]) >= 0).all()
    assert (found.captured.mean(axis=1) == found.fraction[:, 0]).all()
    judged = judge_interference(found)
    assert judged.passed is True
    assert "captured: 0% at eta 0" in judged.words
    flat = replace(found, fraction=np.array([[0.0, *wilson(0, 200)]] * 3))
    assert judge_interference(flat).passed is False
    few = replace(found, fraction=np.array([[0.0, *wilson(0, 4)]] * 3))
    assert judge_interference(few).passed is None


def test_own_maps_have_the_spectrum_of_the_network(oracle):
    """Drawn from pure noise they are repeatable, each by its number; a network that makes nothing is refused."""
    denoiser, _ = oracle
    frame = Frame.of(denoiser, (1, 16, 16))
    drawn = own_maps(denoiser, frame, 32, seed=0, micro_batch=16)
    np.testing.assert_array_equal(own_maps(denoiser, frame, 32, seed=0, micro_batch=16), drawn)
    np.testing.assert_allclose(own_maps(denoiser, frame, 3, seed=0, micro_batch=16), drawn[:3], atol=1e-4)
    measured = np.mean(np.abs(np.fft.fft2(drawn[:, 0], norm="ortho")) ** 2, axis=0)
    assert measured.sum() == pytest.approx(float(denoiser.power.sum()), rel=0.25)
    with pytest.raises(RunError, match=r"RN61.*0 of 4 maps"):
        own_maps(denoiser, Frame(frame.shape, frame.network_shape, (-1e6, 1e6)), 4, seed=0)


def test_a_rule_that_cannot_tell_judges_nothing(oracle, planted):
    own, _, z, preset = planted
    found = compute_interference(oracle[0], z[:4], preset, (0.0, 1.0), features=powers, own=own[:12], net=own[12:], micro_batch=16)
    assert found.rule.sensitivity < 0.8
    assert judge_interference(found).passed is None


def test_own_maps_are_seldom_called_captured():
    """At most the stated rate of new maps of the user's domain, whatever the sizes and however near the network's."""
    rates = []
    for trial in range(60):
        rng = np.random.default_rng(trial)
        rule = CaptureRule.fit(rng.normal(size=(39, 3)), 1.0 + rng.normal(size=(60, 3)))
        rates.append(np.mean(rule.score(rng.normal(size=(50, 3))) > rule.threshold))
    assert np.mean(rates) < 0.05 + 2 * np.std(rates) / np.sqrt(60)
    with pytest.raises(InputError, match="IN40"):
        CaptureRule.fit(np.zeros((3, 2)), np.zeros((9, 2)))


def test_intervals():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    middle, low, high = median_over_maps(np.random.default_rng(0).normal(5, 1, (200, 3)))
    assert low < middle < high
    assert high - low == pytest.approx(4 * 1.2533 * 0.67 / np.sqrt(200), rel=0.35)
