r"""What must be fixed before two sets of feature vectors are compared.

Features of maps (ln P(k), quantiles, scattering coefficients) have unlike units, so a distance between vectors needs a scale. Each
feature is centred on its median and divided by its interquartile range over 1.349 (the standard deviation of a Gaussian). With
`whiten` it is then multiplied by :math:`C^{-1/2}`, C the correlation shrunk towards the identity by the oracle approximating
estimator (Chen et al. 2010, arXiv:0907.4698), so that ten correlated scales do not outweigh one independent one.

The scale, the bandwidth of the kernels and the features of the kernel discriminant are fitted to real maps only: a scale that
follows the samples hides what is wrong with them. They must not single out one of two sets that are exchanged, however: eight maps
look regular in a scale of their own, and every other set irregular. With a robust scale of the first set, 8 maps against
8 of the same law are rejected at nominal 5 % in 7 % (energy) to 10 % (MMD) of trials, against 64 in 9 to 11 %; with a whitened one
in 14 to 21 % and 17 to 28 %. So the fit takes *all* real maps of the comparison, held out and inverted ones, and both sets
where there are no others.

===================  ============================================================================================
kernel               k(x, y), with d = \|x - y\| and s the median of d between different real maps
===================  ============================================================================================
energy               -d (Szekely & Rizzo 2013, J. Stat. Plan. Inference 143, 1249)
mmd_gaussian         exp(-d^2 / 2 s^2) (Gretton et al. 2012, JMLR 13, 723)
mmd_rq               mean of (1 + d^2 / 2 c s^2)^-c over c = 0.2, 0.5, 1, 2, 5 (Binkowski et al. 2018, arXiv:1801.01401)
kid                  (x . y / K + 1)^3, K features (the same), on summaries in place of Inception features
===================  ============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray
from astro_ood.stats.testing import as_values

N_DIRECTIONS = 128
KERNELS = ("energy", "mmd_gaussian", "mmd_rq", "kid")
_RQ_SHAPES = (0.2, 0.5, 1.0, 2.0, 5.0)
_IQR_OF_GAUSSIAN = 1.3489795003921634
_SEED = 20020909797
# The kernel discriminant sees this many principal components of the Gaussian kernel, found on at most so many maps.
_COMPONENTS = 16
_LANDMARKS = 512
_TINY = 1e-12


@dataclass(frozen=True)
class Scale:
    """Standardisation x -> (x - centre) @ matrix: `centre` (K,), `matrix` (K, K); `whitened` tells whether it decorrelates."""

    centre: FloatArray
    matrix: FloatArray
    whitened: bool

    def __call__(self, values: ArrayLike) -> FloatArray:
        """Standardised features (N, K)."""
        x = as_values(values)
        if x.shape[1] != len(self.centre):
            raise InputError("IN25", "features", f"{x.shape[1]} per map, expected {len(self.centre)}", "give one set of features")
        return np.asarray((x - self.centre) @ self.matrix)


def fit_scale(real: ArrayLike, *, whiten: bool = False) -> Scale:
    """Robust scale of real maps.

    Parameters
    ----------
    real : array_like, shape (N, K)
        Features of real maps. One that is constant keeps its own unit.
    whiten : bool
        Remove the correlations between features as well, as far as N maps can tell them.

    Returns
    -------
    Scale
    """
    x = as_vectors(real, "real maps")
    quartiles = np.quantile(x, [0.25, 0.5, 0.75], axis=0)
    spread, sd = (quartiles[2] - quartiles[0]) / _IQR_OF_GAUSSIAN, x.std(axis=0)
    # Features that mostly take one value have no quartile range; constant ones differ from their mean by rounding.
    spread = np.where(spread > _TINY * np.abs(quartiles[1]), spread, sd)
    spread = np.where(spread > _TINY * np.abs(quartiles[1]), spread, 1.0)
    matrix = np.diag(1.0 / spread)
    if whiten:
        covariance = np.cov((x - quartiles[1]) / spread, rowvar=False).reshape(1, x.shape[1], x.shape[1])
        value, vector = np.linalg.eigh(shrink(covariance, oas(covariance, np.array([len(x)])))[0])
        matrix = matrix @ (vector / np.sqrt(value)) @ vector.T
    return Scale(quartiles[1], matrix, whiten)


def oas(covariance: FloatArray, n: FloatArray) -> FloatArray:
    """Oracle approximating shrinkage intensity of covariances (B, K, K) of `n` (B,) vectors: (B,), in [0, 1]."""
    size = covariance.shape[-1]
    trace = np.trace(covariance, axis1=1, axis2=2)
    square = np.einsum("bij,bij->b", covariance, covariance)
    excess = square - trace**2 / size
    above = (1 - 2 / size) * square + trace**2
    below = (n + 1 - 2 / size) * excess
    return np.asarray(np.where(above < below, above / np.where(below > 0, below, 1.0), 1.0))


def shrink(covariance: FloatArray, intensity: FloatArray) -> FloatArray:
    """Move covariances (B, K, K) towards a multiple of the identity by `intensity` (B,); the result is positive definite."""
    size = covariance.shape[-1]
    mean = np.trace(covariance, axis1=1, axis2=2) / size
    diagonal = (intensity * mean + _TINY * (1 + mean))[:, None, None] * np.eye(size)
    return np.asarray((1 - intensity)[:, None, None] * covariance + diagonal)


@dataclass(frozen=True)
class Ruler:
    """Scale, kernels, directions and kernel features, all fixed.

    Attributes
    ----------
    scale : Scale
    bandwidth : float
        s of the kernels: median distance of standardised real vectors.
    directions : ndarray, shape (K, L)
        Unit vectors of the sliced Wasserstein distance, the same for every comparison of K features.
    landmarks : ndarray, shape (M, K)
        Standardised real vectors.
    """

    scale: Scale
    bandwidth: float
    directions: FloatArray
    landmarks: FloatArray

    def kernel(self, name: str, x: FloatArray, y: FloatArray) -> FloatArray:
        """Kernel (N, M) of standardised vectors (N, K) and (M, K)."""
        if name == "energy":
            return np.asarray(-cdist(x, y))
        if name == "kid":
            return np.asarray((x @ y.T / x.shape[1] + 1.0) ** 3)
        square = cdist(x, y, "sqeuclidean") / (2 * self.bandwidth**2)
        if name == "mmd_gaussian":
            return np.asarray(np.exp(-square))
        return np.asarray(sum((1 + square / c) ** -c for c in _RQ_SHAPES) / len(_RQ_SHAPES))

    @cached_property
    def basis(self) -> FloatArray:
        """Principal components of the Gaussian kernel of the landmarks (M, R), for Nystroem features."""
        value, vector = np.linalg.eigh(self.kernel("mmd_gaussian", self.landmarks, self.landmarks))
        kept = np.flatnonzero(value > 1e-6 * value[-1])[-_COMPONENTS:]
        return np.asarray(vector[:, kept] / np.sqrt(value[kept]))

    def features(self, x: FloatArray) -> FloatArray:
        """Features (N, R) whose inner products approximate the Gaussian kernel of standardised vectors (N, K)."""
        return np.asarray(self.kernel("mmd_gaussian", x, self.landmarks) @ self.basis)


def fit_ruler(
    real: ArrayLike, *, scale: Scale | None = None, whiten: bool = False, n_directions: int = N_DIRECTIONS, seed: int = _SEED
) -> Ruler:
    """Fit everything that a comparison holds fixed.

    Parameters
    ----------
    real : array_like, shape (N, K)
        Features of all real maps of the comparison.
    scale : Scale, optional
        Fitted elsewhere, on other real maps.
    whiten : bool
        See `fit_scale`.
    n_directions, seed : int
        Random directions of the sliced Wasserstein distance.
    """
    values = as_vectors(real, "real maps", 2)
    scale = fit_scale(values, whiten=whiten) if scale is None else scale
    x = scale(values)
    rng = np.random.default_rng([seed, x.shape[1]])
    directions = rng.normal(size=(x.shape[1], n_directions if x.shape[1] > 1 else 1))
    landmarks = x if len(x) <= _LANDMARKS else x[np.sort(rng.permutation(len(x))[:_LANDMARKS])]
    distance = pdist(landmarks)
    # Most maps may be the same; then the others set the scale.
    distance = distance[distance > 0]
    bandwidth = float(np.median(distance)) if len(distance) else 1.0
    return Ruler(scale, bandwidth, directions / np.linalg.norm(directions, axis=0), landmarks)


def as_vectors(values: ArrayLike, where: str, least: int = 1) -> FloatArray:
    """Check feature vectors and convert them to float64 (N, K).

    Raises
    ------
    InputError
        IN16 for another number of axes, IN17 for non-finite features, IN40 for too few maps.
    """
    x = as_values(values)
    if x.ndim != 2 or 0 in x.shape[1:]:
        raise InputError("IN16", where, f"features of shape {x.shape}, expected (N, K)", "give one vector a map")
    if len(x) < least:
        raise InputError("IN40", where, f"{len(x)} maps, expected at least {least}", "give more maps")
    bad = ~np.isfinite(x).all(axis=1)
    if bad.any():
        raise InputError("IN17", where, f"features of {int(bad.sum())} of {len(x)} maps are NaN or infinite", "drop those maps")
    return x
