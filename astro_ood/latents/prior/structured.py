r"""Gaussians whose covariance is block-diagonal in a basis: per pixel, per Fourier mode, per wavelet.

The three differ in the basis alone. Channels are coupled within each coefficient, and covariances are shrunk towards those of the group
(`astro_ood.latents.prior.moments`), so that 4 latents give about a spectrum and 1,000 each mode its own variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from astro_ood.latents.prior.base import Array, Blocks, white
from astro_ood.latents.prior.bases import Basis, Fourier, Pixels, Wavelets
from astro_ood.latents.prior.moments import Moments, shrink


@dataclass(frozen=True)
class StructuredPrior:
    """One C x C covariance for each coefficient of an orthonormal basis.

    Attributes
    ----------
    mean : ndarray, shape (C, H, W)
    covariance : ndarray, shape (H, W, C, C)
        Hermitian, positive definite.
    """

    mean: Array
    covariance: NDArray[Any]

    kind: ClassVar[str]
    basis: ClassVar[Basis]

    @classmethod
    def fit(cls, source: Blocks) -> Self:
        """Fit to latents (N, C, H, W), or blocks of them."""
        sums = Moments.of(source, cls.basis)
        return cls(sums.mean()[0], shrink(*sums.scatter(cls.basis), cls.basis))

    @cached_property
    def _factor(self) -> NDArray[Any]:
        return np.linalg.cholesky(self.covariance)

    @cached_property
    def _inverse(self) -> NDArray[Any]:
        return np.linalg.inv(self._factor)

    @property
    def log_det(self) -> float:
        """Logarithm of the determinant of the covariance of the pixels."""
        return float(2 * np.log(np.einsum("hwaa->hwa", self._factor).real).sum())

    def colour(self, x: Array) -> Array:
        """White latents (n, C, H, W) given the covariance of this prior, without its mean."""
        # where coefficients are complex, covariance(-k) is the conjugate of covariance(k), so the factor keeps the field real
        return self.basis.inverse(np.einsum("hwab,nbhw->nahw", self._factor, self.basis.forward(x)))

    def whiten(self, x: Array) -> Array:
        """Undo `colour`."""
        return self.basis.inverse(np.einsum("hwab,nbhw->nahw", self._inverse, self.basis.forward(x)))

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W)."""
        return self.mean + self.colour(white(self.mean.shape, n, seed, first))

    def log_prob(self, z: Array) -> Array:
        """Log density of latents (N, C, H, W), shape (N,)."""
        squares = np.sum(self.whiten(z - self.mean) ** 2, axis=(1, 2, 3))
        return np.asarray(-0.5 * (squares + self.log_det + self.mean.size * np.log(2 * np.pi)))

    def arrays(self) -> dict[str, Array]:
        """Parameters; a complex covariance as its real and imaginary part."""
        if not self.basis.paired:
            return {"mean": self.mean, "covariance": self.covariance}
        return {"mean": self.mean, "covariance_real": self.covariance.real, "covariance_imag": self.covariance.imag}

    @classmethod
    def restore(cls, arrays: dict[str, Array]) -> Self:
        """Prior from its parameters."""
        if not cls.basis.paired:
            return cls(arrays["mean"], arrays["covariance"])
        return cls(arrays["mean"], arrays["covariance_real"] + 1j * arrays["covariance_imag"])


@dataclass(frozen=True)
class DiagonalPrior(StructuredPrior):
    """Each pixel by itself."""

    kind: ClassVar[str] = "diagonal"
    basis: ClassVar[Basis] = Pixels()


@dataclass(frozen=True)
class SpectralPrior(StructuredPrior):
    """Stationary: each mode of the orthonormal Fourier transform by itself, shrunk towards its ring of equal wavenumber."""

    kind: ClassVar[str] = "spectral"
    basis: ClassVar[Basis] = Fourier()


@dataclass(frozen=True)
class WaveletPrior(StructuredPrior):
    """Each orthonormal wavelet by itself, shrunk towards its octave and orientation: a local spectrum."""

    kind: ClassVar[str] = "wavelet"
    basis: ClassVar[Basis] = Wavelets()
