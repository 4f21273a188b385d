r"""One variance in all directions.

``isotropic`` is the published fit: the mean latent, and `np.var` of everything, so that the spread of the mean is counted as noise.
``isotropic_corrected`` has the unbiased spread about the centre (a U-statistic), and a mean that is drawn towards a constant by the part of
it that is noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astro_ood.latents.geometry import spread_from_sums
from astro_ood.latents.prior.base import Array, Blocks, white
from astro_ood.latents.prior.bases import Pixels
from astro_ood.latents.prior.moments import Moments


@dataclass(frozen=True)
class IsotropicPrior:
    """Mean vector and one variance: the published fit (arXiv:2310.09213)."""

    mean: Array
    variance: float
    kind: str = "isotropic"

    @classmethod
    def fit(cls, source: Blocks) -> IsotropicPrior:
        """Fit to latents (N, C, H, W), or blocks of them."""
        sums = Moments.of(source, Pixels())
        whole = sums.n * sums.total.size
        return cls(sums.total / sums.n, sums.squares / whole - (float(sums.total.sum()) / whole) ** 2)

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W)."""
        return self.mean + np.sqrt(self.variance) * white(self.mean.shape, n, seed, first)

    def log_prob(self, z: Array) -> Array:
        """Log density of latents (N, C, H, W), shape (N,)."""
        d = self.mean.size
        squares = np.sum((z - self.mean) ** 2, axis=(1, 2, 3))
        return np.asarray(-0.5 * (squares / self.variance + d * np.log(2 * np.pi * self.variance)))

    def arrays(self) -> dict[str, Array]:
        """Parameters."""
        return {"mean": self.mean, "variance": np.array(self.variance)}

    @classmethod
    def restore(cls, arrays: dict[str, Array]) -> IsotropicPrior:
        """Prior from its parameters."""
        return cls(arrays["mean"], float(arrays["variance"]))


@dataclass(frozen=True)
class CorrectedIsotropicPrior(IsotropicPrior):
    """The same with a shrunk mean, and a variance that does not count the spread of the mean as noise."""

    kind: str = "isotropic_corrected"

    @classmethod
    def fit(cls, source: Blocks) -> CorrectedIsotropicPrior:
        """Fit to latents (N, C, H, W), or blocks of them."""
        sums = Moments.of(source, Pixels())
        return cls(sums.mean()[0], spread_from_sums(sums.n, sums.total, sums.squares)[1])
