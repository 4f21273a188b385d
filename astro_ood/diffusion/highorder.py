r"""Solvers of higher order in the log signal-to-noise ratio.

With :math:`\lambda = \ln(\alpha / \sigma)` the probability flow is a quadrature, in either of two forms:

.. math:: \mathrm{d}\,\frac{x}{\alpha} = \epsilon\, \mathrm{d} e^{-\lambda}, \qquad
          \mathrm{d}\,\frac{x}{\sigma} = \hat x_0\, \mathrm{d} e^{\lambda} .

Both treat the linear part exactly (DPM-Solver, arXiv:2206.00927; DPM-Solver++, arXiv:2211.01095). What the network answers,
:math:`\epsilon` or :math:`\hat x_0`, is replaced by a polynomial through its values at some times, in :math:`\lambda` or in
:math:`e^{-p\lambda}`, and that is integrated exactly. A constant gives DDIM in both forms. They differ from second order on, by what
is nearly straight in what.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from astro_ood.diffusion.denoiser import Denoiser

Prediction = Literal["eps", "x0"]
Sample = tuple[float, Tensor]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def exponential_weights(nodes: Sequence[float], start: float, stop: float, sign: int, power: float = 0.0) -> list[float]:
    r"""Weights of values at `nodes` in :math:`\int f\, \mathrm{d} e^{s \lambda}` over the polynomial through them.

    Parameters
    ----------
    nodes : sequence of float
        Distinct :math:`\lambda` at which the integrand is known.
    start, stop : float
        Limits of the integral.
    sign : {-1, 1}
        :math:`s`.
    power : float
        :math:`p` of the polynomial's variable :math:`e^{-p\lambda}`; 0 for :math:`\lambda` itself.

    Returns
    -------
    list of float
        One weight a node, from 16-point Gauss-Legendre quadrature: exact to rounding for steps below 4.
    """
    lam = 0.5 * (start + stop) + 0.5 * (stop - start) * _NODES
    measure = 0.5 * (stop - start) * _WEIGHTS * sign * np.exp(sign * lam)
    known = np.asarray(nodes, dtype=np.float64)
    if power:
        lam, known = np.exp(-power * lam), np.exp(-power * known)
    weights = []
    for j, node in enumerate(known):
        others = np.delete(known, j)
        weights.append(float(measure @ np.prod((lam[:, None] - others) / (node - others), axis=1)))
    return weights


class _Exponential:
    r"""What all solvers here share: counted evaluations, and steps along a polynomial in the log signal-to-noise ratio.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    predict : {"eps", "x0"}
        Which answer of the network is taken for a polynomial.
    power : float
        In which variable, :math:`e^{-p\lambda}`; 0 for :math:`\lambda`.
    """

    def __init__(self, denoiser: Denoiser, predict: Prediction = "eps", power: float = 0.0) -> None:
        self.denoiser, self.predict, self.power = denoiser, predict, power
        self.evaluations = 0
        self._sign = -1 if predict == "eps" else 1

    def _lam(self, t: float) -> float:
        return 0.5 * float(self.denoiser.schedule.log_snr(t))

    def _scale(self, t: float) -> float:
        schedule = self.denoiser.schedule
        return float(schedule.alpha(t) if self.predict == "eps" else schedule.sigma(t))

    def _sample(self, x_t: Tensor, t: float) -> Sample:
        """One evaluation: where it stands and what the network answers."""
        self.evaluations += 1
        eps = self.denoiser.eps(x_t, t)
        if self.predict == "x0":
            schedule = self.denoiser.schedule
            return self._lam(t), (x_t - float(schedule.sigma(t)) * eps) / float(schedule.alpha(t))
        return self._lam(t), eps

    def _carry(self, x_t: Tensor, t: float, s: float, samples: Sequence[Sample]) -> Tensor:
        """Carry maps from `t` to `s` along the polynomial through the samples."""
        weights = exponential_weights([lam for lam, _ in samples], self._lam(t), self._lam(s), self._sign, self.power)
        scale_t, scale_s = self._scale(t), self._scale(s)
        x_s = (scale_s / scale_t) * x_t
        for weight, (_, value) in zip(weights, samples, strict=True):
            x_s = x_s + (scale_s * weight) * value
        return x_s


class Heun(_Exponential):
    """Second-order one-step method: an Euler step, evaluated at its end, made again with both values. Two evaluations a step."""

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        here = self._sample(x_t, t)
        there = self._sample(self._carry(x_t, t, s, [here]), s)
        return self._carry(x_t, t, s, [here, there])


class RungeKutta4(_Exponential):
    """Exponential Runge-Kutta method of fourth order, four evaluations a step (Cox & Matthews 2002, J. Comput. Phys. 176, 430)."""

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        schedule = self.denoiser.schedule
        middle = float(schedule.time_of(self._lam(t) + self._lam(s)))
        first = self._sample(x_t, t)
        half_way = self._carry(x_t, t, middle, [first])
        second = self._sample(half_way, middle)
        third = self._sample(self._carry(x_t, t, middle, [second]), middle)
        ahead = (third[0], 2 * third[1] - first[1])
        fourth = self._sample(self._carry(half_way, middle, s, [ahead]), s)
        centre = (third[0], 0.5 * (second[1] + third[1]))
        return self._carry(x_t, t, s, [first, centre, fourth])


class Multistep(_Exponential):
    r"""Adams-Bashforth method: the polynomial goes through the last `order` evaluations, one new one a step.

    The first step has no memory and is made by Heun's rule: one evaluation more in all. A third-order method takes its second step
    with second order.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    order : int
        Number of evaluations remembered.
    predict : {"eps", "x0"}
        Which answer of the network is taken for a polynomial.
    power : float
        In which variable, :math:`e^{-p\lambda}`; 0 for :math:`\lambda`.
    corrected : bool
        Whether each evaluation first makes again the step that led to it (Adams-Moulton of one order more, at no further cost; the
        corrector of UniPC, arXiv:2302.04867).
    """

    def __init__(
        self, denoiser: Denoiser, order: int = 2, predict: Prediction = "eps", power: float = 0.0, *, corrected: bool = False
    ) -> None:
        super().__init__(denoiser, predict, power)
        self.order, self.corrected = order, corrected
        self._past: list[Sample] = []
        self._before: tuple[float, Tensor] | None = None

    def step(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Carry maps (N, C, H, W) from time `t` to time `s`."""
        here = self._sample(x_t, t)
        if self.corrected and self._before is not None:
            start, x_start = self._before
            x_t = self._carry(x_start, start, t, [here, *self._past[: self.order]])
        first = not self._past
        self._past, self._before = [here, *self._past[: self.order - 1]], (t, x_t)
        if first and self.order > 1:
            there = self._sample(self._carry(x_t, t, s, [here]), s)
            return self._carry(x_t, t, s, [here, there])
        return self._carry(x_t, t, s, self._past)
