from itertools import pairwise

import numpy as np
import pytest
from excursion_support import correlated_fields
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.integrate import quad
from scipy.ndimage import gaussian_filter, label
from scipy.special import erf
from scipy.stats import norm
from skimage.feature import peak_local_max
from skimage.morphology import local_maxima

from astro_ood.errors import ConfigError, InputError
from astro_ood.maps import gaussian_field
from astro_ood.stats.minkowski import THRESHOLDS
from astro_ood.stats.peaks import peaks, smooth

NU = np.array(THRESHOLDS)


def density_of_maxima(height, gamma, theta):
    """Maxima per unit area and height, in sd, of a Gaussian field (Bond & Efstathiou 1987, eq. A1.9)."""
    x, rest = gamma * height, 1 - gamma**2
    shape = (x**2 - gamma**2) * (1 + erf(x / np.sqrt(2 * rest))) / 2
    shape += x * rest * np.exp(-(x**2) / (2 * rest)) / np.sqrt(2 * np.pi * rest)
    wide = 3 - 2 * gamma**2
    shape += np.exp(-(x**2) / wide) / np.sqrt(wide) * (1 + erf(x / np.sqrt(2 * rest * wide))) / 2
    return shape * np.exp(-(height**2) / 2) / ((2 * np.pi) ** 1.5 * theta**2)


@pytest.mark.parametrize("steps", [(1.0, 1.0), (2.0, 1.0), (0.7, 1.4)])
def test_gaussian_fields_follow_bond_and_efstathiou(steps):
    length, n = 7.0, 400
    x = correlated_fields(n, np.random.default_rng(0), length, steps=steps)
    found = peaks(x, steps, NU, absolute=True)
    gamma, theta = np.sqrt(0.5), length / np.sqrt(2)
    assert quad(density_of_maxima, -8, 8, (gamma, theta))[0] == pytest.approx(1 / (4 * np.pi * np.sqrt(3) * theta**2))
    edges = np.r_[-8, NU, 8]
    each = [quad(density_of_maxima, a, b, (gamma, theta))[0] for a, b in pairwise(edges)]
    # The highest pixel lies below the summit by h^2 / 6 length^2 of a sd on average, and passes as much of a bin to the next.
    lost = max(steps) ** 2 / length**2 / 6 * max(each) / 0.5
    for got, expected in ((found.peak_histogram, np.array(each)), (found.void_histogram, np.array(each)[::-1])):
        error = got.std(axis=0, ddof=1) / np.sqrt(n)
        assert np.all(np.abs(got.mean(axis=0) - expected) < 4.5 * error + lost)
        assert 4.5 * error.max() + lost < 0.12 * max(each)
    above = np.cumsum(each[::-1])[::-1][1:]
    np.testing.assert_allclose(found.peaks.mean(axis=0), above, atol=0.04 * above[0])
    np.testing.assert_allclose(found.voids.mean(axis=0), above[::-1], atol=0.04 * above[0])


def test_white_noise_has_a_peak_in_nine_pixels():
    n = 200 * 62 * 94
    found = peaks(np.random.default_rng(1).normal(size=(200, 64, 96)), 3.0, absolute=True)
    expected = (1 - norm.cdf(NU) ** 9) / 9 / 9
    assert np.all(np.abs(found.peaks.mean(axis=0) - expected) < 5 * np.sqrt(expected / 9 / n))
    assert np.all(np.abs(found.voids.mean(axis=0) - expected[::-1]) < 5 * np.sqrt(expected[::-1] / 9 / n))


@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_peaks_are_those_of_scikit_image(smoothing):
    x = np.random.default_rng(2).normal(size=(5, 40, 61))
    found = peaks(x, None, [-0.5, 0.5], absolute=True, smoothing=smoothing)
    for i, item in enumerate(smooth(x, smoothing)):
        for sign, histogram in ((1, found.peak_histogram[i]), (-1, found.void_histogram[i])):
            places = peak_local_max(sign * item, min_distance=1, exclude_border=1, threshold_abs=-np.inf)
            height = item[tuple(places.T)]
            expected = np.histogram(height, [-np.inf, -0.5, 0.5, np.inf])[0]
            np.testing.assert_allclose(histogram * 38 * 59, expected)


terraces = arrays(np.float64, st.tuples(st.just(3), st.integers(3, 9), st.integers(3, 9)), elements=st.integers(0, 3).map(float))


@settings(max_examples=150, deadline=None)
@given(terraces)
def test_plateaus_count_once(x):
    """As regional maxima do, those at the border left out."""
    found = peaks(x, None, [0, 1, 2, 3], absolute=True)
    for i, item in enumerate(x):
        for sign, counted in ((1, found.peaks[i]), (-1, found.voids[i])):
            top, count = label(local_maxima(sign * item, connectivity=2, allow_borders=False), np.ones((3, 3)))
            height = np.array([item[top == name][0] for name in range(1, count + 1)])
            expected = [np.count_nonzero(sign * height >= sign * level) for level in range(4)]
            np.testing.assert_allclose(counted * (x.shape[1] - 2) * (x.shape[2] - 2), expected, atol=1e-9)


def test_terrace_beside_a_slope_is_no_peak():
    x = np.zeros((9, 9))
    x[2:6, 2:6] = 1.0
    x[6, 5] = 2.0
    found = peaks(x, None, [0.5, 1.5], absolute=True)
    np.testing.assert_allclose(found.peaks[0] * 49, [1, 1])


@settings(max_examples=40, deadline=None)
@given(terraces, st.sampled_from([0.0, 0.8]))
def test_flips_turns_and_sign(x, smoothing):
    # A quantised map ties where rounding decides; a ramp of irrational slope leaves no tie.
    x = x + np.sqrt(2) * np.arange(x.shape[1])[:, None] + np.sqrt(3) * np.arange(x.shape[2])
    one = peaks(x, (1.0, 2.0), smoothing=smoothing)
    for view, steps in ((x[:, ::-1], (1.0, 2.0)), (x[:, :, ::-1], (1.0, 2.0)), (np.rot90(x, axes=(1, 2)), (2.0, 1.0))):
        other = peaks(view, steps, smoothing=smoothing)
        np.testing.assert_allclose(other.peak_histogram, one.peak_histogram)
        np.testing.assert_allclose(other.void_histogram, one.void_histogram)
    other = peaks(-x, (1.0, 2.0), smoothing=smoothing)
    np.testing.assert_allclose(other.peak_histogram, one.void_histogram[:, ::-1])
    np.testing.assert_allclose(other.voids, one.peaks[:, ::-1])


def test_heights_in_standard_deviations_of_the_smoothed_map():
    x = gaussian_field(20, 96, -1.0, 3)
    plain = peaks(x, smoothing=2.0)
    scaled = peaks(7 * x + 1000, smoothing=2.0)
    np.testing.assert_allclose(scaled.peak_histogram, plain.peak_histogram)
    smoothed = smooth(x, 2.0)
    z = (smoothed - smoothed.mean(axis=(1, 2), keepdims=True)) / smoothed.std(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(peaks(z, absolute=True).voids, plain.voids)


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 1.2])
def test_masked_columns_equal_a_cut_out(absolute, smoothing):
    x = gaussian_field(3, 70, -1.0, 4)
    mask = np.zeros((70, 70), bool)
    mask[:, 41:] = True
    hidden = np.where(mask, np.nan, x)
    one = peaks(hidden, 2.0, absolute=absolute, smoothing=2 * smoothing, mask=mask)
    other = peaks(x[:, :, :41], 2.0, absolute=absolute, smoothing=2 * smoothing)
    np.testing.assert_allclose(one.peak_histogram, other.peak_histogram)
    np.testing.assert_allclose(one.void_histogram, other.void_histogram)


def test_missing_pixels_make_no_peaks():
    x = correlated_fields(60, np.random.default_rng(5), 4.0)
    mask = np.random.default_rng(6).random(x.shape) < 0.01
    whole, holed = peaks(x, absolute=True), peaks(np.where(mask, -np.inf, x), absolute=True, mask=mask)
    difference = holed.voids - whole.voids
    assert np.all(np.abs(difference.mean(axis=0)) < 4.5 * difference.std(axis=0, ddof=1) / np.sqrt(60))
    each = [peaks(np.where(m, 0, item), absolute=True, mask=m).voids[0] for item, m in zip(x[:9], mask, strict=False)]
    np.testing.assert_array_equal(holed.voids[:9], each)


def test_smoothing_inside_is_scipys():
    x = np.random.default_rng(7).normal(size=(2, 60, 50))
    got = smooth(x, 3.0, (1.0, 1.5))
    expected = gaussian_filter(x, (0, 3.0, 2.0))
    np.testing.assert_allclose(got[:, 12:-12, 8:-8], expected[:, 12:-12, 8:-8], atol=1e-12)


def test_smoothing_at_borders_and_holes_is_a_weighted_mean():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(1, 9, 8))
    mask = rng.random((9, 8)) < 0.3
    got = smooth(np.where(mask, np.nan, x), 1.0, None, mask)
    y, z = np.indices((9, 8))
    for r, c in np.argwhere(~mask):
        near = np.maximum(abs(y - r), abs(z - c)) <= 4
        weight = np.exp(-((y - r) ** 2 + (z - c) ** 2) / 2) * ~mask * near
        assert got[0, r, c] == pytest.approx((weight * x[0]).sum() / weight.sum())
    assert not got[0, mask].any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 2.0, 1e9])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e300, 1e-310])
@pytest.mark.parametrize("absolute", [False, True])
def test_constant_map_has_no_peaks(value, smoothing, absolute):
    found = peaks(np.full((2, 17, 19), value), smoothing=smoothing, absolute=absolute)
    assert not found.peak_histogram.any()
    assert not found.void_histogram.any()
    np.testing.assert_array_equal(smooth(np.full((1, 9, 9), value), smoothing), value)


@pytest.mark.parametrize("absolute", [False, True])
def test_floor_has_no_peaks(absolute):
    """Rounding beside borders and holes must not strew peaks over constant parts."""
    x = np.full((1, 40, 50), 0.1)
    x[0, 20, 31] = 0.7
    mask = np.random.default_rng(10).random(x.shape) < 0.01
    found = peaks(np.where(mask, np.nan, x), smoothing=2.0, absolute=absolute, mask=mask & (x == 0.1))
    assert np.count_nonzero(found.peak_histogram) == 1
    assert not found.void_histogram.any()


def test_input_is_left_alone_and_chunks_agree():
    x = gaussian_field(60, 128, -1.0, 9)
    before = x.copy()
    found = peaks(x, smoothing=1.0)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(found.voids[43], peaks(x[43], smoothing=1.0).voids[0])


def test_labels():
    found = peaks(np.eye(8), (2.0, 1.0), [0.0, 1.0], smoothing=3)
    assert (found.unit, found.threshold_unit, found.smoothing) == ("arcmin", "sd", 3.0)
    assert found.peaks.shape == found.voids.shape == (1, 2)
    assert found.peak_histogram.shape == found.void_histogram.shape == (1, 3)
    assert (peaks(np.eye(8)).unit, peaks(np.eye(8), absolute=True).threshold_unit) == ("pixel", "map")


@pytest.mark.parametrize("smoothing", [-1.0, np.nan, np.inf])
def test_bad_smoothing(smoothing):
    with pytest.raises(ConfigError, match="AOD-CF44 smoothing"):
        peaks(np.eye(8), smoothing=smoothing)


@pytest.mark.parametrize(
    ("maps", "mask", "code"),
    [
        (np.full((1, 16, 16), np.nan), None, "IN17"),
        (np.zeros((1, 2, 16)), None, "IN18"),
        (np.zeros((1, 16, 1)), None, "IN18"),
        (np.zeros((1, 1, 1)), None, "IN18"),
        (np.zeros((0, 16, 16)), None, "IN40"),
        (np.zeros((1, 16, 16)), np.ones((16, 16), bool), "IN18"),
        (np.zeros((1, 16, 16)), np.indices((16, 16)).sum(axis=0) % 3 == 0, "IN18"),
    ],
)
def test_bad_maps(maps, mask, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        peaks(maps, mask=mask)
