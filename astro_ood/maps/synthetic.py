"""Periodic Gaussian random fields with a power-law spectrum: maps whose statistics are known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def gaussian_field(n: int, size: int, slope: float = -3.0, rng: np.random.Generator | int = 0) -> NDArray[np.float64]:
    """Fields of zero mean and expected variance 1, with power P(k) proportional to k^slope.

    Parameters
    ----------
    n, size : int
        Number of fields and their side in pixels.
    slope : float
        Of the power spectrum; -3 looks like dust, 0 is white noise.
    rng : Generator or int
        Source of randomness.

    Returns
    -------
    ndarray, shape (n, size, size)
        White noise filtered by k^(slope / 2); the mean mode is 0.
    """
    rng = np.random.default_rng(rng)
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None, :])
    power = np.zeros_like(k)
    power[k > 0] = k[k > 0] ** slope
    power /= power.mean()
    noise = rng.standard_normal((n, size, size))
    return np.asarray(np.fft.ifft2(np.fft.fft2(noise) * np.sqrt(power)).real)
