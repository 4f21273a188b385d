"""Priors on linear-Gaussian latents of known covariance: log density of held-out latents per pixel, relative to the true one.

    python benchmarks/latent_priors.py            64 x 64, 4 to 1,024 latents
    python benchmarks/latent_priors.py --size 32 --n 4 16

0 is the truth itself, and every entry is below it: the nats per pixel that a prior loses by what it cannot say, and by what so few
latents do not tell. The same seeds throughout.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from astro_ood.latents import prior
from astro_ood.latents.prior import LowRankPrior, SpectralPrior

Array = NDArray[np.float64]
HELD_OUT = 64


def wavenumber(size: int) -> Array:
    """Cycles per image."""
    return np.asarray(size * np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))))


def stationary(size: int) -> LowRankPrior:
    """Power about k^-2."""
    power = 1 / (1 + wavenumber(size) ** 2)
    covariance = (power / power.mean())[..., None, None].astype(complex)
    return LowRankPrior(SpectralPrior(np.zeros((1, size, size)), covariance), np.zeros((0, 1, size, size)))


def patterns(size: int) -> LowRankPrior:
    """The same, and three local patterns that come in every latent, 400 times as strong as the noise in their direction."""
    base = stationary(size).residual
    y, x = np.mgrid[:size, :size] / size
    bumps = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / 0.005) * np.cos(25 * y) for a, b in ((0.3, 0.3), (0.6, 0.7), (0.8, 0.2))]
    unit = [bump / np.linalg.norm(base.whiten(bump[None, None])) for bump in bumps]
    return LowRankPrior(base, 20 * np.array(unit)[:, None])


class Modulated:
    """A coloured field times a mask: stationary in no part."""

    def __init__(self, size: int, *, white: bool) -> None:
        y, x = np.mgrid[:size, :size] / size
        self.mask = np.exp(1.2 * np.cos(2 * np.pi * y) * np.cos(2 * np.pi * x))
        flat = SpectralPrior(np.zeros((1, size, size)), np.ones((size, size, 1, 1), dtype=complex))
        self.base = flat if white else stationary(size).residual

    def sample(self, n: int, seed: int = 0) -> Array:
        """Draw fields."""
        return self.mask * self.base.sample(n, seed)

    def log_prob(self, z: Array) -> Array:
        """Log density."""
        return self.base.log_prob(z / self.mask) - np.log(self.mask).sum()


TRUTHS: dict[str, Callable[[int], LowRankPrior | Modulated]] = {
    "stationary, k^-2": stationary,
    "k^-2 and three patterns": patterns,
    "white times a mask": lambda size: Modulated(size, white=True),
    "k^-2 times a mask": lambda size: Modulated(size, white=False),
}


def main() -> None:
    """Print one table for each truth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--n", type=int, nargs="+", default=[4, 16, 128, 1024])
    args = parser.parse_args()
    for name, make in TRUTHS.items():
        truth = make(args.size)
        held_out = truth.sample(HELD_OUT, 1)
        best = truth.log_prob(held_out)
        print(f"\n| {name} | " + " | ".join(f"n = {n}" for n in args.n) + " |")
        print("|---" * (len(args.n) + 1) + "|")
        for kind in prior.PRIORS:
            found = [np.mean(prior.fit(truth.sample(n, 2), kind).log_prob(held_out) - best) / held_out[0].size for n in args.n]
            print(f"| {kind} | " + " | ".join(f"{value:.3f}" for value in found) + " |")


if __name__ == "__main__":
    main()
