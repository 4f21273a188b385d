r"""Is a set of samples a set of real maps? Every distance, beside what real maps do among themselves.

**Null.** Samples are conditional on the inverted maps, so the rule of `conditional` applies: held-out and inverted maps are pooled
and re-divided, and as many values as there are samples are drawn with replacement from the second group. Every distance of
`distances` is computed for every division, with copies treated as samples of one parent are:

- A kernel between two copies is that of a vector with itself, which a generator that varies about its parents never shows. As many
  pairs of one parent as a resampling makes (a fraction 1 / n of all pairs for n inverted maps) are therefore left out of the mean
  within the samples, in the null as in the samples, whose parents are known or taken to be the nearest inverted maps. If copies
  counted as they are, the distances would be too lenient (median p 0.5 to 0.9 for perfect generators that do not copy); if all
  pairs of one parent were left out, samples of three parents out of 32 would be found in a third of trials in place of all.
- Neighbours of a sample (recall) are sought among samples of other parents.
- Folds of the discriminant are dealt sample by sample, copies included: samples share the sampling error of the inverted maps
  whether or not they share a parent. Its null therefore lies above 1/2, the more so for the kernel.

The sliced and the Frechet distance, recall, coverage and the kernel discriminant see that drawn maps are copies; they are lenient
with generators that do not copy. Precision, recall and coverage take few values, so that their p is often 1.

**Floor.** Distances between two disjoint sets of real maps: of the sizes compared if inverted maps are given, else of halves of the
real maps, and then larger than at the sizes compared. `null` and `null_sd` are always of the sizes compared.

**Interval.** Bootstrap of units of the real maps and of parents. Nominal 95 % intervals cover the distance of the two laws in 90 to
100 % of trials for the four unbiased distances (32 / 32 and 24 / 96 / 48, with and without a difference) and in 93 to 100 % for the
Frechet distance; those of the sliced distance are too high (82 to 93 %, and 46 % where there is no difference). The intervals of
the discriminant (91 to 100 %) and of precision to coverage (82 to 100 %) are for the value expected at these sizes.

Rejections at nominal 5 %, in per cent (eight correlated features, 199 divisions, 100 trials, so +-2.2; `benchmarks/calibration.py distances`).
*Resampled* are drawn from the inverted maps; *others* is the range over a parent plus noise and mixtures of three parents; classifiers by their area
under the ROC curve:

=============================  ======  ===  ====  ======  =======  ======  ======  =====  ======  =======  ====  ===
inverted / samples / held out  energy  MMD  kid   sliced  Frechet  linear  kernel  prec.  recall  density  cov.  any
=============================  ======  ===  ====  ======  =======  ======  ======  =====  ======  =======  ====  ===
resampled 8 / 32 / 8           4       4    2     3       4        2       3       5      4       5        3     4
resampled 32 / 32 / 32         0       0    2     1       0        2       2       4      3       9        2     1
resampled 24 / 96 / 96         7       7    8     7       9        5       5       3      6       3        4     4
resampled 16 / 200 / 8         3       3    4     4       3        4       9       5      3       5        3     2
resampled 128 / 128 / 128      2       2    1     2       2        2       5       4      6       2        2     3
others 8 / 32 / 8              5-6     4-5  6-11  1-2     3-5      1-3     1       4-7    0       1-3      0     0-4
others 32 / 32 / 32            2-5     2-5  3-7   1-3     1-5      2-7     2-3     0-1    1-3     3-5      0     0-2
others 24 / 96 / 96            6-10    9    9-17  1-3     4-6      4       3-5     1-4    0       2-6      0     1-3
others 16 / 200 / 8            5-7     5-7  5-6   3-4     2-5      4       4-6     6      0-1     3-5      0     2-3
others 128 / 128 / 128         4       4    1-2   1-3     1-2      4-7     1-2     1-5    0       2-5      0     0
=============================  ======  ===  ====  ======  =======  ======  ======  =====  ======  =======  ====  ===

The mixtures vary too little by a few per cent, and their single energy and kernel distances are rejected too often, the cubic kernel in up to 17 %; all
distances together, which is what the verdict takes, are not.

Power (`benchmarks/calibration.py power`, parent plus noise, 100 trials): one, or three, of eight features moved by 1 sd; scatter of all features 0.7 of
what it should be; a mode at 2 sd that holds 30 % of the real maps missing:

=============================  ======  ===  ===  ======  =======  ======  ======  =====  ======  =======  ====  ===
inverted / samples / held out  energy  MMD  kid  sliced  Frechet  linear  kernel  prec.  recall  density  cov.  any
=============================  ======  ===  ===  ======  =======  ======  ======  =====  ======  =======  ====  ===
shift 12 / 48 / 12             33      36   32   27      26       37      26      14     1       11       2     25
shift 32 / 96 / 32             71      75   60   69      58       98      82      9      2       13       0     84
shift 96 / 192 / 96            100     100  97   100     98       100     100     40     1       52       10    100
three shifts 12 / 48 / 12      79      76   79   63      65       89      51      27     5       30       12    70
three shifts 32 / 96 / 32      100     100  99   98      98       100     100     40     15      75       31    100
three shifts 96 / 192 / 96     100     100  100  100     100      100     100     94     68      100      98    100
scatter 12 / 48 / 12           19      18   7    5       13       6       18      0      17      38       0     10
scatter 32 / 96 / 32           27      32   9    8       21       8       42      0      46      95       0     37
scatter 96 / 192 / 96          85      87   59   73      84       11      100     0      98      100      0     99
mode 12 / 48 / 12              20      23   14   11      21       10      6       4      3       9        8     9
mode 32 / 96 / 32              53      57   41   40      54       20      17      1      11      5        42    28
mode 96 / 192 / 96             100     100  100  99      100      71      74      1      34      7        91    95
=============================  ======  ===  ===  ======  =======  ======  ======  =====  ======  =======  ====  ===
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, IntArray
from astro_ood.stats.conditional import Behind, divide, maps_behind, pooled_units
from astro_ood.stats.distances import default_neighbours, draw_folds
from astro_ood.stats.pool import STATISTICS, Pool
from astro_ood.stats.ruler import Ruler, Scale, as_vectors, fit_ruler
from astro_ood.stats.setresult import BIASED, SetComparison
from astro_ood.stats.testing import attainable_p, min_p, partitions

# Statistics that are worse when low (-1), and one that can be wrong either way (0); the others are worse when high.
_TAIL = {"precision": -1, "recall": -1, "coverage": -1, "density": 0}


@dataclass(frozen=True)
class _Setting:
    """What all parts of one comparison share.

    `units` of the pooled maps, real ones first; `folds` of the units; `drawn`, the number of samples that a null comparison draws
    (None where samples are independent maps); `siblings`, whether samples of one parent can be told.
    """

    names: tuple[str, ...]
    ruler: Ruler
    units: IntArray
    n_a: int
    n_b: int
    folds: IntArray
    k: int
    drawn: int | None
    siblings: bool

    def pool(self, x: FloatArray) -> Pool:
        """Real maps, with those behind the samples or without."""
        units = self.units[: len(x)]
        return Pool(x, self.ruler, units, self.folds[units], self.k)

    def left_out(self, pool: Pool, weights: FloatArray, sizes: FloatArray) -> FloatArray | None:
        """Fraction of the pairs of one unit to leave out (B,): as many as draws from units of these sizes (B, U) would make.

        None where nothing tells siblings: then copies count as any other samples, in the null as well.
        """
        if self.drawn is None:
            return np.ones(len(weights))
        if not self.siblings:
            return None
        chance = ((sizes / sizes.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
        n = weights.sum(axis=1)
        return np.asarray(np.minimum(1.0, chance * n * (n - 1) / np.maximum(pool.pairs_of_a_unit(weights), 1.0)))


@dataclass(frozen=True)
class _Observed:
    """The sets as given: their pool, the weights (1, N + M) of either set, the fraction left out, and the values (S,)."""

    pool: Pool
    first: FloatArray
    second: FloatArray
    left_out: FloatArray | None
    value: FloatArray


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
        Index of the inverted map behind each sample, where each has one (of a mixture of parents, none is the parent); by default
        the nearest one.
    units_real, units_inverted : array_like, shapes (N,) and (L,), optional
        Regions of the real maps, exchanged as a whole. `units_inverted` are those of the samples where these are independent.
    statistics : sequence of str
        Of `pool.STATISTICS`; p-values are adjusted for their number.
    scale : Scale, optional
        Fitted to other real maps. By default to all real maps here, or to both sets where no inverted maps are given.
    whiten : bool
        See `fit_scale`.
    neighbours : int, optional
        k of precision, recall, density and coverage; see `default_neighbours`.
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
    origin = None if parents is None else np.asarray(parents, np.int64)
    _check_lengths(one, two, third, origin)
    if third is None and n_effective is None and origin is not None:
        n_effective = len(np.unique(origin))
    ruler = fit_ruler(np.concatenate([one, two if third is None else third]), scale=scale, whiten=whiten)
    x, y = ruler.scale(one), ruler.scale(two)
    behind = maps_behind(y, None if third is None else ruler.scale(third), n_effective, n_permutations, rng)
    if third is not None and origin is None:
        origin = np.argmin(cdist(y, behind.sets[0]), axis=1)
    units, n_a, n_b = pooled_units(len(x), len(behind.sets[0]), units_real, units_inverted)
    if min(n_a, n_b) < 2:
        raise InputError("IN40", "comparison", f"{n_a} and {n_b} independent maps, expected at least 2", "give more maps")
    k = default_neighbours(min(n_a, n_b)) if neighbours is None else neighbours
    setting = _Setting(tuple(statistics), ruler, units, n_a, n_b, draw_folds(n_a + n_b, rng), k, behind.n_drawn, origin is not None)
    observed = _observe(setting, x, y, origin, third is not None, rng)
    null = _null(setting, x, behind, units_real, units_inverted, rng)
    floor, sizes = _floor(setting, x, None if third is None else behind.sets[0], n_splits, rng)
    low, high = _interval(setting, observed, n_bootstrap, rng)
    p, p_adjusted, bar = min_p(observed.value, null, [_TAIL.get(name, 1) for name in setting.names])
    p_min = attainable_p(n_a, n_b, len(null))
    return SetComparison(
        statistics=setting.names,
        value=observed.value,
        low=low,
        high=high,
        floor=floor.mean(axis=0),
        floor_sd=floor.std(axis=0),
        null=null.mean(axis=0),
        null_sd=null.std(axis=0),
        p=np.maximum(p, p_min),
        p_adjusted=np.maximum(p_adjusted, p_min),
        critical=bar,
        p_any=max(float(p_adjusted.min()), p_min),
        p_min=p_min,
        n_real=n_a,
        n_effective=n_b,
        n_samples=len(y),
        floor_sizes=sizes,
        neighbours=k,
        ruler=ruler,
    )


def _observe(
    setting: _Setting, x: FloatArray, y: FloatArray, origin: IntArray | None, inverted: bool, rng: np.random.Generator
) -> _Observed:
    """Values of the sets as given; samples bear the unit of their parent, as maps drawn in their place do."""
    real, behind = setting.units[: len(x)], setting.units[len(x) :]
    if setting.drawn is None:
        own, dealt = behind, setting.folds[behind]
    else:
        dealt = rng.integers(0, setting.folds.max() + 1, len(y))
        own = setting.n_a + np.arange(len(y)) if origin is None else behind[origin] if inverted else setting.n_a + origin
    labels = np.unique(np.concatenate([real, own]), return_inverse=True)[1]
    folds = np.concatenate([setting.folds[real], dealt])
    pool = Pool(np.concatenate([x, y]), setting.ruler, labels, folds, setting.k)
    first = np.concatenate([np.ones(len(x)), np.zeros(len(y))])[None]
    sizes = np.bincount(behind)[None, setting.n_a :].astype(np.float64)
    left_out = setting.left_out(pool, 1 - first, sizes)
    return _Observed(pool, first, 1 - first, left_out, pool.values(first, 1 - first, setting.names, left_out)[0])


def _null(
    setting: _Setting,
    x: FloatArray,
    behind: Behind,
    units_real: ArrayLike | None,
    units_behind: ArrayLike | None,
    rng: np.random.Generator,
) -> FloatArray:
    """Values (B, S) of a perfect generator, by the rule of `conditional`."""
    draws = []
    for other in behind.sets:
        pool = setting.pool(np.concatenate([x, other]))
        parts = divide(len(x), behind, rng, units_real, units_behind)
        if parts.drawn is None:
            draws.append(pool.values(parts.held, parts.other, setting.names))
        else:
            left_out = setting.left_out(pool, parts.drawn, pool.per_unit(parts.other))
            draws.append(pool.values(parts.held, parts.drawn, setting.names, left_out, rng))
    return np.concatenate(draws)


def _floor(
    setting: _Setting, x: FloatArray, inverted: FloatArray | None, n_splits: int, rng: np.random.Generator
) -> tuple[FloatArray, tuple[int, int]]:
    """Values (B, S) between disjoint sets of real maps, and the numbers of their units."""
    pool = setting.pool(x if inverted is None else np.concatenate([x, inverted]))
    n_a, n_b = (setting.n_a // 2, setting.n_a - setting.n_a // 2) if inverted is None else (setting.n_a, setting.n_b)
    if n_a < 2:
        return np.full((1, len(setting.names)), np.nan), (n_a, n_b)
    held = partitions(n_a, n_b, n_splits, rng, n_splits)[0][:, pool.units].astype(np.float64)
    return pool.values(held, 1 - held, setting.names), (n_a, n_b)


def _interval(setting: _Setting, seen: _Observed, n_bootstrap: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """95 % interval of each value (S,) over redrawn units of the real maps and parents (or `n_b` samples, where unknown)."""
    sides = []
    for weights in (seen.first, seen.second):
        inside = np.unique(seen.pool.units[weights[0] > 0])
        known = setting.siblings or setting.drawn is None or weights is seen.first
        counts = np.zeros((n_bootstrap, int(seen.pool.units.max()) + 1))
        n = len(inside) if known else setting.n_b
        counts[:, inside] = rng.multinomial(n, np.full(len(inside), 1 / len(inside)), size=n_bootstrap)
        sides.append(counts[:, seen.pool.units] * weights)
    left_out = np.ones(1) if seen.left_out is None else seen.left_out
    drawn = seen.pool.values(sides[0], sides[1], setting.names, np.repeat(left_out, n_bootstrap))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    biased = np.isin(setting.names, BIASED)
    mirrored = np.maximum(2 * seen.value - np.stack([high, low]), 0.0)
    low, high = np.where(biased, mirrored, np.stack([low, high]))
    return low, high


def _check_lengths(one: FloatArray, two: FloatArray, third: FloatArray | None, parents: IntArray | None) -> None:
    lengths = {x.shape[1] for x in (one, two, third) if x is not None}
    if len(lengths) > 1:
        raise InputError("IN25", "comparison", f"features of lengths {sorted(lengths)}", "give all sets the same features")
    if parents is None:
        return
    if parents.shape != (len(two),):
        raise InputError("IN25", "parents", f"{parents.size} for {len(two)} samples", "give one a sample")
    if parents.min() < 0 or (third is not None and parents.max() >= len(third)):
        raise InputError("IN25", "parents", f"{parents.min()} to {parents.max()}", "count the inverted maps from 0")
