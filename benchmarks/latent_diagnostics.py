"""Level, power and coverage of the diagnostics of latents, on latents whose truth is known.

    python benchmarks/latent_diagnostics.py [--trials 60] [--only gaussianity]

Prints the tables of docs/diagnostics.md. Fields are Gaussian with P ~ k^-slope on 16 x 16 pixels, or white.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from astro_ood.latents import diagnostics as d
from astro_ood.latents.diagnostics.separability import centre_interval

Field = NDArray[np.float64]
SIDE = 16


def coloured(n: int, slope: float, seed: int) -> Field:
    """Gaussian fields (n, 1, SIDE, SIDE) of unit variance."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE) * SIDE, np.fft.fftfreq(SIDE) * SIDE))
    k[0, 0] = 1
    power = k**-slope
    white = np.random.default_rng(seed).standard_normal((n, 1, SIDE, SIDE))
    return np.fft.ifft2(np.fft.fft2(white) * np.sqrt(power / power.mean())).real


def edged(n: int, slope: float, seed: int) -> Field:
    """The same with a step along a random line through each map, half a standard deviation high."""
    rng, (y, x) = np.random.default_rng(seed + 10_000), np.mgrid[:SIDE, :SIDE] - SIDE / 2
    angle = rng.uniform(0, 2 * np.pi, (n, 1, 1, 1))
    return coloured(n, slope, seed) + 0.5 * np.sign(np.cos(angle) * y + np.sin(angle) * x)


def loud(n: int, slope: float, seed: int) -> Field:
    """The same with amplitudes that scatter by 20 %."""
    return coloured(n, slope, seed) * np.random.default_rng(seed + 10_000).lognormal(0, 0.2, (n, 1, 1, 1))


def bent(n: int, slope: float, seed: int) -> Field:
    """Log-normal: exp(z / 4)."""
    return np.exp(coloured(n, slope, seed) / 4)


def gaussianity(trials: int) -> Iterator[str]:
    yield "rejections at 5 %: slope, n, Gaussian, log-normal, amplitude, edges"
    for slope, n in ((0.0, 8), (2.0, 8), (3.0, 8), (2.0, 32), (3.0, 32)):
        rates = []
        for kind in (coloured, bent, loud, edged):
            count = trials if kind is coloured else trials // 2
            p = [d.compute_gaussianity(kind(n, slope, 100 + i), n_surrogates=39, n_projections=32, seed=i).p for i in range(count)]
            rates.append(np.mean(np.array(p) <= 0.05))
        yield f"{slope:.0f} {n} " + " ".join(f"{rate:.2f}" for rate in rates)


def _pair(n: int, delta: float, seed: int, dimensions: int = 1024) -> tuple[Field, Field]:
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((2, n, 1, 32, 32))
    return z[0] + delta / np.sqrt(dimensions), z[1]


def separability(trials: int) -> Iterator[str]:
    yield "n, delta, AUROC expected, mean, coverage of its interval, rejections at 5 %"
    for n, delta in ((5, 0), (8, 0), (32, 0), (8, 6), (32, 4)):
        kept = n - n / 5
        expected = stats.norm.cdf(delta**2 / np.sqrt(2 * (delta**2 + 2 * 1024 / kept))) if delta else 0.5
        areas = [d.compute_separability(*_pair(n, delta, i), n_permutations=39, sizes=(), seed=i).whole for i in range(trials)]
        covered = np.mean([area.low <= expected <= area.high for area in areas])
        rejected = np.mean([area.p <= 0.05 for area in areas])
        yield f"{n} {delta} {expected:.3f} {np.mean([area.value for area in areas]):.3f} {covered:.2f} {rejected:.2f}"


def spectrum(trials: int) -> Iterator[str]:
    yield "n, level of p, coverage of the band of white latents, the same with amplitudes that scatter by 50 %, coherence (0.36 planted)"
    for n in (4, 8, 16, 64):
        level, band, scattered, coherence = [], [], [], []
        for i in range(trials):
            rng = np.random.default_rng(i)
            z = rng.standard_normal((n, 2, SIDE, SIDE))
            z[:, 1] = 0.6 * z[:, 0] + 0.8 * z[:, 1]
            found = d.compute_spectrum(z[:, :1], n_boot=199, seed=i)
            level.append(found.p <= 0.05)
            band.append(bool(np.all((found.low <= 1) & (found.high >= 1))))
            other = d.compute_spectrum(z[:, :1] * rng.lognormal(0, 0.5, (n, 1, 1, 1)), n_boot=199, seed=i)
            mean = np.exp(0.5)
            scattered.append(bool(np.all((other.low <= mean) & (other.high >= mean))))
            coherence.append(d.compute_spectrum(z, n_boot=2).coherence.mean())
        yield f"{n} {np.mean(level):.2f} {np.mean(band):.2f} {np.mean(scattered):.2f} {np.mean(coherence):.3f}"


def smooth_areas(trials: int) -> Iterator[str]:
    yield "n, rejections: independent coloured latents, variance x 0.64 in the smoothest areas, latents smoothed there"
    from astro_ood.latents.diagnostics.smooth_areas import _rank

    for n in (4, 8, 32):
        rates = []
        for kind in ("independent", "variance", "smoothed"):
            p = []
            for i in range(trials):
                rng = np.random.default_rng(7000 + i)
                maps = ndimage.gaussian_filter(rng.standard_normal((n, 1, SIDE, SIDE)), (0, 0, 2, 2), mode="wrap")
                z = coloured(n, 2.0, i) if kind == "independent" else rng.standard_normal(maps.shape)
                flat = np.array([_rank(x, rng) for x in maps])[:, None] < 0.1
                if kind == "variance":
                    z = np.where(flat, 0.8 * z, z)
                elif kind == "smoothed":
                    soft = ndimage.gaussian_filter(z, (0, 0, 0.6, 0.6), mode="wrap")
                    z = np.where(flat, soft / soft.std(), z)
                p.append(d.compute_smooth_areas(z, maps, n_permutations=99, seed=i).p)
            rates.append(np.mean(np.array(p) <= 0.05))
        yield f"{n} " + " ".join(f"{rate:.2f}" for rate in rates)


def geometry(trials: int) -> Iterator[str]:
    yield "n, scatter of amplitudes, mean error of the predicted distance, its coverage, coverage of |mu|^2 = 0, and of |mu| = 6"
    for n in (4, 16, 64):
        centres = []
        for delta in (0, 6):
            ends = [centre_interval(_pair(n, delta, i)[0]) for i in range(trials)]
            centres.append(np.mean([low <= delta**2 <= high for _, low, high in ends]))
        for scatter in (0.0, 0.3):
            found = []
            for i in range(trials):
                rng = np.random.default_rng(i)
                found.append(
                    d.compute_prediction((0.3 + rng.standard_normal((n, 256))) * rng.lognormal(0, scatter, (n, 1))).distance
                )
            mean = np.mean([value for value, _, _ in found])
            covered = np.mean([low <= mean <= high for _, low, high in found])
            yield f"{n} {scatter:.1f} {mean:+.4f} {covered:.2f} {centres[0]:.2f} {centres[1]:.2f}"


TABLES: dict[str, Callable[[int], Iterator[str]]] = {
    "gaussianity": gaussianity,
    "separability": separability,
    "spectrum": spectrum,
    "smooth_areas": smooth_areas,
    "geometry": geometry,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--only", choices=TABLES)
    options = parser.parse_args()
    for name, rows in TABLES.items():
        if options.only in (None, name):
            print(f"\n{name}")
            for row in rows(options.trials):
                print(row, flush=True)


if __name__ == "__main__":
    main()
