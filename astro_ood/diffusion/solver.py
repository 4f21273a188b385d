r"""Solvers of the probability flow: one step for both directions, one loop.

With :math:`y = x / \alpha` and :math:`v = \sigma / \alpha` deterministic DDIM (Song et al. 2021, arXiv:2010.02502) solves

.. math:: \mathrm{d} y / \mathrm{d} v = \epsilon(x, t),

whichever way time runs: *inversion* steps to larger ``t`` and ends at a latent, *decoding* steps to smaller ``t`` and ends at a map.
:class:`DDIM` is Euler's method, evaluated at the time stepped from; :class:`Multistep` extrapolates :math:`\epsilon` linearly in the log
signal-to-noise ratio from the last two evaluations (second order; the exponential integrator of DPM-Solver, arXiv:2206.00927,
arXiv:2211.01095). The clean end is ``t = -1``.
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


class Multistep:
    """Second-order two-step Adams-Bashforth method in the log signal-to-noise ratio.

    The first step has no memory. It is made by Heun's rule, whose second evaluation then serves as memory of the second step: one
    extra evaluation in all.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.evaluations = 0
        self._past: tuple[float, Tensor] | None = None

    def _eps(self, x: Tensor, t: float) -> Tensor:
        self.evaluations += 1
        return self.denoiser.eps(x, t)

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        schedule = self.denoiser.schedule
        alpha_t, alpha_s = float(schedule.alpha(t)), float(schedule.alpha(s))
        lam_t, lam_s = 0.5 * float(schedule.log_snr(t)), 0.5 * float(schedule.log_snr(s))
        v_t, v_s = float(np.exp(-lam_t)), float(np.exp(-lam_s))
        # integral of (lam - lam_t) dv between the two times
        slope_weight = (lam_s - lam_t) * v_s + v_s - v_t
        eps = self._eps(x_t, t)
        euler = x_t / alpha_t + (v_s - v_t) * eps
        if self._past is None:
            slope = (self._eps(alpha_s * euler, s) - eps) / (lam_s - lam_t)
        else:
            lam_past, eps_past = self._past
            slope = (eps - eps_past) / (lam_t - lam_past)
        self._past = (lam_t, eps)
        return alpha_s * (euler + slope_weight * slope)


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
    # TF32 would round the network's own arithmetic to three digits, and tuned kernels may differ from call to call
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for t, s in pairwise(path):
            x = solver.step(x, t, s)
            if keep:
                states.append(x)
            if on_step is not None:
                on_step()
    return Trajectory(path, x, solver.evaluations, tuple(states) if keep else None)
