r"""Permutation tests between two groups of maps, and what they can and cannot show.

The exchangeable unit is the map, or the sky region if maps of one region resemble one another; never the pixel, the bin or the
quantile. Several scales of one statistic give one p-value, that of the largest standardised difference (max-T; Westfall & Young
1993), and the same null distribution gives p-values per scale that are adjusted for their number. Several statistics are then
adjusted by Holm (1979). A permutation p-value cannot be smaller than one over the number of distinct partitions, nor, with B random
ones, than 1/(B + 1) (Phipson & Smyth 2010, arXiv 1603.05766): that minimum is part of every result, for a test that cannot reject
must not be read as agreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from astro_ood.stats._arrays import FloatArray

ENUMERATION_LIMIT = 20_000
ALPHA = 0.05
# Statistics of equal partitions differ by rounding; ties must count as ties.
_TIE = 1e-9


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


def max_t(observed: FloatArray, null: FloatArray, spread: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """p of the largest standardised difference, p per scale, and the |difference| per scale that reaches 5 %.

    Parameters
    ----------
    observed, null, spread : ndarray, shapes (K,), (B, K), (K,)
        Scales without any spread carry no information and are left out of the maximum.
    """
    unit = np.where(spread > 0, spread, np.inf)
    largest = (np.abs(null) / unit).max(axis=1)
    t = np.abs(observed) / unit
    exceed = np.array([np.count_nonzero(largest >= value * (1 - _TIE)) for value in (*t, t.max())])
    p = (exceed + 1) / (len(null) + 1)
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


def as_values(values: ArrayLike) -> FloatArray:
    """Values per map as (N, K) float64."""
    array = np.asarray(values, np.float64)
    return array[:, None] if array.ndim == 1 else array
