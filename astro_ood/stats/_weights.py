"""Maps with missing pixels: smooth weights, and means over what was observed."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt

from astro_ood.errors import ConfigError
from astro_ood.stats._arrays import BoolArray, FloatArray


def mask_weight(observed: BoolArray | None, steps: tuple[float, float], apodisation: float) -> FloatArray | None:
    """Weights (N, H, W) of pixels: 0 where missing, rising as sin^2 to 1 at the distance `apodisation` from the next hole."""
    if not (np.isfinite(apodisation) and apodisation >= 0):
        raise ConfigError("CF44", "apodisation", f"found {apodisation}, expected a width of at least 0", "give arcmin or pixels")
    if observed is None or apodisation == 0:
        return None if observed is None else observed.astype(np.float64)
    # The distance to the next missing pixel does not exist in a map that misses none.
    distance = [np.full(m.shape, np.inf) if m.all() else distance_transform_edt(m, sampling=steps) for m in observed]
    return np.asarray(np.sin(0.5 * np.pi * np.minimum(np.stack(distance) / apodisation, 1.0)) ** 2)


def centre(maps: FloatArray, weight: FloatArray | None = None) -> FloatArray:
    """Subtract the mean, weighted if weights are given, from maps (N, H, W) in place."""
    maps -= _mean(maps, weight)
    return maps


def standardise(maps: FloatArray, weight: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """Bring the (weighted) pixels of maps (N, H, W) to mean 0 and variance 1 in place; their standard deviations (N,) come along.

    Constant maps become 0, with a standard deviation of 0.
    """
    mean = _mean(maps, weight)
    maps -= mean
    flat = maps.reshape(len(maps), -1)
    if weight is None:
        variance = np.vecdot(flat, flat) / flat.shape[1]
    else:
        variance = np.vecdot(flat, (maps * weight).reshape(flat.shape)) / total(weight).ravel()
    # Rounding leaves a constant map a spread of some ulp.
    scale = np.sqrt(np.where(variance > (8 * np.finfo(np.float64).eps * mean.ravel()) ** 2, variance, 0.0))
    maps *= np.where(scale > 0, 1.0 / np.where(scale > 0, scale, 1.0), 0.0)[:, None, None]
    return maps, scale


def total(planes: FloatArray) -> FloatArray:
    """Sum over pixels, kept as (..., 1, 1)."""
    return np.asarray(planes.sum(axis=(-2, -1), keepdims=True))


def _mean(maps: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Mean over pixels, kept as (N, 1, 1)."""
    return np.asarray(maps.mean(axis=(1, 2), keepdims=True) if weight is None else total(maps * weight) / total(weight))
