"""Intervals over latents, which are the units of every diagnostic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 0.05
# Fewer latents never support more than "undecided".
LEAST_LATENTS = 8

Array = NDArray[np.float64]


def mean_interval(values: Array, level: float = 1 - ALPHA) -> tuple[float, float, float]:
    """Mean of values (N,), one per latent, and its interval by Student's t; no interval below two values."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return mean, float("nan"), float("nan")
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def jackknife(whole: float, without: Array, level: float = 1 - ALPHA) -> tuple[float, float, float]:
    """Estimate from all latents, and its interval from those without each latent in turn (N,): Tukey's, with Student's t."""
    n = len(without)
    pseudo = n * whole - (n - 1) * without
    _, low, high = mean_interval(pseudo, level)
    centre = (low + high) / 2
    return whole, low - centre + whole, high - centre + whole


def p_text(p: float) -> str:
    """A p-value with two digits."""
    return f"p {p:.2g}"
