r"""Do the statistics of a map go together as they do in real maps?

Means and scatters can be right while the maps are wrong: a set whose bright maps are not the rough ones, or whose power at large scales says nothing about
that at small ones, has the wrong correlations between the statistics of a map. Emulators are known to lose them. Compared are the correlation
coefficients over maps, in groups of pairs: within each statistic, and between different ones,

.. math:: D = \sqrt{\langle (r_{ij} - r'_{ij})^2 \rangle_{ij}},

the Frobenius norm of the difference per pair. Shrinking both matrices by one factor would shrink all D and change no p, so they are not shrunk; nothing
is inverted, so there may be more statistics than maps.

**Null.** The rule of `conditional`: held-out and inverted maps are pooled and re-divided, and as many as there are samples are drawn with replacement from the
second group. One p for all groups, that of the largest excess of D over its mean in standard deviations (max-T, one-sided; ranks would not do: the smallest p of
eight groups cannot stand Holm's correction). D is positive for perfect samples as well: by noise it is up to
sqrt(1/n_a + 1/n_i + 1/n_s). The floor is its mean between two sets of real maps.

**Interval.** Bootstrap of units of the real maps and of parents (the nearest inverted maps, where none are given). Drawing again adds noise to D^2,
so its mean excess over D^2 is taken off: the interval is for the value expected at these sizes, as the floor and the null are. Nominal 95 %
intervals cover it in 95 to 100 % of 150 trials (eight features in two statistics, 12 / 48 / 12 to 24 / 96 / 96; `benchmarks/calibration.py intervals`).

Perfect generators are rejected at nominal 5 % in 0 to 8.5 % of 200 trials (docs/statistics.md; `benchmarks/calibration.py correlations`). Planted
(`lost`, 40 trials, all columns of `features` of 1,500 skewed random fields of 32 x 32, resampled parents, 99 divisions), in per cent: nothing; the
columns shuffled, so that no correlation is left; the four largest scales of the spectrum shuffled, each for itself:

=============================  =======  =========  ============
inverted / samples / held out  nothing  none left  large scales
=============================  =======  =========  ============
12 / 48 / 12                   0        100        85
32 / 96 / 32                   8        100        98
=============================  =======  =========  ============
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, IntArray
from astro_ood.stats.conditional import divide, maps_behind
from astro_ood.stats.setresult import WholeComparison
from astro_ood.stats.testing import attainable_p, max_t, partitions

BETWEEN = "between statistics"
# Variances below this fraction of that of all maps count as none: their correlations are 0.
_LEAST_VARIANCE = 1e-10
_SPLITS = 199
_TIE = 1e-9


def compare_correlations(
    real: Mapping[str, FloatArray],
    samples: Mapping[str, FloatArray],
    rng: np.random.Generator,
    *,
    inverted: Mapping[str, FloatArray] | None = None,
    n_effective: int | None = None,
    units_real: ArrayLike | None = None,
    units_inverted: ArrayLike | None = None,
    n_permutations: int = 999,
    n_bootstrap: int = 199,
) -> WholeComparison:
    """Compare the correlations between statistics over the maps of two sets.

    Parameters
    ----------
    real, samples, inverted : mapping of str to ndarray (N, K)
        Values of each statistic, of real (held-out) maps, of samples, and of the maps that these were made from; with `inverted` the null is made of
        real maps only.
    rng : numpy.random.Generator
    n_effective : int, optional
        Number of independent maps behind the samples, where `inverted` is not given; by default all samples count as independent.
    units_real, units_inverted : array_like, optional
        Regions of the real maps, exchanged as a whole.
    n_permutations, n_bootstrap : int
        Least number of null divisions; bootstrap samples.

    Returns
    -------
    WholeComparison
        The statistics are groups of pairs: the names of statistics, and last the pairs between them; a distance is the root mean square
        difference of correlation coefficients, and p is adjusted by max-T.

    Raises
    ------
    InputError
        IN40 for fewer than two samples or real maps.
    """
    pairs = Pairs({name: values.shape[1] for name, values in real.items()})
    x, y = _joined(real), _joined(samples)
    if min(len(x), len(y)) < 2:
        raise InputError("IN40", "correlations", f"{len(x)} real maps and {len(y)} samples", "give at least two of each")
    third = None if inverted is None else _joined(inverted)
    behind = maps_behind(y, third, n_effective, n_permutations, rng)
    draws, between = [], []
    for other in behind.sets:
        pool = np.concatenate([x, other])
        parts = divide(len(x), behind, rng, units_real, units_inverted)
        draws.append(pairs.distances(pool, parts.held, parts.other if parts.drawn is None else parts.drawn))
        some = partitions(parts.n_a, parts.n_b, -(-_SPLITS // len(behind.sets)), rng, _SPLITS)[0][:, parts.units].astype(np.float64)
        between.append(pairs.distances(pool, some, 1 - some))
    null = np.concatenate(draws)
    given = np.concatenate([np.ones(len(x)), np.zeros(len(y))])[None]
    value = pairs.distances(np.concatenate([x, y]), given, 1 - given)[0]
    p_any, p_adjusted, bar = _highest(value, null)
    p_min = attainable_p(parts.n_a, parts.n_b, len(null))
    p = (np.count_nonzero(null >= value * (1 - _TIE), axis=0) + 1) / (len(null) + 1)
    low, high = _interval(pairs, x, y, _families(y, third, units_inverted, parts.n_b), units_real, value, n_bootstrap, rng)
    return WholeComparison(
        statistics=pairs.names,
        value=value,
        low=low,
        high=high,
        floor=np.concatenate(between).mean(axis=0),
        null=null.mean(axis=0),
        null_sd=null.std(axis=0),
        p=np.maximum(p, p_min),
        p_adjusted=np.maximum(p_adjusted, p_min),
        critical=bar,
        p_any=max(p_any, p_min),
        p_min=p_min,
        n_real=parts.n_a,
        n_effective=parts.n_b,
    )


def _families(y: FloatArray, inverted: FloatArray | None, units: ArrayLike | None, n: int) -> tuple[IntArray, int]:
    """Which samples (M,) are drawn together, and how many of these families are drawn: `n` single ones where parents are not known."""
    if inverted is None:
        return np.arange(len(y)), n
    sd = inverted.std(axis=0)
    nearest = np.argmin(cdist(*(v / np.where(sd > 0, sd, 1.0) for v in (y, inverted))), axis=1)
    family = np.unique(nearest if units is None else np.asarray(units)[nearest], return_inverse=True)[1]
    return family, int(family.max()) + 1


def _interval(
    pairs: Pairs,
    x: FloatArray,
    y: FloatArray,
    families: tuple[IntArray, int],
    units_real: ArrayLike | None,
    value: FloatArray,
    n_bootstrap: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """95 % interval (S,) of the distances that are expected at these sizes."""
    real = np.arange(len(x)) if units_real is None else np.unique(np.asarray(units_real), return_inverse=True)[1]
    weights = []
    for unit, n in ((real, int(real.max()) + 1), families):
        there = int(unit.max()) + 1
        weights.append(rng.multinomial(n, np.full(there, 1 / there), size=n_bootstrap)[:, unit].astype(np.float64))
    first, second = (np.pad(w, ((0, 0), side)) for w, side in zip(weights, ((0, len(y)), (len(x), 0)), strict=True))
    square = pairs.distances(np.concatenate([x, y]), first, second) ** 2
    moved = np.quantile(square, [0.025, 0.975], axis=0) - (square.mean(axis=0) - value**2)
    low, high = np.sqrt(np.maximum(moved, 0.0))
    return low, high


def _highest(value: FloatArray, null: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """p of the largest excess over the mean in standard deviations, p of each group (S,) adjusted, and the value (S,) that reaches 5 %."""
    rows = np.concatenate([null, value[None]])
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    p, adjusted, bar = max_t(np.maximum(value - centre, 0.0), np.maximum(null - centre, 0.0), spread)
    return p, adjusted, centre + bar


class Pairs:
    """Pairs of columns of several statistics side by side, grouped by the statistics that they belong to.

    Parameters
    ----------
    sizes : mapping of str to int
        Number of columns of each statistic; those of one column have no pairs of their own.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        owner = np.repeat(np.arange(len(sizes)), list(sizes.values()))
        first, second = np.triu_indices(len(owner), 1)
        present, group = np.unique(np.where(owner[first] == owner[second], owner[first], len(sizes)), return_inverse=True)
        self.names = tuple([*sizes, BETWEEN][i] for i in present)
        mean = (group[:, None] == np.arange(len(present))) / np.bincount(group)
        # those of each column with the columns after it
        self._means = np.split(mean, np.cumsum(np.arange(len(owner) - 1, 0, -1))[:-1])

    def distances(self, values: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
        """D (B, S) between subsets of vectors (N, K) with weights `a` and `b` (B, N)."""
        x = values - values.mean(axis=0)
        x = x / np.where(x.std(axis=0) > 0, x.std(axis=0), 1.0)
        one, two = _Correlations(x, a), _Correlations(x, b)
        square = np.zeros((len(a), len(self.names)))
        for i, mean in enumerate(self._means):
            square += (one.after(i) - two.after(i)) ** 2 @ mean
        return np.sqrt(square)


class _Correlations:
    """Correlation coefficients of subsets of vectors (N, K) with weights (B, N); 0 where a column does not vary."""

    def __init__(self, x: FloatArray, w: FloatArray) -> None:
        self.x, self.w = x, w / w.sum(axis=1, keepdims=True)
        mean = self.w @ x
        variance = self.w @ x**2 - mean**2
        self.scale = np.where(variance > _LEAST_VARIANCE, 1 / np.sqrt(np.maximum(variance, _LEAST_VARIANCE)), 0.0)
        self.scaled_mean = mean * self.scale

    def after(self, i: int) -> FloatArray:
        """Of column i with those after it, (B, K - i - 1)."""
        products = self.w @ (self.x[:, i : i + 1] * self.x[:, i + 1 :])
        products *= self.scale[:, i + 1 :]
        products *= self.scale[:, i : i + 1]
        return np.asarray(products - self.scaled_mean[:, i : i + 1] * self.scaled_mean[:, i + 1 :])


def _joined(values: Mapping[str, FloatArray]) -> FloatArray:
    return np.concatenate(list(values.values()), axis=1)
