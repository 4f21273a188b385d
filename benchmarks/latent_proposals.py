"""Proposals on linear-Gaussian latents of known spectrum: power against the truth, and likeness to their parents and to each latent.

    python benchmarks/latent_proposals.py                 64 x 64, 16 latents with power about k^-2 around a mean of a fifth
    python benchmarks/latent_proposals.py --n 4 --size 32

Power is that of the differences from the true mean, over its expectation, in octaves from large to small scales, averaged over trials
(sets of latents) and candidates. |cos| is the largest with any of the latents, around the true mean, its median over candidates.
Scatter is the standard deviation of log |z - mean|^2 between candidates, over that between latents.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from latent_priors import stationary
from numpy.typing import NDArray

from astro_ood.latents import prior
from astro_ood.latents.proposal import maker
from astro_ood.latents.proposal.mixtures import octaves

Array = NDArray[np.float64]

WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gaussian, isotropic (published)": ("gaussian", "isotropic", {}),
    "gaussian, spectral": ("gaussian", "spectral", {}),
    "shell, isotropic_corrected": ("shell", "isotropic_corrected", {}),
    "shell, spectral": ("shell", "spectral", {}),
    "parent, noise 0.5": ("parent", "spectral", {"noise": 0.5}),
    "parent, noise 0.9": ("parent", "spectral", {"noise": 0.9}),
    "lerp": ("lerp", "spectral", {}),
    "slerp (published)": ("slerp", "spectral", {}),
    "slerp, reach 0.4": ("slerp", "spectral", {"reach": 0.4}),
    "norm_path": ("norm_path", "spectral", {}),
    "norm_path, reach 0.4": ("norm_path", "spectral", {"reach": 0.4}),
    "lol, k = 3": ("lol", "spectral", {"k": 3}),
    "lol, k = all": ("lol", "spectral", {"k": 10**6}),
    "bands, k = 3": ("bands", "spectral", {"k": 3}),
    "low_high": ("low_high", "spectral", {}),
}


def loudness(n: int, seed: int) -> Array:
    """Amplitudes (n, 1, 1, 1) that differ from latent to latent by 20 %, as those of real maps do."""
    return np.exp(0.2 * np.random.default_rng(seed).standard_normal((n, 1, 1, 1)) - 0.04)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--candidates", type=int, default=32)
    args = parser.parse_args()
    truth, size = stationary(args.size), args.size
    band, power = octaves(size, size), truth.residual.covariance[..., 0, 0].real
    middle = 0.2 * truth.residual.colour(np.random.default_rng(0).standard_normal((1, 1, size, size)))
    expected = np.bincount(band.ravel(), weights=power.ravel())
    found: dict[str, list[tuple[Array, Array, float]]] = {name: [] for name in WAYS}
    for trial in range(args.trials):
        around = loudness(args.n, trial) * truth.sample(args.n, 1, first=trial * args.n)
        fitted = {kind: prior.fit(middle + around, kind) for kind in {kind for _, kind, _ in WAYS.values()}}
        unit = around.reshape(args.n, -1) / np.linalg.norm(around.reshape(args.n, -1), axis=1, keepdims=True)
        scatter = float(np.log(np.sum(around**2, axis=(1, 2, 3))).std(ddof=1))
        for name, (kind, of, options) in WAYS.items():
            made = maker(kind, middle + around, fitted[of], trial, **options)(0, args.candidates).z - middle
            spectrum = np.mean(np.abs(np.fft.fft2(made[:, 0], norm="ortho")) ** 2, axis=0)
            ratio = np.bincount(band.ravel(), weights=spectrum.ravel()) / expected
            flat = made.reshape(len(made), -1)
            cosine = np.abs(flat @ unit.T / np.linalg.norm(flat, axis=1, keepdims=True)).max(axis=1)
            found[name].append((ratio, cosine, float(np.log(np.sum(made**2, axis=(1, 2, 3))).std(ddof=1)) / scatter))
    octave_names = [f"k < {2 ** (i + 1)}" if i < len(expected) - 1 else f"k >= {2**i}" for i in range(len(expected))]
    print("| proposal | " + " | ".join(octave_names) + " | |cos| | scatter |".replace("|cos|", "abs cos"))
    print("|---" * (len(expected) + 3) + "|")
    for name, rows in found.items():
        ratio = np.mean([r for r, _, _ in rows], axis=0)
        cosine, scatter = np.median(np.concatenate([c for _, c, _ in rows])), np.mean([s for _, _, s in rows])
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in ratio) + f" | {cosine:.2f} | {scatter:.2f} |")


if __name__ == "__main__":
    main()
