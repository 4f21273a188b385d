r"""Frozen networks behind one convention.

A :class:`Denoiser` answers, for a noised map :math:`x_t`, the noise :math:`\epsilon(x_t, t)` in it, and through it the estimate of
the clean map, :math:`\hat x_0 = (x_t - \sigma_t \epsilon) / \alpha_t`. Solvers see nothing else of a network. Whatever a network
predicts is translated (Salimans & Ho 2022, arXiv:2202.00512; Song et al. 2021, arXiv:2011.13456):

==========  ======================================  ==========================================
predicts    its output                              noise
==========  ======================================  ==========================================
``eps``     :math:`\epsilon`                        itself
``x0``      :math:`\hat x_0`                        :math:`(x_t - \alpha_t \hat x_0)/\sigma_t`
``v``       :math:`\alpha_t\epsilon-\sigma_t x_0`   :math:`\alpha_t v + \sigma_t x_t`
``score``   :math:`\nabla \ln p(x_t)`               :math:`-\sigma_t s`
==========  ======================================  ==========================================

The state lives in the network's own range of values; maps are carried there and back at the edges only. Time is a scalar for a
whole batch: one embedding serves every item, so the answer for an item never depends on its place in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from astro_ood.diffusion.execution import EXACT_BELOW, Execution, Runner
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.errors import ModelError

Parameterisation = Literal["eps", "x0", "v", "score"]
PARAMETERISATIONS: tuple[Parameterisation, ...] = get_args(Parameterisation)
Network = Callable[[Tensor, Tensor], Tensor]


class Denoiser:
    """A frozen denoiser: never trained, never changed.

    Parameters
    ----------
    net : callable
        ``net(x_t, t)`` with ``x_t`` (N, C, H, W) and ``t`` of shape (1,) or (N,); gives (N, C, H, W), or (N, 2 C, H, W) where a
        variance was learned too, which is not used.
    schedule : NoiseSchedule
        Noise that the network was trained with.
    shape : tuple of int
        (C, H, W) of the maps it was trained on.
    parameterisation : {"eps", "x0", "v", "score"}
        What it predicts.
    data_range : (float, float)
        Range of values of the maps it was trained on; maps in [-1, 1] are carried into it.
    stride : int
        Sides of maps must be multiples of it.
    fixed_size : bool
        Whether it takes maps of its own shape only.
    smallest : int
        Smallest side that it takes; its stride by default.
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
        net: Network,
        schedule: NoiseSchedule,
        shape: tuple[int, int, int],
        *,
        parameterisation: Parameterisation = "eps",
        data_range: tuple[float, float] = (-1.0, 1.0),
        stride: int = 1,
        fixed_size: bool = False,
        smallest: int | None = None,
        name: str = "denoiser",
        sha256: str = "",
        card: dict[str, Any] | None = None,
        device: torch.device | None = None,
    ) -> None:
        if parameterisation not in PARAMETERISATIONS:
            known = ", ".join(PARAMETERISATIONS)
            raise ModelError("MD53", name, f"parameterisation is {parameterisation}, known are {known}", "correct the card")
        if not data_range[0] < data_range[1]:
            raise ModelError("MD53", name, f"range is {list(data_range)}, expected [low, high]", "correct the card")
        self.net, self.schedule, self.shape = net, schedule, shape
        self.parameterisation, self.data_range = parameterisation, data_range
        self.stride, self.fixed_size, self.smallest = stride, fixed_size, stride if smallest is None else smallest
        self.name, self.sha256, self.card = name, sha256, card or {}
        self.runner = Runner(net, device or torch.device("cpu"), Execution())

    def to(self, device: torch.device, execution: Execution | None = None) -> Denoiser:
        """Make the network ready for a device and a way of execution: the present one by default, plain float32 at first."""
        self.runner = Runner(self.net, device, execution or self.execution)
        return self

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.runner.device

    @property
    def execution(self) -> Execution:
        """How it is executed there."""
        return self.runner.execution

    def raw(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """The network's own output for `x_t` (N, C, H, W) at time `t` (scalar or one per item)."""
        time = torch.as_tensor(t, dtype=torch.float64).reshape(-1)
        clean = float(self.schedule.sigma(float(time.min()))) < EXACT_BELOW if self.execution.precision != "fp32" else True
        return self.runner(x_t, time.float(), exact=clean)

    def eps(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Predicted noise, shape (N, C, H, W)."""
        out = self.raw(x_t, t)[:, : x_t.shape[1]]
        if self.parameterisation == "eps":
            return out
        x = x_t.to(out.device)
        alpha, sigma = self._amplitudes(t, out)
        if self.parameterisation == "x0":
            return (x - alpha * out) / sigma
        return alpha * out + sigma * x if self.parameterisation == "v" else -sigma * out

    def __call__(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Estimate of the clean map, shape (N, C, H, W)."""
        eps = self.eps(x_t, t)
        alpha, sigma = self._amplitudes(t, eps)
        return (x_t.to(eps.device) - sigma * eps) / alpha

    def _amplitudes(self, t: float | Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at `t`, ready to multiply `like`."""
        time = torch.as_tensor(t, dtype=torch.float64).cpu().numpy()
        shape = (-1, 1, 1, 1) if time.ndim else ()
        alpha, sigma = (
            torch.as_tensor(f(time)).to(like.dtype).reshape(shape).to(like.device)
            for f in (self.schedule.alpha, self.schedule.sigma)
        )
        return alpha, sigma


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
