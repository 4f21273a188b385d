"""What networks predict, in which time and range: every kind gives the same answers through the one convention."""

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import PARAMETERISATIONS, Denoiser
from astro_ood.diffusion.execution import Execution
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import ContinuousSchedule, NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ModelError
from astro_ood.selftest import gaussian_oracle


def speaking(oracle, parameterisation):
    """The oracle as a network that predicts something else."""

    def net(x_t, t):
        eps = oracle.eps(x_t, float(t[0]))
        alpha, sigma = (float(f(float(t[0]))) for f in (oracle.schedule.alpha, oracle.schedule.sigma))
        x0 = (x_t - sigma * eps) / alpha
        return {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0, "score": -eps / sigma}[parameterisation]

    return Denoiser(net, oracle.schedule, oracle.shape, parameterisation=parameterisation)


@pytest.mark.parametrize("parameterisation", PARAMETERISATIONS)
def test_every_parameterisation_inverts_alike(parameterisation):
    oracle, maps = gaussian_oracle()
    model = speaking(oracle, parameterisation)
    for t in (0.0, 350.5, 999.0):
        torch.testing.assert_close(model.eps(maps, t), oracle.eps(maps, t), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model(maps, t), oracle(maps, t), rtol=1e-3, atol=1e-3)
    preset = choose("accurate", oracle.schedule)
    ours, exact = (integrate(preset.make_solver(d), maps, preset.times_up(d.schedule)).x for d in (model, oracle))
    torch.testing.assert_close(ours, exact, rtol=1e-4, atol=1e-4)


def test_learned_variance_is_left_out():
    model = Denoiser(lambda x, t: torch.cat([x, 7 + 0 * x], dim=1), NoiseSchedule.linear(), (3, 8, 8))
    x = torch.randn(2, 3, 8, 8)
    assert model.raw(x, 5.0).shape == (2, 6, 8, 8)
    assert torch.equal(model.eps(x, 5.0), x)


def test_half_precision_ends_where_noise_is_faint(model):
    """Rounding near the clean end is enlarged on the way up: there bf16 is float32 to the bit."""
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    late, early = (float(model.schedule.time_of(np.log(1 / sigma**2 - 1))) for sigma in (0.3, 0.05))
    exact = [model.eps(x, t) for t in (late, early)]
    try:
        model.to(torch.device("cpu"), Execution("bf16"))
        half = [model.eps(x, t) for t in (late, early)]
    finally:
        model.to(torch.device("cpu"), Execution())
    assert torch.equal(half[1], exact[1])
    assert not torch.equal(half[0], exact[0])
    torch.testing.assert_close(half[0], exact[0], rtol=0.1, atol=0.1)


def test_memory_layout_changes_rounding_alone(model):
    x = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    before = model.eps(x, 300.0)
    try:
        after = model.to(torch.device("cpu"), Execution(channels_last=True)).eps(x, 300.0)
    finally:
        model.to(torch.device("cpu"), Execution())
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)


def test_one_time_per_item():
    oracle, _ = gaussian_oracle()
    x = torch.randn(3, 1, 32, 32)
    times = torch.tensor([10.0, 400.0, 900.0])
    model = Denoiser(lambda x, t: x * t.reshape(-1, 1, 1, 1) / 1000, oracle.schedule, oracle.shape, parameterisation="v")
    together = model(x, times)
    apart = torch.cat([model(x[i : i + 1], float(t)) for i, t in enumerate(times)])
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize(("kind", "value"), [("parameterisation", "noise"), ("data_range", (1.0, -1.0))])
def test_refuses_what_it_does_not_know(kind, value):
    with pytest.raises(ModelError, match="MD53"):
        Denoiser(lambda x, t: x, NoiseSchedule.linear(), (1, 8, 8), **{kind: value})


def test_continuous_time_solves_the_same_flow():
    """The oracle in continuous time and in 1000 steps: one latent at equal signal-to-noise ratio."""
    oracle, maps = gaussian_oracle()
    schedule = ContinuousSchedule(last=10.0)
    steps = NoiseSchedule.linear()

    def net(x_t, t):
        alpha, sigma = (float(f(float(t[0]))) for f in (schedule.alpha, schedule.sigma))
        return oracle._filter(x_t, sigma / (alpha**2 * oracle.power + sigma**2))

    model = Denoiser(net, schedule, oracle.shape)
    preset = choose("accurate", schedule, n_steps=200)
    assert preset.t_0 == pytest.approx(float(schedule.time_of(steps.log_snr(700.0))), rel=1e-6)
    z = integrate(preset.make_solver(model), maps, preset.times_up(schedule)).x
    exact = oracle.exact(maps, 0.0, 700.0)
    assert float((z - exact).square().mean().sqrt() / exact.std()) < 2e-3
    assert np.isclose(schedule.alpha(schedule.first) ** 2, 0.9999)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_compiled_networks_agree_to_rounding(tiny_network):
    path, _, _ = tiny_network
    x = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    plain = open_model(path, device="cpu").eps(x, 300.0)
    compiled = open_model(path, device="cpu", execution=Execution(compiled=True)).eps(x, 300.0)
    torch.testing.assert_close(compiled, plain, rtol=1e-4, atol=1e-4)
