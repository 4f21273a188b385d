"""Priors on linear-Gaussian latents of known covariance: log density of held-out latents per pixel, relative to the true one.

    python benchmarks/latent_priors.py            64 x 64, 4 to 1,024 latents
    python benchmarks/latent_priors.py --size 32 --n 4 16
    python benchmarks/latent_priors.py --intervals --size 32 --n 4 16 64    how often intervals of `prior.intervals` hold the truth

0 is the truth itself, and every entry is below it: the nats per pixel that a prior loses by what it cannot say, and by what so few
latents do not tell. The same seeds throughout.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from astro_ood.latents import prior
from astro_ood.latents.prior import LowRankPrior, SpectralPrior
from astro_ood.latents.prior.intervals import Method, intervals, octave_edges

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


def coverage(size: int, n: int, method: Method, scatter: float, trials: int) -> list[float]:
    """Shares of trials whose intervals hold the power of each octave, the variance, and a norm of 0.1 a pixel.

    Power about k^-2; amplitudes of whole latents are log-normal with the given scatter, their mean square is 1.
    """
    truth = stationary(size).residual
    power, edges = truth.covariance[..., 0, 0].real, octave_edges(size, size)
    octave = np.searchsorted(edges, wavenumber(size), side="right") - 1
    powers = np.array([power[octave == band].mean() for band in range(len(edges) - 1)])
    held = []
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        z = truth.sample(n, seed=1000 + trial) * np.exp(scatter * rng.standard_normal((n, 1, 1, 1)) - scatter**2)
        found = [intervals(z, "band power", method=method), intervals(z, "variance", method=method)]
        found.append(intervals(z + 0.1, "|mu|", method=method))
        wanted = (powers, np.ones(1), np.array([0.1 * size]))
        held.append(np.concatenate([(a.low <= t) & (t <= a.high) for a, t in zip(found, wanted, strict=True)]))
    return [float(share) for share in np.mean(held, axis=0)]


def print_coverage(size: int, numbers: list[int], trials: int) -> None:
    """Print the table of coverage."""
    octaves = [f"k < {edge:g}" if np.isfinite(edge) else "the rest" for edge in octave_edges(size, size)[1:]]
    print("| interval | scatter of amplitudes | n | " + " | ".join([*octaves, "variance", "∣μ∣"]) + " |")
    print("|---" * (len(octaves) + 5) + "|")
    for method in get_args(Method):
        for scatter in (0.0, 0.3):
            for n in numbers:
                shares = coverage(size, n, method, scatter, trials)
                print(f"| {method} | {scatter} | {n} | " + " | ".join(f"{share:.2f}" for share in shares) + " |", flush=True)


def main() -> None:
    """Print one table for each truth, or that of the intervals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--n", type=int, nargs="+", default=[4, 16, 128, 1024])
    parser.add_argument("--intervals", action="store_true")
    parser.add_argument("--trials", type=int, default=400)
    args = parser.parse_args()
    if args.intervals:
        print_coverage(args.size, args.n, args.trials)
        return
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
