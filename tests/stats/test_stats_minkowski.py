import numpy as np
import pytest
from excursion_support import correlated_fields
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import erfc
from scipy.stats import multivariate_normal, norm
from skimage.measure import euler_number, perimeter_crofton

from astro_ood.errors import ConfigError, InputError
from astro_ood.maps import gaussian_field
from astro_ood.stats.minkowski import THRESHOLDS, mean_and_sd, minkowski

NU = np.array(THRESHOLDS)


def tomita(nu, tau):
    """Area, length and Euler characteristic of a Gaussian field of unit variance."""
    fall = np.exp(-(nu**2) / 2)
    return erfc(nu / np.sqrt(2)) / 2, np.sqrt(tau) / 2 * fall, (2 * np.pi) ** -1.5 * tau * nu * fall


def disc(radius, size=128, steps=(1.0, 1.0), hole=0.0):
    y, x = ((np.arange(size) - size / 2 + 0.2) * d for d in steps)
    r = np.hypot(y[:, None], x)
    return ((r < radius) & (r >= hole)).astype(float)


def n_blocks(shape):
    return (shape[0] - 1) * (shape[1] - 1)


@pytest.mark.parametrize("steps", [(1.0, 1.0), (2.0, 1.0), (0.5, 1.5)])
def test_gaussian_fields_follow_tomita(steps):
    length, n = 6.0, 400
    x = correlated_fields(n, np.random.default_rng(0), length, steps=steps)
    found = minkowski(x, steps, NU, absolute=True)
    # Bias of the lattice, from the larger step; see the module.
    bias = max(steps) ** 2 / length**2 * np.array([0.0, 1 / 3, 1 / 3])[:, None]
    for got, expected, share in zip((found.area, found.length, found.euler), tomita(NU, 1 / length**2), bias, strict=True):
        error = got.std(axis=0, ddof=1) / np.sqrt(n)
        assert np.all(np.abs(got.mean(axis=0) - expected) < 4.5 * error + share * np.abs(expected))
        # The test can fail: a tenth of the largest value would be seen.
        assert 4.5 * error.max() + share.max() * np.abs(expected).max() < 0.1 * np.abs(expected).max()


def test_thresholds_in_standard_deviations_of_each_map():
    x = correlated_fields(40, np.random.default_rng(1), 4.0)
    scaled = x * np.random.default_rng(2).uniform(0.1, 10, size=(40, 1, 1)) + 50
    for name in ("area", "length", "euler"):
        np.testing.assert_allclose(getattr(minkowski(scaled), name), getattr(minkowski(x), name), rtol=1e-12)
    found = minkowski(x)
    for got, expected in zip((found.area, found.length, found.euler), tomita(NU, 1 / 16), strict=True):
        assert np.all(np.abs(got.mean(axis=0) - expected) < 0.06 * np.abs(expected).max())


def test_white_noise_follows_the_counts_of_independent_pixels():
    x = np.random.default_rng(3).normal(size=(100, 60, 70))
    p, n = norm.sf(NU), 100 * 59 * 69
    found = minkowski(x, (2.0, 1.0), absolute=True)
    angle = np.arctan(2)
    crossing = 2 * p * (1 - p) * (angle + (np.pi / 2 - angle) / 2 + np.pi / 2 / np.sqrt(5)) / 2
    euler = p * (1 - p) * (1 - 2 * p) / 2
    # Blocks that share pixels are correlated; a block's own spread is that of at most four halves.
    assert np.all(np.abs(found.area.mean(axis=0) - p) < 5 * np.sqrt(p * (1 - p) / n))
    assert np.all(np.abs(found.length.mean(axis=0) - crossing) < 5 * 4 * np.sqrt(p * (1 - p) / n))
    assert np.all(np.abs(found.euler.mean(axis=0) - euler) < 5 * np.sqrt(p * (1 - p) / n))


def test_lattice_expectation_of_a_correlated_field():
    """Orthant probabilities are exact for pixels of any size, here as large as the correlation length."""
    x = correlated_fields(300, np.random.default_rng(4), 1.0)
    found = minkowski(x, None, [0.5], absolute=True)
    reach = np.exp(-np.array([1.0, 2.0]) / 2)
    p = norm.sf(0.5)
    split = [2 * (p - multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([-0.5, -0.5])) for r in reach]
    expected = np.pi / 4 * (split[0] + split[1] / np.sqrt(2))
    error = found.length.std(ddof=1) / np.sqrt(300)
    assert abs(found.length.mean() - expected) < 4 * error
    assert error < 0.001 * expected


@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_counts_agree_with_scikit_image(smooth):
    """Inside a frame of zeros nothing is lost at the border, and both see the same objects."""
    rng = np.random.default_rng(5)
    x = np.pad(correlated_fields(4, rng, smooth, (40, 57)) if smooth else rng.normal(size=(4, 40, 57)), ((0, 0), (2, 2), (2, 2)))
    levels = np.array([0.1, 0.5, 1.0])
    found = minkowski(x, None, levels, absolute=True)
    for i, item in enumerate(x):
        for k, level in enumerate(levels):
            binary = item >= level
            euler = (euler_number(binary, connectivity=1) + euler_number(binary, connectivity=2)) / 2
            assert found.area[i, k] == pytest.approx(binary.mean())
            assert found.euler[i, k] * n_blocks(item.shape) == pytest.approx(euler)
            assert found.length[i, k] * n_blocks(item.shape) == pytest.approx(perimeter_crofton(binary, directions=4))


@pytest.mark.parametrize("steps", [(1.0, 1.0), (1.5, 1.0), (0.7, 1.2)])
def test_disc_and_ring(steps):
    radius, hole = 35.0, 15.0
    x = np.stack([disc(radius, steps=steps), disc(radius, steps=steps, hole=hole), 1 - disc(radius, steps=steps)])
    found = minkowski(x, steps, [0.5], absolute=True)
    total = n_blocks(x.shape[1:]) * steps[0] * steps[1]
    np.testing.assert_allclose(found.euler[:, 0] * total, [1, 0, -1], atol=1e-9)
    circle = 2 * np.pi * radius
    np.testing.assert_allclose(found.length[:, 0] * total, [circle, circle + 2 * np.pi * hole, circle], rtol=0.015)
    np.testing.assert_allclose(
        found.area[:2, 0] * x[0].size * steps[0] * steps[1] / np.pi, [radius**2, radius**2 - hole**2], rtol=0.01
    )


def test_straight_edge_is_as_long_as_stated():
    y, x = np.mgrid[:200, :200] - 100.0
    for degrees, bias in ((0.0, -0.052), (90.0, -0.052), (45.0, -0.052), (22.5, 0.026)):
        angle = np.deg2rad(degrees)
        side = (y * np.cos(angle) + x * np.sin(angle) >= 0.31).astype(float)
        found = minkowski(side, None, [0.5], absolute=True).length[0, 0] * 199**2
        chord = 199 / max(abs(np.cos(angle)), abs(np.sin(angle)))
        assert found == pytest.approx(chord * (1 + bias), rel=0.01)


def brute(item, seen, level, steps):
    """Area, length and Euler characteristic by a loop over blocks."""
    inside = item >= level
    dy, dx = steps
    angle, blocks, length, euler = np.arctan2(dy, dx), 0, 0.0, 0.0
    weights = {(0, 1): angle / dx, (1, 0): (np.pi / 2 - angle) / dy, (1, 1): np.pi / 4 / np.hypot(dy, dx)}
    for r in range(item.shape[0] - 1):
        for c in range(item.shape[1] - 1):
            if not seen[r : r + 2, c : c + 2].all():
                continue
            block = inside[r : r + 2, c : c + 2]
            blocks += 1
            length += weights[0, 1] * np.mean(block[:, 0] != block[:, 1]) / 2
            length += weights[1, 0] * np.mean(block[0] != block[1]) / 2
            length += weights[1, 1] * (int(block[0, 0] != block[1, 1]) + int(block[0, 1] != block[1, 0])) / 2
            euler += {1: 0.25, 3: -0.25}.get(int(block.sum()), 0.0)
    return inside[seen].mean(), length / blocks, euler / (blocks * dy * dx)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.sampled_from([2, 3, 8, 63, 64, 65, 130]), st.integers(0, 10_000), st.floats(0.3, 3), st.booleans())
def test_every_shape_equals_a_loop(height, width, seed, ratio, hide):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 4, size=(2, height, width)).astype(float)
    mask = np.zeros(x.shape, bool)
    if hide:
        mask = rng.random(x.shape) < 0.1
        mask[:, :2, :2] = False
    found = minkowski(np.where(mask, np.nan, x), (ratio, 1.0), [1, 2, 3], absolute=True, mask=mask)
    for i in range(2):
        for k, level in enumerate([1, 2, 3]):
            expected = brute(x[i], ~mask[i], level, (ratio, 1.0))
            np.testing.assert_allclose([found.area[i, k], found.length[i, k], found.euler[i, k]], expected, atol=1e-12)


maps_of_steps = arrays(
    np.float64, st.tuples(st.just(2), st.integers(2, 8), st.integers(2, 8)), elements=st.integers(-3, 3).map(float)
)


@settings(max_examples=60, deadline=None)
@given(maps_of_steps)
def test_flips_and_turns_change_nothing(x):
    one = minkowski(x, (1.0, 2.0))
    for view, steps in ((x[:, ::-1], (1.0, 2.0)), (x[:, :, ::-1], (1.0, 2.0)), (np.rot90(x, axes=(1, 2)), (2.0, 1.0))):
        other = minkowski(view, steps)
        for name in ("area", "length", "euler"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), atol=1e-12)


def test_upside_down():
    x = gaussian_field(3, 50, -2.0, 6)
    up, down = minkowski(x), minkowski(-x)
    np.testing.assert_allclose(down.area, 1 - up.area[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(down.length, up.length[:, ::-1])
    np.testing.assert_allclose(down.euler, -up.euler[:, ::-1], atol=1e-12)


def test_border_and_missing_pixels_do_not_bias():
    """Holes that would each count as a hole of the set, were they not left out."""
    rng = np.random.default_rng(7)
    x = correlated_fields(80, rng, 5.0)
    mask = rng.random(x.shape) < 0.02
    whole, holed = minkowski(x, absolute=True), minkowski(np.where(mask, np.inf, x), absolute=True, mask=mask)
    for name in ("area", "length", "euler"):
        difference = getattr(holed, name) - getattr(whole, name)
        assert np.all(np.abs(difference.mean(axis=0)) < 4.5 * difference.std(axis=0, ddof=1) / np.sqrt(80))


@pytest.mark.parametrize("absolute", [False, True])
def test_masked_columns_equal_a_cut_out(absolute):
    x = gaussian_field(3, 70, -2.0, 8)
    mask = np.zeros((70, 70), bool)
    mask[:, 41:] = True
    hidden = np.where(mask, np.nan, x)
    one, other = minkowski(hidden, 2.0, absolute=absolute, mask=mask), minkowski(x[:, :, :41], 2.0, absolute=absolute)
    for name in ("area", "length", "euler"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12)


def test_input_is_left_alone_and_chunks_agree():
    x = gaussian_field(50, 128, -2.0, 9)
    before = x.copy()
    found = minkowski(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(found.euler[37], minkowski(x[37]).euler[0])


@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e-310])
def test_constant_map(value):
    found = minkowski(np.full((1, 17, 19), value))
    np.testing.assert_array_equal(found.area[0], NU <= 0)
    assert not found.length.any()
    assert not found.euler.any()


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_any_finite_unit(scale):
    x = gaussian_field(2, 32, -2.0, 10)
    np.testing.assert_allclose(minkowski(x * scale).length, minkowski(x).length)


def test_mean_and_sd_agree_with_numpy():
    x = np.random.default_rng(11).lognormal(size=(3, 12, 13)) * np.array([1e-300, 1.0, 1e300])[:, None, None]
    seen = np.random.default_rng(12).random(x.shape) < 0.8
    mean, sd = mean_and_sd(np.where(seen, x, 0), seen)
    np.testing.assert_allclose(mean, [item[shown].mean() for item, shown in zip(x, seen, strict=True)])
    unit = np.array([1e-300, 1.0, 1e300])
    np.testing.assert_allclose(sd, [(item[shown] / u).std() * u for item, shown, u in zip(x, seen, unit, strict=True)])


def test_labels():
    found = minkowski(np.eye(8), 2.0, [0.0, 1.0])
    assert (found.unit, found.threshold_unit, found.area.shape) == ("arcmin", "sd", (1, 2))
    assert minkowski(np.eye(8), absolute=True).threshold_unit == "map"
    assert minkowski(np.eye(8)).unit == "pixel"


@pytest.mark.parametrize("thresholds", [[], [1.0, 1.0], [1.0, 0.0], [np.nan], [[0.0, 1.0]]])
def test_bad_thresholds(thresholds):
    with pytest.raises(ConfigError, match="AOD-CF44"):
        minkowski(np.eye(8), None, thresholds)


@pytest.mark.parametrize(
    ("maps", "mask", "code"),
    [
        (np.full((1, 16, 16), np.nan), None, "IN17"),
        (np.zeros((1, 1, 16)), None, "IN18"),
        (np.zeros((1, 16, 1)), None, "IN18"),
        (np.zeros((0, 16, 16)), None, "IN40"),
        (np.zeros((1, 16, 16)), np.ones((16, 16), bool), "IN18"),
        (np.zeros((1, 16, 16)), np.indices((16, 16)).sum(axis=0) % 2 == 0, "IN18"),
    ],
)
def test_bad_maps(maps, mask, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        minkowski(maps, mask=mask)
