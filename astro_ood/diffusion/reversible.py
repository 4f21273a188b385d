r"""Solvers whose decoding runs an inversion backwards, and what each pays for that.

:class:`Implicit` asks for the latent whose DDIM decoding *is* the map: each step up solves
:math:`y_s = y_t + (v_s - v_t)\,\epsilon(\alpha_s y_s, s)` with :math:`y = x/\alpha, v = \sigma/\alpha` by a fixed number of
fixed-point iterations. It need not contract out of domain, so it returns its residual and promises nothing.

:class:`BELM` (O-BELM: Wang et al. 2024, arXiv:2410.07273) is a two-step method that is its own inverse to rounding. Its state is a
*pair* of neighbouring maps: where one latent is wanted there is none, so it serves for reconstruction only. A map comes back
exactly however wrong the latent is: its round trip says nothing of accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.schedule import Array
from astro_ood.diffusion.solver import DDIM, Trajectory, integrate


def _axes(denoiser: Denoiser, t: float) -> tuple[float, float]:
    """alpha and sigma/alpha at `t`."""
    alpha = float(denoiser.schedule.alpha(t))
    return alpha, float(denoiser.schedule.sigma(t)) / alpha


class Implicit:
    """DDIM decoding with the inversion that belongs to it.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    iterations : int
        Evaluations of each step up; a step down is one of DDIM.

    Attributes
    ----------
    residual : Tensor, shape (N,)
        The largest, over the steps up, root mean square change of a map in the last iteration, in units of the map's own.
    """

    def __init__(self, denoiser: Denoiser, iterations: int = 4) -> None:
        self.denoiser, self.iterations = denoiser, iterations
        self.evaluations = 0
        self.residual = torch.zeros(0)
        self._eps: Tensor | None = None

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        if s < t:
            self.evaluations += 1
            return DDIM(self.denoiser).step(x_t, t, s)
        (alpha_t, v_t), (alpha_s, v_s) = _axes(self.denoiser, t), _axes(self.denoiser, s)
        # the last noise of the step before is the first guess; the first step guesses that there is none
        y_t = x_t / alpha_t
        x_s = alpha_s * (y_t if self._eps is None else y_t + (v_s - v_t) * self._eps)
        for _ in range(self.iterations):
            guess = x_s
            self._eps = self.denoiser.eps(guess, s)
            x_s = alpha_s * (y_t + (v_s - v_t) * self._eps)
        self.evaluations += self.iterations
        change = ((x_s - guess).square().mean((1, 2, 3)) / x_s.square().mean((1, 2, 3))).sqrt()
        self.residual = change if self.residual.numel() == 0 else torch.maximum(self.residual, change)
        return x_s


class BELM:
    """The optimal bidirectional explicit linear two-step method.

    One solver goes up *and* down: its memory is the other half of the state, and the step that leads back to a remembered time
    returns what it remembers.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        self.denoiser = denoiser
        self.evaluations = 0
        self._past: tuple[float, Tensor] | None = None

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        past, self._past = self._past, (t, x_t)
        if past is not None and past[0] == s:
            return past[1]
        self.evaluations += 1
        if past is None:
            return DDIM(self.denoiser).step(x_t, t, s)
        (alpha_r, v_r), (alpha_t, v_t), (alpha_s, v_s) = (_axes(self.denoiser, u) for u in (past[0], t, s))
        ratio = (v_s - v_t) / (v_t - v_r)
        y_s = ratio**2 * past[1] / alpha_r + (1 - ratio**2) * x_t / alpha_t
        return alpha_s * (y_s + (v_s - v_t) * (1 + ratio) * self.denoiser.eps(x_t, t))


def reconstruct(denoiser: Denoiser, x: Tensor, times: Sequence[float] | Array) -> Trajectory:
    """Carry maps (N, C, H, W) up along `times` and back by O-BELM; equal to the input up to rounding, whatever lies between."""
    solver, path = BELM(denoiser), [float(t) for t in times]
    return integrate(solver, integrate(solver, x, path).x, path[::-1])
