"""Presets: what they cost, what they refuse, and where they go in other schedules."""

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.presets import PRESETS, choose, latent_solvers, published_t_0
from astro_ood.diffusion.schedule import ContinuousSchedule, NoiseSchedule
from astro_ood.diffusion.solver import DDIM, integrate
from astro_ood.errors import ConfigError
from astro_ood.selftest import gaussian_oracle


class Counting(Denoiser):
    """The oracle, and the times at which it was asked."""

    def __init__(self, oracle):
        super().__init__(oracle.net, oracle.schedule, oracle.shape)
        self.oracle, self.calls = oracle, []

    def raw(self, x_t, t):
        self.calls.append(float(t))
        return self.oracle.raw(x_t, t)


def _count(preset):
    oracle, maps = gaussian_oracle()
    counting, found = Counting(oracle), []
    for times in (preset.times_up(oracle.schedule), preset.times_down(oracle.schedule)):
        counting.calls.clear()
        assert integrate(preset.make_solver(counting), maps, times).evaluations == len(counting.calls)
        found.append(list(counting.calls))
    return found


def test_paper_preset_evaluates_where_the_published_code_does():
    up, down = _count(choose("paper", NoiseSchedule.linear()))
    assert (len(up), len(down)) == (79, 80)
    assert up[:5] == [0, 11, 22, 34, 45]
    assert up[-1] == 888
    assert down[0] == 900
    assert down[-2:] == [11, 0]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_make_as_many_evaluations_as_they_say(name):
    preset = choose(name, NoiseSchedule.linear())
    up, down = _count(preset)
    assert (len(up), len(down)) == (preset.evaluations_up, preset.evaluations_down)


@pytest.mark.parametrize("solver", latent_solvers())
@pytest.mark.parametrize("n_steps", [5, 8, 13])
def test_number_of_evaluations_is_a_cap_in_every_solver(solver, n_steps):
    preset = choose("fast", NoiseSchedule.linear(), solver=solver, n_steps=n_steps)
    up, down = _count(preset)
    assert (len(up), len(down)) == (preset.evaluations_up, preset.evaluations_down)
    method = SOLVERS[solver]
    assert max(len(up), len(down)) <= n_steps < max(len(up), len(down)) + max(method.up, method.down)


@pytest.mark.parametrize("solver", latent_solvers())
def test_refined_halves_every_step(solver):
    schedule = NoiseSchedule.linear()
    preset = choose("fast", schedule, solver=solver)
    fine = preset.refined().times_up(schedule)
    np.testing.assert_allclose(fine[::2], preset.times_up(schedule), atol=1e-9)


def test_refined_paper_grid_has_twice_the_steps():
    preset = choose("paper", NoiseSchedule.linear())
    assert preset.refined().evaluations_up == 2 * preset.evaluations_up


def test_stochastic_decoding_is_ddim():
    oracle, _ = gaussian_oracle()
    solver = choose("accurate", oracle.schedule).make_solver(oracle, 0.5, lambda: torch.zeros(1))
    assert isinstance(solver, DDIM)
    assert solver.eta == 0.5


def test_reversible_pairs_are_refused_where_latents_are_wanted():
    with pytest.raises(ConfigError, match=r"AOD-CF45 solver: 'belm' .*reconstruction only"):
        choose("fast", NoiseSchedule.linear(), solver="belm")


def test_paper_is_ddim():
    assert choose("paper", NoiseSchedule.linear(), solver="ddim") == choose("paper", NoiseSchedule.linear())
    with pytest.raises(ConfigError, match="AOD-CF45 solver: the preset paper is DDIM"):
        choose("paper", NoiseSchedule.linear(), solver="ab2")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("slow", {}),
        ("fast", {"n_steps": 1}),
        ("fast", {"n_steps": 3, "solver": "rk4"}),
        ("fast", {"t_0": 0}),
        ("fast", {"t_0": 1000}),
        ("fast", {"t_0": float("nan")}),
        ("fast", {"solver": "euler"}),
        ("paper", {"t_0": -5}),
        ("paper", {"n_steps": 1}),
    ],
)
def test_impossible_presets_are_refused(name, options):
    with pytest.raises(ConfigError, match="AOD-CF"):
        choose(name, NoiseSchedule.linear(), **options)


@pytest.mark.parametrize("schedule", [NoiseSchedule.linear(300, 1e-3, 0.06), NoiseSchedule.cosine(300), ContinuousSchedule(10.0)])
def test_default_time_follows_the_noise_in_other_schedules(schedule):
    published = NoiseSchedule.linear()
    preset = choose("fast", schedule)
    assert float(schedule.log_snr(preset.t_0)) == pytest.approx(float(published.log_snr(700.0)))
    assert float(schedule.log_snr(published_t_0(schedule))) == pytest.approx(float(published.log_snr(900.0)))
    assert preset.times_up(schedule)[0] == schedule.first
    assert choose("fast", schedule, t_0=5).t_0 == 5


def test_paper_in_continuous_time_has_equal_steps():
    schedule = ContinuousSchedule(10.0)
    preset = choose("paper", schedule)
    steps = np.diff(preset.times_up(schedule))
    np.testing.assert_allclose(steps, steps[0])
    assert preset.times_down(schedule)[-1] == -1


def test_tolerance_is_what_a_probe_chose():
    schedule = NoiseSchedule.linear()
    with pytest.raises(ConfigError, match=r"AOD-CF10 preset: tolerance: .* probe"):
        choose("tolerance", schedule)
    preset = choose("tolerance", schedule, solver="dpm2m", n_steps=17)
    assert (preset.name, preset.solver, preset.evaluations_up) == ("tolerance", "dpm2m", 17)
