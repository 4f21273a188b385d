from itertools import product

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.bispectrum import FAMILIES, bispectrum, gaussian_scatter, shells
from astro_ood.stats.spectrum import hann2d, power_spectrum


def by_triangles(x, w, missing, edges, steps):
    """Number of closed triangles, and mean product of the three amplitudes, by a loop over pairs of modes; sums are not wrapped."""
    height, width = x.shape
    transform = np.fft.fft2((x - x[~missing].mean()) * w)
    ky, kx = (np.rint(np.fft.fftfreq(n) * n).astype(int) for n in (height, width))
    members = []
    for low, high in edges:
        k = np.hypot(ky[:, None] / (height * steps[0]), kx[None] / (width * steps[1]))
        members.append([(ky[a], kx[b]) for a, b in np.argwhere((k >= low) & (k < high))])
    third = set(members[2])
    products = [
        transform[a] * transform[b] * transform[(-a[0] - b[0], -a[1] - b[1])]
        for a, b in product(members[0], members[1])
        if (-a[0] - b[0], -a[1] - b[1]) in third
    ]
    return len(products), np.mean(products)


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize(("pixel_scale", "share"), [(None, 0.0), ((2.0, 1.5), 0.2)])
def test_bispectrum_equals_a_loop_over_triangles(window, pixel_scale, share):
    rng = np.random.default_rng(0)
    shape, steps = (24, 22), pixel_scale or (1.0, 1.0)
    x, missing = rng.lognormal(size=(1, *shape)) + 10, rng.random((1, *shape)) < share
    result = bispectrum(np.where(missing, np.nan, x), pixel_scale, window=window, mask=missing)
    edges = shells(shape, pixel_scale, 2).edges
    k = shells(shape, pixel_scale, 2).k
    w = (hann2d(shape) if window else np.ones(shape)) * ~missing[0]
    assert set(result.family) >= {"equilateral", "folded"}
    for i, sides in enumerate(result.sides):
        picked = [edges[int(np.argmin(np.abs(k - side)))] for side in sides]
        number, mean = by_triangles(x[0], w, missing[0], picked, steps)
        assert number == result.triangles[i]
        assert abs(mean.imag) < 1e-9 * abs(mean.real) + 1e-9
        assert result.values[0, i] == pytest.approx(mean.real * np.prod(steps) ** 2 / np.sum(w**3), rel=1e-9)


def test_sides_of_the_families():
    result = bispectrum(np.random.default_rng(1).normal(size=(1, 128, 128)), 0.5)
    sides = dict(zip(result.family, result.sides, strict=True))
    assert tuple(dict.fromkeys(result.family)) == FAMILIES
    np.testing.assert_allclose(sides["equilateral"] / sides["equilateral"][0], [1, 1, 1])
    np.testing.assert_allclose(sides["folded"] / sides["folded"][0], [1, 0.5, 0.5], rtol=0.03)
    np.testing.assert_allclose(sides["squeezed"] / sides["squeezed"][0], [1, 1, 0.25], rtol=0.05)
    assert result.k_unit == "cycles/arcmin"
    assert result.k.max() < 1 / (3 * 0.5)


def test_equilateral_skewness_is_that_of_the_band_passed_map():
    x = np.random.default_rng(2).lognormal(size=(3, 48, 48))
    result, bins = bispectrum(x, window=None), shells((48, 48), None, 2)
    for i, (family, k) in enumerate(zip(result.family, result.k, strict=True)):
        if family == "equilateral":
            member = bins.members(int(np.argmin(np.abs(bins.k - k))))
            band = scipy.fft.irfft2(scipy.fft.rfft2(x) * member, s=(48, 48))
            np.testing.assert_allclose(result.skewness[:, i], skew(band.reshape(3, -1), axis=1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("window", ["hann", None])
def test_gaussian_fields_have_none(window):
    x = gaussian_fields(300, np.random.default_rng(3), size=48, slope=2.0, periodic=window is None)
    q = bispectrum(x, window=window).skewness
    t = q.mean(axis=0) / (q.std(axis=0, ddof=1) / np.sqrt(300))
    assert np.abs(t).max() < 4
    assert np.mean(t**2) < 2.5


@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_scatter_of_periodic_gaussian_fields_is_the_closed_form(slope):
    x = gaussian_fields(600, np.random.default_rng(4), size=48, slope=slope, periodic=True)
    result, bins = bispectrum(x, window=None), shells((48, 48), None, 2)
    modes = np.array([[bins.modes[np.argmin(np.abs(bins.k - k))] for k in sides] for sides in result.sides], float)
    symmetry = np.array([{1: 6, 2: 2, 3: 1}[len(set(sides))] for sides in result.sides.tolist()])
    expected = np.sqrt(symmetry * result.triangles / modes.prod(axis=1))
    # Few modes make the powers in the denominator scatter as well, and leave degenerate triangles.
    many = modes.min(axis=1) > 30
    assert many.sum() >= 5
    np.testing.assert_allclose(result.skewness.std(axis=0)[many], expected[many], rtol=0.1)


@pytest.mark.parametrize("masked", [False, True])
def test_unit_variance_for_white_noise(masked):
    rng = np.random.default_rng(5)
    mask = rng.random((32, 32)) < 0.2 if masked else None
    unit = gaussian_scatter((32, 32), rng, 2.0, mask=mask, n_draws=1500)
    q = bispectrum(7 + 3 * rng.normal(size=(1500, 32, 32)), 2.0, mask=mask).skewness
    np.testing.assert_allclose((q / unit).std(axis=0), 1.0, atol=4.5 / np.sqrt(1500) * 1.5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("window", ["hann", None])
def test_skewed_white_noise_has_its_third_cumulant_times_pixel_area_squared(window, masked):
    # Pixels drawn from the exponential law: third cumulant 2 at every triangle, whatever the window and the mask.
    rng = np.random.default_rng(6)
    x, mask = rng.exponential(size=(800, 48, 64)), rng.random((800, 48, 64)) < 0.25 if masked else None
    b = bispectrum(x, (2.0, 1.0), window=window, mask=mask)
    error = b.values.std(axis=0, ddof=1) / np.sqrt(800)
    np.testing.assert_array_less(np.abs(b.values.mean(axis=0) - 2.0 * 4.0), 4.5 * error)
    assert error.min() < 0.4
    # Its skewness, 2 in a pixel, is thinned out by the choice of triangles. Few modes bias a ratio; so does a window the lowest shells.
    bins = shells((48, 64), (2.0, 1.0), 2)
    modes = np.array([[bins.modes[np.argmin(np.abs(bins.k - k))] for k in sides] for sides in b.sides], float)
    expected = 2 * b.triangles / np.sqrt(modes.prod(axis=1) * 48 * 64)
    error = b.skewness.std(axis=0, ddof=1) / np.sqrt(800)
    many = modes.min(axis=1) > 60
    assert many.sum() >= 4
    np.testing.assert_array_less(np.abs(b.skewness.mean(axis=0) - expected)[many], (4 * error + 0.04 * expected)[many])


def test_local_non_gaussianity_has_its_tree_level_bispectrum():
    # y = x + f (x^2 - <x^2>): B = 2 f (P1 P2 + P2 P3 + P3 P1) + O(f^3), averaged over the triangles of a bin.
    n, size, f, rng = 1500, 48, 0.1, np.random.default_rng(7)
    ky, kx = scipy.fft.fftfreq(size)[:, None], scipy.fft.rfftfreq(size)[None]
    k = np.hypot(ky, kx)
    # Nothing above a quarter of the sampling frequency, so that the square is not aliased.
    power = np.where((k > 0) & (np.maximum(np.abs(ky), kx) < 0.25), np.maximum(k, 1e-9) ** -1.0, 0.0)
    x = scipy.fft.irfft2(scipy.fft.rfft2(rng.normal(size=(n, size, size))) * np.sqrt(power), s=(size, size))
    variance = scipy.fft.irfft2(power, s=(size, size))[0, 0]
    x, power = x / np.sqrt(variance), power / variance
    result, bins = bispectrum(x + f * (x**2 - 1), window=None), shells((size, size), None, 2)

    def shell_sum(side, weight):
        member = bins.members(int(np.argmin(np.abs(bins.k - side))))
        return scipy.fft.irfft2(member * weight, s=(size, size))

    checked = 0
    for i, sides in enumerate(result.sides):
        plain, weighed = ([shell_sum(side, w) for side in sides] for w in (1.0, power))
        pairs = sum(np.sum(weighed[a] * weighed[b] * plain[c]) for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)))
        expected = 2 * f * pairs / np.sum(plain[0] * plain[1] * plain[2])
        mean, error = result.values[:, i].mean(), result.values[:, i].std() / np.sqrt(n)
        # The next order is f^2 = 1 % of this one.
        assert abs(mean - expected) < 4 * error + 0.03 * expected
        checked += expected > 8 * error
    assert checked >= 8


def test_squeezed_triangles_see_modulated_noise():
    rng = np.random.default_rng(8)
    large = gaussian_fields(60, rng, size=64, slope=4.0, periodic=True, scatter=0.0)
    x = large + 0.3 * (1 + 0.5 * large) * rng.normal(size=large.shape)
    result = bispectrum(x, window=None)
    t = result.skewness.mean(axis=0) / (result.skewness.std(axis=0) / np.sqrt(60))
    assert t[[f == "squeezed" for f in result.family]].max() > 8


def test_phases_alone_decide():
    rng = np.random.default_rng(9)
    x = np.exp(gaussian_fields(40, rng, size=48, slope=2.0, periodic=True))
    phases = scipy.fft.rfft2(rng.normal(size=x.shape))
    scrambled = scipy.fft.irfft2(np.abs(scipy.fft.rfft2(x)) * phases / np.abs(phases), s=(48, 48))
    np.testing.assert_allclose(power_spectrum(x, window=None).power, power_spectrum(scrambled, window=None).power, rtol=1e-6)
    one, two = (bispectrum(maps, window=None).skewness.mean(axis=0) for maps in (x, scrambled))
    assert one.min() > 0.04
    assert one.mean() > 10 * np.abs(two).mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["hann", None]), st.floats(0.0, 0.3), st.floats(1e-6, 1e6))
def test_invariances(seed, window, share, factor):
    rng = np.random.default_rng(seed)
    x, mask = rng.lognormal(size=(1, 32, 32)), rng.random((1, 32, 32)) < share
    result = bispectrum(x, window=window, mask=mask)
    for turn in (lambda m: m[:, ::-1], lambda m: m[:, :, ::-1], lambda m: np.rot90(m, axes=(1, 2))):
        turned = bispectrum(turn(x), window=window, mask=turn(mask))
        np.testing.assert_allclose(turned.skewness, result.skewness, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(bispectrum(-factor * x, window=window, mask=mask).skewness, -result.skewness, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(bispectrum(factor * x, window=window, mask=mask).values, factor**3 * result.values, rtol=1e-7)


def test_missing_pixels_never_matter():
    rng = np.random.default_rng(10)
    x, mask = rng.normal(size=(3, 24, 24)), rng.random((24, 24)) < 0.1
    expected = bispectrum(x, mask=mask, apodisation=2.0).values
    for rubbish in (np.nan, np.inf, 1e30):
        np.testing.assert_array_equal(bispectrum(np.where(mask, rubbish, x), mask=mask, apodisation=2.0).values, expected)
    nothing = np.zeros((24, 24), bool)
    np.testing.assert_allclose(bispectrum(x, mask=nothing).values, bispectrum(x).values, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e10])
def test_constant_maps_give_zero(value):
    result = bispectrum(np.full((2, 24, 24), value))
    assert (result.skewness == 0).all()
    assert (result.values == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 5), (16, 2)])
def test_maps_without_triangles(shape):
    with pytest.raises(InputError, match="AOD-IN16"):
        bispectrum(np.random.default_rng(11).normal(size=(1, *shape)))


@pytest.mark.parametrize("shape", [(9, 9), (16, 8), (7, 40)])
def test_small_maps_are_finite(shape):
    result = bispectrum(np.random.default_rng(12).normal(size=(2, *shape)))
    assert np.isfinite(result.skewness).all()
    assert (result.triangles > 0).all()


@pytest.mark.parametrize(
    ("maps", "code"),
    [
        (np.zeros(5), "IN16"),
        (np.full((1, 16, 16), np.nan), "IN17"),
        (np.full((24, 24), "a"), "IN35"),
        (np.zeros((0, 16, 16)), "IN40"),
    ],
)
def test_bad_maps(maps, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        bispectrum(maps)


def test_bad_settings():
    x = np.zeros((1, 24, 24))
    with pytest.raises(InputError, match="AOD-IN18"):
        bispectrum(x, mask=np.ones((24, 24), bool))
    with pytest.raises(ConfigError, match="AOD-CF44"):
        bispectrum(x, bins_per_octave=0)
    with pytest.raises(ConfigError, match="AOD-CF26"):
        bispectrum(x, 0.0)
