r"""Solvers of the probability flow: one step for both directions, one loop.

With :math:`y = x / \alpha` and :math:`v = \sigma / \alpha` deterministic DDIM (Song et al. 2021, arXiv:2010.02502) solves

.. math:: \mathrm{d} y / \mathrm{d} v = \epsilon(x, t),

whichever way time runs: *inversion* steps to larger ``t`` and ends at a latent, *decoding* steps to smaller ``t`` and ends at a map.
:class:`DDIM` is Euler's method, evaluated at the time stepped from. Methods of higher order are in `highorder`, methods that run
backwards what they did in `reversible`, all of them by name in `methods`. The clean end is ``t = -1``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.schedule import Array

Noise = Callable[[], Tensor]


class Solver(Protocol):
    """A numerical method with the memory of one integration."""

    evaluations: int

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""


class DDIM:
    """First-order step, deterministic for ``eta = 0``.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    eta : float
        Stochasticity of decoding (0 deterministic, 1 ancestral); only for steps towards the clean end.
    noise : callable, optional
        Gives the next standard normal draw (N, C, H, W); needed where ``eta > 0``.
    """

    def __init__(self, denoiser: Denoiser, eta: float = 0.0, noise: Noise | None = None) -> None:
        self.denoiser, self.eta, self.noise = denoiser, eta, noise
        self.evaluations = 0

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        schedule = self.denoiser.schedule
        alpha_t, sigma_t, alpha_s, sigma_s = (float(f(u)) for u in (t, s) for f in (schedule.alpha, schedule.sigma))
        eps = self.denoiser.eps(x_t, t)
        eta_term = 0.0
        if self.eta > 0 and s < t:
            eta_term = self.eta * (sigma_s / sigma_t) * float(np.sqrt(max(0.0, 1 - (alpha_t / alpha_s) ** 2)))
        x0_hat = (x_t - sigma_t * eps) / alpha_t
        x_s = alpha_s * x0_hat + float(np.sqrt(max(0.0, sigma_s**2 - eta_term**2))) * eps
        if eta_term > 0:
            assert self.noise is not None
            x_s = x_s + eta_term * self.noise()
        self.evaluations += 1
        return x_s


@dataclass(frozen=True)
class Trajectory:
    """Result of one integration.

    Attributes
    ----------
    times : tuple of float
        Times visited.
    x : Tensor, shape (N, C, H, W)
        Final state.
    evaluations : int
        Network evaluations per item.
    states : tuple of Tensor or None
        State at every time, where they were asked for.
    """

    times: tuple[float, ...]
    x: Tensor
    evaluations: int
    states: tuple[Tensor, ...] | None = None


def integrate(
    solver: Solver, x: Tensor, times: Sequence[float] | Array, *, keep: bool = False, on_step: Callable[[], None] | None = None
) -> Trajectory:
    """Carry maps along `times`, up (inversion) or down (decoding).

    Parameters
    ----------
    solver : Solver
        Fresh solver.
    x : Tensor, shape (N, C, H, W)
        State at ``times[0]``.
    times : sequence of float
        Monotone times.
    keep : bool
        Keep every state.
    on_step : callable, optional
        Called after every step: progress.

    Returns
    -------
    Trajectory
    """
    path = tuple(float(t) for t in times)
    states = [x]
    with torch.inference_mode():
        for t, s in pairwise(path):
            x = solver.step(x, t, s)
            if keep:
                states.append(x)
            if on_step is not None:
                on_step()
    return Trajectory(path, x, solver.evaluations, tuple(states) if keep else None)
