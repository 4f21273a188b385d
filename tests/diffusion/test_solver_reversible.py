"""Reversible solvers: what comes back, and what it says of the latent."""

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.reversible import BELM, Implicit, reconstruct
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import DDIM, integrate
from astro_ood.selftest import gaussian_oracle


def _round_trip(solver_up, solver_down, maps, times):
    latent = integrate(solver_up, maps, times).x
    return float((integrate(solver_down, latent, times[::-1]).x - maps).abs().max())


def test_implicit_inversion_is_inverted_by_ddim():
    oracle, maps = gaussian_oracle()
    times = oracle.schedule.timesteps(41, 700.0)
    explicit = _round_trip(DDIM(oracle), DDIM(oracle), maps, times)
    rough, fine = Implicit(oracle, 2), Implicit(oracle, 40)
    errors = [_round_trip(solver, DDIM(oracle), maps, times) for solver in (rough, fine)]
    assert errors[1] < 1e-8 < errors[0] < explicit
    assert float(fine.residual.max()) < 1e-9 < float(rough.residual.max())
    assert rough.residual.shape == (len(maps),)


def test_implicit_counts_every_evaluation():
    oracle, maps = gaussian_oracle()
    solver = Implicit(oracle, 5)
    assert integrate(solver, maps, [0.0, 20.0, 80.0]).evaluations == 10
    assert integrate(Implicit(oracle, 5), maps, [80.0, 20.0, 0.0]).evaluations == 2


def test_implicit_says_where_it_does_not_converge():
    """A network that answers wildly: the iteration diverges, and the residual tells."""
    wild = Denoiser(lambda x, t: 50 * torch.sin(7 * x), NoiseSchedule.linear(), (1, 8, 8))
    maps = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 8, 8)))
    solver = Implicit(wild, 6)
    integrate(solver, maps, [0.0, 100.0, 300.0])
    assert float(solver.residual.min()) > 0.1


@pytest.mark.parametrize("steps", [2, 10, 40])
def test_belm_returns_the_map_to_rounding(steps):
    oracle, maps = gaussian_oracle()
    found = reconstruct(oracle, maps, oracle.schedule.timesteps(steps + 1, 700.0))
    torch.testing.assert_close(found.x, maps, rtol=0, atol=1e-9)
    assert found.evaluations == 2 * steps - 1


def test_belm_returns_the_map_from_a_wrong_latent():
    """The round trip of an exactly reversible method is no measure of accuracy."""
    oracle, maps = gaussian_oracle()
    times = np.linspace(0.0, 900.0, 9)
    latent = integrate(BELM(oracle), maps, times).x
    exact = oracle.exact(maps, 0.0, 900.0)
    assert float((latent - exact).square().mean().sqrt() / exact.std()) > 0.1
    assert float((reconstruct(oracle, maps, times).x - maps).abs().max()) < 1e-6


def test_belm_is_the_published_update():
    """Equation of O-BELM: x_{i-1} from x_{i+1}, x_i and the noise at x_i, with steps h of sigma / alpha."""
    oracle, maps = gaussian_oracle()
    schedule, times = oracle.schedule, [300.0, 200.0, 50.0]
    a = [float(schedule.alpha(t)) for t in times]
    v = [float(schedule.sigma(t)) / alpha for t, alpha in zip(times, a, strict=True)]
    x_i = integrate(DDIM(oracle), maps, times[:2]).x
    h_next, h = v[0] - v[1], v[1] - v[2]
    expected = (h / h_next) ** 2 * a[2] / a[0] * maps + (h_next**2 - h**2) / h_next**2 * a[2] / a[1] * x_i
    expected = expected - h * (h + h_next) / h_next * a[2] * oracle.eps(x_i, times[1])
    torch.testing.assert_close(integrate(BELM(oracle), maps, times).x, expected, rtol=1e-10, atol=1e-10)


def test_implicit_belongs_to_a_preset():
    oracle, maps = gaussian_oracle()
    preset = choose("fast", oracle.schedule, solver="implicit")
    solver = preset.make_solver(oracle)
    assert integrate(solver, maps, preset.times_up(oracle.schedule)).evaluations == preset.evaluations_up <= 24
