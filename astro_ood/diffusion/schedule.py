r"""Noise schedules.

A diffusion model knows maps at every noise level ``t``:

.. math:: x_t = \alpha_t x_0 + \sigma_t \epsilon, \qquad \alpha_t^2 + \sigma_t^2 = 1 .

Discrete networks are trained at ``t = 0 .. T-1`` with :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s) = \alpha_t^2`
(Ho et al. 2020, arXiv:2006.11239). Between their steps the logarithm of the signal-to-noise ratio
:math:`\ln(\alpha_t^2 / \sigma_t^2)` is linear in ``t``; rounding to whole steps would destroy the order of convergence of every
solver. ``t = -1`` is the clean end: :math:`\alpha = 1, \sigma = 0`. All arithmetic is float64.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Grid = Literal["published", "log_snr"]


class NoiseSchedule:
    """Signal and noise amplitude of a diffusion process as functions of time.

    Parameters
    ----------
    alpha_bar : array_like, shape (T,)
        Cumulative products of ``1 - beta``: decreasing, inside (0, 1).

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

    @classmethod
    def linear(cls, n: int = 1000, beta_first: float = 1e-4, beta_last: float = 0.02) -> NoiseSchedule:
        """Betas linear in time: the schedule of DDPM, iDDPM ("linear") and the published code."""
        return cls(np.cumprod(1.0 - np.linspace(beta_first, beta_last, n)))

    @property
    def T(self) -> int:  # noqa: N802 (the field's symbol)
        """Number of steps the network was trained on."""
        return int(self.alpha_bar.size)

    def log_snr(self, t: ArrayLike) -> Array:
        """``ln(alpha_t^2 / sigma_t^2)`` at real-valued ``0 <= t <= T-1``; infinite at the clean end ``t = -1``."""
        t = np.asarray(t, dtype=np.float64)
        if np.any((t != -1) & ((t < 0) | (t > self.T - 1))):
            raise ValueError(f"t must be -1 or lie in [0, {self.T - 1}]")
        inside = np.interp(t, np.arange(self.T), self._log_snr)
        return np.where(t == -1, np.inf, inside)

    def alpha(self, t: ArrayLike) -> Array:
        """Signal amplitude."""
        return np.exp(-0.5 * np.logaddexp(0.0, -self.log_snr(t)))

    def sigma(self, t: ArrayLike) -> Array:
        """Noise amplitude."""
        return np.exp(-0.5 * np.logaddexp(0.0, self.log_snr(t)))

    def time_of(self, log_snr: ArrayLike) -> Array:
        """Real-valued time at which the log signal-to-noise ratio takes the given value (clamped to [0, T-1])."""
        return np.interp(-np.asarray(log_snr, dtype=np.float64), -self._log_snr, np.arange(self.T, dtype=np.float64))

    def equivalent_time(self, t: float, other: NoiseSchedule) -> float:
        """Time in this schedule with the signal-to-noise ratio that `other` has at `t`."""
        return float(self.time_of(other.log_snr(t)))

    def timesteps(self, n: int, stop: float, grid: Grid = "log_snr") -> Array:
        """Increasing times from 0 to `stop`.

        Parameters
        ----------
        n : int
            Number of grid points.
        stop : float
            Last time `t_0`, in the network's own steps.
        grid : {"published", "log_snr"}
            ``int(linspace(0, 1, n) * stop)``, as in the published code, or real-valued times that are equidistant in the log
            signal-to-noise ratio.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ValueError
            If fewer than two points are asked for, or `stop` lies outside (0, T-1].
        """
        if n < 2 or not 0 < stop <= self.T - 1:
            raise ValueError(f"need at least 2 grid points and 0 < t_0 <= {self.T - 1}, got {n} points and t_0 = {stop}")
        if grid == "published":
            return np.floor(np.linspace(0.0, 1.0, n) * stop)
        times = self.time_of(np.linspace(self.log_snr(0.0), self.log_snr(stop), n))
        times[[0, -1]] = 0.0, stop
        return times
