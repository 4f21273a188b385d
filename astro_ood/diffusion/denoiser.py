r"""Frozen networks behind one convention.

A :class:`Denoiser` answers, for a noised map :math:`x_t`, the noise :math:`\epsilon(x_t, t)` in it, and through it the estimate of
the clean map, :math:`\hat x_0 = (x_t - \sigma_t \epsilon) / \alpha_t`. Solvers see nothing else of a network. Time is a scalar for
a whole batch: one embedding serves every item, so the answer for an item never depends on its place in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from astro_ood.diffusion.schedule import NoiseSchedule


class Denoiser:
    """A frozen denoiser: never trained, never changed.

    Parameters
    ----------
    net : callable
        ``net(x_t, t) -> eps`` with ``t`` of shape (1,) or (N,).
    schedule : NoiseSchedule
        Noise that the network was trained with.
    shape : tuple of int
        (C, H, W) of the maps it was trained on.
    stride : int
        Sides of maps must be multiples of it.
    name : str
        Name for provenance.
    sha256 : str
        Hash of the weights, empty where there are none.
    card : dict
        What is known of the weights: licence, training data, measured errors.
    device : torch.device
        Where the network lives.
    """

    def __init__(
        self,
        net: Callable[[Tensor, Tensor], Tensor],
        schedule: NoiseSchedule,
        shape: tuple[int, int, int],
        *,
        stride: int = 1,
        name: str = "denoiser",
        sha256: str = "",
        card: dict[str, Any] | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.net, self.schedule, self.shape, self.stride = net, schedule, shape, stride
        self.name, self.sha256, self.card = name, sha256, card or {}
        self.device = device or torch.device("cpu")

    def to(self, device: torch.device) -> Denoiser:
        """Move the network to another device."""
        if isinstance(self.net, torch.nn.Module):
            self.net.to(device)
        self.device = device
        return self

    def raw(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """The network's own output for `x_t` (N, C, H, W) at time `t` (scalar or one per item)."""
        time = torch.as_tensor(t, dtype=torch.float32, device=self.device).reshape(-1)
        with torch.no_grad():
            return self.net(x_t.to(self.device), time)

    def eps(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Predicted noise, shape (N, C, H, W)."""
        return self.raw(x_t, t)

    def __call__(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Estimate of the clean map, shape (N, C, H, W)."""
        time = torch.as_tensor(t, dtype=torch.float64).cpu().numpy()
        shape = (-1, 1, 1, 1) if time.ndim else ()
        alpha, sigma = (
            torch.as_tensor(f(time)).float().reshape(shape).to(x_t.device) for f in (self.schedule.alpha, self.schedule.sigma)
        )
        return (x_t - sigma * self.eps(x_t, t)) / alpha


class GaussianDenoiser(Denoiser):
    r"""The exact denoiser of a stationary Gaussian field: the oracle of every solver test.

    For a field of spectrum :math:`P` the noise in mode :math:`k` is
    :math:`\epsilon_k = \sigma_t x_{t,k} / (\alpha_t^2 P_k + \sigma_t^2)`, and the probability flow takes a map from ``t`` to ``s``
    by the factor :math:`\sqrt{(\alpha_s^2 P_k + \sigma_s^2) / (\alpha_t^2 P_k + \sigma_t^2)}`. It is no model of maps outside its
    domain: an analytic score does not reconstruct them, a trained network does.

    Parameters
    ----------
    power : Tensor, shape (H, W)
        Variance of each mode of the orthonormal two-dimensional Fourier transform.
    schedule : NoiseSchedule
        Noise schedule.
    """

    def __init__(self, power: Tensor, schedule: NoiseSchedule) -> None:
        super().__init__(self._eps, schedule, (1, power.shape[0], power.shape[1]), name="gaussian-oracle")
        self.power = power.double()

    def _filter(self, x: Tensor, response: Tensor) -> Tensor:
        return torch.fft.ifft2(torch.fft.fft2(x.double()) * response).real.to(x.dtype)

    def _eps(self, x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = float(self.schedule.alpha(float(t[0]))), float(self.schedule.sigma(float(t[0])))
        return self._filter(x_t, sigma / (alpha**2 * self.power + sigma**2))

    def exact(self, x_t: Tensor, t: float, s: float) -> Tensor:
        """Exact solution at `s` of the probability flow that passes through `x_t` at `t`."""
        variance = [float(self.schedule.alpha(u)) ** 2 * self.power + float(self.schedule.sigma(u)) ** 2 for u in (t, s)]
        return self._filter(x_t, (variance[1] / variance[0]).sqrt())
