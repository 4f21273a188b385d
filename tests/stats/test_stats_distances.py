"""Distances between sets of vectors against closed forms and loops."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from astro_ood.errors import InputError
from astro_ood.stats.distances import c2st, energy_distance, frechet_distance, kernel_distance, mmd2, prdc, sliced_wasserstein
from astro_ood.stats.ruler import fit_ruler, fit_scale, oas, shrink

RNG = np.random.default_rng


def shifted(n, m, k, shift, seed=0):
    rng = RNG(seed)
    return rng.normal(size=(n, k)), rng.normal(size=(m, k)) + shift


def off_diagonal(kernel):
    return (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))


def test_energy_and_mmd_are_their_u_statistics():
    a, b = shifted(30, 40, 3, 0.5)
    ruler = fit_ruler(a)
    x, y = ruler.scale(a), ruler.scale(b)

    def distances(u, v):
        return np.sqrt(((u[:, None] - v[None]) ** 2).sum(axis=2))

    energy = 2 * distances(x, y).mean() - off_diagonal(distances(x, x)) - off_diagonal(distances(y, y))
    assert energy_distance(a, b, ruler=ruler) == pytest.approx(energy)
    s = np.median(distances(x, x)[np.triu_indices(30, 1)])

    def gauss(u, v):
        return np.exp(-(distances(u, v) ** 2) / (2 * s**2))

    expected = off_diagonal(gauss(x, x)) + off_diagonal(gauss(y, y)) - 2 * gauss(x, y).mean()
    assert mmd2(a, b, ruler=ruler) == pytest.approx(expected, rel=1e-6)

    def cubic(u, v):
        return (u @ v.T / 3 + 1) ** 3

    expected = off_diagonal(cubic(x, x)) + off_diagonal(cubic(y, y)) - 2 * cubic(x, y).mean()
    assert kernel_distance(a, b, ruler=ruler) == pytest.approx(expected)


def test_energy_distance_of_two_normal_laws():
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| for N(0, 1) and N(m, 1): E|N(m, 2)| in closed form."""
    from scipy.stats import norm

    m, root = 1.0, np.sqrt(2)
    mixed = root * np.sqrt(2 / np.pi) * np.exp(-(m**2) / 4) + m * (1 - 2 * norm.cdf(-m / root))
    expected = 2 * mixed - 2 * 2 / np.sqrt(np.pi)
    values = []
    for seed in range(20):
        a, b = shifted(300, 300, 1, m, seed)
        ruler = fit_ruler(a)
        unit = abs(float(ruler.scale.matrix[0, 0]))
        values.append(energy_distance(a, b, ruler=ruler) / unit)
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(20))


def test_sliced_wasserstein_in_one_dimension_is_scipys():
    a, b = shifted(25, 40, 1, 0.7)
    ruler = fit_ruler(a)
    assert sliced_wasserstein(a, b, ruler=ruler) == pytest.approx(wasserstein_distance(ruler.scale(a)[:, 0], ruler.scale(b)[:, 0]))


def test_frechet_distance_of_two_gaussians():
    a, b = shifted(4000, 4000, 2, 0.0)
    b = 2 * b + np.array([1.0, -2.0])
    ruler = fit_ruler(a)
    unit = np.abs(np.diag(ruler.scale.matrix)).mean()
    # |m|^2 + tr(I + 4 I - 2 * 2 I) = 5 + 2
    assert frechet_distance(a, b, ruler=ruler) / unit**2 == pytest.approx(7.0, rel=0.05)


def test_one_law_has_no_distance_and_half_the_accuracy():
    values = {"energy": [], "mmd": [], "kid": [], "accuracy": [], "auroc": []}
    for seed in range(30):
        a, b = shifted(24, 24, 4, 0.0, seed)
        found = c2st(a, b, RNG(seed))
        values["energy"].append(energy_distance(a, b))
        values["mmd"].append(mmd2(a, b))
        values["kid"].append(kernel_distance(a, b))
        values["accuracy"].append(found.accuracy)
        values["auroc"].append(found.auroc)
    for name, expected in {"energy": 0, "mmd": 0, "kid": 0, "accuracy": 0.5, "auroc": 0.5}.items():
        assert abs(np.mean(values[name]) - expected) < 4 * np.std(values[name]) / np.sqrt(30), name


def test_a_classifier_tells_sets_apart_that_differ():
    a, b = shifted(30, 30, 4, 2.0)
    assert c2st(a, b, RNG(0)).accuracy > 0.9
    a, b = shifted(60, 60, 2, 0.0)
    assert c2st(a, 4 * b, RNG(0), kernel="gaussian").auroc > 0.7


def test_prdc_is_a_loop_over_balls():
    a, b = shifted(20, 15, 3, 0.4)
    ruler, k = fit_ruler(a), 3
    x, y = ruler.scale(a), ruler.scale(b)

    def radius(u):
        d = np.sqrt(((u[:, None] - u[None]) ** 2).sum(axis=2))
        np.fill_diagonal(d, np.inf)
        return np.sort(d, axis=1)[:, k - 1]

    cross = np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2))
    in_real, in_made = cross <= radius(x)[:, None], cross <= radius(y)[None]
    found = prdc(a, b, k=k, ruler=ruler)
    assert found.precision == pytest.approx(in_real.any(axis=0).mean())
    assert found.recall == pytest.approx(in_made.any(axis=1).mean())
    assert found.density == pytest.approx(in_real.sum(axis=0).mean() / k)
    assert found.coverage == pytest.approx((cross.min(axis=1) <= radius(x)).mean())


def test_scale_is_robust_and_whitening_decorrelates():
    rng = RNG(0)
    x = rng.normal(size=(4000, 3)) @ np.array([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 50]]).T
    x[:5] = 1e6
    assert fit_scale(x)(x[5:]).std(axis=0) == pytest.approx(np.ones(3), rel=0.1)
    clean = x[5:]
    assert np.cov(fit_scale(clean, whiten=True)(clean), rowvar=False) == pytest.approx(np.eye(3), abs=0.1)
    assert np.isfinite(fit_scale(np.ones((5, 2)))(np.ones((5, 2)))).all()


def test_shrunk_covariances_are_positive_and_nearer():
    rng = RNG(1)
    sample = np.cov(rng.normal(size=(6, 20)), rowvar=False)[None]
    better = shrink(sample, oas(sample, np.array([6])))[0]
    assert np.linalg.eigvalsh(better).min() > 0
    assert np.linalg.norm(better - np.eye(20)) < np.linalg.norm(sample[0] - np.eye(20))


def test_what_is_no_set_of_vectors():
    a, b = shifted(5, 5, 2, 0.0)
    with pytest.raises(InputError, match="AOD-IN17"):
        energy_distance(a, np.full((5, 2), np.nan))
    with pytest.raises(InputError, match="AOD-IN25"):
        energy_distance(a, b[:, :1])
