"""What a comparison of two sets of maps says: every distance beside its floor, its null and its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from astro_ood.stats._arrays import FloatArray
from astro_ood.stats.ruler import Ruler

# Never negative and biased high: resampled values exceed the value as it does the truth, so the interval is reflected.
BIASED = ("sliced", "frechet")


@dataclass(frozen=True)
class WholeComparison:
    """Samples against real maps, sets as wholes: one entry per statistic.

    Attributes
    ----------
    statistics : tuple of str, length S
    value : ndarray, shape (S,)
        Distance of the samples from the (held-out) real maps.
    low, high : ndarray, shape (S,)
        95 % bootstrap interval.
    floor : ndarray, shape (S,)
        Mean of the distance between two disjoint sets of real maps.
    null, null_sd : ndarray, shape (S,)
        Mean and standard deviation where the second set is samples of a perfect generator, of the sizes compared.
    p, p_adjusted : ndarray, shape (S,)
        Of each statistic, and adjusted for their number.
    critical : ndarray, shape (S,)
        The value from which p is 5 %; a true difference of that size is found half the time.
    p_any : float
        That any statistic differs: one p for the whole comparison.
    p_min : float
        The smallest that any p here can be.
    n_real, n_effective : int
        Units of real maps, effective number behind the samples.
    """

    statistics: tuple[str, ...]
    value: FloatArray
    low: FloatArray
    high: FloatArray
    floor: FloatArray
    null: FloatArray
    null_sd: FloatArray
    p: FloatArray
    p_adjusted: FloatArray
    critical: FloatArray
    p_any: float
    p_min: float
    n_real: int
    n_effective: int

    def of(self, statistic: str) -> dict[str, float]:
        """All numbers of one statistic."""
        i = self.statistics.index(statistic)
        return {name: float(entry[i]) for name, entry in vars(self).items() if isinstance(entry, np.ndarray)}


@dataclass(frozen=True)
class SetComparison(WholeComparison):
    """Distances between sets of vectors. Intervals draw units of the real maps and parents of the samples anew, so that the sampling error of
    the inverted maps is included; those of the sliced and the Frechet distance are of the distance without its bias. Tests are one-sided, of
    density two-sided.

    Attributes
    ----------
    floor_sd : ndarray, shape (S,)
        Standard deviation between two disjoint sets of real maps, of `floor_sizes` units.
    n_samples : int
    floor_sizes : (int, int)
        The two sizes compared if inverted maps are given, else the halves of the real maps.
    neighbours : int
        k of precision, recall, density and coverage.
    ruler : Ruler
        Scale and bandwidth.
    """

    floor_sd: FloatArray
    n_samples: int
    floor_sizes: tuple[int, int]
    neighbours: int
    ruler: Ruler
