import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.increments import (
    ORDERS,
    default_lags,
    gradient_quantiles,
    offsets,
    scaling_exponents,
    structure_functions,
)


def fractional_brownian(n, size, hurst, rng):
    """Fields (n, size, size) with exactly <(x(r + l) - x(r))^2> proportional to l^(2 H), H < 3/4 (Stein 2002).

    The stationary field of covariance c_0 - l^a + c_2 l^2 for l <= 1 has the wanted increments but for a random plane.
    """
    a = 2 * hurst
    c2, box = a / 2, 4 * size
    c0 = 1 - a / 2
    axis = np.minimum(np.arange(box), box - np.arange(box)) / (box / 2)
    r = np.hypot(axis[:, None], axis[None])
    covariance = np.where(r <= 1, c0 - np.minimum(r, 1) ** a + c2 * r**2, 0.0)
    eigen = scipy.fft.fft2(covariance).real
    assert eigen.min() > -1e-6 * eigen.max()
    noise = rng.normal(size=(2, n, box, box))
    field = scipy.fft.fft2(np.sqrt(np.maximum(eigen, 0) / box**2) * (noise[0] + 1j * noise[1])).real[:, :size, :size]
    y, x = np.mgrid[:size, :size] / (box / 2)
    plane = rng.normal(size=(2, n, 1, 1))
    return (field + np.sqrt(2 * c2) * (y * plane[0] + x * plane[1])) * (box / 2) ** hurst


def by_pairs(x, missing, ring, order):
    """Mean |difference|^order over all pairs that an offset of the ring, or its opposite, joins."""
    height, width = x.shape
    values = [
        abs(x[i + a, j + b] - x[i, j]) ** order
        for a, b in ring
        for i in range(height)
        for j in range(width)
        if 0 <= i + a < height and 0 <= j + b < width and not missing[i, j] and not missing[i + a, j + b]
    ]
    return np.mean(values), len(values)


@pytest.mark.parametrize("pixel_scale", [None, 2.0, (2.0, 0.7)])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_structure_functions_equal_a_loop_over_pairs(pixel_scale, share):
    rng = np.random.default_rng(0)
    x, mask = rng.lognormal(size=(2, 12, 9)), rng.random((2, 12, 9)) < share
    steps = (1.0, 1.0) if pixel_scale is None else tuple(np.broadcast_to(pixel_scale, 2))
    lags = np.array([1.0, 2.0, 3.0]) * max(steps)
    result = structure_functions(np.where(mask, np.nan, x), pixel_scale, lags=lags, mask=mask)
    for i, (one, missing) in enumerate(zip(x, mask, strict=True)):
        for k, lag in enumerate(lags):
            ring = offsets(lag, steps).tolist()
            for p, order in enumerate(ORDERS):
                expected, count = by_pairs(one, missing, ring, order)
                assert result.values[i, k, p] == pytest.approx(expected, rel=1e-10)
                assert result.pairs[i, k] == count


def test_second_order_is_twice_the_lost_covariance():
    # Periodic maps: the mean over pairs of the periodic map is 2 (C(0) - C(l)) exactly, over the open map in the mean.
    x = gaussian_fields(400, np.random.default_rng(1), size=32, slope=2.5, periodic=True, scatter=0.0)
    covariance = scipy.fft.ifft2(np.abs(scipy.fft.fft2(x)) ** 2).real / 32**2
    result = structure_functions(x, lags=[1, 3, 6])
    for k, lag in enumerate((1, 3, 6)):
        expected = np.mean([2 * (covariance[:, 0, 0] - covariance[:, a, b]) for a, b in offsets(lag, (1, 1))], axis=0)
        difference = result.values[:, k, 1] - expected
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(400)
        assert result.values[:, k, 1].mean() == pytest.approx(expected.mean(), rel=0.02)


@pytest.mark.parametrize("hurst", [0.3, 0.6])
def test_exponents_and_flatness_of_fractional_brownian_fields(hurst):
    x = fractional_brownian(60, 64, hurst, np.random.default_rng(2))
    result = structure_functions(x, 0.5)
    fit = scaling_exponents(result, (0.5, 6.0))
    error = fit.zeta.std(axis=0, ddof=1) / np.sqrt(60)
    # ln of the mean over one map is biased by its relative variance, about 1 % at the longest lag for order 2, more above.
    np.testing.assert_array_less(np.abs(fit.zeta.mean(axis=0) - hurst * np.array(ORDERS))[:2], 4 * error[:2] + 0.01)
    np.testing.assert_array_less(np.abs(fit.zeta.mean(axis=0) / np.array(ORDERS) / hurst - 1), 0.06)
    pooled = result.values.mean(axis=0)
    np.testing.assert_allclose(pooled[:, 3] / pooled[:, 1] ** 2, 3.0, rtol=0.1)
    second = np.polyfit(np.log(result.lag), np.log(pooled[:, 1]), 1)[0]
    assert second == pytest.approx(2 * hurst, abs=0.03)
    assert fit.lag_unit == "arcmin"


def test_structure_functions_of_fractional_brownian_fields_have_the_stated_lags():
    x = fractional_brownian(150, 48, 0.5, np.random.default_rng(3))
    result = structure_functions(x)
    mean, error = result.values[..., 1].mean(axis=0), result.values[..., 1].std(axis=0) / np.sqrt(150)
    # H = 1/2: S_2 = 2 l for this normalisation, so that the mean length of the offsets is the lag to state.
    np.testing.assert_array_less(np.abs(mean - 2 * result.lag), 4.5 * error)


def test_moments_of_gaussian_increments():
    x = np.random.default_rng(4).normal(size=(40, 64, 64))
    expected = [2 / np.sqrt(np.pi), 2, 8 / np.sqrt(np.pi), 12, 64 / np.sqrt(np.pi), 120]
    result = structure_functions(x)
    np.testing.assert_allclose(result.values.mean(axis=0), np.broadcast_to(expected, (len(result.lag), 6)), rtol=0.03)
    np.testing.assert_allclose(result.flatness.mean(axis=0), 3.0, rtol=0.01)


def test_sparse_steps_are_intermittent():
    rng = np.random.default_rng(5)
    steps = (rng.random((30, 64, 64)) < 0.002) * rng.normal(size=(30, 64, 64))
    x = steps.cumsum(axis=1).cumsum(axis=2)
    assert structure_functions(x).flatness[:, 0].min() > 5


@pytest.mark.parametrize("lag", [*range(1, 40), 64, 100])
def test_offsets_are_near_the_circle_and_closed_under_flips_and_turns(lag):
    ring = {tuple(v) for v in offsets(float(lag), (1.0, 1.0)).tolist()}
    both = ring | {(-a, -b) for a, b in ring}
    assert both == {(b, -a) for a, b in both} == {(a, -b) for a, b in both}
    length = np.hypot(*np.array(list(ring)).T)
    assert np.all(np.abs(length / lag - 1) <= 0.15 + 1e-9)
    assert abs(length.mean() / lag - 1) < 0.08
    assert len(ring) == (2 if lag == 1 else 6 if lag == 2 else 8)


def test_offsets_with_rectangular_pixels_are_round_on_the_sky():
    ring = offsets(30.0, (2.0, 0.7))
    length = np.hypot(2.0 * ring[:, 0], 0.7 * ring[:, 1])
    angle = np.sort(np.arctan2(2.0 * ring[:, 0], 0.7 * ring[:, 1]) % np.pi)
    np.testing.assert_allclose(length, 30.0, rtol=0.05)
    np.testing.assert_allclose(np.diff(angle), np.pi / 8, atol=0.1)


def test_directions_cancel_for_an_anisotropic_field():
    # Straight waves of any direction have the same S_2, J_0 in the mean over angles, if eight directions are enough.
    y, x = np.mgrid[:256, :256]
    values = []
    for angle in np.linspace(0, np.pi, 7):
        wave = np.sin(2 * np.pi / 32 * (y * np.sin(angle) + x * np.cos(angle)))
        values.append(structure_functions(wave, lags=[8, 12]).values[0, :, 1])
    assert np.ptp(values, axis=0).max() < 0.03


def test_default_lags_are_whole_pixels_that_both_axes_have():
    np.testing.assert_array_equal(default_lags((64, 64), (1, 1), 8), [1, 2, 3, 5, 7, 11, 16])
    assert structure_functions(np.random.default_rng(6).normal(size=(1, 2, 2))).lag.tolist() == [1.0]
    lags = default_lags((64, 64), (1.5, 1.0), 8)
    assert np.all(np.abs(np.rint(lags) / lags - 1) <= 0.15)
    assert lags.max() <= 16


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.0, 0.3), st.floats(-1e6, 1e6), st.floats(1e-9, 1e9))
def test_invariances(seed, share, level, factor):
    rng = np.random.default_rng(seed)
    x, mask = rng.normal(size=(2, 16, 16)), rng.random((2, 16, 16)) < share
    functions, gradient = structure_functions(x, mask=mask), gradient_quantiles(x, mask=mask)
    for turn in (lambda m: m[:, ::-1], lambda m: m[:, :, ::-1], lambda m: np.rot90(m, axes=(1, 2))):
        again = structure_functions(turn(x), mask=turn(mask))
        np.testing.assert_allclose(again.values, functions.values, rtol=1e-10)
        np.testing.assert_array_equal(again.pairs, functions.pairs)
        np.testing.assert_allclose(gradient_quantiles(turn(x), mask=turn(mask)).values, gradient.values, rtol=1e-9)
    moved = structure_functions(factor * (x + level), mask=mask)
    np.testing.assert_allclose(moved.flatness, functions.flatness, rtol=1e-6)
    np.testing.assert_allclose(scaling_exponents(moved).zeta, scaling_exponents(functions).zeta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(gradient_quantiles(factor * (x + level), mask=mask).values, gradient.values, rtol=1e-6)


def test_missing_pixels_never_matter():
    rng = np.random.default_rng(7)
    x, mask = rng.normal(size=(3, 20, 24)), rng.random((20, 24)) < 0.1
    for rubbish in (np.nan, -np.inf, 1e30):
        dirty = np.where(mask, rubbish, x)
        np.testing.assert_array_equal(structure_functions(dirty, mask=mask).values, structure_functions(x, mask=mask).values)
        np.testing.assert_array_equal(gradient_quantiles(dirty, mask=mask).values, gradient_quantiles(x, mask=mask).values)
    nothing = np.zeros((20, 24), bool)
    np.testing.assert_allclose(structure_functions(x, mask=nothing).values, structure_functions(x).values, rtol=1e-10)
    np.testing.assert_allclose(gradient_quantiles(x, mask=nothing).values, gradient_quantiles(x).values)


def test_gradient_of_a_plane():
    y, x = np.mgrid[:10, :12]
    result = gradient_quantiles(3.0 * y - 4.0 * x, (0.5, 2.0))
    np.testing.assert_allclose(result.rms, np.hypot(6.0, 2.0))
    np.testing.assert_allclose(result.values, 1.0)


def test_gradient_of_gaussian_fields_is_rayleigh():
    x = gaussian_fields(60, np.random.default_rng(8), size=64, slope=3.0)
    result = gradient_quantiles(x)
    expected = np.sqrt(-np.log(1 - result.levels))
    error = result.values.std(axis=0, ddof=1) / np.sqrt(60)
    np.testing.assert_array_less(np.abs(result.values.mean(axis=0) - expected), 4.5 * error)
    assert error.max() < 0.02


def test_gradient_quantiles_equal_numpy():
    rng = np.random.default_rng(9)
    x, mask = rng.lognormal(size=(2, 11, 13)), rng.random((2, 11, 13)) < 0.2
    result = gradient_quantiles(x, (2.0, 1.0), [0.0, 0.3, 1.0], mask=mask)
    for i in range(2):
        values = []
        for a in range(10):
            for b in range(12):
                block, hidden = x[i, a : a + 2, b : b + 2], mask[i, a : a + 2, b : b + 2]
                if not hidden.any():
                    gy, gx = np.diff(block, axis=0).mean() / 2.0, np.diff(block, axis=1).mean()
                    values.append(np.hypot(gy, gx))
        rms = np.sqrt(np.mean(np.square(values)))
        assert result.rms[i] == pytest.approx(rms)
        np.testing.assert_allclose(result.values[i], np.quantile(values, [0.0, 0.3, 1.0]) / rms)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e10])
def test_constant_maps_are_finite(value):
    x = np.full((2, 16, 16), value)
    functions = structure_functions(x)
    assert (functions.values == 0).all()
    assert (functions.flatness == 3).all()
    assert (scaling_exponents(functions).zeta == 0).all()
    gradient = gradient_quantiles(x)
    assert (gradient.values == 0).all()
    assert (gradient.rms == 0).all()


@pytest.mark.parametrize("factor", [1e-40, 1e40])
def test_extreme_units_are_finite(factor):
    x = factor * np.random.default_rng(10).normal(size=(1, 16, 16))
    functions = structure_functions(x)
    np.testing.assert_allclose(functions.flatness, structure_functions(x / factor).flatness)
    assert np.isfinite(functions.values).all()


@pytest.mark.parametrize("function", [structure_functions, gradient_quantiles])
@pytest.mark.parametrize(
    ("maps", "code"),
    [
        (np.zeros(5), "IN16"),
        (np.zeros((2, 1, 16)), "IN16"),
        (np.full((1, 16, 16), np.nan), "IN17"),
        (np.array([["a", "b"], ["c", "d"]]), "IN35"),
        (np.zeros((0, 16, 16)), "IN40"),
    ],
)
def test_bad_maps(function, maps, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        function(maps)


@pytest.mark.parametrize("function", [structure_functions, gradient_quantiles])
def test_masks_that_leave_nothing(function):
    x, mask = np.zeros((1, 16, 16)), np.ones((1, 16, 16), bool)
    with pytest.raises(InputError, match="AOD-IN18"):
        function(x, mask=mask)
    mask[0, 0, 0] = False
    with pytest.raises(InputError, match="AOD-IN18"):
        function(x, mask=mask)


@pytest.mark.parametrize("lags", [[0.0], [-1.0], [np.nan], [1.2], [0.3]])
def test_bad_lags(lags):
    with pytest.raises(ConfigError, match="AOD-CF44"):
        structure_functions(np.zeros((1, 16, 16)), lags=lags)


def test_lags_longer_than_the_map():
    with pytest.raises(InputError, match="AOD-IN18"):
        structure_functions(np.zeros((1, 16, 16)), lags=[40.0])


def test_exponents_need_three_lags():
    with pytest.raises(ConfigError, match="AOD-CF44"):
        scaling_exponents(structure_functions(np.zeros((1, 16, 16))), (1, 2))


def test_bad_number_of_lags():
    with pytest.raises(ConfigError, match="AOD-CF44"):
        structure_functions(np.zeros((1, 16, 16)), n_lags=0)
