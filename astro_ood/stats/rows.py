"""Rows of the table of scores: what each comparison found, in plain values and one word of a fixed list.

The words are ``no difference detected``, ``different``, ``undecided``, ``novel`` and ``copies``. A difference counts where its p-value, after
all corrections, is below 5 %, or where its size alone is beyond doubt; that nothing was detected counts only where something could have
been, with enough maps and attainable p-values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from astro_ood.stats._arrays import BoolArray, FloatArray
from astro_ood.stats.conditional import Comparison
from astro_ood.stats.features import Feature
from astro_ood.stats.novelty import Novelty
from astro_ood.stats.reach import Row as Row
from astro_ood.stats.reach import agreeing, lengths, ranges
from astro_ood.stats.setresult import WholeComparison
from astro_ood.stats.testing import ALPHA

# Fewer real maps on either side never support more than "undecided".
LEAST_MAPS = 8
# A difference of so many standard deviations is stated even where no p-value could show it.
EFFECT = 5.0
COPY_RATE = 0.05
# Its p is in no family of tests.
PARENT = "novelty_parent"
_DEALS = 999


def comparison_rows(statistic: str, feature: Feature, result: Comparison, p_adjusted: float, n_tests: int) -> list[Row]:
    """The row of a statistic, which is that of its farthest scale in floor standard deviations, then those of its scales."""
    safe = np.where(result.floor > 0, result.floor, np.inf)
    enough = _enough(result.n_a, result.n_effective, result.p_min, n_tests)
    large = _large(result, n_tests)
    farthest = int(np.argmax(np.abs(result.difference) / safe))
    value, *ends = (getattr(result, key)[farthest] / safe[farthest] for key in ("difference", "low", "high"))
    low, high = ends if value >= 0 else (-end for end in reversed(ends))
    head = _row(
        statistic,
        None,
        value=abs(value),
        low=low,
        high=high,
        floor=1.0,
        p=result.p,
        p_adjusted=p_adjusted,
        p_min=result.p_min,
        detectable=np.median(result.detectable / safe),
        verdict=_word(p_adjusted, bool(large.any()), enough),
        unit="floor sd",
        scale_unit=feature.scale_unit,
    )
    adjusted = np.minimum(1.0, result.p_scale * (p_adjusted / result.p))
    words = [_word(float(p), bool(far), enough) for p, far in zip(adjusted, large, strict=True)]
    numbers = {"value": result.difference, "p": result.p_scale, "p_adjusted": adjusted, "detectable": result.detectable}
    own = _scale_rows(statistic, feature.scales, result, numbers, words, feature.units, feature.scale_unit)
    return [_with_lengths(head, own), *own]


def _with_lengths(head: Row, own: list[Row]) -> Row:
    """Rows of scales with their length, in place, and the row of their statistic with the range that agrees."""
    found, unit = lengths(head["statistic"], [row["scale"] for row in own], head["scale_unit"])
    for row, length in zip(own, found, strict=True):
        row |= {"length": length, "length_unit": unit}
    widest = agreeing(ranges(own))
    reach = {} if widest is None else {"agrees_from": widest.longest, "agrees_to": widest.shortest}
    return head | reach | {"length_unit": unit}


def set_rows(
    statistic: str,
    result: WholeComparison,
    p_adjusted: float,
    n_tests: int,
    unit: str,
) -> list[Row]:
    """The row of all distances together, which is that of the least likely one, then one a distance.

    The floor of a distance is its mean between sets of real maps. What could be detected is not known: that would take planted differences.
    """
    enough = _enough(result.n_real, result.n_effective, result.p_min, n_tests)
    worst = int(np.argmin(result.p_adjusted))
    spread = max(float(result.null_sd[worst]), np.finfo(np.float64).tiny)
    value, low, high = ((getattr(result, key)[worst] - result.null[worst]) / spread for key in ("value", "low", "high"))
    head = _row(
        statistic,
        None,
        value=value,
        low=low,
        high=high,
        floor=1.0,
        p=result.p_any,
        p_adjusted=p_adjusted,
        p_min=result.p_min,
        verdict=_word(p_adjusted, large=False, enough=enough),
        unit="sd of the null",
    )
    adjusted = np.minimum(1.0, result.p_adjusted * (p_adjusted / result.p_any))
    words = [_word(float(p), large=False, enough=enough) for p in adjusted]
    numbers = {"value": result.value, "p": result.p_adjusted, "p_adjusted": adjusted}
    units = [unit] * len(words)
    return [head, *_scale_rows(statistic, list(result.statistics), result, numbers, words, units)]


def _scale_rows(
    statistic: str,
    scales: Sequence[str | float],
    result: Comparison | WholeComparison,
    numbers: Mapping[str, FloatArray],
    verdicts: Sequence[str],
    units: Sequence[str],
    scale_unit: str = "",
) -> list[Row]:
    columns = {**numbers, **{key: getattr(result, key) for key in ("low", "high", "floor")}}
    return [
        _row(
            statistic,
            scale,
            p_min=result.p_min,
            verdict=verdicts[i],
            unit=units[i],
            scale_unit=scale_unit,
            **{key: column[i] for key, column in columns.items()},
        )
        for i, scale in enumerate(scales)
    ]


def attainable(rows: Iterable[Mapping[str, Any]]) -> tuple[float, float, int]:
    """Smallest p that the tests of a family can give, least and greatest over the tests, and the number of tests; rows without p are none."""
    family = (row for row in rows if row.get("statistic") != PARENT)
    found = ([np.nan if row.get(key) is None else float(row[key]) for key in ("p", "p_min")] for row in family)
    least = [p_min for p, p_min in found if np.isfinite([p, p_min]).all()]
    return (min(least), max(least), len(least)) if least else (np.nan, np.nan, 0)


def by_test(least: float, most: float, write: Callable[[float], str]) -> str:
    """A number of every test in words: one where all agree, else both ends."""
    shown = dict.fromkeys(map(write, (least, most)))
    return " to ".join(shown) + (" (by test)" if len(shown) > 1 else "")


def _enough(n_real: int, n_effective: int, p_min: float, n_tests: int) -> bool:
    """Whether a difference could have been detected: maps on both sides, and a p that survives the correction."""
    return min(n_real, n_effective) >= LEAST_MAPS and n_tests * p_min <= ALPHA


def _large(result: Comparison, n_tests: int) -> BoolArray:
    """Scales whose difference is beyond doubt by its size alone.

    The standard deviation of a few real maps is itself uncertain: Student's t, corrected for all scales of all statistics, sets the
    bar where it is higher than `EFFECT`.
    """
    dof = max(result.n_a + result.n_effective - 2, 1)
    bar = max(EFFECT, float(student.isf(ALPHA / (2 * n_tests * len(result.difference)), dof)))
    sd = np.maximum(result.floor, result.spread)
    return np.asarray((np.abs(result.difference) > bar * sd) & (sd > 0))


def _word(p_adjusted: float, large: bool, enough: bool) -> str:
    if p_adjusted <= ALPHA or large:
        return "different"
    return "no difference detected" if enough else "undecided"


def novelty_rows(found: Novelty, p: float, p_adjusted: float, p_min: float, n_tests: int, rng: np.random.Generator) -> list[Row]:
    """Distances, copies and, where parents are known, correlations with them."""
    word = _new_word(found, p_adjusted, p_min, n_tests)
    near = _near_row("novelty_nn", found, p, p_adjusted, p_min, word, "nearest-neighbour distance, samples / real", rng)
    copying = "copies" if is_copying(found) else "novel" if len(found.reference) >= LEAST_MAPS else "undecided"
    rows = [near, _copy_row("novelty_copy", found, copying)]
    if found.parent_correlation is not None:
        r = found.parent_correlation
        low, high = np.quantile(r, [0.025, 0.975])
        unit = "largest correlation with parent"
        rows.append(_row(PARENT, None, value=np.median(r), low=low, high=high, verdict=word, unit=unit, **_inherited(found, rng)))
    return rows


def _inherited(found: Novelty, rng: np.random.Generator) -> dict[str, Any]:
    """Correlation with maps that are no parent, in the place of the floor, and p that it is as large with the parents.

    That samples remember their parents is no fault of theirs as long as they are no nearer than real maps are, so this p is in no family, and the
    word of the row is that of the nearest maps.
    """
    kinship = found.kinship
    if kinship is None:
        return {}
    several = len(np.unique(kinship.parents)) > 1
    p = kinship.p(_DEALS, rng) if several else np.nan
    return {"floor": kinship.others, "p": p, "p_adjusted": p, "p_min": 1 / (_DEALS + 1) if several else np.nan}


def fingerprint_rows(
    found: Novelty, p: float, p_adjusted: float, p_min: float, n_tests: int, rng: np.random.Generator
) -> list[Row]:
    """The same in scattering coefficients. A twin is no copy of pixels: it is called different. A p of NaN stands for no test."""
    twins = is_copying(found)
    word = "different" if twins else _new_word(found, p_adjusted, p_min, n_tests)
    unit = "nearest-neighbour distance of scattering coefficients, samples / real"
    near = _near_row("novelty_scattering", found, p, p_adjusted, p_min, word, unit, rng)
    counted = "different" if twins else "novel" if len(found.reference) >= LEAST_MAPS else "undecided"
    return [near, _copy_row("novelty_twins", found, counted)]


def _new_word(found: Novelty, p_adjusted: float, p_min: float, n_tests: int) -> str:
    if np.isnan(p_adjusted):
        return "undecided"
    enough = len(found.reference) >= LEAST_MAPS and n_tests * p_min <= ALPHA
    return "different" if p_adjusted <= ALPHA else "novel" if enough else "undecided"


def _near_row(
    statistic: str, found: Novelty, p: float, p_adjusted: float, p_min: float, word: str, unit: str, rng: np.random.Generator
) -> Row:
    """Ratio of the median distances, with its bootstrap interval."""
    n, m, draws = len(found.samples), len(found.reference), 999
    reference = np.median(found.reference[rng.integers(m, size=(draws, m))], axis=1)
    again = np.median(found.reference[rng.integers(m, size=(draws, m))], axis=1)
    ratio = np.median(found.samples[rng.integers(n, size=(draws, n))], axis=1) / np.maximum(reference, 1e-9)
    low, high = np.quantile(ratio, [0.025, 0.975])
    floor = np.std(again / np.maximum(reference, 1e-9))
    numbers = {"value": found.ratio, "low": low, "high": high, "floor": floor, "p": p, "p_adjusted": p_adjusted, "p_min": p_min}
    return _row(statistic, None, verdict=word, unit=unit, **numbers)


def _copy_row(statistic: str, found: Novelty, word: str) -> Row:
    low, high = _wilson(int(found.copies.sum()), len(found.samples))
    return _row(statistic, None, value=found.copy_rate, low=low, high=high, floor=0.0, verdict=word, unit="fraction of samples")


def is_copying(found: Novelty) -> bool:
    """More than 5 % of the samples, and at least two, are copies; or one is closer than half the threshold.

    Smooth maps may resemble one another far more than most, by a law with a heavier tail than that of the threshold. Copies are all closer
    than any held-out map; the former does not count where other real maps would come out so in more than one case of twenty.
    """
    count, n, n_reference = int(found.copies.sum()), len(found.samples), len(found.reference)
    closest = np.arange(count)
    chance = np.prod((n - closest) / (n + n_reference - closest))
    many = count >= 2 and found.copy_rate > COPY_RATE and chance <= ALPHA
    return bool(many or (found.samples < 0.5 * found.threshold).any())


def _wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    centre, half = count + z**2 / 2, z * np.sqrt(count * (n - count) / n + z**2 / 4)
    return max(0.0, float((centre - half) / (n + z**2))), min(1.0, float((centre + half) / (n + z**2)))


def _row(statistic: str, scale: str | float | None, *, verdict: str, unit: str, scale_unit: str = "", **numbers: Any) -> Row:
    """One row of plain Python values; numbers that are absent or do not exist as None."""
    keys = ("value", "low", "high", "floor", "p", "p_adjusted", "p_min", "detectable")
    plain = {key: float(numbers[key]) if numbers.get(key) is not None and np.isfinite(numbers[key]) else None for key in keys}
    place = {"scale": scale, "scale_unit": scale_unit, "length": None, "length_unit": "", "agrees_from": None, "agrees_to": None}
    return {"statistic": statistic, **place, **plain, "verdict": verdict, "unit": unit}
