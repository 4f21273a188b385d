"""Solvers against the closed form of a Gaussian field, and the published loop written out again."""

import itertools

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import DDIM, Multistep, integrate
from astro_ood.errors import ConfigError
from astro_ood.selftest import convergence_order, gaussian_oracle


@pytest.mark.parametrize(("solver", "order"), [(DDIM, 1), (Multistep, 2)])
@pytest.mark.parametrize("t_0", [300.0, 700.0])
def test_order_of_convergence(solver, order, t_0):
    assert convergence_order(solver, 40, t_0) == pytest.approx(order, abs=0.15)


def test_oracle_is_its_own_inverse_and_whitens():
    oracle, maps = gaussian_oracle(size=64)
    latent = oracle.exact(maps, 0.0, 999.0)
    assert float(latent.var()) == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(oracle.exact(latent, 999.0, 0.0), maps)


def test_solution_of_the_oracle_is_the_closed_form():
    oracle, maps = gaussian_oracle()
    times = oracle.schedule.timesteps(160, 700.0)
    exact = oracle.exact(maps, 0.0, 700.0)
    up = integrate(Multistep(oracle), maps, times).x
    assert float((up - exact).abs().max()) < 1e-3
    down = integrate(Multistep(oracle), exact, times[::-1]).x
    assert float((down - maps).abs().max()) < 1e-3


@pytest.mark.parametrize(("name", "up", "down"), [("paper", 79, 80), ("fast", 24, 24), ("accurate", 80, 80)])
def test_presets_make_as_many_evaluations_as_they_say(name, up, down):
    oracle, maps = gaussian_oracle()
    calls = []

    class Counting(Denoiser):
        def raw(self, x_t, t):
            calls.append(float(t))
            return oracle.raw(x_t, t)

    counting = Counting(oracle.net, oracle.schedule, oracle.shape)
    preset = choose(name, oracle.schedule)
    assert integrate(preset.solver(counting), maps, preset.times_up(oracle.schedule)).evaluations == up == len(calls)
    if name == "paper":
        assert calls[:5] == [0, 11, 22, 34, 45]
        assert calls[-1] == 888
    calls.clear()
    assert integrate(preset.solver(counting), maps, preset.times_down(oracle.schedule)).evaluations == down == len(calls)
    if name == "paper":
        assert calls[0] == 900
        assert calls[-2:] == [11, 0]


def test_paper_preset_is_the_published_loop():
    """The published loop, written out from its formulas, on the same maps."""
    oracle, maps = gaussian_oracle()
    betas = np.linspace(1e-4, 0.02, 1000)
    abar = np.append(np.cumprod(1 - betas), 1.0)
    sequence = [int(s) for s in np.linspace(0, 1, 80) * 900]
    x = maps
    for i, j in itertools.pairwise(sequence):
        x = _published_step(oracle, x, i, j, abar)
    preset = choose("paper", oracle.schedule)
    ours = integrate(preset.solver(oracle), maps, preset.times_up(oracle.schedule)).x
    torch.testing.assert_close(ours, x, rtol=1e-9, atol=1e-9)
    for i, j in zip(sequence[::-1], [*sequence[:-1][::-1], -1], strict=True):
        x = _published_step(oracle, x, i, j, abar)
    back = integrate(preset.solver(oracle), ours, preset.times_down(oracle.schedule)).x
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)


def _published_step(oracle, x, i, j, abar):
    eps = oracle.eps(x, float(i))
    x0 = (x - eps * np.sqrt(1 - abar[i])) / np.sqrt(abar[i])
    return np.sqrt(abar[j]) * x0 + np.sqrt(1 - abar[j]) * eps


def test_ancestral_decoding_keeps_the_variance_of_the_oracle():
    oracle, _ = gaussian_oracle()
    rng = np.random.default_rng(1)
    z = torch.from_numpy(rng.standard_normal((64, 1, 32, 32)))
    preset = choose("fast", oracle.schedule, n_steps=200, t_0=999)
    solver = preset.solver(oracle, 1.0, lambda: torch.from_numpy(rng.standard_normal((64, 1, 32, 32))))
    x = integrate(solver, z, preset.times_down(oracle.schedule)).x
    assert float(x.var()) == pytest.approx(float(oracle.power.mean()), rel=0.1)


def test_states_are_kept_on_request():
    oracle, maps = gaussian_oracle()
    trajectory = integrate(DDIM(oracle), maps, [0.0, 100.0, 300.0], keep=True)
    assert trajectory.states is not None
    assert len(trajectory.states) == 3
    assert trajectory.states[0] is maps
    torch.testing.assert_close(trajectory.states[-1], trajectory.x)


def test_x0_estimate_solves_the_noising_equation():
    oracle, maps = gaussian_oracle()
    times = [100.0, 200.0, 300.0, 400.0]
    x0 = oracle(maps, torch.tensor(times))
    one_by_one = torch.cat([oracle(m[None], t) for m, t in zip(maps, times, strict=True)])
    assert x0.shape == one_by_one.shape
    alpha, sigma = float(oracle.schedule.alpha(100.0)), float(oracle.schedule.sigma(100.0))
    torch.testing.assert_close(alpha * one_by_one[0] + sigma * oracle.eps(maps[:1], 100.0)[0], maps[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("slow", {}), ("fast", {"n_steps": 1}), ("fast", {"t_0": 0}), ("fast", {"t_0": 1000}), ("paper", {"t_0": -5})],
)
def test_impossible_presets_are_refused(name, options):
    with pytest.raises(ConfigError, match="AOD-CF"):
        choose(name, NoiseSchedule.linear(), **options)


def test_default_time_follows_the_noise_in_other_schedules():
    short = NoiseSchedule.linear(300, 1e-3, 0.06)
    assert choose("fast", short).t_0 == pytest.approx(short.equivalent_time(700, NoiseSchedule.linear()))
    assert choose("fast", short, t_0=250).t_0 == 250
