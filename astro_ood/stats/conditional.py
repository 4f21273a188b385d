r"""Tests of samples that were made from a few maps.

Samples are conditional on the n_i inverted maps: however many are drawn, they inherit the sampling error of those maps. The
difference between their mean and that of n_h held-out maps has, for a *perfect* generator, the variance

.. math:: \sigma^2 \left(1/n_h + 1/n_i + 1/n_s\right),

of which a permutation of samples against held-out maps knows the first and the last term only, and therefore rejects perfect
generators. Thinning the samples to n_i does not help: their common error stays.

**Rule with the inverted maps at hand.** A bootstrap of the inverted maps is a generator that is conditional on them and otherwise
perfect. The null is made from real maps alone: held-out and inverted maps are pooled and re-divided at random into groups of the
original sizes, n_s values are drawn with replacement from the second group, and their mean is compared with that of the first.
The given division is one of the equally probable ones, so the test is exact for the bootstrap and a calibration for any other
generator. It cannot be fooled by samples that vary too little, because no sample enters the null. As the real maps
allow no more than C(n_h + n_i, n_h) divisions, no p is reported below the reciprocal of that number (twice it for equal groups).

**Rule without them** (only `n_effective_b` is known). The inverted maps are replaced by thinned samples, moved and stretched to the
mean and the standard deviation of all samples; then as above. Inflating a plain permutation null by the missing term instead
is not enough: where samples are many and real maps few, its variance is that of the samples, which vary too little by chance as
often as too much (20 % rejections for 6 / 48 / 6).

Rejections of perfect generators at nominal 5 %, in per cent (eight correlated scales, 200 trials, so +-1.5; each range is over three
generators: resampled parents, mixtures of three parents, a parent plus noise; the last column shows the plain permutation of samples
against held-out maps; `benchmarks/calibration.py means`):

===========================  ===========  ==========  ==========  ==========  =======
inverted / samples / held    real only    real only   stand-in    stand-in    plain
out                          mean         log_sd      mean        log_sd      mean
===========================  ===========  ==========  ==========  ==========  =======
6 / 48 / 6                   5.5 - 8.5    2.5         2.0 - 4.0   0.5 - 3.0   44-54
12 / 48 / 12                 5.0 - 9.0    3.0 - 4.5   4.0 - 5.5   1.0 - 2.0   34-39
8 / 32 / 8                   4.5 - 5.5    4.5 - 6.0   2.0 - 3.5   2.0 - 3.5   36-43
32 / 32 / 32                 2.0 - 4.5    2.5 - 4.0   2.5 - 3.5   1.0 - 2.5   12-16
24 / 96 / 96                 6.0 - 6.5    4.0 - 5.5   4.0 - 6.5   2.0 - 3.5   55-61
16 / 200 / 8                 1.5 - 2.5    5.0 - 5.5   1.0 - 2.0   2.0 - 4.5   21-22
128 / 128 / 128              2.0 - 4.0    3.0 - 7.0   1.5 - 2.0   1.5 - 4.0   16-18
===========================  ===========  ==========  ==========  ==========  =======

The scatter of mixtures of few parents really is too small, for they are mixed about their own estimated mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.errors import InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray
from astro_ood.stats.testing import ENUMERATION_LIMIT, as_values, attainable_p, max_t, partitions

Kind = Literal["mean", "log_sd"]
POWER = 0.8
# A resampled group can consist of one map only: its spread is held at this fraction of the variance of the pool.
_LEAST_VARIANCE = 1e-4
_ROUNDING = 1e-12
# Thinned stand-ins for unknown inverted maps, so that no single choice decides.
THINNINGS = 20


@dataclass(frozen=True)
class Comparison:
    """Samples (b) against real maps (a), one entry per scale.

    Attributes
    ----------
    difference, low, high : ndarray, shape (K,)
        Difference b - a and its 95 % interval, the sampling error of the inverted maps included.
    floor : ndarray, shape (K,)
        Standard deviation of the same difference between two groups of real maps, of sizes (n_a, n_effective).
    spread : ndarray, shape (K,)
        Standard deviation of the null difference (floor and the finite number of samples).
    p_scale, detectable : ndarray, shape (K,)
        max-T p, and the |difference| that, planted, would be found at 5 % in 80 % of such comparisons.
    p, p_min : float
        Of the statistic, and the smallest that it can be.
    n_a, n_effective, n_b : int
        Real units, effective number behind the samples, samples.
    """

    difference: FloatArray
    low: FloatArray
    high: FloatArray
    floor: FloatArray
    spread: FloatArray
    p_scale: FloatArray
    detectable: FloatArray
    p: float
    p_min: float
    n_a: int
    n_effective: int
    n_b: int


def compare(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    *,
    inverted: ArrayLike | None = None,
    n_effective_b: int | None = None,
    units_a: ArrayLike | None = None,
    units_inverted: ArrayLike | None = None,
    kind: Kind = "mean",
    n_permutations: int = 1999,
) -> Comparison:
    """Test samples against real maps, allowing for what the samples were made from.

    Parameters
    ----------
    a, b : array_like, shapes (N, K) and (M, K)
        Values of real (held-out) maps and of samples.
    rng : numpy.random.Generator
    inverted : array_like, shape (L, K), optional
        Values of the maps that the samples were made from; then the null is made of real maps only.
    n_effective_b : int, optional
        Number of independent maps behind the samples, where `inverted` is not given; by default all samples count as independent.
    units_a, units_inverted : array_like, optional
        Regions of the real maps, which are then exchanged as a whole.
    kind : {"mean", "log_sd"}
        Compare means over maps, or ln of the standard deviation between maps.
    n_permutations : int
        Least number of null differences.

    Returns
    -------
    Comparison
    """
    real, samples = as_values(a), as_values(b)
    n_s = len(samples)
    behind = maps_behind(samples, None if inverted is None else as_values(inverted), n_effective_b, n_permutations, rng)
    parts = [_differences(real, other, behind, units_a, units_inverted, kind, rng) for other in behind.sets]
    null, between = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]).std(axis=0)
    n_a, n_eff = parts[0][2:]
    difference = summary(samples, np.ones((1, n_s)), kind)[0] - summary(real, np.ones((1, len(real))), kind)[0]
    idle = _idle(real if inverted is None else np.concatenate([real, as_values(inverted)]), samples, kind)
    # where samples are independent, they are in the null themselves
    idle &= behind.n_drawn is not None
    difference[idle], null[:, idle] = 0.0, 0.0
    # With the observed difference among them the B + 1 differences are exchangeable, and so are their standardised forms.
    p, p_scale, _ = max_t(difference, null, _rms(np.concatenate([null, difference[None]])))
    p_min = attainable_p(n_a, n_eff, len(null))
    spread = _rms(null)
    low, high = np.quantile(null, [0.025, 0.975], axis=0)
    return Comparison(
        difference=difference,
        low=difference - high,
        high=difference - low,
        floor=between,
        spread=spread,
        p_scale=np.maximum(p_scale, p_min),
        detectable=_found_with(POWER, null, max_t(difference, null, spread)[2]),
        p=max(p, p_min),
        p_min=p_min,
        n_a=n_a,
        n_effective=n_eff,
        n_b=n_s,
    )


def _idle(real: FloatArray, samples: FloatArray, kind: Kind) -> BoolArray:
    """Columns (K,) that tell nothing: one value in all real maps, and in most samples; for scatters, in most real maps too.

    What occurs in few maps (a void below -2 sd) may occur in none or one of the real ones, and then in more samples of a perfect generator; no
    division of the real maps knows that, and the logarithm of a scatter makes it infinitely large.
    """
    usual = np.median(real, axis=0)
    tolerance = _ROUNDING * np.abs(real).max(axis=0)
    alike, same = (np.mean(np.abs(x - usual) <= tolerance, axis=0) for x in (real, samples))
    return np.asarray((alike > 0.5 if kind == "log_sd" else alike == 1.0) & (same >= 0.5))


def summary(values: FloatArray, counts: FloatArray, kind: Kind) -> FloatArray:
    """Mean, or ln standard deviation, over maps that occur `counts` (B, N) times: (B, K)."""
    n = counts.sum(axis=1, keepdims=True)
    centre = values.mean(axis=0)
    centred = values - centre
    mean = counts @ centred / n
    if kind == "mean":
        return np.asarray(mean + centre)
    variance = (counts @ centred**2 / n - mean**2) * n / np.maximum(n - 1, 1)
    least = max(_LEAST_VARIANCE, np.finfo(np.float64).eps) * np.maximum(centred.var(axis=0), np.finfo(np.float64).tiny)
    return np.asarray(0.5 * np.log(np.maximum(variance, least)))


@dataclass(frozen=True)
class Behind:
    """Maps behind the samples, and how often they are divided from the real ones.

    Attributes
    ----------
    sets : list of ndarray
        The inverted maps, or stand-ins for them, or the samples themselves where these are independent; of one length.
    n_drawn : int or None
        Values drawn with replacement in the place of samples; None where samples are independent.
    n_permutations, limit : int
        Least number of divisions of each set; fewer than `limit` are all enumerated.
    """

    sets: list[FloatArray]
    n_drawn: int | None
    n_permutations: int
    limit: int


def maps_behind(
    samples: FloatArray, inverted: FloatArray | None, n_effective: int | None, n_permutations: int, rng: np.random.Generator
) -> Behind:
    """What stands for the maps that samples were made from (the two rules of this module)."""
    if inverted is not None:
        sets = [inverted]
    elif n_effective is not None:
        sets = [stand_in(samples, n_effective, rng) for _ in range(THINNINGS)]
    else:
        sets = [samples]
    each = -(-n_permutations // len(sets))
    # Enumerating far more divisions than were asked for costs too much, and so does enumerating those of every stand-in.
    limit = min(ENUMERATION_LIMIT, 20 * n_permutations) if len(sets) == 1 else each
    independent = inverted is None and n_effective is None
    return Behind(sets, None if independent else len(samples), each, limit)


@dataclass(frozen=True)
class Divisions:
    """Re-divisions of pooled maps into two groups of the original numbers of units.

    Attributes
    ----------
    held, other : ndarray, shape (B, N)
        1 for the maps of the first and of the second group, else 0.
    drawn : ndarray or None, shape (B, N)
        How often each map of the second group was drawn, with replacement, in place of samples made from it.
    units : ndarray of int, shape (N,)
        Unit of each pooled map.
    n_a, n_b : int
        Numbers of units.
    """

    held: FloatArray
    other: FloatArray
    drawn: FloatArray | None
    units: IntArray
    n_a: int
    n_b: int


def divide(
    n_real: int,
    behind: Behind,
    rng: np.random.Generator,
    units_a: ArrayLike | None = None,
    units_behind: ArrayLike | None = None,
) -> Divisions:
    """Pool real maps with those behind the samples, re-divide them, and draw from the second group (the rule of this module).

    Parameters
    ----------
    n_real : int
        Number of the real (held-out) maps, which come first in the pool.
    behind : Behind
        One of its sets is the second part of the pool.
    rng : numpy.random.Generator
    units_a, units_behind : array_like, optional
        Regions, which are exchanged as a whole.
    """
    n_permutations, n_drawn = behind.n_permutations, behind.n_drawn
    units, n_a, n_b = pooled_units(n_real, len(behind.sets[0]), units_a, units_behind)
    member, exact = partitions(n_a, n_b, n_permutations, rng, behind.limit)
    if exact:
        member = np.repeat(member, -(-n_permutations // len(member)), axis=0)
    held = member[:, units].astype(np.float64)
    other = 1.0 - held
    drawn = None
    if n_drawn is not None:
        drawn = rng.multinomial(n_drawn, other / other.sum(axis=1, keepdims=True)).astype(np.float64)
    return Divisions(held, other, drawn, units, n_a, n_b)


def _differences(
    real: FloatArray,
    other: FloatArray,
    behind: Behind,
    units_a: ArrayLike | None,
    units_behind: ArrayLike | None,
    kind: Kind,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray, int, int]:
    """Null differences (B, K) and differences between the two groups proper (B, K) over re-divisions, and the numbers of units.

    `other` is one of the sets of `behind`; where nothing is drawn, the second group itself is compared.
    """
    pool = np.concatenate([real, other])
    parts = divide(len(real), behind, rng, units_a, units_behind)
    first = summary(pool, parts.held, kind)
    between = summary(pool, parts.other, kind) - first
    null = between if parts.drawn is None else summary(pool, parts.drawn, kind) - first
    return null, between, parts.n_a, parts.n_b


def _found_with(power: float, null: FloatArray, bar: FloatArray) -> FloatArray:
    """Difference (K,), of the worse sign, that lifts a share `power` of the null differences (B, K) over the bar (K,)."""
    down, up = np.quantile(null, [1 - power, power], axis=0)
    return np.asarray(bar + np.maximum(-down, up))


def stand_in(samples: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    """`n` samples, moved and stretched to the mean and the standard deviation of all, in place of unknown inverted maps."""
    n = min(n, len(samples))
    thin = samples[rng.permutation(len(samples))[:n]]
    spread = thin.std(axis=0)
    factor = np.where(spread > 0, samples.std(axis=0) / np.where(spread > 0, spread, 1.0), 0.0) * sqrt(n / max(n - 1, 1))
    return np.asarray(samples.mean(axis=0) + factor * (thin - thin.mean(axis=0)))


def _rms(differences: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.mean(differences**2, axis=0)))


def pooled_units(
    n_real: int, n_inverted: int, units_a: ArrayLike | None = None, units_inverted: ArrayLike | None = None
) -> tuple[IntArray, int, int]:
    """Unit of each pooled map, those of the real maps first, and the numbers of units."""
    one = np.arange(n_real) if units_a is None else np.unique(np.asarray(units_a), return_inverse=True)[1]
    two = np.arange(n_inverted) if units_inverted is None else np.unique(np.asarray(units_inverted), return_inverse=True)[1]
    if len(one) != n_real or len(two) != n_inverted:
        raise InputError(
            "IN25", "regions", f"{len(one)} and {len(two)} labels for {n_real} and {n_inverted} maps", "give one a map"
        )
    n_a, n_i = int(one.max()) + 1, int(two.max()) + 1
    return np.concatenate([one, two + n_a]).astype(np.int64), n_a, n_i
