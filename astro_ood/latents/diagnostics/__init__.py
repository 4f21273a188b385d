r"""What inverted latents are like: Gaussian or not, white or coloured, told apart from others or not, tied to their maps or not.

Each diagnostic is a function that computes (arrays in, a frozen record of arrays out) and one that judges (record in, `Judgement` out); drawing
is the report's. All take latents (N, C, H, W), with the latent as the unit: pixels of one latent are not independent.
"""

from astro_ood._judgement import Judgement
from astro_ood.latents.diagnostics.gaussianity import Gaussianity, compute_gaussianity, judge_gaussianity
from astro_ood.latents.diagnostics.prediction import (
    AgainstForward,
    Prediction,
    compare_with_forward,
    compute_prediction,
    judge_against_forward,
    judge_prediction,
)
from astro_ood.latents.diagnostics.separability import Separability, compute_separability, judge_separability
from astro_ood.latents.diagnostics.smooth_areas import SmoothAreas, compute_smooth_areas, judge_smooth_areas
from astro_ood.latents.diagnostics.spectrum import LatentSpectrum, compute_spectrum, judge_spectrum, spectra_against_t

__all__ = [
    "AgainstForward",
    "Gaussianity",
    "Judgement",
    "LatentSpectrum",
    "Prediction",
    "Separability",
    "SmoothAreas",
    "compare_with_forward",
    "compute_gaussianity",
    "compute_prediction",
    "compute_separability",
    "compute_smooth_areas",
    "compute_spectrum",
    "judge_against_forward",
    "judge_gaussianity",
    "judge_prediction",
    "judge_separability",
    "judge_smooth_areas",
    "judge_spectrum",
    "spectra_against_t",
]
