"""The plain permutation test between two groups of maps: what samples that share parents must not be judged by."""

from dataclasses import dataclass

import numpy as np

from astro_ood.stats.testing import as_values, attainable_p, max_t, partitions


@dataclass(frozen=True)
class PermutationResult:
    p: float
    p_scale: np.ndarray
    p_min: float
    difference: np.ndarray
    bar: np.ndarray
    exact: bool


def permutation_p(a, b, rng, n_permutations=1999, units_a=None, units_b=None):
    """Difference of means (b - a) of two groups (N, K) and (M, K), exchanged by regions where these are given."""
    first, second = _unit_means(as_values(a), units_a), _unit_means(as_values(b), units_b)
    n_a, pooled = len(first), np.concatenate([first, second])
    member, exact = partitions(n_a, len(second), n_permutations, rng)
    mean = member.astype(float) @ pooled / n_a
    null = (pooled.sum(axis=0) - n_a * mean) / len(second) - mean
    difference = second.mean(axis=0) - first.mean(axis=0)
    # of all divisions the one given is the first
    p, p_scale, bar = max_t(difference, null[1:] if exact else null, pooled.std(axis=0))
    return PermutationResult(p, p_scale, attainable_p(n_a, len(second), None if exact else len(null)), difference, bar, exact)


def _unit_means(values, units):
    if units is None:
        return values
    index = np.unique(units, return_inverse=True)[1]
    return np.stack([np.bincount(index, column) / np.bincount(index) for column in values.T], axis=1)
