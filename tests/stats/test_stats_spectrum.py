import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats.spectrum import RadialBins, hann2d, log_power, power_spectrum


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
    assert spectrum.wavelength_unit == "arcmin"


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
