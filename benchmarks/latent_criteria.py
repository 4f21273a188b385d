"""Do the criteria reject true latents at the stated rate, and what does each of them notice?

    OMP_NUM_THREADS=1 python benchmarks/latent_criteria.py              false rejections at nominal 5 %
    OMP_NUM_THREADS=1 python benchmarks/latent_criteria.py noticed      rejections of candidates with one planted fault

Latents are Gaussian, 32 x 32 pixels, with power about k^-2, their own amplitudes differing by 5 % (`--scatter`); they calibrate the
bands, and forty more of the same law are judged in each trial.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
from common import table
from numpy.typing import NDArray

from astro_ood.latents.criteria import DEFAULT, Criteria, intervals, left_out
from astro_ood.latents.measures import GEOMETRIC, NAMES

Array = NDArray[np.float64]
SIDE, FRESH = 32, 40
K = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE)))
POWER = 1 / (0.002 + K**2)
POWER /= POWER.mean()
SETS: dict[str, Sequence[str]] = {
    **{name: (name,) for name in NAMES}, "published three": GEOMETRIC, "default": DEFAULT, "all six": NAMES,
}  # fmt: skip


def fields(n: int, rng: np.random.Generator, scatter: float, power: Array = POWER) -> Array:
    white = rng.standard_normal((n, 1, SIDE, SIDE))
    amplitude = np.exp(scatter * rng.standard_normal((n, 1, 1, 1)))
    return np.asarray(amplitude * np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power)).real)


def rejected(z: Array, fresh: Sequence[Array]) -> Array:
    """Share of each set of latents that each set of criteria rejects, shape (sets of criteria, sets of latents)."""
    values, out = left_out(z), np.empty((len(SETS), len(fresh)))
    measured = Criteria("calibrated", intervals(values, 0.05), z, np.arange(len(z)), 0.05)
    numbers = [measured.measure(x) for x in fresh]
    for i, names in enumerate(SETS.values()):
        bands = Criteria("calibrated", intervals({name: values[name] for name in names}, 0.05), z, np.arange(len(z)), 0.05)
        out[i] = [np.any(list(bands.outside(n).values()), axis=0).mean() for n in numbers]
    return out


FAULTS: dict[str, Callable[[Array], Array]] = {
    "white, of the same norm": lambda x: _like(np.random.default_rng(0).standard_normal(x.shape), x),
    "power above k = 8 doubled": lambda x: _like(np.fft.ifft2(np.fft.fft2(x) * np.where(K * SIDE > 8, np.sqrt(2), 1)).real, x),
    "10 % too loud": lambda x: 1.1 * x,
    "moved by half an amplitude": lambda x: x + 0.5,
    "stretched two to one": lambda x: _like(np.repeat(x[..., : SIDE // 2], 2, axis=-1), x),
    "loud left, faint right": lambda x: _like(x * np.linspace(1.6, 0.4, SIDE), x),
}


def _like(made: Array, x: Array) -> Array:
    """Latents with the norms of others."""
    norms = [np.linalg.norm(v.reshape(len(v), -1), axis=1)[:, None, None, None] for v in (made, x)]
    return np.asarray(made * norms[1] / norms[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("rates", "noticed"), default="rates")
    parser.add_argument("--scatter", type=float, default=0.05)
    parser.add_argument("--trials", type=int, default=200)
    args = parser.parse_args()
    rates: dict[str, Callable[[Array], Array]] = {"": lambda x: x}
    sizes, faults = ((6, 12, 24, 48), rates) if args.what == "rates" else ((24,), FAULTS)
    found, head = [], []
    for n in sizes:
        trials = []
        for trial in range(args.trials):
            rng = np.random.default_rng([trial, n])
            z = fields(n, rng, args.scatter)
            trials.append(rejected(z, [make(fields(FRESH, rng, args.scatter)) for make in faults.values()]))
        found.append(100 * np.mean(trials, axis=0))
        head += [name or f"n = {n}" for name in faults]
    rows = [[name, *(f"{value:.1f}" for value in row)] for name, row in zip(SETS, np.concatenate(found, axis=1), strict=True)]
    print(f"rejected, per cent; {args.trials} trials of {FRESH}, scatter {args.scatter:g}\n\n{table(['criteria', *head], rows)}")


if __name__ == "__main__":
    main()
