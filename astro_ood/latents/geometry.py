r"""Geometry of latents in many dimensions.

For :math:`z = \mu + s g` with standard normal :math:`g` in :math:`d` dimensions two numbers predict everything the published
criteria look at: the pair distance is :math:`s \sqrt{2 d}`, the angle at the origin has cosine
:math:`|\mu|^2 / (|\mu|^2 + s^2 d)`, and the angle at a third latent is 60 degrees whatever the domain. The square of a mean over
``n`` latents is biased by :math:`s^2 d / n`; the mean off-diagonal inner product (a U-statistic) is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Latent = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """Two numbers, what they predict, and what was measured.

    Attributes
    ----------
    d, n : int
        Dimensions and number of latents.
    mu, s : float
        Norm of the common centre (debiased) and spread per dimension.
    distance, distance_predicted : float
        Mean pair distance.
    angle, angle_predicted : float
        Mean angle at the origin, degrees.
    std, kurtosis, lag_1 : float
        Standard deviation and excess kurtosis over all pixels, mean correlation between neighbouring pixels: 1, 0 and 0 for white
        Gaussian latents.
    effective_dimension : float
        ``(tr S)^2 / tr S^2`` of the stationary covariance, channels taken as independent: `d` for white latents.
    separation : float
        ``mu / d^(1/4)``: above 1 the centre is told apart from the origin, by the paper's yardstick.
    """

    d: int
    n: int
    mu: float
    s: float
    distance: float
    distance_predicted: float
    angle: float
    angle_predicted: float
    std: float
    kurtosis: float
    lag_1: float
    effective_dimension: float
    separation: float


def centre_and_spread(z: Latent) -> tuple[float, float]:
    """Debiased ``|mu|^2`` (a U-statistic, may be negative) and ``s^2`` of latents (N, ...), N >= 2."""
    flat = z.reshape(len(z), -1).astype(np.float64)
    return spread_from_sums(len(flat), flat.sum(axis=0), float(np.einsum("ij,ij->", flat, flat)))


def spread_from_sums(n: int, total: Latent, squares: float) -> tuple[float, float]:
    """The same from the sum of the latents (any shape) and the sum of the squares of all their pixels."""
    mu_2 = (float(np.sum(total**2)) - squares) / (n * (n - 1))
    return mu_2, (squares / n - mu_2) / total.size


def angles_between(a: Latent, b: Latent) -> Latent:
    """Angles in degrees between the rows of (..., d) arrays."""
    return _angles(np.einsum("...i,...i->...", a, b), np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def _angles(products: Latent, norms: Latent) -> Latent:
    return np.degrees(np.arccos(np.clip(products / np.maximum(norms, 1e-300), -1.0, 1.0)))


def describe(z: NDArray[Any]) -> Geometry:
    """Geometry of latents (N, C, H, W), N >= 2."""
    z = np.asarray(z, dtype=np.float64)
    n, d = len(z), int(z[0].size)
    mu_2, s_2 = centre_and_spread(z)
    flat = z.reshape(n, -1)
    products = flat @ flat.T  # all pairs at once would not fit into memory
    norms, (i, j) = np.diag(products), np.triu_indices(n, 1)
    pairs = products[i, j]
    around = z - z.mean()
    neighbours = np.mean([np.mean(around[..., 1:, :] * around[..., :-1, :]), np.mean(around[..., 1:] * around[..., :-1])])
    power = np.mean(np.abs(np.fft.fft2(z - z.mean(axis=(-2, -1), keepdims=True))) ** 2, axis=(0, 1))
    return Geometry(
        d=d,
        n=n,
        mu=float(np.sqrt(max(mu_2, 0.0))),
        s=float(np.sqrt(s_2)),
        distance=float(np.mean(np.sqrt(np.maximum(norms[i] + norms[j] - 2 * pairs, 0.0)))),
        distance_predicted=float(np.sqrt(2 * s_2 * d)),
        angle=float(np.mean(_angles(pairs, np.sqrt(norms[i] * norms[j])))),
        angle_predicted=float(np.degrees(np.arccos(np.clip(mu_2 / (mu_2 + s_2 * d), -1, 1)))),
        std=float(z.std()),
        kurtosis=float(stats.kurtosis(z, axis=None)),
        lag_1=float(neighbours / np.mean(around**2)),
        effective_dimension=float(z.shape[1] * power.sum() ** 2 / np.sum(power**2)),
        separation=float(np.sqrt(max(mu_2, 0.0)) / d**0.25),
    )


def shrunk_mean(z: NDArray[Any]) -> tuple[Latent, float]:
    """Mean of latents (N, C, H, W), drawn towards a constant per channel by the part of it that is noise.

    Returns
    -------
    mean : ndarray, shape (C, H, W)
    weight : float
        1 keeps the mean of the latents, 0 replaces it by its constant part.
    """
    z = np.asarray(z, dtype=np.float64)
    return mean_from_sums(len(z), z.sum(axis=0), float(np.sum(z**2)))


def mean_from_sums(n: int, total: Latent, squares: float) -> tuple[Latent, float]:
    """The same from the sum of the latents (C, H, W) and the sum of the squares of all their pixels."""
    constant = total.mean(axis=(1, 2), keepdims=True) / n
    around = total - n * constant
    found = float(np.sum((around / n) ** 2))
    per_channel = total[0].size
    centre = spread_from_sums(n, around, squares - n * per_channel * float(np.sum(constant**2)))[0]
    weight = float(np.clip(centre / found, 0.0, 1.0)) if found > 0 else 0.0
    return constant + around / n * weight, weight
