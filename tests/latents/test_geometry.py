"""Two numbers predict the geometry of latents; the mean is not fooled by the spread."""

import numpy as np
import pytest
from scipy import stats

from astro_ood.latents.geometry import angles_between, centre_and_spread, describe, shrunk_mean

SHAPE = (2, 8, 8)
D = int(np.prod(SHAPE))


def latents(n: int, mu: np.ndarray | float, s: float, seed: int) -> np.ndarray:
    return mu + s * np.random.default_rng(seed).standard_normal((n, *SHAPE))


def test_centre_and_spread_are_unbiased():
    mu = 0.15 * np.random.default_rng(99).standard_normal(SHAPE)
    s, n, trials = 0.9, 5, 800
    draws = [latents(n, mu, s, seed) for seed in range(trials)]
    found = np.array([centre_and_spread(z) for z in draws])
    error = found.std(axis=0, ddof=1) / np.sqrt(trials)
    assert np.all(np.abs(found.mean(axis=0) - [np.sum(mu**2), s**2]) < 4 * error)
    naive = np.mean([np.sum(z.mean(axis=0) ** 2) for z in draws])
    assert naive - np.sum(mu**2) == pytest.approx(s**2 * D / n, rel=0.05)
    assert naive - np.sum(mu**2) > 20 * error[0]


def test_two_numbers_predict_distance_and_angle():
    shape, s = (1, 64, 64), 0.8
    d = 64 * 64
    mu = np.full(shape, 0.3)
    g = describe(mu + s * np.random.default_rng(1).standard_normal((24, *shape)))
    assert (g.n, g.d) == (24, d)
    assert g.mu == pytest.approx(0.3 * np.sqrt(d), abs=3 * s / np.sqrt(24))
    assert g.s == pytest.approx(s, rel=0.01)
    assert g.distance == pytest.approx(s * np.sqrt(2 * d), rel=0.005)
    assert g.distance_predicted == pytest.approx(g.distance, rel=1e-3)
    assert g.angle == pytest.approx(np.degrees(np.arccos(0.09 / (0.09 + s**2))), abs=0.5)
    assert g.angle_predicted == pytest.approx(g.angle, abs=0.05)
    assert g.separation == pytest.approx(g.mu / d**0.25)


def test_white_latents_look_white():
    z = np.random.default_rng(2).standard_normal((64, 1, 32, 32))
    g = describe(z)
    assert g.std == pytest.approx(1, abs=0.01)
    assert g.kurtosis == pytest.approx(stats.kurtosis(z, axis=None))
    assert abs(g.kurtosis) < 0.1
    assert abs(g.lag_1) < 0.01
    assert g.effective_dimension == pytest.approx(1024, rel=0.03)
    assert g.mu < 5
    assert g.separation < 1


def test_coloured_latents_are_recognised(coloured):
    power, draw = coloured
    g = describe(draw(300, 3))
    rho = np.mean([np.fft.ifft2(power).real[0, 1], np.fft.ifft2(power).real[1, 0]]) / np.fft.ifft2(power).real[0, 0]
    inner = power.copy()
    inner[0, 0] = 0
    assert g.lag_1 == pytest.approx(rho, abs=0.03)
    assert g.lag_1 > 0.5
    assert g.effective_dimension == pytest.approx(inner.sum() ** 2 / np.sum(inner**2), rel=0.05)
    assert g.effective_dimension < 0.3 * g.d


def test_a_negative_estimate_of_the_centre_is_no_centre():
    z = np.stack([np.ones(SHAPE), -np.ones(SHAPE)])
    assert centre_and_spread(z) == pytest.approx((-D, 2.0))
    assert describe(z + 1e-3 * latents(2, 0.0, 1.0, 0)).mu == 0


@pytest.mark.parametrize("size", [0.0, 1e-140, 1.0, 1e150])
def test_angles_in_closed_form(size):
    a, b = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, 1.0]])
    expected = [0, 90, 135] if size else [90, 90, 90]
    np.testing.assert_allclose(angles_between(a * size, b), expected, atol=1e-5)


def test_mean_is_kept_where_it_is_sharp():
    pattern = np.random.default_rng(4).standard_normal(SHAPE)
    mean, weight = shrunk_mean(latents(6, pattern, 1e-4, 5))
    assert weight == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(mean, pattern, atol=1e-3)


def test_mean_is_constant_where_it_is_noise():
    constants = np.array([0.5, -0.2])[:, None, None]
    weights = [shrunk_mean(latents(6, constants, 1.0, seed))[1] for seed in range(300)]
    assert np.median(weights) < 0.05
    mean, weight = shrunk_mean(latents(4000, constants, 1.0, 0))
    np.testing.assert_allclose(mean.mean(axis=(1, 2)), constants[:, 0, 0], atol=0.01)
    assert 0 <= weight < 0.5


def test_mean_is_drawn_in_between():
    """The shrunk mean is nearer to the truth than the mean of the latents, on average."""
    pattern = 0.35 * np.random.default_rng(4).standard_normal(SHAPE)
    plain = shrunk = 0.0
    for seed in range(200):
        z = latents(6, pattern, 1.0, seed)
        mean, _weight = shrunk_mean(z)
        plain += np.sum((z.mean(axis=0) - pattern) ** 2)
        shrunk += np.sum((mean - pattern) ** 2)
    assert shrunk < 0.75 * plain


def test_equal_latents_have_an_exact_mean():
    pattern = np.random.default_rng(6).standard_normal(SHAPE)
    mean, weight = shrunk_mean(np.stack([pattern] * 3))
    assert weight == pytest.approx(1)
    np.testing.assert_allclose(mean, pattern)
    assert shrunk_mean(np.zeros((3, *SHAPE)))[1] == 0
