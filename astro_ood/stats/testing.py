r"""Permutation tests between two groups of maps, and what they can and cannot show.

The exchangeable unit is the map, or the sky region if maps of one region resemble one another; never the pixel, the bin or the
quantile. Several scales of one statistic give one p-value, that of the largest standardised difference (max-T; Westfall & Young
1993), and the same null distribution gives p-values per scale that are adjusted for their number. Several statistics are then
adjusted by Holm (1979). A permutation p-value cannot be smaller than one over the number of distinct partitions, nor, with B random
ones, than 1/(B + 1) (Phipson & Smyth 2010, arXiv 1603.05766): that minimum is part of every result, for a test that cannot reject
must not be read as agreement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray

ENUMERATION_LIMIT = 20_000
ALPHA = 0.05
# Statistics of equal partitions differ by rounding; ties must count as ties.
_TIE = 1e-9

GroupStatistic = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class PermutationResult:
    """Outcome of a permutation test.

    Attributes
    ----------
    p : float
        Of the largest standardised difference over scales.
    p_scale : ndarray, shape (K,)
        Per scale, adjusted for the number of scales (single-step max-T).
    p_min : float
        Smallest p that these group sizes and permutations can give.
    difference : ndarray, shape (K,)
        Statistic of the groups as given: mean of the second minus mean of the first by default.
    detectable : ndarray, shape (K,)
        |difference| above which the scale would have been found different at 5 %.
    exact : bool
        All partitions were enumerated.
    n_permutations : int
    """

    p: float
    p_scale: FloatArray
    p_min: float
    difference: FloatArray
    detectable: FloatArray
    exact: bool
    n_permutations: int


@dataclass(frozen=True)
class Floor:
    """Difference between means of disjoint random groups of real maps: what agreement looks like.

    `sd` (K,), `levels` (Q,) and `quantiles` (Q, K) of the signed difference of group means; `n_a`, `n_b` the sizes of the groups.
    """

    sd: FloatArray
    levels: FloatArray
    quantiles: FloatArray
    n_a: int
    n_b: int

    def resized(self, n_a: int, n_b: int) -> Floor:
        """The floor expected for other group sizes: its variance goes as 1/n_a + 1/n_b."""
        factor = float(np.sqrt((1 / n_a + 1 / n_b) / (1 / self.n_a + 1 / self.n_b)))
        return Floor(self.sd * factor, self.levels, self.quantiles * factor, n_a, n_b)


def attainable_p(n_a: int, n_b: int, n_permutations: int | None = None) -> float:
    """Smallest two-sided p of a permutation test.

    Groups of equal size make every partition coincide with its mirror image.
    """
    least = (2 if n_a == n_b else 1) / comb(n_a + n_b, n_a)
    return least if n_permutations is None else max(least, 1 / (n_permutations + 1))


def partitions(
    n_a: int, n_b: int, n_permutations: int, rng: np.random.Generator, limit: int = ENUMERATION_LIMIT
) -> tuple[NDArray[np.bool_], bool]:
    """Memberships (B, n_a + n_b) of the first group, and whether they are all there are (fewer than `limit`; the given one first)."""
    n = n_a + n_b
    if comb(n, n_a) < limit:
        chosen = np.array(list(combinations(range(n), n_a)))
        exact = True
    else:
        chosen = np.argsort(rng.random((n_permutations, n)), axis=1)[:, :n_a]
        exact = False
    member = np.zeros((len(chosen), n), dtype=np.bool_)
    np.put_along_axis(member, chosen, True, axis=1)
    return member, exact


def permutation_p(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    *,
    n_permutations: int = 1999,
    statistic: GroupStatistic | None = None,
    units_a: ArrayLike | None = None,
    units_b: ArrayLike | None = None,
) -> PermutationResult:
    """Test whether two groups of maps are exchangeable.

    Samples that share parents are *not* exchangeable with held-out maps; `conditional.compare` is the test for those.

    Parameters
    ----------
    a, b : array_like, shapes (N, K) and (M, K)
        Values per map and scale; (N,) is one scale.
    rng : numpy.random.Generator
    n_permutations : int
        Random partitions, where there are too many to enumerate.
    statistic : callable, optional
        ``(a, b) -> (K,)``, zero where the groups agree; by default the difference of means, b minus a.
    units_a, units_b : array_like, shapes (N,) and (M,), optional
        Regions: values are averaged within a region, and regions are exchanged.

    Returns
    -------
    PermutationResult
    """
    first, second = unit_means(as_values(a), units_a), unit_means(as_values(b), units_b)
    n_a, n_b = len(first), len(second)
    pooled = np.concatenate([first, second])
    member, exact = partitions(n_a, n_b, n_permutations, rng)
    if statistic is None:
        null = mean_difference(member, pooled)
        observed = second.mean(axis=0) - first.mean(axis=0)
        spread = pooled.std(axis=0)
    else:
        null = np.stack([statistic(pooled[m], pooled[~m]) for m in member])
        observed = statistic(first, second)
        spread = np.sqrt(np.mean(null**2, axis=0))
    p, p_scale, bar = max_t(observed, null, spread, include=exact)
    return PermutationResult(p, p_scale, attainable_p(n_a, n_b, None if exact else len(null)), observed, bar, exact, len(null))


def mean_difference(member: NDArray[np.bool_], pooled: FloatArray) -> FloatArray:
    """Mean of the second group minus that of the first for every partition: (B, K)."""
    n_a = int(member[0].sum())
    first = member.astype(np.float64) @ pooled / n_a
    return np.asarray((pooled.sum(axis=0) - n_a * first) / (len(pooled) - n_a) - first)


def max_t(
    observed: FloatArray, null: FloatArray, spread: FloatArray, *, include: bool = False
) -> tuple[float, FloatArray, FloatArray]:
    """p of the largest standardised difference, p per scale, and the |difference| per scale that reaches 5 %.

    Parameters
    ----------
    observed, null, spread : ndarray, shapes (K,), (B, K), (K,)
        Scales without any spread carry no information and are left out of the maximum.
    include : bool
        The null already holds the observed partition (full enumeration).
    """
    unit = np.where(spread > 0, spread, np.inf)
    largest = (np.abs(null) / unit).max(axis=1)
    t = np.abs(observed) / unit
    extra = 0 if include else 1
    exceed = np.array([np.count_nonzero(largest >= value * (1 - _TIE)) for value in (*t, t.max())])
    p = np.minimum((exceed + extra) / (len(null) + extra), 1.0)
    bar = np.quantile(largest, 1 - ALPHA, method="higher")
    return float(p[-1]), p[:-1], np.asarray(bar * np.where(spread > 0, spread, 0.0))


def min_p(observed: FloatArray, null: FloatArray, tails: Sequence[int]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """p of statistics of unlike distributions, p adjusted for their number, and the values that reach 5 %.

    Where `max_t` standardises, each value is replaced by its rank among the B + 1 exchangeable rows, and the smallest p of a row is
    compared with those of all rows (single-step min-P; Westfall & Young 1993).

    Parameters
    ----------
    observed, null : ndarray, shapes (S,) and (B, S)
    tails : sequence of int, length S
        1 where high values are extreme, -1 where low ones are, 0 for both (p is then twice the smaller one).
    """
    rows, tail = np.concatenate([observed[None], null]), np.asarray(tails)
    rounded = np.round(rows / np.maximum(np.abs(rows).max(axis=0), _TIE), -int(np.log10(_TIE)))
    high, low = (rankdata(sign * rounded, method="max", axis=0) / len(rows) for sign in (-1.0, 1.0))
    p = np.where(tail == 0, np.minimum(1.0, 2 * np.minimum(high, low)), np.where(tail < 0, low, high))
    adjusted = np.count_nonzero(p.min(axis=1)[:, None] <= p[0] * (1 + _TIE), axis=0) / len(rows)
    level = np.choose(tail + 1, [ALPHA, 1 - ALPHA / 2, 1 - ALPHA])
    bar = np.array([np.quantile(column, q, method="nearest") for column, q in zip(null.T, level, strict=True)])
    return p[0], adjusted, bar


def holm(p: ArrayLike) -> FloatArray:
    """Holm's step-down adjusted p-values; NaN (no test) stays NaN and does not count."""
    values = np.asarray(p, np.float64)
    result = np.full(values.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    steps = values[order] * (len(order) - np.arange(len(order)))
    result[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return result


def floor(values: ArrayLike, n_a: int, n_b: int, rng: np.random.Generator, *, n_splits: int = 1999) -> Floor:
    """Differences of group means between random disjoint groups of real maps.

    Parameters
    ----------
    values : array_like, shape (N, K)
        Of real maps, N >= n_a + n_b.
    n_a, n_b : int
        Sizes of the groups.
    rng : numpy.random.Generator
    n_splits : int
        Number of random splits.
    """
    pool = as_values(values)
    if n_a < 1 or n_b < 1 or n_a + n_b > len(pool):
        raise InputError("IN40", "floor", f"groups of {n_a} and {n_b} from {len(pool)} maps", "give more maps or smaller groups")
    order = np.argsort(rng.random((n_splits, len(pool))), axis=1)
    weight = np.zeros((n_splits, len(pool)))
    np.put_along_axis(weight, order[:, :n_a], -1.0 / n_a, axis=1)
    np.put_along_axis(weight, order[:, n_a : n_a + n_b], 1.0 / n_b, axis=1)
    differences = weight @ pool
    levels = np.array([0.025, 0.16, 0.5, 0.84, 0.975])
    return Floor(differences.std(axis=0), levels, np.quantile(differences, levels, axis=0), n_a, n_b)


def as_values(values: ArrayLike) -> FloatArray:
    """Values per map as (N, K) float64."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array


def unit_means(values: FloatArray, units: ArrayLike | None) -> FloatArray:
    """Average (N, K) over the maps of each unit: (n_units, K)."""
    if units is None:
        return values
    _, index = np.unique(np.asarray(units), return_inverse=True)
    counts = np.bincount(index)
    return np.stack([np.bincount(index, column) / counts for column in values.T], axis=1)
