"""Straight lines through logarithms."""

from __future__ import annotations

import numpy as np

from astro_ood.stats._arrays import FloatArray


def fit_line(x: FloatArray, y: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slopes of y (N, K) on x (K,), K >= 3, by weighted least squares, and their standard errors from the residuals: (N,) each."""
    share = weight / weight.sum()
    dx = x - share @ x
    dy = y - (y @ share)[:, None]
    spread = share @ dx**2
    value = dy @ (share * dx) / spread
    residual = (dy - value[:, None] * dx) ** 2 @ share
    return value, np.sqrt(residual / (spread * (len(x) - 2)))


def floored_log(values: FloatArray) -> FloatArray:
    """ln of (N, K), values below 1e-30 of the largest of their map, or of a map of zeros, held there so that it exists."""
    least = np.maximum(1e-30 * values.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return np.asarray(np.log(np.maximum(values, least)))
