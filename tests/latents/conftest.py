"""A linear-Gaussian field of known spectrum."""

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def coloured() -> tuple[np.ndarray, Callable[[int, int], np.ndarray]]:
    """Power (16, 16) of the orthonormal Fourier modes, and a function (n, seed) -> fields (n, 1, 16, 16)."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    power = 1 / (0.002 + k**2)
    power /= power.mean()

    def draw(n: int, seed: int) -> np.ndarray:
        white = np.random.default_rng(seed).standard_normal((n, 1, 16, 16))
        return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real

    return power, draw
