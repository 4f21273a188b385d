r"""Gaussian priors over the inverted latents of one domain.

``isotropic`` is the published fit: the mean latent and one variance, `np.var` of everything, so that the spread of the mean is
counted as noise. ``spectral`` is stationary: the covariance is diagonal in Fourier space and couples the channels of each mode,
about half as many numbers as a latent has pixels. Latents of maps out of the network's domain are often coloured, which an isotropic
prior cannot say. Means are drawn towards a constant by the part of them that is noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.geometry import shrunk_mean

Array = NDArray[np.float64]
Kind = Literal["isotropic", "spectral"]


class LatentPrior(Protocol):
    """A distribution over latents (C, H, W)."""

    @property
    def kind(self) -> str:
        """Name of the prior."""

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W); item ``first + i`` has a random stream of its own."""

    def log_prob(self, z: Array) -> Array:
        """Natural logarithm of the density of latents (N, C, H, W), shape (N,)."""

    def arrays(self) -> dict[str, Array]:
        """Parameters, for storage."""


def _white(shape: tuple[int, ...], n: int, seed: int, first: int) -> Array:
    return np.stack([stream(seed, "prior", first + i).standard_normal(shape) for i in range(n)])


@dataclass(frozen=True)
class IsotropicPrior:
    """Mean vector and one variance: the published fit (arXiv:2310.09213)."""

    mean: Array
    variance: float
    kind: str = "isotropic"

    @classmethod
    def fit(cls, z: Array) -> IsotropicPrior:
        """Fit to latents (N, C, H, W)."""
        return cls(z.mean(axis=0, dtype=np.float64), float(np.var(z, dtype=np.float64)))

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W)."""
        return self.mean + np.sqrt(self.variance) * _white(self.mean.shape, n, seed, first)

    def log_prob(self, z: Array) -> Array:
        """Log density of latents (N, C, H, W), shape (N,)."""
        d = self.mean.size
        squares = np.sum((z - self.mean) ** 2, axis=(1, 2, 3))
        return np.asarray(-0.5 * (squares / self.variance + d * np.log(2 * np.pi * self.variance)))

    def arrays(self) -> dict[str, Array]:
        """Parameters."""
        return {"mean": self.mean, "variance": np.array(self.variance)}


@dataclass(frozen=True)
class SpectralPrior:
    """Stationary Gaussian: one C x C covariance for each mode of the orthonormal Fourier transform.

    Attributes
    ----------
    mean : ndarray, shape (C, H, W)
    covariance : ndarray, shape (H, W, C, C), complex
        Hermitian, positive definite. Each mode is shrunk towards the mean over its ring of equal wavenumber by one pseudo-observation,
        which keeps it definite for any number of latents.
    """

    mean: Array
    covariance: NDArray[np.complex128]
    kind: str = "spectral"

    @classmethod
    def fit(cls, z: Array) -> SpectralPrior:
        """Fit to latents (N, C, H, W)."""
        z = np.asarray(z, dtype=np.float64)
        n, c, h, w = z.shape
        mean, weight = shrunk_mean(z)
        modes = np.fft.fft2(z - mean, norm="ortho")
        # the fitted part of the mean has taken its share of the spread
        lost = 1 - weight * (2 - weight) / n
        scatter = np.einsum("nahw,nbhw->hwab", modes, modes.conj()) / (n * lost)
        scatter[0, 0] *= lost / (1 - 1 / n)  # the constant part of the mean is fitted whole
        ring = np.rint(np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.fftfreq(w)[None] * w)).astype(int)
        counts = np.bincount(ring.ravel())
        smooth = np.empty_like(scatter)
        for a in range(c):
            for b in range(c):
                rings = [
                    np.bincount(ring.ravel(), weights=part.ravel()) / counts
                    for part in (scatter[..., a, b].real, scatter[..., a, b].imag)
                ]
                smooth[..., a, b] = (rings[0] + 1j * (0 if a == b else rings[1]))[ring]
        floor = 1e-6 * np.trace(smooth, axis1=2, axis2=3).real.mean() / c
        return cls(mean, (n * scatter + smooth) / (n + 1) + floor * np.eye(c))

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W)."""
        white = np.fft.fft2(_white(self.mean.shape, n, seed, first), norm="ortho")
        factor = np.linalg.cholesky(self.covariance)
        # covariance(-k) is the conjugate of covariance(k), so the factor keeps the field real
        return self.mean + np.fft.ifft2(np.einsum("hwab,nbhw->nahw", factor, white), norm="ortho").real

    def log_prob(self, z: Array) -> Array:
        """Log density of latents (N, C, H, W), shape (N,)."""
        modes = np.fft.fft2(z - self.mean, norm="ortho")
        inverse = np.linalg.inv(self.covariance)
        squares = np.einsum("nahw,hwab,nbhw->n", modes.conj(), inverse, modes).real
        log_det = float(np.sum(np.linalg.slogdet(self.covariance)[1]))
        return np.asarray(-0.5 * (squares + log_det + self.mean.size * np.log(2 * np.pi)))

    def arrays(self) -> dict[str, Array]:
        """Parameters; the covariance as its real and imaginary part."""
        return {"mean": self.mean, "covariance_real": self.covariance.real, "covariance_imag": self.covariance.imag}


PRIORS: dict[str, type[IsotropicPrior] | type[SpectralPrior]] = {"isotropic": IsotropicPrior, "spectral": SpectralPrior}


def fit(z: Array, kind: str = "spectral") -> LatentPrior:
    """Fit a prior to latents (N, C, H, W).

    Raises
    ------
    ConfigError
        Unknown kind.
    RunError
        Fewer than two latents.
    """
    if kind not in PRIORS:
        raise ConfigError("CF11", "prior.kind", f"there is no prior '{kind}'", f"choose one of {', '.join(PRIORS)}")
    if len(z) < 2:
        raise RunError("IN40", "prior", f"{len(z)} latents, a prior needs at least 2", "invert more maps")
    return PRIORS[kind].fit(np.asarray(z, dtype=np.float64))


def restore(kind: str, arrays: dict[str, Array]) -> LatentPrior:
    """Prior from its stored parameters."""
    if kind == "isotropic":
        return IsotropicPrior(arrays["mean"], float(arrays["variance"]))
    return SpectralPrior(arrays["mean"], arrays["covariance_real"] + 1j * arrays["covariance_imag"])
