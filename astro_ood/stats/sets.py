r"""Is a set of samples a set of real maps? All distances at once, each beside its floor and its null.

The rule is that of `conditional`: the null is made from real maps alone. Held-out and inverted maps are pooled and re-divided at random into
groups of the original sizes, as many vectors as there are samples are drawn with replacement from the second group, and their
distance from the first is one null value. Maps drawn from one parent are pairs of one unit on both sides, so copies within the
samples are nothing that the null does not hold as well. The smallest p over distances, adjusted by the joint null (min-P, Westfall &
Young 1993), is one p for the comparison.

Rejections of perfect generators at nominal 5 %, in per cent (12 correlated features, 300 trials, so +-1.3), over two generators:
resampled parents, and a parent plus noise:

===========================  ==================  ==================  ==============================
inverted / samples / held    any distance        energy distance     largest of the 14 distances
out                          (min-P)
===========================  ==================  ==================  ==============================
8 / 48 / 8                   3.0 - 6.0           6.0 - 7.0           8.3
12 / 48 / 12                 1.0 - 2.0           3.3 - 4.0           5.3
32 / 32 / 32                 2.7                 3.7 - 4.0           6.0
===========================  ==================  ==================  ==============================

Mixtures of three parents, their main parent given, are another matter: 12 / 48 / 12 and 24 / 96 / 96 are rejected by any distance in 5.0 and
3.7, but by the energy distance alone in 11 and 19, by the cubic kernel alone in 23 and 30. For mixtures only the p of the comparison holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, IntArray
from astro_ood.stats.conditional import THINNINGS, Divisions, divide, pooled_units, stand_in
from astro_ood.stats.distances import default_neighbours, draw_folds
from astro_ood.stats.pool import STATISTICS, Pool
from astro_ood.stats.ruler import Ruler, Scale, as_vectors, fit_ruler
from astro_ood.stats.testing import ALPHA, ENUMERATION_LIMIT, attainable_p, partitions

# Statistics that are worse when low, and those that can be wrong either way.
_LOW = ("precision", "recall", "coverage")
_EITHER = ("density",)
_POSITIVE = ("sliced", "frechet", "density")
_FRACTIONS = ("precision", "recall", "coverage")
_TIE = 9


@dataclass(frozen=True)
class SetComparison:
    """Samples against real maps, one entry per statistic.

    Attributes
    ----------
    statistics : tuple of str, length S
    value, low, high : ndarray, shape (S,)
        Distance of the samples from the (held-out) real maps, and its 95 % bootstrap interval: units of the real maps and
        parents of the samples are drawn anew, so the sampling error of the inverted maps is included.
    floor, floor_sd : ndarray, shape (S,)
        Mean and standard deviation of the distance between two disjoint sets of real maps, of `floor_sizes` units.
    null, null_sd : ndarray, shape (S,)
        The same where the second set is samples of a perfect generator, of the sizes compared.
    p, p_adjusted : ndarray, shape (S,)
        One-sided (density: two-sided); adjusted for the number of statistics (min-P, Westfall & Young 1993).
    detectable : ndarray, shape (S,)
        The value that would have reached 5 % (of density: the higher one).
    p_any : float
        That any statistic differs: the smallest adjusted p, one p for the whole comparison.
    p_min : float
        The smallest that any p here can be.
    n_real, n_effective, n_samples : int
        Units of real maps, effective number behind the samples, samples.
    floor_sizes : tuple of int
    neighbours : int
        k of precision, recall, density and coverage.
    ruler : Ruler
        Scale and bandwidth.
    """

    statistics: tuple[str, ...]
    value: FloatArray
    low: FloatArray
    high: FloatArray
    floor: FloatArray
    floor_sd: FloatArray
    null: FloatArray
    null_sd: FloatArray
    p: FloatArray
    p_adjusted: FloatArray
    detectable: FloatArray
    p_any: float
    p_min: float
    n_real: int
    n_effective: int
    n_samples: int
    floor_sizes: tuple[int, int]
    neighbours: int
    ruler: Ruler

    @property
    def effect(self) -> FloatArray:
        """Excess over the floor, in standard deviations of the floor (S,)."""
        return np.asarray((self.value - self.floor) / np.where(self.floor_sd > 0, self.floor_sd, np.nan))

    def of(self, statistic: str) -> dict[str, float]:
        """All numbers of one statistic."""
        i = self.statistics.index(statistic)
        return {name: float(entry[i]) for name, entry in vars(self).items() if isinstance(entry, np.ndarray)}


def compare_sets(
    real: ArrayLike,
    samples: ArrayLike,
    rng: np.random.Generator,
    *,
    inverted: ArrayLike | None = None,
    n_effective: int | None = None,
    parents: ArrayLike | None = None,
    units_real: ArrayLike | None = None,
    units_inverted: ArrayLike | None = None,
    statistics: Sequence[str] = STATISTICS,
    scale: Scale | None = None,
    whiten: bool = False,
    neighbours: int | None = None,
    n_permutations: int = 999,
    n_splits: int = 199,
    n_bootstrap: int = 499,
) -> SetComparison:
    """Compare samples with real maps by all distances.

    Parameters
    ----------
    real, samples : array_like, shapes (N, K) and (M, K)
        Features of real (held-out) maps and of samples.
    rng : numpy.random.Generator
    inverted : array_like, shape (L, K), optional
        Features of the maps that the samples were made from; then the null is made of real maps only.
    n_effective : int, optional
        Number of independent maps behind the samples, where `inverted` is not given; by default that of `parents`, and without
        these all samples count as independent.
    parents : array_like of int, shape (M,), optional
        Index of the inverted map behind each sample; by default the nearest one.
    units_real, units_inverted : array_like, shapes (N,) and (L,), optional
        Regions of the real maps, exchanged as a whole. `units_inverted` are those of the samples where these are independent.
    statistics : sequence of str
        Of `pool.STATISTICS`; p-values are adjusted for their number.
    scale : Scale, optional
        Fitted to other real maps. By default to all real maps here (to both sets where there is no third).
    whiten : bool
        See `fit_scale`.
    neighbours : int, optional
        k of precision, recall, density and coverage.
    n_permutations, n_splits, n_bootstrap : int
        Least number of null divisions; splits of the real maps; bootstrap samples.

    Returns
    -------
    SetComparison

    Raises
    ------
    InputError
        IN16, IN17, IN25, IN40: shapes, non-finite features, lengths that do not fit, fewer than two units.
    """
    one, two = as_vectors(real, "real maps", 2), as_vectors(samples, "samples", 2)
    third = None if inverted is None else as_vectors(inverted, "inverted maps", 2)
    _one_length(one, two, third)
    names = tuple(statistics)
    if third is None and n_effective is None and parents is not None:
        n_effective = len(np.unique(np.asarray(parents)))
    independent = third is None and n_effective is None
    reference = [one, third] if third is not None else [one, two]
    ruler = fit_ruler(np.concatenate(reference), scale=scale, whiten=whiten)
    x, y = ruler.scale(one), ruler.scale(two)
    if third is not None:
        behind = [ruler.scale(third)]
    elif independent:
        behind = [y]
    else:
        assert n_effective is not None
        behind = [stand_in(y, n_effective, rng) for _ in range(THINNINGS)]
    units, n_a, n_b = pooled_units(len(x), len(behind[0]), units_real, units_inverted)
    if min(n_a, n_b) < 2:
        raise InputError("IN40", "comparison", f"{n_a} and {n_b} independent maps, expected at least 2", "give more maps")
    folds, k = draw_folds(n_a + n_b, rng), default_neighbours(min(n_a, n_b)) if neighbours is None else neighbours
    # The samples are labelled by what stands behind them, so that they meet the same formulas as the null.
    own = _labels(y, behind[0] if third is not None else None, units[len(x) :], parents, n_a, independent)
    labels = np.concatenate([units[: len(x)], own])
    fold = folds[labels] if independent else np.concatenate([folds[units[: len(x)]], rng.integers(0, folds.max() + 1, len(y))])
    pool = Pool(np.concatenate([x, y]), ruler, np.unique(labels, return_inverse=True)[1], fold, k)
    first = np.concatenate([np.ones(len(x)), np.zeros(len(y))])[None]
    expected = None if independent else _of_a_unit(np.bincount(units[len(x) :])[n_a:][None])
    if third is None and not independent and parents is None:
        expected = np.zeros(1)
    share = _left_out(pool, 1 - first, expected)
    value = pool.values(first, 1 - first, names, share)[0]
    each = -(-n_permutations // len(behind))
    # Where all divisions would be far more than were asked for, random ones do.
    limit = min(ENUMERATION_LIMIT, 20 * n_permutations) if len(behind) == 1 else each
    null, between = [], []
    for other in behind:
        parts = divide(len(x), len(other), rng, units_real, units_inverted, None if independent else len(y), each, limit)
        null_pool = Pool(np.concatenate([x, other]), ruler, units, folds[units], k)
        null.append(_null(null_pool, parts, names, rng, counted=expected is not None and not expected.any()))
        if third is not None:
            chosen = rng.permutation(len(parts.held))[:n_splits]
            between = [null_pool.values(parts.held[chosen], parts.other[chosen], names)]
    sizes = (n_a, n_b)
    if third is None:
        sizes = (n_a // 2, n_a - n_a // 2)
        between = [_halves(x, units[: len(x)], ruler, folds, k, names, n_splits, rng)]
    p, p_adjusted = _p(value, np.concatenate(null), names)
    draws = np.concatenate(null)
    p_min = attainable_p(n_a, n_b, len(draws))
    low, high = _interval(pool, first, value, share, names, n_bootstrap, rng)
    return SetComparison(
        statistics=names,
        value=value,
        low=low,
        high=high,
        floor=between[0].mean(axis=0),
        floor_sd=between[0].std(axis=0),
        null=draws.mean(axis=0),
        null_sd=draws.std(axis=0),
        p=np.maximum(p, p_min),
        p_adjusted=np.maximum(p_adjusted, p_min),
        detectable=_bar(draws, names),
        p_any=max(float(p_adjusted.min()), p_min),
        p_min=p_min,
        n_real=n_a,
        n_effective=n_b,
        n_samples=len(y),
        floor_sizes=sizes,
        neighbours=k,
        ruler=ruler,
    )


def _null(pool: Pool, parts: Divisions, names: tuple[str, ...], rng: np.random.Generator, counted: bool) -> FloatArray:
    if parts.drawn is None:
        return pool.values(parts.held, parts.other, names)
    expected = np.zeros(len(parts.held)) if counted else _of_a_unit(pool.per_unit(parts.other))
    return pool.values(parts.held, parts.drawn, names, _left_out(pool, parts.drawn, expected), rng)


def _of_a_unit(sizes: FloatArray | IntArray) -> FloatArray:
    """Probability that two draws from units of these sizes (B, U) fall into one: (B,)."""
    return np.asarray(((sizes / sizes.sum(axis=1, keepdims=True)) ** 2).sum(axis=1))


def _left_out(pool: Pool, weights: FloatArray, expected: FloatArray | None) -> FloatArray:
    if expected is None:
        return np.ones(len(weights))
    total = weights.sum(axis=1)
    there = pool.pairs_of_a_unit(weights)
    return np.asarray(np.minimum(1.0, expected * total * (total - 1) / np.maximum(there, 1.0)))


def _labels(
    y: FloatArray, inverted: FloatArray | None, units: IntArray, parents: ArrayLike | None, n_a: int, independent: bool
) -> IntArray:
    if independent:
        return units
    if parents is not None:
        chosen = np.asarray(parents, np.int64)
        if chosen.shape != (len(y),):
            raise InputError("IN25", "parents", f"{chosen.size} for {len(y)} samples", "give one a sample")
        if inverted is None:
            return np.asarray(n_a + np.unique(chosen, return_inverse=True)[1])
        if chosen.min() < 0 or chosen.max() >= len(inverted):
            raise InputError("IN25", "parents", f"up to {chosen.max()}, {len(inverted)} inverted maps", "count from 0")
        return np.asarray(units[chosen])
    if inverted is None:
        return np.asarray(n_a + np.arange(len(y)))
    square = (inverted**2).sum(axis=1) - 2 * y @ inverted.T
    return np.asarray(units[np.argmin(square, axis=1)])


def _halves(
    x: FloatArray,
    units: IntArray,
    ruler: Ruler,
    folds: IntArray,
    k: int,
    names: tuple[str, ...],
    n_splits: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Values (B, S) between random halves of one set; NaN where it is too small to be halved."""
    n = int(units.max()) + 1
    if n < 4:
        return np.full((1, len(names)), np.nan)
    member = partitions(n // 2, n - n // 2, n_splits, rng, n_splits)[0][:, units].astype(np.float64)
    return Pool(x, ruler, units, folds[units], k).values(member, 1.0 - member, names)


def _oriented(values: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Values (B, S) turned so that high is bad, rounded so that ties are ties."""
    turned = np.where(np.isin(names, _LOW), -values, values)
    rounded = turned / np.maximum(np.abs(turned).max(axis=0), 1e-300)
    return np.asarray(np.round(rounded, _TIE))


def _p(value: FloatArray, null: FloatArray, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """p (S,), and adjusted for the number of statistics: the observed values are one of the B + 1 rows."""
    rows = _oriented(np.concatenate([value[None], null]), names)
    p = rankdata(-rows, method="max", axis=0) / len(rows)
    either = np.isin(names, _EITHER)
    if either.any():
        low = rankdata(rows, method="max", axis=0) / len(rows)
        p = np.where(either, np.minimum(1.0, 2 * np.minimum(p, low)), p)
    least = p.min(axis=1)
    adjusted = np.count_nonzero(least[:, None] <= p[0] * (1 + 1e-9), axis=0) / len(rows)
    return p[0], adjusted


def _bar(null: FloatArray, names: tuple[str, ...]) -> FloatArray:
    level = np.where(np.isin(names, _EITHER), ALPHA / 2, ALPHA)
    high = np.array([np.quantile(column, 1 - q, method="higher") for column, q in zip(null.T, level, strict=True)])
    low = np.array([np.quantile(column, q, method="lower") for column, q in zip(null.T, level, strict=True)])
    return np.where(np.isin(names, _LOW), low, high)


def _interval(
    pool: Pool,
    first: FloatArray,
    value: FloatArray,
    share: FloatArray,
    names: tuple[str, ...],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """95 % intervals (S,) and (S,), units of both sides drawn anew (basic bootstrap)."""
    sides = []
    for weights in (first, 1 - first):
        inside = np.unique(pool.units[weights[0] > 0])
        counts = np.zeros((n_bootstrap, int(pool.units.max()) + 1))
        counts[:, inside] = rng.multinomial(len(inside), np.full(len(inside), 1 / len(inside)), size=n_bootstrap)
        sides.append(counts[:, pool.units] * weights)
    drawn = pool.values(sides[0], sides[1], names, np.full(n_bootstrap, share[0]))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return 2 * value - high, 2 * value - low


def _one_length(one: FloatArray, two: FloatArray, third: FloatArray | None) -> None:
    lengths = {len(x[0]) for x in (one, two, third) if x is not None}
    if len(lengths) > 1:
        raise InputError("IN25", "comparison", f"features of lengths {sorted(lengths)}", "compare like with like")
