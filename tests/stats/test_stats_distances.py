from math import exp, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.linalg import sqrtm
from scipy.stats import norm, wasserstein_distance

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.distances import (
    c2st,
    default_neighbours,
    draw_folds,
    energy_distance,
    frechet_distance,
    kernel_distance,
    mmd2,
    prdc,
    sliced_wasserstein,
)
from astro_ood.stats.pool import STATISTICS, Pool
from astro_ood.stats.ruler import Ruler, Scale, fit_ruler, fit_scale, oas, shrink


def plain(k, bandwidth=1.0):
    """A ruler that measures in the features' own units."""
    fitted = fit_ruler(np.random.default_rng(0).normal(size=(40, k)), scale=Scale(np.zeros(k), np.eye(k), whitened=False))
    return Ruler(fitted.scale, bandwidth, fitted.directions, fitted.landmarks)


def mean_and_error(statistic, draw_a, draw_b, sizes=(6, 9), trials=400):
    """Mean over independent small sets, and its standard error: unbiased statistics must hit their population value."""
    rng = np.random.default_rng(1)
    values = np.array([statistic(draw_a(sizes[0], rng), draw_b(sizes[1], rng)) for _ in range(trials)])
    return values.mean(), values.std() / sqrt(trials)


def gaussian(mean, sd):
    return lambda n, rng: rng.normal(mean, sd, size=(n, 1))


def mean_distance(shift, sd):
    """E|D| of D ~ N(shift, sd^2)."""
    return sd * sqrt(2 / pi) * exp(-(shift**2) / (2 * sd**2)) + shift * (1 - 2 * norm.cdf(-shift / sd))


def test_energy_distance_of_two_gaussians():
    expected = 2 * mean_distance(0.7, sqrt(1 + 1.5**2)) - mean_distance(0, sqrt(2)) - mean_distance(0, 1.5 * sqrt(2))
    ruler = plain(1)
    mean, error = mean_and_error(lambda a, b: energy_distance(a, b, ruler=ruler), gaussian(0, 1), gaussian(0.7, 1.5))
    assert abs(mean - expected) < 4 * error
    assert 4 * error < expected


def test_energy_distance_is_the_squared_distance_of_distribution_functions():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=1500), rng.normal(0.5, 1, size=1500)
    grid = np.sort(np.concatenate([a, b]))
    difference = np.searchsorted(np.sort(a), grid, "right") / 1500 - np.searchsorted(np.sort(b), grid, "right") / 1500
    # 2 int (F - G)^2 dx is the V-statistic, larger by the mean distances within over n.
    whole = 2 * np.sum(difference[:-1] ** 2 * np.diff(grid))
    own = energy_distance(a, b, ruler=plain(1))
    assert own == pytest.approx(whole - 2 * (2 / sqrt(pi)) / 1500, abs=4e-4)


@pytest.mark.parametrize("kernel", ["gaussian", "rq"])
def test_mmd_of_two_gaussians(kernel):
    s, shapes = 1.3, (0.2, 0.5, 1.0, 2.0, 5.0)

    def similarity(d):
        return exp(-(d**2) / (2 * s**2)) if kernel == "gaussian" else np.mean([(1 + d**2 / (2 * c * s**2)) ** -c for c in shapes])

    def expectation(shift, sd):
        return quad(lambda d: similarity(d) * norm.pdf(d, shift, sd), -30, 30, points=[shift])[0]

    expected = expectation(0, sqrt(2)) + expectation(0, 2 * sqrt(2)) - 2 * expectation(1.0, sqrt(5))
    ruler = plain(1, s)
    mean, error = mean_and_error(lambda a, b: mmd2(a, b, kernel=kernel, ruler=ruler), gaussian(0, 1), gaussian(1, 2))
    assert abs(mean - expected) < 4 * error
    assert 4 * error < expected


def test_mmd_with_known_covariances():
    """E k(X, Y) = |I + (A + B) / s^2|^(-1/2) exp(-d (A + B + s^2 I)^-1 d / 2)."""
    first = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.3], [0.0, 0.3, 0.5]])
    second, shift, s2 = np.diag([0.5, 1.0, 3.0]), np.array([0.5, -1.0, 0.3]), 1.7

    def expectation(covariance, d):
        wide = covariance + s2 * np.eye(3)
        return np.linalg.det(wide / s2) ** -0.5 * exp(-d @ np.linalg.solve(wide, d) / 2)

    expected = expectation(2 * first, 0 * shift) + expectation(2 * second, 0 * shift) - 2 * expectation(first + second, shift)
    ruler = plain(3, sqrt(s2))
    mean, error = mean_and_error(
        lambda a, b: mmd2(a, b, ruler=ruler),
        lambda n, rng: rng.multivariate_normal(np.zeros(3), first, n),
        lambda n, rng: rng.multivariate_normal(shift, second, n),
    )
    assert abs(mean - expected) < 4 * error
    assert 4 * error < expected


def test_kernel_distance_of_two_gaussians():
    def expectation(m, n):
        (one, two, three), (uno, due, tre) = ((u, u**2 + v**2, u**3 + 3 * u * v**2) for u, v in (m, n))
        return 1 + 3 * one * uno + 3 * two * due + three * tre

    a, b = (0.2, 0.8), (-0.3, 1.1)
    expected = expectation(a, a) + expectation(b, b) - 2 * expectation(a, b)
    ruler = plain(1)
    mean, error = mean_and_error(
        lambda x, y: kernel_distance(x, y, ruler=ruler), gaussian(*a), gaussian(*b), sizes=(40, 40), trials=300
    )
    assert abs(mean - expected) < 4 * error
    assert 4 * error < expected


def test_sliced_distance_of_shifted_sets_is_the_mean_projected_shift():
    rng = np.random.default_rng(3)
    a, shift, ruler = rng.normal(size=(50, 4)), np.array([1.0, -0.5, 0.0, 2.0]), plain(4)
    expected = np.abs(shift @ ruler.directions).mean()
    assert sliced_wasserstein(a, a + shift, ruler=ruler) == pytest.approx(expected, rel=1e-12)
    # Over all directions of K dimensions the mean of |u . shift| is |shift| Gamma(K/2) / (sqrt(pi) Gamma((K+1)/2)): 0.4244 for 4.
    assert expected == pytest.approx(0.4244 * np.linalg.norm(shift), rel=0.15)


def test_sliced_distance_in_one_dimension():
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=23), rng.exponential(size=40)
    assert sliced_wasserstein(a, b, ruler=plain(1)) == pytest.approx(wasserstein_distance(a, b), rel=1e-12)


def test_frechet_distance_of_large_sets():
    rng = np.random.default_rng(5)
    first = np.array([[1.0, 0.5, 0.2], [0.5, 1.5, 0.0], [0.2, 0.0, 0.7]])
    second, shift = np.array([[2.0, -0.4, 0.0], [-0.4, 0.6, 0.1], [0.0, 0.1, 1.0]]), np.array([0.4, 0.0, -0.8])
    expected = shift @ shift + np.trace(first + second - 2 * sqrtm(first @ second).real)
    a, b = rng.multivariate_normal(np.zeros(3), first, 40_000), rng.multivariate_normal(shift, second, 40_000)
    assert frechet_distance(a, b, ruler=plain(3)) == pytest.approx(expected, abs=0.03)


def test_frechet_distance_of_small_sets_shrinks_both_alike():
    rng = np.random.default_rng(6)
    a, b = (rng.normal(size=(n, 5)) * [5.0, 2.0, 1.0, 1.0, 0.5] for n in (12, 30))
    covariances, intensity = [], []
    for x in (a, b):
        c = np.cov(x, rowvar=False)
        square, trace = np.sum(c * c), np.trace(c)
        # Chen et al. 2010, eq. 23
        intensity.append(min(1.0, ((1 - 2 / 5) * square + trace**2) / ((len(x) + 1 - 2 / 5) * (square - trace**2 / 5))))
        covariances.append(c)
    r = max(intensity)
    one, two = ((1 - r) * c + r * np.trace(c) / 5 * np.eye(5) for c in covariances)
    shift = a.mean(axis=0) - b.mean(axis=0)
    expected = shift @ shift + np.trace(one + two - 2 * sqrtm(one @ two).real)
    assert 0 < r < 1
    assert frechet_distance(a, b, ruler=plain(5)) == pytest.approx(expected, rel=1e-8)


def test_bias_of_the_frechet_distance_is_that_of_the_documentation():
    rng = np.random.default_rng(7)
    scale = np.array([3.0, 2.0, 1.0, 1.0, 0.5, 0.5])
    values = [
        frechet_distance(rng.normal(size=(60, 6)) * scale, rng.normal(size=(60, 6)) * scale, ruler=plain(6)) for _ in range(200)
    ]
    means = np.sum(scale**2) * (2 / 60)
    # sum over pairs (c_i + c_j) / 4 of the covariances, K (K + 1) / 4 for c = 1
    pairs = np.add.outer(scale**2, scale**2)
    rest = 2 / 60 * (np.sum(scale**2) / 2 + np.sum(np.triu(np.multiply.outer(scale**2, scale**2) / pairs, 1)))
    assert means < np.mean(values) < means + rest * 1.1


def test_shrinkage_ends():
    identity, n = np.eye(4)[None], np.array([10.0])
    assert oas(identity, n) == 1.0
    lean = np.diag([10.0, 0.0, 0.0, 0.0])[None]
    assert 0 < oas(lean, np.array([1e6]))[0] < 1e-5
    assert np.linalg.eigvalsh(shrink(np.zeros((1, 3, 3)), np.ones(1))).min() > 0


def brute_force_prdc(a, b, k):
    """Naeem et al. 2020, equations 3 to 6, word for word."""

    def radius(x, i):
        return sorted(np.linalg.norm(x[i] - other) for j, other in enumerate(x) if j != i)[k - 1]

    of_a, of_b = [radius(a, i) for i in range(len(a))], [radius(b, j) for j in range(len(b))]
    inside_a = np.array([[np.linalg.norm(y - x) < r for x, r in zip(a, of_a, strict=True)] for y in b])
    inside_b = np.array([[np.linalg.norm(x - y) < r for y, r in zip(b, of_b, strict=True)] for x in a])
    return inside_a.any(axis=1).mean(), inside_b.any(axis=1).mean(), inside_a.sum() / (k * len(b)), inside_a.any(axis=0).mean()


@pytest.mark.parametrize(("n", "m", "k"), [(9, 14, 2), (40, 25, 5), (7, 7, 6), (90, 60, 1)])
def test_prdc_against_a_loop(n, m, k):
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, 3)), rng.normal(0.6, 0.7, size=(m, 3))
    found = prdc(a, b, k=k, ruler=plain(3))
    np.testing.assert_allclose(found[:4], brute_force_prdc(a, b, k), rtol=1e-12)
    assert found.k == k


def test_prdc_of_features_on_a_grid():
    """Equal distances: a vector on the surface of a ball is not in it."""
    rng = np.random.default_rng(19)
    for k in (1, 3):
        a, b = rng.integers(0, 4, size=(18, 2)).astype(float), rng.integers(1, 5, size=(15, 2)).astype(float)
        np.testing.assert_allclose(prdc(a, b, k=k, ruler=plain(2))[:4], brute_force_prdc(a, b, k), rtol=1e-12)


def test_expected_coverage_and_density():
    """Lemma 2 of Naeem et al.: 1 - (N-1)...(N-k) / (N+M-1)...(N+M-k), whatever the law; the density is 1."""
    rng, n, m, k = np.random.default_rng(8), 20, 30, 3
    values = np.array(
        [prdc(rng.exponential(size=(n, 2)), rng.exponential(size=(m, 2)), k=k, ruler=plain(2))[2:4] for _ in range(300)]
    )
    expected = 1 - np.prod([(n - j) / (n + m - j) for j in range(1, k + 1)])
    error = values.std(axis=0) / sqrt(300)
    assert abs(values[:, 1].mean() - expected) < 4 * error[1]
    assert abs(values[:, 0].mean() - 1) < 4 * error[0]


def test_default_neighbours():
    assert [default_neighbours(n) for n in (2, 3, 8, 10, 11, 1000)] == [1, 1, 3, 4, 5, 5]


def brute_force_c2st(a, b, folds):
    x, label = np.concatenate([a, b]), np.r_[np.zeros(len(a)), np.ones(len(b))]
    right, wins, pairs = [[], []], 0.0, 0
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        one, two = x[train & (label == 0)], x[train & (label == 1)]
        within = (np.cov(one, rowvar=False, ddof=0) + np.cov(two, rowvar=False, ddof=0)) / 2
        square, trace, p, n = np.sum(within**2), np.trace(within), x.shape[1], len(one) + len(two)
        r = min(1.0, ((1 - 2 / p) * square + trace**2) / ((n + 1 - 2 / p) * (square - trace**2 / p)))
        within = (1 - r) * within + r * trace / p * np.eye(p)
        score = (x[test] - (one.mean(axis=0) + two.mean(axis=0)) / 2) @ np.linalg.solve(within, two.mean(axis=0) - one.mean(axis=0))
        for value, kind in zip(score, label[test], strict=True):
            right[int(kind)].append((value > 0) == (kind == 1))
        for low in score[label[test] == 0]:
            wins += np.count_nonzero(score[label[test] == 1] > low)
            pairs += np.count_nonzero(label[test] == 1)
    return (np.mean(right[0]) + np.mean(right[1])) / 2, wins / pairs


def test_c2st_against_a_loop():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(25, 4)), rng.normal(0.5, 1, size=(40, 4))
    found = c2st(a, b, np.random.default_rng(10), ruler=plain(4))
    np.testing.assert_allclose(found, brute_force_c2st(a, b, draw_folds(65, np.random.default_rng(10))), rtol=1e-9)


def test_c2st_reaches_the_best_possible_discriminant():
    rng = np.random.default_rng(11)
    a, b = rng.normal(size=(1500, 3)), rng.normal([1.2, 0, 0], 1, size=(1500, 3))
    accuracy, auroc = c2st(a, b, rng, ruler=plain(3))
    assert accuracy == pytest.approx(norm.cdf(0.6), abs=0.03)
    assert auroc == pytest.approx(norm.cdf(1.2 / sqrt(2)), abs=0.03)


def test_only_the_kernel_discriminant_sees_a_variance():
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(200, 3)), 0.5 * rng.normal(size=(200, 3))
    assert abs(c2st(a, b, rng).auroc - 0.5) < 0.12
    assert c2st(a, b, rng, kernel="gaussian").auroc > 0.75


@pytest.mark.parametrize("left_out", [0.0, 0.4, 1.0, None])
def test_weights_are_copies(left_out):
    """Counts in the pool, or as many equal vectors of one unit (None: of units of their own): the same values."""
    rng = np.random.default_rng(13)
    x = rng.normal(size=(20, 3))
    ruler, folds = fit_ruler(x), np.arange(20) % 5
    a, b = np.zeros((6, 20)), np.zeros((6, 20))
    a[:, :8] = rng.integers(1, 3, size=(6, 8))
    b[:, 8:] = rng.integers(0, 4, size=(6, 12))
    together = Pool(ruler.scale(x), ruler, folds=folds, k=3).values(a, b, STATISTICS, left_out)
    for row, one, two in zip(together, a, b, strict=True):
        index = np.repeat(np.arange(20), (one + two).astype(int))
        first = (index < 8).astype(np.float64)[None]
        units = np.unique(index, return_inverse=True)[1]
        if left_out is None:
            units = np.where(first[0] > 0, units, 100 + np.arange(len(index)))
            units = np.unique(units, return_inverse=True)[1]
        pool = Pool(ruler.scale(x[index]), ruler, units, folds[index], k=3)
        np.testing.assert_allclose(pool.values(first, 1 - first, STATISTICS, left_out)[0], row, rtol=1e-7, atol=1e-9)


def test_pairs_of_one_unit_are_left_out():
    rng = np.random.default_rng(14)
    centres = rng.normal(size=(12, 2))
    x, units = np.repeat(centres, 3, axis=0) + 0.1 * rng.normal(size=(36, 2)), np.repeat(np.arange(12), 3)
    ruler, first = plain(2), (np.arange(36) < 18).astype(np.float64)[None]
    value = Pool(x, ruler, units).values(first, 1 - first, ("energy",))[0, 0]
    distance = np.linalg.norm(x[:, None] - x[None], axis=2)
    apart = units[:, None] != units[None]
    a, b = np.arange(36) < 18, np.arange(36) >= 18
    within = sum(distance[np.ix_(s, s)][apart[np.ix_(s, s)]].mean() for s in (a, b))
    assert value == pytest.approx(2 * distance[np.ix_(a, b)].mean() - within, rel=1e-9)


def test_wide_lists_of_neighbours():
    """Radii that lie beyond the first neighbours of the pool: few of a among many of b."""
    rng = np.random.default_rng(15)
    a, b = rng.normal(5, 1, size=(12, 2)), rng.normal(5, 1, size=(150, 2))
    np.testing.assert_allclose(prdc(a, b, k=5, ruler=plain(2))[:4], brute_force_prdc(a, b, 5), rtol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_units_of_the_features_do_not_matter(seed, factor, offset):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(14, 3)), rng.normal(0.3, 1.2, size=(11, 3))
    turn = np.array([factor, 1.0, -1.0])
    for statistic in (energy_distance, mmd2, kernel_distance, frechet_distance):
        assert statistic(a * turn + offset, b * turn + offset) == pytest.approx(statistic(a, b), rel=1e-5, abs=1e-6)


def test_scale_is_robust_and_whitens():
    rng = np.random.default_rng(16)
    root = np.array([[2.0, 0.0], [1.5, 0.5]])
    x = rng.normal(size=(4000, 2)) @ root.T + [3.0, -1.0]
    spoilt = x.copy()
    spoilt[:100] = 1e4
    for values in (x, spoilt):
        scaled = fit_scale(values)(x)
        np.testing.assert_allclose(scaled.std(axis=0), 1.0, rtol=0.08)
        np.testing.assert_allclose(np.median(scaled, axis=0), 0.0, atol=0.08)
    np.testing.assert_allclose(np.cov(fit_scale(x, whiten=True)(x), rowvar=False), np.eye(2), atol=0.01)
    lean = fit_scale(x[:3], whiten=True)(x)
    assert np.isfinite(lean).all()


def test_constant_features_and_constant_maps():
    rng = np.random.default_rng(17)
    a, b = rng.normal(size=(12, 3)), rng.normal(size=(12, 3))
    a[:, 1], b[:, 1] = 0.1, 0.1
    plainly = [f(a[:, [0, 2]], b[:, [0, 2]]) for f in (energy_distance, mmd2)]
    np.testing.assert_allclose([f(a, b) for f in (energy_distance, mmd2)], plainly, rtol=1e-9)
    same = np.ones((6, 2))
    for statistic in (energy_distance, mmd2, kernel_distance, sliced_wasserstein, frechet_distance):
        assert abs(statistic(same, same)) < 1e-9
    assert c2st(same, same, rng) == (0.5, 0.5)
    assert np.isfinite(prdc(same, same)[:4]).all()


def test_hostile_sets():
    rng = np.random.default_rng(18)
    a = rng.normal(size=(8, 3))
    with pytest.raises(InputError, match="AOD-IN17"):
        energy_distance(a, np.where(np.eye(8, 3) > 0, np.nan, a))
    with pytest.raises(InputError, match="AOD-IN25"):
        energy_distance(a, a[:, :2])
    with pytest.raises(InputError, match="AOD-IN40"):
        energy_distance(a, a[:1])
    with pytest.raises(InputError, match="AOD-IN16"):
        energy_distance(a[None], a)
    with pytest.raises(ConfigError, match="AOD-CF44"):
        Pool(a, plain(3)).values(np.ones((1, 8)), np.ones((1, 8)), ("fid",))
