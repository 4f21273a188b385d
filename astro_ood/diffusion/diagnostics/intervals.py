"""The two intervals that the judging needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from astro_ood._random import stream

Array = NDArray[np.float64]


def median_over_maps(values: Array, seed: int = 0, n_bootstrap: int = 999) -> tuple[float, float, float]:
    """Median over maps of the medians of each (N, ...), with its 95 % interval from resampling whole maps."""
    each = np.median(values.reshape(len(values), -1), axis=1)
    drawn = stream(seed, "median over maps", 0).integers(len(each), size=(n_bootstrap, len(each)))
    low, high = np.quantile(np.median(each[drawn], axis=1), [0.025, 0.975])
    return float(np.median(each)), float(low), float(high)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    found = stats.binomtest(int(successes), int(n)).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
