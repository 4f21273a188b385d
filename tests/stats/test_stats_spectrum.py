import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.spectrum import RadialBins, cross_spectrum, hann2d, log_power, power_spectrum, slope


@pytest.mark.parametrize("window", ["hann", None])
@pytest.mark.parametrize("pixel_scale", [None, 2.0, (2.0, 0.5)])
def test_white_noise_has_variance_times_pixel_area(window, pixel_scale):
    x = 3.0 * np.random.default_rng(0).normal(size=(200, 48, 64)) + 100
    area = 1.0 if pixel_scale is None else float(np.prod(np.broadcast_to(pixel_scale, 2)))
    spectrum = power_spectrum(x, pixel_scale, 6, window=window)
    # A window correlates neighbouring modes: about a quarter of them are independent.
    error = 9 * area / np.sqrt(200 * spectrum.modes / 2 / 4)
    assert np.all(np.abs(spectrum.power.mean(axis=0) - 9 * area) < 5 * error)


def test_parseval_without_window():
    x = np.random.default_rng(1).normal(size=(3, 20, 31)).cumsum(axis=1)
    spectrum = power_spectrum(x, (2.0, 3.0), window=None, edges=np.linspace(0, 1, 5))
    np.testing.assert_allclose(spectrum.power @ spectrum.modes / (20 * 31 * 6.0), x.var(axis=(1, 2)))
    assert spectrum.modes.sum() == 20 * 31 - 1


@pytest.mark.parametrize("slope", [1.0, 2.0, 3.0])
def test_slope_of_gaussian_fields(slope):
    x = gaussian_fields(60, np.random.default_rng(2), slope=slope, periodic=True)
    spectrum = power_spectrum(x, n_bins=12, window=None, spacing="linear")
    fitted = np.polyfit(np.log(spectrum.k[2:]), log_power(spectrum.power).mean(axis=0)[2:], 1)[0]
    assert fitted == pytest.approx(-slope, abs=0.05)


def test_window_recovers_a_steep_spectrum_of_a_cut_out():
    x = gaussian_fields(80, np.random.default_rng(3), slope=3.5)
    spectrum = power_spectrum(x, n_bins=12, spacing="linear")
    open_border = power_spectrum(x, n_bins=12, spacing="linear", window=None)

    def slope(s):
        return np.polyfit(np.log(s.k[3:]), log_power(s.power).mean(axis=0)[3:], 1)[0]

    assert slope(spectrum) == pytest.approx(-3.5, abs=0.2)
    assert slope(open_border) > -3.0


@pytest.mark.parametrize("window", ["hann", None])
def test_sine_peaks_in_its_bin_with_rectangular_pixels(window):
    y, x = np.mgrid[:64, :64]
    wave = np.sin(2 * np.pi * (3 * y / 64 + 10 * x / 64))[None]
    k = np.hypot(3 / (64 * 2.0), 10 / (64 * 1.0))
    spectrum = power_spectrum(wave, (2.0, 1.0), 10, window=window)
    best = spectrum.edges[np.argmax(spectrum.power[0])]
    assert best[0] <= k < best[1]
    assert spectrum.k_unit == "cycles/arcmin"


def test_profile_equals_a_loop_over_the_full_plane():
    x = np.random.default_rng(4).normal(size=(2, 16, 15))
    spectrum = power_spectrum(x, n_bins=5, window=None)
    plane = np.abs(np.fft.fft2(x - x.mean(axis=(1, 2), keepdims=True))) ** 2 / (16 * 15)
    k = np.hypot(np.fft.fftfreq(16)[:, None], np.fft.fftfreq(15)[None])
    for (low, high), centre, power, modes in zip(spectrum.edges, spectrum.k, spectrum.power.T, spectrum.modes, strict=True):
        ring = (k >= low) & (k < high)
        assert ring.sum() == modes
        assert k[ring].mean() == pytest.approx(centre)
        np.testing.assert_allclose(plane[:, ring].mean(axis=1), power)


@settings(max_examples=40, deadline=None)
@given(st.integers(16, 70), st.integers(16, 70), st.integers(1, 12), st.floats(0.01, 100), st.floats(0.2, 5))
def test_bins_have_modes_and_rise(height, width, n_bins, scale, ratio):
    bins = RadialBins((height, width), (scale, scale * ratio), n_bins)
    assert (bins.modes > 0).all()
    assert (np.diff(bins.k) > 0).all()
    assert ((bins.edges[:, 0] <= bins.k) & (bins.k <= bins.edges[:, 1])).all()


def test_lowest_and_nyquist_frequencies_are_inside():
    bins = RadialBins((64, 64), 0.1, 8)
    assert bins.edges[0, 0] < 1 / 6.4 < bins.edges[0, 1]
    assert bins.edges[-1, 1] > 5.0 > bins.edges[-1, 0]


def test_hann_is_positive_and_symmetric():
    w = hann2d((8, 9))
    assert (w > 0).all()
    np.testing.assert_allclose(w, w[::-1, ::-1])


def test_constant_map_has_finite_logarithm():
    x = np.concatenate([np.ones((1, 16, 16)), np.random.default_rng(5).normal(size=(1, 16, 16))])
    assert np.isfinite(log_power(power_spectrum(x).power)).all()


@pytest.mark.parametrize("scale", [0.0, -1.0, (1.0, float("nan"))])
def test_bad_pixel_scale(scale):
    with pytest.raises(ConfigError, match="AOD-CF26"):
        power_spectrum(np.zeros((1, 16, 16)), scale)


@pytest.mark.parametrize(
    ("maps", "code"),
    [(np.zeros(5), "IN16"), (np.full((1, 16, 16), np.nan), "IN17"), (np.array([["a"]]), "IN35"), (np.zeros((0, 16, 16)), "IN40")],
)
def test_bad_maps(maps, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        power_spectrum(maps)


def holes(rng, n, size, radius=4, number=6):
    """Masks (n, size, size) of round holes."""
    y, x = np.mgrid[:size, :size]
    centres = rng.uniform(0, size, (n, number, 2))
    return np.stack([np.any([np.hypot(y - cy, x - cx) < radius for cy, cx in each], axis=0) for each in centres])


@pytest.mark.parametrize("window", ["hann", None])
def test_a_mask_that_hides_nothing_changes_nothing(window):
    x = np.random.default_rng(6).normal(size=(3, 24, 31)).cumsum(axis=1) + 7
    plain, masked = power_spectrum(x, 2.0, window=window), power_spectrum(x, 2.0, window=window, mask=np.zeros(x.shape, bool))
    np.testing.assert_allclose(masked.power, plain.power, rtol=1e-10)


@pytest.mark.parametrize("apodisation", [0.0, 10.0])
def test_missing_pixels_never_matter(apodisation):
    rng = np.random.default_rng(7)
    x, mask = rng.normal(size=(3, 32, 40)), holes(rng, 3, 40)[:, :32]
    settings = {"pixel_scale": (2.0, 1.0), "mask": mask, "apodisation": apodisation}
    expected = power_spectrum(x, **settings).power
    for rubbish in (np.nan, np.inf, 1e30):
        np.testing.assert_array_equal(power_spectrum(np.where(mask, rubbish, x), **settings).power, expected)
    y = rng.normal(size=x.shape)
    crossed = cross_spectrum(np.where(mask, np.nan, x), np.where(mask, -np.inf, y), **settings)
    np.testing.assert_array_equal(crossed.cross, cross_spectrum(x, y, **settings).cross)


def test_one_mask_for_all_maps_or_one_each():
    rng = np.random.default_rng(8)
    x, mask = rng.normal(size=(4, 24, 24)), holes(rng, 1, 24)
    np.testing.assert_array_equal(
        power_spectrum(x, mask=mask[0]).power, power_spectrum(x, mask=np.repeat(mask, 4, axis=0), apodisation=0).power
    )


@pytest.mark.parametrize("apodisation", [0.0, 4.0])
def test_white_noise_is_unbiased_under_a_mask(apodisation):
    rng = np.random.default_rng(9)
    x, mask = 3.0 * rng.normal(size=(300, 48, 48)) + 100, holes(rng, 300, 48)
    spectrum = power_spectrum(x, 2.0, 6, mask=mask, apodisation=apodisation)
    power = spectrum.power
    error = power.std(axis=0, ddof=1) / np.sqrt(300)
    # Removing the mean takes some power from the lowest modes, as it does without a mask.
    assert np.all(np.abs(power.mean(axis=0) - 36.0)[2:] < 4.5 * error[2:])
    assert np.average(power.mean(axis=0), weights=spectrum.modes) == pytest.approx(36.0, rel=0.01)


def test_apodisation_keeps_large_scales_out_of_the_smallest():
    rng = np.random.default_rng(10)
    x, mask = gaussian_fields(40, rng, size=96, slope=3.0), holes(rng, 40, 96)
    truth, hard, soft = (
        power_spectrum(x, mask=m, apodisation=a).power.mean(axis=0)[-1] for m, a in ((None, 0), (mask, 0), (mask, 6))
    )
    assert hard > 1.1 * truth
    assert soft == pytest.approx(truth, rel=0.05)


def test_pseudo_spectrum_equals_a_direct_sum():
    rng = np.random.default_rng(11)
    x, mask = rng.normal(size=(1, 12, 10)) + 5, rng.random((1, 12, 10)) < 0.2
    w = ~mask[0] * hann2d((12, 10))
    centred = (x[0] - x[0][~mask[0]].mean()) * w
    y, z = np.mgrid[:12, :10]
    result = power_spectrum(x, mask=mask, n_bins=3)
    ky, kx = np.fft.fftfreq(12), np.fft.fftfreq(10)
    for (low, high), power in zip(result.edges, result.power[0], strict=True):
        ring = [(a, b) for a in ky for b in kx if low <= np.hypot(a, b) < high]
        values = [abs(np.sum(centred * np.exp(-2j * np.pi * (a * y + b * z)))) ** 2 / np.sum(w**2) for a, b in ring]
        assert np.mean(values) == pytest.approx(power)


def test_chunks_do_not_show(monkeypatch):
    rng = np.random.default_rng(12)
    x, mask = rng.normal(size=(7, 16, 16)), rng.random((7, 16, 16)) < 0.1
    whole = power_spectrum(x).power, power_spectrum(x, mask=mask, apodisation=2).power
    monkeypatch.setattr("astro_ood.stats._arrays._CHUNK_BYTES", 40_000)
    np.testing.assert_array_equal(power_spectrum(x).power, whole[0])
    np.testing.assert_array_equal(power_spectrum(x, mask=mask, apodisation=2).power, whole[1])


def test_cross_spectrum_with_itself_is_the_power_spectrum():
    x = np.random.default_rng(13).normal(size=(3, 32, 33))
    crossed = cross_spectrum(x, x, 2.0)
    np.testing.assert_allclose(crossed.cross, power_spectrum(x, 2.0).power)
    np.testing.assert_allclose(crossed.coherence, 1.0)
    np.testing.assert_allclose(cross_spectrum(x, -2 * x + 3, 2.0).coherence, -1.0)


def test_coherence_of_maps_that_share_a_component():
    rng = np.random.default_rng(14)
    common, one, two = (gaussian_fields(150, rng, slope=1.5, scatter=0.0, size=48) for _ in range(3))
    crossed = cross_spectrum(common + one, 3 * (common + two), n_bins=6)
    mean = crossed.cross.mean(axis=0) / np.sqrt(crossed.first.power.mean(axis=0) * crossed.second.power.mean(axis=0))
    # r = 1/2, of standard error (1 - r^2) / sqrt(modes); a window leaves about a quarter of the modes independent.
    np.testing.assert_array_less(np.abs(mean - 0.5), 4.5 * 0.75 / np.sqrt(150 * crossed.first.modes / 8))


def test_coherence_by_scale_finds_where_two_maps_differ():
    rng = np.random.default_rng(15)
    x = gaussian_fields(40, rng, size=64, slope=2.0, periodic=True)
    noisy = x + 0.5 * rng.normal(size=x.shape)
    coherence = cross_spectrum(x, noisy, window=None).coherence.mean(axis=0)
    assert coherence[0] > 0.99
    assert coherence[-1] < 0.8
    assert (np.diff(coherence) < 0.01).all()


def test_constant_maps_have_no_coherence_and_no_slope():
    flat = np.zeros((2, 16, 16))
    assert (cross_spectrum(flat, flat).coherence == 0).all()
    fit = slope(power_spectrum(flat))
    assert (fit.slope == 0).all()
    assert (fit.error == 0).all()


@pytest.mark.parametrize("window", ["hann", None])
def test_slope_and_its_error_of_gaussian_fields(window):
    x = gaussian_fields(300, np.random.default_rng(16), slope=2.5, periodic=window is None)
    spectrum = power_spectrum(x, 0.5, 12, window=window)
    fit = slope(spectrum, (0.3, 0.9))
    error = fit.slope.std(ddof=1)
    assert fit.slope.mean() == pytest.approx(-2.5, abs=5 * error / np.sqrt(300) + (0.03 if window else 0.0))
    # The error of five bins scatters by some 40 %, its mean over maps by little; the window correlates neighbouring bins.
    assert 0.75 < np.sqrt(np.mean(fit.error**2)) / error < 1.25
    assert fit.n_bins == int(((spectrum.k >= 0.3) & (spectrum.k <= 0.9)).sum())
    assert 0.3 <= fit.k_range[0] < fit.k_range[1] <= 0.9
    assert fit.k_unit == "cycles/arcmin"


def test_slope_agrees_with_a_weighted_polynomial_fit():
    spectrum = power_spectrum(gaussian_fields(3, np.random.default_rng(17)), n_bins=9)
    fit = slope(spectrum)
    for power, value, error in zip(spectrum.power, fit.slope, fit.error, strict=True):
        line, covariance = np.polyfit(np.log(spectrum.k), np.log(power), 1, w=np.sqrt(spectrum.modes), cov=True)
        assert value == pytest.approx(line[0])
        assert error == pytest.approx(np.sqrt(covariance[0, 0]))


@pytest.mark.parametrize(
    ("mask", "code"),
    [
        (np.ones((1, 16, 16), bool), "IN18"),
        (np.ones((16, 16), bool), "IN18"),
        (np.zeros((2, 16, 16), bool), "IN25"),
        (np.zeros((16, 15), bool), "IN25"),
        (np.zeros((16, 16)), "IN35"),
    ],
)
def test_bad_masks(mask, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        power_spectrum(np.random.default_rng(18).normal(size=(1, 16, 16)), mask=mask)


def test_missing_pixels_that_no_mask_hides_are_refused():
    x = np.zeros((1, 16, 16))
    x[0, 3, 3] = np.nan
    mask = np.zeros((16, 16), bool)
    mask[3, 4] = True
    with pytest.raises(InputError, match="AOD-IN17"):
        power_spectrum(x, mask=mask)


def test_cross_spectrum_of_unequal_stacks_is_refused():
    with pytest.raises(InputError, match="AOD-IN25"):
        cross_spectrum(np.zeros((2, 16, 16)), np.zeros((3, 16, 16)))


def test_slope_needs_three_bins():
    with pytest.raises(ConfigError, match="AOD-CF44"):
        slope(power_spectrum(np.zeros((1, 16, 16))), (0.1, 0.11))


@pytest.mark.parametrize("apodisation", [-1.0, float("nan")])
def test_bad_apodisation(apodisation):
    with pytest.raises(ConfigError, match="AOD-CF44"):
        power_spectrum(np.zeros((1, 16, 16)), apodisation=apodisation)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 3.0]))
def test_flips_and_turns_leave_a_masked_spectrum_alone(seed, apodisation):
    rng = np.random.default_rng(seed)
    x, mask = rng.normal(size=(1, 16, 16)), rng.random((1, 16, 16)) < 0.2
    mask[:, 0, 0] = False
    expected = power_spectrum(x, mask=mask, apodisation=apodisation).power
    for turn in (lambda m: m[:, ::-1], lambda m: m[:, :, ::-1], lambda m: np.rot90(m, axes=(1, 2))):
        turned = power_spectrum(turn(x), mask=turn(mask), apodisation=apodisation).power
        np.testing.assert_allclose(turned, expected, rtol=1e-9, atol=1e-12 * expected.max())
