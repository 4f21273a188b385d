"""Smooth Gaussian fields, for which the expectations of the continuum hold on pixels."""

import numpy as np
import scipy.fft


def correlated_fields(n, rng, length, shape=(128, 128), steps=(1.0, 1.0)):
    """Periodic Gaussian fields of covariance exp(-r^2 / 2 length^2)."""
    ky, kx = (2 * np.pi * scipy.fft.fftfreq(m, d) for m, d in zip(shape, steps, strict=True))
    amplitude = np.exp(-(ky[:, None] ** 2 + kx**2) * length**2 / 4)
    amplitude /= np.sqrt((amplitude**2).mean())
    return scipy.fft.ifft2(scipy.fft.fft2(rng.normal(size=(n, *shape))) * amplitude).real
