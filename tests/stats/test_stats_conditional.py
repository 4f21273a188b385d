import numpy as np
import pytest
from permutation_support import permutation_p

from astro_ood.errors import InputError
from astro_ood.stats.conditional import compare
from astro_ood.stats.testing import attainable_p

CORRELATED = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(range(6), range(6))) / 2))


def draw(n, rng):
    return rng.normal(size=(n, 6)) @ CORRELATED.T


def perfect_generator(inverted, n, rng):
    """Right mean and variance as far as the inverted maps tell, each sample near one parent."""
    parents = inverted[rng.integers(len(inverted), size=n)]
    mean, sd = inverted.mean(axis=0), inverted.std(axis=0, ddof=1)
    return mean + np.sqrt(0.7) * (parents - mean) + np.sqrt(0.3) * draw(n, rng) * sd


@pytest.mark.parametrize(("n_inverted", "n_samples", "n_held_out"), [(8, 32, 8), (32, 32, 32), (24, 96, 96), (128, 128, 128)])
def test_perfect_generator_is_rejected_at_the_nominal_rate_only(n_inverted, n_samples, n_held_out):
    p = {"plain": [], "real only": [], "stand-in": []}
    for trial in range(150):
        rng = np.random.default_rng([trial, n_inverted])
        inverted, held_out = draw(n_inverted, rng), draw(n_held_out, rng)
        samples = perfect_generator(inverted, n_samples, rng)
        p["plain"].append(permutation_p(held_out, samples, rng, n_permutations=199).p)
        p["real only"].append(compare(held_out, samples, rng, inverted=inverted, n_permutations=199).p)
        p["stand-in"].append(compare(held_out, samples, rng, n_effective_b=n_inverted, n_permutations=199).p)
    rate = {rule: np.mean(np.array(values) <= 0.05) for rule, values in p.items()}
    # 150 trials at 5 %: 10 % is three standard deviations away.
    assert rate["real only"] < 0.10
    assert rate["stand-in"] < 0.10
    assert rate["plain"] > 0.10


def test_regions_of_real_maps_are_exchanged_as_a_whole():
    by_map, by_region = [], []
    for trial in range(100):
        rng = np.random.default_rng(trial)
        regions = np.repeat(np.arange(9), 5)
        held_out, inverted = (draw(9, rng)[regions] + 0.3 * draw(45, rng) for _ in range(2))
        samples = perfect_generator(inverted, 60, rng)
        by_map.append(compare(held_out, samples, rng, inverted=inverted, n_permutations=199).p)
        by_region.append(
            compare(held_out, samples, rng, inverted=inverted, units_a=regions, units_inverted=regions, n_permutations=199).p
        )
    assert np.mean(np.array(by_map) <= 0.05) > 0.2
    assert np.mean(np.array(by_region) <= 0.05) < 0.12


@pytest.mark.parametrize("conditional", [{"n_effective_b": 16}, {"inverted": True}, {}])
def test_wrong_scale_is_found_and_only_that(conditional):
    rng = np.random.default_rng(0)
    inverted = draw(16, rng)
    samples = perfect_generator(inverted, 64, rng)
    samples[:, 4] += 2.5
    given = {key: inverted if key == "inverted" else value for key, value in conditional.items()}
    result = compare(draw(24, rng), samples, rng, **given)
    assert np.flatnonzero(result.p_scale <= 0.05).tolist() == [4]
    assert result.p == result.p_scale[4]
    assert result.low[4] < 2.5 < result.high[4]
    assert result.difference[4] > result.detectable[4]


def test_scatter_between_maps():
    rng = np.random.default_rng(1)
    inverted, held_out = draw(24, rng), draw(24, rng)
    narrow = inverted.mean(axis=0) + 0.3 * (perfect_generator(inverted, 64, rng) - inverted.mean(axis=0))
    assert compare(held_out, narrow, rng, inverted=inverted).p > 0.05
    result = compare(held_out, narrow, rng, inverted=inverted, kind="log_sd")
    assert result.p <= 0.01
    np.testing.assert_allclose(result.difference, np.log(narrow.std(axis=0, ddof=1) / held_out.std(axis=0, ddof=1)))


def test_floor_is_the_difference_of_two_real_groups():
    rng = np.random.default_rng(2)
    held_out, inverted = draw(40, rng), draw(10, rng)
    result = compare(held_out, draw(30, rng), rng, inverted=inverted)
    sd = np.concatenate([held_out, inverted]).std(axis=0)
    np.testing.assert_allclose(result.floor, sd * np.sqrt(1 / 40 + 1 / 10), rtol=0.06)
    np.testing.assert_allclose(result.spread, sd * np.sqrt(1 / 40 + 1 / 10 + 1 / 30), rtol=0.06)
    assert (result.n_a, result.n_effective, result.n_b) == (40, 10, 30)


def test_no_p_below_what_the_real_maps_allow():
    rng = np.random.default_rng(3)
    far = draw(500, rng) + 100
    assert compare(draw(6, rng), far, rng, inverted=draw(6, rng)).p == attainable_p(6, 6)
    assert compare(draw(3, rng), far, rng, inverted=draw(4, rng)).p == 1 / 35
    assert compare(draw(6, rng), far, rng, n_effective_b=6).p >= attainable_p(6, 6)


def test_labels_must_fit():
    rng = np.random.default_rng(4)
    with pytest.raises(InputError, match="AOD-IN25"):
        compare(draw(6, rng), draw(6, rng), rng, inverted=draw(6, rng), units_a=[0, 1])


@pytest.mark.parametrize("n", [8, 24])
def test_a_planted_difference_of_the_detectable_size_is_found_in_four_of_five(n):
    """One scale alone, so that the bar of the scale is that of the statistic; the size is that of an earlier comparison."""
    found = []
    for trial in range(200):
        rng = np.random.default_rng([trial, n, 7])
        inverted, held_out = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
        samples = inverted[rng.integers(n, size=48)]
        size = compare(held_out, samples, rng, inverted=inverted, n_permutations=199).detectable
        again, other = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
        planted = again[rng.integers(n, size=48)] + size
        found.append(compare(other, planted, rng, inverted=again, n_permutations=199).p <= 0.05)
    # 200 trials: 80 % within three standard deviations of 2.8 %
    assert 0.71 < np.mean(found) < 0.89


def test_what_is_rare_does_not_decide_about_the_scatter():
    """A column that is 0 but in one map of twenty: its scatter is that of the few maps that happen to have it."""
    p = []
    for trial in range(100):
        rng = np.random.default_rng([trial, 10])
        inverted, held_out, samples = (np.column_stack([draw(n, rng), rng.random((n, 3)) < 0.05]) for n in (16, 16, 24))
        p.append(compare(held_out, samples, rng, inverted=inverted, kind="log_sd", n_permutations=99).p)
    # 100 trials at 5 %: 12 % is three standard deviations away
    assert np.mean(np.array(p) <= 0.05) < 0.12


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_planted_scatter_of_the_detectable_size_is_found(sign):
    """Of the worse sign in four cases of five; too much scatter is seen better than too little, for few parents leave too little as well."""
    found = []
    for trial in range(200):
        rng = np.random.default_rng([trial, 8])
        inverted, held_out, again, other = rng.normal(size=(4, 24, 1))
        samples = inverted[rng.integers(24, size=48)]
        size = compare(held_out, samples, rng, inverted=inverted, kind="log_sd", n_permutations=199).detectable
        planted = np.exp(sign * size) * again[rng.integers(24, size=48)]
        found.append(compare(other, planted, rng, inverted=again, kind="log_sd", n_permutations=199).p <= 0.05)
    assert 0.71 < np.mean(found) < 0.97


@pytest.mark.parametrize("kind", ["mean", "log_sd"])
def test_differences_at_several_scales_are_found_at_these_and_more_often_than_at_one(kind):
    """Each of three in six scales differs by the detectable size: all three are named in most trials, the others hardly ever."""
    named, any_, one = [], [], []
    for trial in range(60):
        rng = np.random.default_rng([trial, 9])
        inverted, held_out = draw(24, rng), draw(24, rng)
        samples = inverted[rng.integers(24, size=48)]
        size = compare(held_out, samples, rng, inverted=inverted, kind=kind, n_permutations=199).detectable
        fresh = draw(24, rng)
        for scales, into in (([1, 3, 5], any_), ([3], one)):
            planted = fresh[rng.integers(24, size=48)]
            planted[:, scales] = planted[:, scales] + size[scales] if kind == "mean" else planted[:, scales] * np.exp(size[scales])
            result = compare(draw(24, rng), planted, rng, inverted=fresh, kind=kind, n_permutations=199)
            into.append(result.p <= 0.05)
            if len(scales) > 1:
                named.append(result.p_scale <= 0.05)
    rate = np.mean(named, axis=0)
    # 60 trials: 80 % within three standard deviations of 5 %, and 5 % of 3 %
    assert (rate[[1, 3, 5]] > 0.62).all()
    assert (rate[[0, 2, 4]] < 0.15).all()
    assert np.mean(any_) >= max(np.mean(one), 0.8)


@pytest.mark.parametrize("kind", ["mean", "log_sd"])
def test_what_no_real_map_has_and_few_samples_have_is_no_difference(kind):
    rng = np.random.default_rng(7)
    inverted, held_out = (np.column_stack([draw(12, rng), np.ones(12)]) for _ in range(2))
    samples = np.column_stack([perfect_generator(inverted[:, :6], 20, rng), np.ones(20)])
    for count, found in ((0, False), (1, False), (20, True)):
        samples[:count, 6] = 3.0 + np.arange(count)
        result = compare(held_out, samples, rng, inverted=inverted, kind=kind, n_permutations=199)
        assert (result.p <= 0.05) == (result.p_scale[6] <= 0.05) == found, count
