r"""Low rank and spectral residual: a stationary Gaussian, and the few directions in which latents vary more than it says.

Latents are whitened by the spectral prior. Principal components of white latents have eigenvalues up to
:math:`(1 + \sqrt{\gamma})^2`, :math:`\gamma = d / n` (Marchenko and Pastur); those above the 99 % point of the largest (Johnstone 2001)
are kept. An eigenvalue :math:`v` of the sample stands for a true one :math:`\ell` with :math:`v = \ell + \gamma \ell / (\ell - 1)`, and
its direction for the true one only up to :math:`c^2 = (1 - \gamma / (\ell - 1)^2) / (1 + \gamma / (\ell - 1))`; the variance along it
is :math:`1 + (\ell - 1) c^2` (Donoho, Gavish and Johnstone 2018, arXiv:1311.0851), which is also the most likely one for new latents.
Where nothing stands out this is the spectral prior: 4 latents in 4,096 dimensions show only directions with 33 times the variance.

Latents that are louder than others are no directions of their own: all have the same length, after whitening, where directions are
sought (as in the spatial sign covariance; a Gaussian latent in many dimensions has that length anyway).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from astro_ood._random import stream
from astro_ood.latents.prior.base import Array, Blocks, blocks_of
from astro_ood.latents.prior.moments import Moments, shrink
from astro_ood.latents.prior.structured import SpectralPrior

COMPONENTS = 64
_PASSES = 2
_LEAST_LEFT = 0.1  # of the power of a mode, that the residual stays definite
_ROUNDS = 2  # the first whitens by a spectrum that the directions have part in
_TRACY_WIDOM_99 = 2.023


@dataclass(frozen=True)
class LowRankPrior:
    """A spectral prior, and `R` directions beside it.

    Attributes
    ----------
    residual : SpectralPrior
        Mean, and the covariance without the directions.
    factors : ndarray, shape (R, C, H, W)
        Orthogonal after whitening; the covariance is that of `residual` plus the sum of their outer products. R >= 0.
    """

    residual: SpectralPrior
    factors: Array

    kind: ClassVar[str] = "lowrank"

    @property
    def mean(self) -> Array:
        """Mean latent (C, H, W)."""
        return self.residual.mean

    @classmethod
    def fit(cls, source: Blocks) -> LowRankPrior:
        """Fit to latents (N, C, H, W), or blocks of them, which are read five times."""
        basis = SpectralPrior.basis
        sums = Moments.of(source, basis)
        scatter, worth = sums.scatter(basis)
        mean, _ = sums.mean()
        found = cls(SpectralPrior(mean, shrink(scatter, worth, basis)), np.zeros((0, *mean.shape)))
        for _ in range(_ROUNDS):
            values, directions = _principal(source, found.residual, worth)
            strength, overlap = spikes(values, mean.size, worth)
            kept = strength > 0
            amplitude = np.sqrt(strength * overlap)[kept, None, None, None]
            factors = amplitude * found.residual.colour(directions[kept].reshape(-1, *mean.shape))
            modes = basis.forward(factors)
            power = np.einsum("hwaa->hw", scatter).real
            left = 1 - np.sum(np.abs(modes) ** 2, axis=(0, 1)) / np.maximum(power, 1e-300)
            rest = scatter * np.clip(left, _LEAST_LEFT, 1.0)[..., None, None]
            found = cls(SpectralPrior(mean, shrink(rest, worth, basis)), factors)
        return found

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W)."""
        own = [stream(seed, "factors", first + i).standard_normal(len(self.factors)) for i in range(n)]
        return self.residual.sample(n, seed, first) + np.einsum(
            "nr,rchw->nchw", np.reshape(own, (n, len(self.factors))), self.factors
        )

    @cached_property
    def _whitened(self) -> Array:
        return self.residual.whiten(self.factors).reshape(len(self.factors), self.mean.size)

    def log_prob(self, z: Array) -> Array:
        """Log density of latents (N, C, H, W), shape (N,): by the matrix inversion and determinant lemmas."""
        inner = np.eye(len(self.factors)) + self._whitened @ self._whitened.T
        along = self.residual.whiten(z - self.mean).reshape(len(z), -1) @ self._whitened.T
        gained = np.einsum("nr,nr->n", along, np.linalg.solve(inner, along.T).T)
        return np.asarray(self.residual.log_prob(z) + 0.5 * (gained - np.linalg.slogdet(inner)[1]))

    def arrays(self) -> dict[str, Array]:
        """Parameters of the residual, and the factors."""
        return {**self.residual.arrays(), "factors": self.factors}

    @classmethod
    def restore(cls, arrays: dict[str, Array]) -> LowRankPrior:
        """Prior from its parameters."""
        return cls(SpectralPrior.restore(arrays), arrays["factors"])


def spikes(values: Array, d: int, n: float) -> tuple[Array, Array]:
    """True variances beyond 1, and squared overlaps with the true directions, of sample eigenvalues; 0 where none stands out.

    Parameters
    ----------
    values : ndarray, shape (K,)
        Eigenvalues of the sample covariance of `n` latents in `d` dimensions, white but for a few directions.
    """
    gamma = d / n
    roots = np.sqrt(n) + np.sqrt(d)
    edge = (roots**2 + _TRACY_WIDOM_99 * roots * (1 / np.sqrt(n) + 1 / np.sqrt(d)) ** (1 / 3)) / n
    sum_ = values + 1 - gamma
    true = (sum_ + np.sqrt(np.maximum(sum_**2 - 4 * values, 0.0))) / 2
    beyond = np.where(values > edge, true - 1, 0.0)
    safe = np.maximum(beyond, 1e-12)
    overlap = np.clip((1 - gamma / safe**2) / (1 + gamma / safe), 0.0, 1.0)
    return beyond, np.where(beyond > 0, overlap, 0.0)


def _principal(source: Blocks, prior: SpectralPrior, worth: float) -> tuple[Array, Array]:
    """Largest eigenvalues (K,) and directions (K, d) of the covariance of whitened latents of equal length.

    Subspace iteration from random directions: exact for up to `COMPONENTS` latents, and memory is that of so many latents for any number.
    """
    d = prior.mean.size
    directions = stream(0, "subspace").standard_normal((d, min(COMPONENTS, d)))
    for _ in range(_PASSES):
        directions = np.linalg.qr(directions)[0]
        image = np.zeros_like(directions)
        for block in blocks_of(source):
            flat = prior.whiten(block - prior.mean).reshape(len(block), d)
            flat *= np.sqrt(d) / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-300)
            image += flat.T @ (flat @ directions) / worth
        directions, previous = image, directions
    small = previous.T @ image
    values, vectors = np.linalg.eigh((small + small.T) / 2)
    return values[::-1], (previous @ vectors[:, ::-1]).T
