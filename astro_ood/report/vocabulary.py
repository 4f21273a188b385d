"""What the methods section calls the things that a run can be made of, and the publications behind them (keys of `references`)."""

from __future__ import annotations

SOLVERS = {
    "ddim": ("DDIM's first-order steps", ()),
    "heun": ("the second-order exponential method of Heun", ("lu2022a",)),
    "rk4": ("the fourth-order exponential Runge-Kutta method", ("cox2002",)),
    "ab2": ("a second-order multistep method that extrapolates the predicted noise", ("lu2022a",)),
    "ab3": ("a third-order multistep method that extrapolates the predicted noise", ("lu2022a",)),
    "dpm2m": ("a second-order multistep method that extrapolates the predicted clean map", ("lu2022b",)),
    "sqrt2m": (
        "a second-order multistep method that extrapolates the predicted clean map in the square root of the noise-to-signal ratio",
        ("lu2022b",),
    ),
    "dpm3m": ("a third-order multistep method that extrapolates the predicted clean map", ("lu2022b",)),
    "unipc": ("a second-order multistep method with a corrector at every evaluation", ("lu2022b", "zhao2023")),
    "implicit": ("DDIM, each step of whose decoding was inverted by fixed-point iterations", ()),
}
BASELINES = {
    "IAAFT": ("IAAFT surrogates", ("schreiber1996",), " of the periodic component of the maps", ("moisan2011",)),
    "augmentation": ("augmentation by flips, turns and shifts", (), "", ()),
    "Gaussian field": ("Gaussian random fields with the mean power spectrum of the inverted maps", (), "", ()),
    "scattering synthesis": (
        "maps that gradient descent gave the scattering coefficients, the power spectrum and the values of one inverted map each",
        ("bruna2018", "allys2020"),
        "",
        (),
    ),
}
STATISTICS = {
    "bispectrum": ("scoccimarro2015",),
    "excursion": ("mecke1994",),
    "scattering": ("cheng2020",),
    "morphology": ("conselice2003", "lotz2004"),
    "joint": ("szekely2013", "gretton2012", "lopezpaz2017", "naeem2020"),
}
STEERED = {
    "spectrum": "the power spectrum",
    "pdf": "the values of the pixels",
    "scattering": "the scattering coefficients",
    "phases": "the correlations between scales",
}
PROPOSALS = {
    "slerp": "by spherical interpolation between two inverted latents each",
    "lerp": "by linear interpolation between two inverted latents each",
    "norm_path": "by interpolation between two inverted latents each, at norms that latents have",
    "shell": "from the prior that was fitted to the inverted latents, at distances from its mean that these have",
    "parent": "from one inverted latent each, mixed with a draw from the prior that was fitted to all",
    "forward": "from one inverted map each, by adding the noise of a time of the forward process",
    "bands": "octave by octave, as latent-optimal linear combinations of inverted latents",
    "low_high": "from the large scales of one inverted latent and the small scales of another each",
}
PRIORS = {
    "isotropic": "from a Gaussian prior with the mean of the inverted latents and one variance",
    "isotropic_corrected": "from a Gaussian prior with the shrunk mean of the inverted latents and their unbiased variance",
    "diagonal": "from a Gaussian prior of independent pixels that was fitted to the inverted latents",
    "spectral": "from a stationary Gaussian prior, diagonal in Fourier space, that was fitted to the inverted latents",
    "lowrank": "from a stationary Gaussian prior and the directions in which the inverted latents vary more than it says",
    "wavelet": "from a Gaussian prior, diagonal in a wavelet basis, that was fitted to the inverted latents",
}
