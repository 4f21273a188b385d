r"""Gaussian priors over the inverted latents of one domain.

``isotropic`` is the published fit (one variance, in which the spread of the mean counts as noise), ``isotropic_corrected`` the same
without that mistake. ``diagonal`` gives each pixel its variance, ``spectral`` each Fourier mode (stationary), ``wavelet`` each
orthonormal wavelet (a local spectrum), all with coupled channels and shrunk towards groups of like coefficients; ``lowrank`` adds to
the spectral one the directions that stand out. Latents of maps out of the network's domain are often coloured, which an isotropic prior
cannot say. Means are drawn towards a constant by the part of them that is noise.

Every fit reads latents block by block: memory does not depend on their number, nor the result on the blocks, beyond rounding.
"""

from __future__ import annotations

from typing import Literal

from astro_ood.errors import ConfigError
from astro_ood.latents.prior.base import Array, Blocks, LatentPrior
from astro_ood.latents.prior.isotropic import CorrectedIsotropicPrior, IsotropicPrior
from astro_ood.latents.prior.lowrank import LowRankPrior
from astro_ood.latents.prior.structured import DiagonalPrior, SpectralPrior, WaveletPrior

__all__ = [
    "PRIORS",
    "Blocks",
    "CorrectedIsotropicPrior",
    "DiagonalPrior",
    "IsotropicPrior",
    "Kind",
    "LatentPrior",
    "LowRankPrior",
    "SpectralPrior",
    "WaveletPrior",
    "fit",
    "restore",
]

Kind = Literal["isotropic", "isotropic_corrected", "diagonal", "spectral", "lowrank", "wavelet"]
AnyPrior = type[IsotropicPrior] | type[DiagonalPrior] | type[SpectralPrior] | type[WaveletPrior] | type[LowRankPrior]

PRIORS: dict[str, AnyPrior] = {
    "isotropic": IsotropicPrior,
    "isotropic_corrected": CorrectedIsotropicPrior,
    "diagonal": DiagonalPrior,
    "spectral": SpectralPrior,
    "lowrank": LowRankPrior,
    "wavelet": WaveletPrior,
}


def fit(source: Blocks, kind: str = "spectral") -> LatentPrior:
    """Fit a prior to latents.

    Parameters
    ----------
    source : ndarray, shape (N, C, H, W), or blocks of that kind
        All latents, or anything that gives blocks of them in the same order each time it is iterated over.
    kind : str
        A key of `PRIORS`.

    Raises
    ------
    ConfigError
        Unknown kind.
    RunError
        Fewer than two latents.
    """
    if kind not in PRIORS:
        raise ConfigError("CF11", "prior.kind", f"there is no prior '{kind}'", f"choose one of {', '.join(PRIORS)}")
    return PRIORS[kind].fit(source)


def restore(kind: str, arrays: dict[str, Array]) -> LatentPrior:
    """Prior from its stored parameters."""
    return PRIORS[kind].restore(arrays)
