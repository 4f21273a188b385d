from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from permutation_support import permutation_p
from scipy import stats

from astro_ood.stats.testing import attainable_p, holm, min_p


def rejections(p, level=0.05):
    return np.mean(np.asarray(p) <= level)


def test_enumerated_p_equals_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=7), rng.normal(0.8, size=6)
    expected = stats.permutation_test((a, b), lambda x, y: abs(x.mean() - y.mean()), alternative="greater", n_resamples=np.inf)
    result = permutation_p(a, b, rng)
    assert result.exact
    assert result.p_min == 1 / comb(13, 6)
    assert result.p == pytest.approx(expected.pvalue)
    assert result.difference[0] == pytest.approx(b.mean() - a.mean())


def test_max_t_equals_a_loop_over_partitions():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(4, 3)), rng.normal(0.7, size=(5, 3))
    pool = np.concatenate([a, b])
    sd = pool.std(axis=0)

    def t(first):
        rest = [i for i in range(9) if i not in first]
        return np.abs(pool[rest].mean(axis=0) - pool[list(first)].mean(axis=0)) / sd

    largest = np.array([t(first).max() for first in combinations(range(9), 4)])
    observed = t((0, 1, 2, 3))
    result = permutation_p(a, b, rng)
    np.testing.assert_allclose(result.p_scale, [np.mean(largest >= v - 1e-12) for v in observed])
    assert result.p == result.p_scale.min()


@pytest.mark.parametrize("n", [8, 32, 128])
def test_p_is_uniform_for_exchangeable_sets(n):
    p = []
    for trial in range(400):
        rng = np.random.default_rng([trial, n])
        values = rng.exponential(size=(2 * n, 4)).cumsum(axis=1)
        p.append(permutation_p(values[:n], values[n:], rng, n_permutations=199).p)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.02 < rejections(p) < 0.08


def test_regions_as_units_keep_the_level_where_maps_do_not():
    by_map, by_region = [], []
    for trial in range(200):
        rng = np.random.default_rng(trial)
        regions = np.repeat(np.arange(8), 6)
        a, b = (rng.normal(size=(8, 2))[regions] + 0.5 * rng.normal(size=(48, 2)) for _ in range(2))
        by_map.append(permutation_p(a, b, rng, n_permutations=199).p)
        by_region.append(permutation_p(a, b, rng, n_permutations=199, units_a=regions, units_b=regions).p)
    assert rejections(by_map) > 0.3
    assert rejections(by_region) < 0.09


def test_power_statement_tells_what_is_found():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(40, 1))
    bar = permutation_p(values[:20], values[20:], rng).bar[0]
    centred = values - np.repeat([values[:20].mean(), values[20:].mean()], 20)[:, None]
    shift = np.repeat([0.0, 1.0], 20)[:, None]
    assert permutation_p(*np.split(centred + 1.3 * bar * shift, 2), rng).p < 0.05
    assert permutation_p(*np.split(centred + 0.7 * bar * shift, 2), rng).p > 0.05


def test_minimum_is_reached_by_separated_groups():
    a, b = np.arange(6.0), 100 + np.arange(6.0)
    result = permutation_p(a, b, np.random.default_rng(3))
    assert result.p == result.p_min == attainable_p(6, 6) == pytest.approx(2 / 924)
    assert attainable_p(5, 6) == 1 / 462
    assert attainable_p(30, 30, 499) == 1 / 500
    assert permutation_p(np.arange(30.0), 100 + np.arange(30.0), np.random.default_rng(4), n_permutations=499).p == 1 / 500


def test_a_scale_without_spread_says_nothing():
    a, b = np.zeros((6, 2)), np.zeros((6, 2))
    b[:, 1] = np.arange(6) + 10.0
    result = permutation_p(a, b, np.random.default_rng(6))
    assert result.p_scale[0] == 1.0
    assert result.p == result.p_min


def test_holm_by_hand_and_nan():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.02, np.nan, 0.02])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_between_raw_and_bonferroni_and_monotone(p):
    adjusted, raw = holm(p), np.array(p)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(len(p) * raw, 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(raw, kind="stable")]) >= 0).all()


def test_min_p_of_unlike_statistics():
    rng = np.random.default_rng(21)
    null = np.stack([rng.normal(size=199), rng.exponential(size=199) ** 3, rng.normal(size=199)], axis=1)
    p, adjusted, bar = min_p(np.array([9.0, -1.0, -9.0]), null, [1, -1, 0])
    np.testing.assert_allclose(p, [1 / 200, 1 / 200, 2 / 200])
    # The next rows reach 2/200: one in each column at most.
    assert adjusted[0] == adjusted[1] == 1 / 200
    assert 2 / 200 <= adjusted[2] <= 4 / 200
    assert np.all(np.abs(bar[[0, 2]] - [1.645, 1.96]) < 0.4)
    assert bar[1] == np.quantile(null[:, 1], 0.05, method="nearest")


def test_min_p_is_uniform_and_ties_count_as_ties():
    rng = np.random.default_rng(22)
    found = []
    for _ in range(300):
        rows = rng.normal(size=(100, 4)) @ np.array([[1, 0.9, 0, 0], [0, 0.4, 0, 0], [0, 0, 1, 0], [0, 0, 0.5, 1]])
        found.append(min_p(rows[0], rows[1:], [1, -1, 0, 1])[1].min())
    assert stats.kstest(np.array(found) - rng.random(300) / 100, "uniform").pvalue > 0.003
    p, adjusted, _ = min_p(np.full(2, 1 + 1e-13), np.ones((50, 2)), [1, 0])
    assert p.tolist() == adjusted.tolist() == [1, 1]
