"""The check of a card: a network of which everything is known, read rightly and wrongly; the embedded one; one that never learned."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from astro_ood.diffusion.calibration import LEVELS, Evidence, check_model, filter_losses, noise_loss
from astro_ood.diffusion.denoiser import PARAMETERISATIONS, Denoiser, GaussianDenoiser
from astro_ood.diffusion.nets import SmallUNet
from astro_ood.diffusion.schedule import ContinuousSchedule, NoiseSchedule

SIZE = 16
SHAPE = (1, SIZE, SIZE)
LINEAR = NoiseSchedule.linear()


def coloured():
    """Power spectrum of a field of variance 0.1: in [-1, 1] to three standard deviations."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    power = 1 / (1 + (30 * k) ** 3)
    return torch.from_numpy(0.1 * power / power.mean())


def network(reading="eps", schedule=LINEAR):
    """The exact denoiser of that field, which answers in any parameterisation."""
    oracle = GaussianDenoiser(coloured(), schedule)

    def net(x_t, t):
        time = min(max(float(t[0]), schedule.first), schedule.last)
        eps = oracle.eps(x_t, time)
        alpha, sigma = float(schedule.alpha(time)), float(schedule.sigma(time))
        x0 = (x_t - sigma * eps) / alpha
        return {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "score": -eps / sigma}[reading]

    return net


def check(denoiser, **kwargs):
    lines = list(check_model(denoiser, **kwargs))
    return {line.split(":")[0]: line for line, passed in lines if not passed}


@pytest.mark.parametrize("reading", PARAMETERISATIONS)
def test_a_right_card_passes(reading):
    assert not check(Denoiser(network(reading), LINEAR, SHAPE, parameterisation=reading))


def test_a_right_card_of_continuous_time_passes():
    schedule = ContinuousSchedule(10.0)
    assert not check(Denoiser(network("score", schedule), schedule, SHAPE, parameterisation="score"))


@pytest.mark.parametrize(("claimed", "true"), list(permutations(PARAMETERISATIONS, 2)))
def test_a_wrong_parameterisation_is_found_and_named(claimed, true):
    failed = check(Denoiser(network(true), LINEAR, SHAPE, parameterisation=claimed))
    assert failed["card"].endswith(f'as if it said "parameterisation": "{true}"')


@pytest.mark.parametrize("n", [1000, 300])
def test_a_wrong_schedule_is_found_and_named(n):
    failed = check(Denoiser(network(schedule=LINEAR), NoiseSchedule.cosine(n), SHAPE))
    assert failed["card"].endswith('as if it said "schedule": {"kind": "linear"}')


def test_a_schedule_that_does_not_end_in_noise_is_refused():
    cosine, linear = NoiseSchedule.cosine(300), NoiseSchedule.linear(300)  # equal within 0.4 above log SNR -2
    assert not check(Denoiser(network(schedule=cosine), cosine, SHAPE))
    assert "it ends at -3.0" in check(Denoiser(network(schedule=cosine), linear, SHAPE))["schedule"]


def test_a_wrong_range_is_found_and_alone_in_failing():
    failed = check(Denoiser(network(), LINEAR, SHAPE, data_range=(0.0, 255.0)))
    assert set(failed) == {"range"}
    assert failed["range"].endswith("as if its range were [-1, 1]")


def test_a_network_that_refuses_other_times_is_no_trouble():
    oracle = GaussianDenoiser(coloured(), NoiseSchedule.cosine(300))
    assert "cosine" in check(Denoiser(oracle.eps, NoiseSchedule.linear(200), SHAPE))["card"]


def test_weights_that_are_not_finite_fail():
    net = SmallUNet(1, 8, (1, 2), 1)
    net.head.weight.data[0, 0, 0, 0] = torch.nan
    line, passed = next(check_model(Denoiser(net, LINEAR, (1, 32, 32))))
    assert not passed
    assert "1 are not finite" in line


def test_a_network_that_never_learned_fails():
    torch.manual_seed(0)
    evidence = Evidence(Denoiser(SmallUNet(1, 8, (1, 2), 1).eval(), LINEAR, (1, 32, 32), stride=2), 4)
    assert evidence.residue > 1
    assert not evidence.agrees


@pytest.mark.parametrize("answer", [torch.zeros_like, lambda x: x, lambda x: 1e9 * x, lambda x: torch.nan * x])
def test_what_is_no_denoiser_fails_under_every_card(answer):
    failed = check(Denoiser(lambda x_t, t: answer(x_t), LINEAR, SHAPE))
    assert {"noise", "card"} <= set(failed)
    assert "no change" in failed["card"]


@pytest.mark.parametrize(
    ("schedule", "reading", "agrees"),
    [(None, "eps", True), (NoiseSchedule.cosine(), "eps", False), (NoiseSchedule.cosine(500), "eps", False), (None, "v", False)],
)
def test_the_embedded_network_agrees_with_its_own_card_only(model, schedule, reading, agrees):
    claimed = Denoiser(model.raw, schedule or model.schedule, model.shape, parameterisation=reading)
    assert Evidence(claimed, 4).agrees == agrees


def test_given_maps_are_measured_too():
    oracle = GaussianDenoiser(coloured(), LINEAR)
    white = np.random.default_rng(0).standard_normal((8, *SHAPE)).astype(np.float32)
    known = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(coloured().numpy())).real.astype(np.float32)
    assert not check(Denoiser(network(), LINEAR, SHAPE), pictures=known)
    assert set(check(oracle, pictures=0.3 * white)) == {"given maps"}


def test_loss_of_the_oracle_is_that_of_theory():
    power = coloured()
    white = np.random.default_rng(1).standard_normal((4000, *SHAPE))
    x = np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power.numpy())).real.astype(np.float32)
    denoiser = Denoiser(network(), LINEAR, SHAPE)
    for level, white_filter in zip(LEVELS, filter_losses(denoiser, x, LEVELS), strict=True):
        snr = np.exp(level) * power.numpy()  # a Wiener filter leaves P alpha^2 / (P alpha^2 + sigma^2) of the noise in a mode
        assert noise_loss(denoiser, x, level) == pytest.approx(np.mean(snr / (1 + snr)), rel=0.06)
        assert white_filter == pytest.approx(np.exp(level) * 0.1 / (1 + np.exp(level) * 0.1), rel=0.05)
