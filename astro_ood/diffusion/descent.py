r"""Descent of many small problems at once, each by itself.

Limited-memory BFGS (Liu & Nocedal 1989, Math. Program. 45, 503) in which every item of a batch has a direction, a step and a history
of its own. The objectives are sums of squares that can vanish, so the first step is Polyak's, :math:`f / |g|^2`. A step that does not
descend is taken back, the item forgets its history and tries half as far: no item ever ends higher than it began, and none waits for
another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]
_TINY = 1e-30


def descend(objective: Objective, start: Tensor, steps: int, memory: int = 10) -> tuple[Tensor, Tensor]:
    """Go downhill from `start`.

    Parameters
    ----------
    objective : callable
        Gives one value an item (N,), at variables (N, M); differentiable.
    start : Tensor, shape (N, M)
    steps : int
        Evaluations of the objective and its gradient after the first.
    memory : int
        Pairs of differences kept.

    Returns
    -------
    x : Tensor, shape (N, M)
    value : Tensor, shape (N,)
    """
    x = start.detach()
    value, gradient = _evaluate(objective, x)
    past: list[tuple[Tensor, Tensor, Tensor]] = []
    fresh, reach = torch.ones_like(value, dtype=torch.bool), torch.ones_like(value)
    for _ in range(steps):
        direction = _two_loops(gradient, past)
        slope = (direction * gradient).sum(dim=1)
        polyak = value / gradient.square().sum(dim=1).clamp_min(_TINY)
        steepest = fresh | ~(slope < 0)
        direction = torch.where(steepest[:, None], -polyak[:, None] * gradient, direction)
        tried = x + reach[:, None] * direction
        new_value, new_gradient = _evaluate(objective, tried)
        better = new_value < value
        s = torch.where(better[:, None], tried - x, 0.0)
        y = torch.where(better[:, None], new_gradient - gradient, 0.0)
        curvature = (s * y).sum(dim=1)
        rho = torch.where(curvature > 1e-10 * y.square().sum(dim=1), 1 / curvature.clamp_min(_TINY), 0.0)
        # an item that went uphill begins anew: its pairs no longer count
        past = [(a, b, torch.where(better, r, 0.0)) for a, b, r in [*past, (s, y, rho)][-memory:]]
        fresh = ~better | (fresh & ~(rho > 0))
        reach = torch.where(better, (2 * reach).clamp_max(1.0), 0.5 * reach)
        x = torch.where(better[:, None], tried, x)
        value = torch.where(better, new_value, value)
        gradient = torch.where(better[:, None], new_gradient, gradient)
    return x, value


def _evaluate(objective: Objective, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    value = objective(x)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), gradient


def _two_loops(gradient: Tensor, past: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Minus the approximate inverse Hessian times the gradient; a pair with rho = 0 does not count."""
    q, factors = gradient, []
    gamma = torch.ones_like(gradient[:, 0])
    for _, y, rho in past:
        newest = 1 / (rho * y.square().sum(dim=1)).clamp_min(_TINY)
        gamma = torch.where(rho > 0, newest, gamma)
    for s, y, rho in reversed(past):
        factor = rho * (s * q).sum(dim=1)
        q = q - factor[:, None] * y
        factors.append(factor)
    q = gamma[:, None] * q
    for (s, y, rho), factor in zip(past, reversed(factors), strict=True):
        q = q + (factor - rho * (y * q).sum(dim=1))[:, None] * s
    return -q
