r"""Noise schedules.

A diffusion model knows maps at every noise level ``t``:

.. math:: x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \alpha_t^2 + \sigma_t^2 = 1 .

Discrete networks are trained at ``t = 0 .. T-1`` with :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s) = \alpha_t^2`
(Ho et al. 2020, arXiv:2006.11239). Between their steps the logarithm of the signal-to-noise ratio
:math:`\ln(\alpha_t^2 / \sigma_t^2)` is linear in ``t``; rounding to whole steps would destroy the order of convergence of every
solver. Score networks are trained in continuous time on a variance-preserving process (Song et al. 2021, arXiv:2011.13456).
``t = -1`` is the clean end: :math:`\alpha = 1, \sigma = 0`. All arithmetic is float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood.errors import ModelError

Array = NDArray[np.float64]
Grid = Literal["published", "log_snr"]
CLEAN = -1.0


class NoiseSchedule:
    """Signal and noise amplitude of a diffusion process as functions of time.

    Parameters
    ----------
    alpha_bar : array_like, shape (T,)
        Cumulative products of ``1 - beta``: decreasing, inside (0, 1).

    Attributes
    ----------
    first : float
        Earliest time of the network, where a clean map stands.
    last : float
        Latest time of the network.

    Raises
    ------
    ValueError
        If `alpha_bar` is not strictly decreasing inside (0, 1).
    """

    def __init__(self, alpha_bar: ArrayLike) -> None:
        self.alpha_bar: Array = np.asarray(alpha_bar, dtype=np.float64)
        a = self.alpha_bar
        if a.ndim != 1 or a.size < 2 or not (np.all(a > 0) and np.all(a < 1) and np.all(np.diff(a) < 0)):
            raise ValueError("alpha_bar must be a strictly decreasing sequence inside (0, 1)")
        self._log_snr = np.log(a) - np.log1p(-a)
        self.first, self.last = 0.0, float(a.size - 1)

    @classmethod
    def linear(cls, n: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02) -> NoiseSchedule:
        """Betas linear in time: the schedule of DDPM, iDDPM ("linear") and the published code."""
        return cls.from_betas(np.linspace(beta_first, beta_last, n))

    @classmethod
    def cosine(cls, n: int = 1000, s: float = 0.008, beta_clip: Sequence[float] = (0.0, 0.999)) -> NoiseSchedule:
        """Cumulative products that follow a squared cosine, betas clipped (Nichol & Dhariwal 2021, arXiv:2102.09672)."""
        lowest, highest = beta_clip
        alpha_bar = np.cos((np.arange(n + 1) / n + s) / (1 + s) * np.pi / 2) ** 2
        return cls.from_betas(np.clip(1 - alpha_bar[1:] / alpha_bar[:-1], lowest, highest))

    @classmethod
    def from_betas(cls, betas: ArrayLike) -> NoiseSchedule:
        """Any sequence of betas, each in (0, 1)."""
        return cls(np.cumprod(1.0 - np.asarray(betas, dtype=np.float64)))

    def _between(self, t: Array) -> Array:
        return np.interp(t, np.arange(self.alpha_bar.size), self._log_snr)

    def log_snr(self, t: ArrayLike) -> Array:
        """``ln(alpha_t^2 / sigma_t^2)`` at real-valued ``first <= t <= last``; infinite at the clean end ``t = -1``."""
        t = np.asarray(t, dtype=np.float64)
        if np.any((t != CLEAN) & ~((t >= self.first) & (t <= self.last))):
            raise ValueError(f"t must be -1 or lie in [{self.first:g}, {self.last:g}]")
        return np.where(t == CLEAN, np.inf, self._between(np.maximum(t, self.first)))

    def alpha(self, t: ArrayLike) -> Array:
        """Signal amplitude."""
        return np.exp(-0.5 * np.logaddexp(0.0, -self.log_snr(t)))

    def sigma(self, t: ArrayLike) -> Array:
        """Noise amplitude."""
        return np.exp(-0.5 * np.logaddexp(0.0, self.log_snr(t)))

    def time_of(self, log_snr: ArrayLike) -> Array:
        """Real-valued time at which the log signal-to-noise ratio takes the given value (clamped to [first, last])."""
        times = np.arange(self.alpha_bar.size, dtype=np.float64)
        return np.interp(-np.asarray(log_snr, dtype=np.float64), -self._log_snr, times)

    def equivalent_time(self, t: float, other: NoiseSchedule) -> float:
        """Time in this schedule with the signal-to-noise ratio that `other` has at `t`."""
        return round(float(self.time_of(other.log_snr(t))), 9)  # a time of the same schedule comes back as it is

    def timesteps(self, n: int, stop: float, grid: Grid = "log_snr") -> Array:
        """Increasing times from `first` to `stop`.

        Parameters
        ----------
        n : int
            Number of grid points.
        stop : float
            Last time `t_0`, in the network's own time.
        grid : {"published", "log_snr"}
            ``int(linspace(0, 1, n) * stop)``, as in the published code (not rounded where time is continuous), or real-valued times
            that are equidistant in the log signal-to-noise ratio.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ValueError
            If fewer than two points are asked for, or `stop` lies outside (first, last].
        """
        if n < 2 or not self.first < stop <= self.last:
            raise ValueError(
                f"need at least 2 grid points and {self.first:g} < t_0 <= {self.last:g}, got {n} points and t_0 = {stop}"
            )
        if grid == "published":
            return self._published(n, stop)
        times = self.time_of(np.linspace(self.log_snr(self.first), self.log_snr(stop), n))
        times[[0, -1]] = self.first, stop
        return times

    def _published(self, n: int, stop: float) -> Array:
        return np.floor(np.linspace(0.0, 1.0, n) * stop)


class ContinuousSchedule(NoiseSchedule):
    r"""A variance-preserving process in continuous time, :math:`\bar\alpha_t = \exp(-(a t + b t^2))`.

    Parameters
    ----------
    last : float
        Latest time of the network.
    linear, quadratic : float
        ``a`` and ``b``, not negative and not both zero. Song et al. (arXiv:2011.13456) have ``a = beta_min``,
        ``b = (beta_max - beta_min) / 2`` and ``last = 1``.
    noise_first : float
        ``1 - alpha_bar`` at the earliest time, where a clean map stands: that of the discrete networks by default.
    """

    def __init__(self, last: float, linear: float = 1.0, quadratic: float = 0.0, noise_first: float = 1e-4) -> None:
        if not (linear >= 0 and quadratic >= 0 and linear + quadratic > 0 and last > 0 and 0 < noise_first < 1):
            raise ValueError("expected linear >= 0, quadratic >= 0, not both 0, last > 0, 0 < noise_first < 1")
        self.a, self.b, self.last = float(linear), float(quadratic), float(last)
        self.first = float(self._invert(-np.log1p(-noise_first)))
        if not self.first < self.last:
            raise ValueError("the process ends before it has begun: take a later `last`")

    def _invert(self, exponent: ArrayLike) -> Array:
        """Time at which ``a t + b t^2`` takes a value, in the form that does not cancel."""
        e = np.asarray(exponent, dtype=np.float64)
        return 2 * e / (self.a + np.sqrt(self.a**2 + 4 * self.b * e))

    def _between(self, t: Array) -> Array:
        exponent = self.a * t + self.b * t**2
        return -exponent - np.log(-np.expm1(-exponent))

    def time_of(self, log_snr: ArrayLike) -> Array:
        """Time at which the log signal-to-noise ratio takes the given value (clamped to [first, last])."""
        exponent = np.logaddexp(0.0, -np.asarray(log_snr, dtype=np.float64))
        return np.clip(self._invert(exponent), self.first, self.last)

    def _published(self, n: int, stop: float) -> Array:
        return np.linspace(self.first, stop, n)


def make_schedule(description: Mapping[str, Any], where: object = "schedule") -> NoiseSchedule:
    """Schedule that a card describes: ``kind`` linear, cosine, betas or vp, and the arguments of that kind.

    Parameters
    ----------
    description : mapping
        What the card says under `schedule`.
    where : object
        The card, for the message.

    Raises
    ------
    ModelError
        MD53: an unknown kind. MD02: unknown or impossible arguments.
    """
    kinds: dict[str, Callable[..., NoiseSchedule]] = {
        "linear": NoiseSchedule.linear,
        "cosine": NoiseSchedule.cosine,
        "betas": NoiseSchedule.from_betas,
        "vp": ContinuousSchedule,
    }
    try:
        arguments = {**description}
        kind = arguments.pop("kind", "linear")
        if kind in kinds:
            return kinds[kind](**arguments)
    except (TypeError, ValueError) as error:
        raise ModelError("MD02", where, f"schedule cannot be used ({error})", "correct the card") from None
    raise ModelError("MD53", where, f"schedule is {kind}, known are {', '.join(kinds)}", "correct the card")
