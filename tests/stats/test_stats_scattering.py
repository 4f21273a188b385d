import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve
from scipy.special import ellipe
from stats_support import gaussian_fields

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._banded import Workspace
from astro_ood.stats._morlet import morlet_bank
from astro_ood.stats.scattering import scattering
from astro_ood.stats.surrogates import iaaft


def wavelet(scale, angle, steps=(1.0, 1.0)):
    """Morlet wavelet in real space, sampled on pixels: complex, of odd sides."""
    sigma, k = 0.8 * 2.0**scale, 0.75 * np.pi / 2.0**scale
    y, x = np.meshgrid(
        *(np.arange(-n, n + 1) * d for d, n in zip(steps, (int(7 * sigma / d) for d in steps), strict=True)), indexing="ij"
    )
    gauss = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    gauss /= gauss.sum()
    wave = np.exp(1j * k * (x * np.cos(angle) + y * np.sin(angle)))
    return gauss * (wave - np.sum(gauss * wave))


def filtered(x, scale, angle, steps=(1.0, 1.0)):
    """|x * psi| of the mirrored map at each pixel."""
    psi = wavelet(scale, angle, steps)
    padded = np.pad(x, [(n // 2, n // 2) for n in psi.shape], mode="symmetric")
    return np.abs(fftconvolve(padded, psi, mode="valid"))


def by_convolution(x, n_scales, n_angles, steps=(1.0, 1.0)):
    angles = np.pi * np.arange(n_angles) / n_angles
    first = [[filtered(x, j, a, steps) for a in angles] for j in range(n_scales)]
    pairs = [(a, b) for a in range(n_scales) for b in range(a + 1, n_scales)]
    s2 = [[[filtered(u, b, angle, steps).mean() for angle in angles] for u in first[a]] for a, b in pairs]
    return np.array([[u.mean() for u in row] for row in first]), np.array(s2)


def threads(n, rng, size=64):
    """Maps of straight threads, cut from larger ones so that borders are like the rest."""
    y, x = np.mgrid[:size, :size]
    maps = np.zeros((n, size, size))
    for one in maps:
        for _ in range(24):
            angle, (top, left) = rng.uniform(0, np.pi), rng.uniform(-16, size + 16, 2)
            along, across = (
                (y - top) * np.cos(angle) - (x - left) * np.sin(angle),
                (y - top) * np.sin(angle) + (x - left) * np.cos(angle),
            )
            one += np.exp(-0.5 * (across / 1.2) ** 2 - 0.5 * (along / 14) ** 2)
    return maps


@pytest.mark.parametrize(
    ("shape", "n_angles", "steps"),
    [((40, 33), 4, (1.0, 1.0)), ((24, 32), 3, (1.0, 1.0)), ((20, 36), 4, (1.0, 0.5)), ((30, 17), 2, (0.6, 1.0))],
)
def test_coefficients_equal_direct_convolution(shape, n_angles, steps):
    x = np.random.default_rng(0).lognormal(size=shape)
    result = scattering(x, steps, None, n_angles, oversampling=100)
    s1, s2 = by_convolution(x - x.mean(), result.s1.shape[1], n_angles, steps)
    np.testing.assert_allclose(result.s1[0], s1, rtol=1e-5)
    np.testing.assert_allclose(result.s2[0], s2, rtol=1e-5)


def test_coarse_grids_change_little():
    x = np.exp(gaussian_fields(24, np.random.default_rng(1)))
    coarse, fine = scattering(x), scattering(x, oversampling=100)
    for one, two, limit in ((coarse.s1, fine.s1, 0.01), (coarse.s2, fine.s2, 0.04)):
        error = np.log(one / two)
        assert error.std(axis=0).max() < limit
        assert np.abs(error.mean(axis=0)).max() < limit


def test_white_noise_has_the_mean_of_a_rayleigh_distribution():
    result = scattering(3.0 * np.random.default_rng(2).normal(size=(16, 256, 256)), n_scales=3)
    for scale in range(3):
        for i in range(4):
            psi = wavelet(scale, i * np.pi / 4)
            power, skew = np.sum(np.abs(psi) ** 2), np.abs(np.sum(psi**2))
            # sqrt(pi / 4) of the rms if real and imaginary parts are alike, which a wave near the Nyquist frequency cannot be.
            expected = 3.0 * np.sqrt((power + skew) / np.pi) * ellipe(2 * skew / (power + skew))
            # Scatter and, at mirrors, a different law.
            assert result.s1[:, scale, i].mean() == pytest.approx(expected, rel=0.005 * 2**scale)


@pytest.mark.parametrize("slope", [1.5, 2.0, 3.0])
def test_first_order_follows_the_spectrum(slope):
    x = gaussian_fields(40, np.random.default_rng(3), size=128, slope=slope)
    rise = np.diff(scattering(x).ln_s1.mean(axis=0))[:3]
    np.testing.assert_allclose(rise, 0.5 * np.log(2) * (slope - 2), atol=0.03)


def test_gaussian_fields_have_the_second_order_of_gaussian_fields_whatever_the_amplitude():
    one, two = (scattering(gaussian_fields(60, np.random.default_rng(s), slope=2.0)).ln_ratio for s in (4, 5))
    error = np.sqrt((one.var(axis=0) + two.var(axis=0)) / 60)
    assert np.abs((one.mean(axis=0) - two.mean(axis=0)) / error).max() < 4


def test_threads_are_told_from_their_surrogates_by_second_order_only():
    x = threads(40, np.random.default_rng(6))
    real, surrogate = scattering(x), scattering(iaaft(x, 40, np.random.default_rng(7))[0])
    apart = {}
    for name in ("ln_s1", "s21", "s22"):
        a, b = getattr(real, name), getattr(surrogate, name)
        apart[name] = np.abs(a.mean(axis=0) - b.mean(axis=0)) / np.sqrt((a.var(axis=0) + b.var(axis=0)) / 40)
    assert apart["ln_s1"].max() < 5
    assert apart["s21"].max() > 10
    assert np.sum(apart["s22"] > 10) >= 8
    assert (real.s22.mean(axis=0) > 0.15).all()
    assert np.abs(surrogate.s22.mean(axis=0)).max() < 0.2


def test_blobs_and_threads_have_opposite_signs():
    y, x = np.mgrid[:64, :64]
    blob = np.exp(-((y - 30) ** 2 + (x - 35) ** 2) / 18.0)
    thread = np.exp(-((y + x - 60) ** 2) / 6.0)
    assert (scattering(blob).s22[0, 4:] < 0).all()
    assert (scattering(thread).s22[0] > 0.3).all()


@pytest.mark.parametrize("n_angles", [4, 6])
def test_turns_and_flips_permute_angles(n_angles):
    x = np.random.default_rng(8).lognormal(size=(3, 48, 48)).cumsum(axis=1)
    base = scattering(x, n_angles=n_angles)
    angle = np.arange(n_angles)
    for moved, source in (
        (np.rot90(x, axes=(1, 2)), angle - n_angles // 2),
        (x[:, ::-1], -angle),
        (x[:, :, ::-1], -angle),
        (x.transpose(0, 2, 1), n_angles // 2 - angle),
    ):
        result, source = scattering(moved, n_angles=n_angles), source % n_angles
        np.testing.assert_allclose(result.s1, base.s1[:, :, source], rtol=1e-9)
        np.testing.assert_allclose(result.s2, base.s2[:, :, source][:, :, :, source], rtol=1e-9)
        np.testing.assert_allclose(result.vector, base.vector, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.floats(1e-200, 1e200), st.floats(-1e3, 1e3), st.integers(0, 99))
def test_unit_and_offset(unit, offset, seed):
    x = np.random.default_rng(seed).normal(size=(1, 16, 16))
    base, moved = scattering(x), scattering(unit * (x + offset))
    np.testing.assert_allclose(moved.s1 / unit, base.s1, rtol=1e-9)
    np.testing.assert_allclose(moved.ln_ratio, base.ln_ratio, rtol=1e-7)
    np.testing.assert_allclose(scattering(unit * x, normalise=True).s2, base.s2 / x.std(), rtol=1e-9)


def test_opposite_borders_do_not_leak():
    bank = morlet_bank((64, 64))
    x = np.zeros((1, 64, 64))
    x[:, :, :3] = np.random.default_rng(9).normal(size=(1, 64, 3))
    fields = {j: f.copy() for j, f in bank.first.fields(x, Workspace())}
    for scale in range(3):
        size = np.hypot(*fields[scale]).max(axis=(0, 1, 2))
        assert size[-1] < 1e-12 * size[0]


def test_rectangular_pixels_see_the_same_sky():
    k = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96)[None])
    band = np.fft.ifft2(np.fft.fft2(np.random.default_rng(10).normal(size=(4, 96, 96))) * np.exp(-((k / 0.12) ** 2))).real
    halves = band[:, :, ::2]
    coarse, square = scattering(halves, (1.0, 2.0), 4), scattering(band, 1.0, 5)
    assert coarse.unit == "arcmin"
    np.testing.assert_allclose(coarse.wavelength, square.wavelength[1:])
    np.testing.assert_allclose(coarse.s1, square.s1[:, 1:], rtol=0.03)


def test_labels_name_the_columns():
    result = scattering(np.random.default_rng(11).normal(size=(2, 32, 32)), 0.5)
    assert result.vector.shape == (2, len(result.labels)) == (2, 4 + 6 * 3)
    assert result.labels[0] == "ln S1 1.33 arcmin"
    assert result.labels[4] == "ln S2/S1 1.33 in 2.67 arcmin at 0 deg"
    assert result.labels[-1] == "ln S2/S1 5.33 in 10.7 arcmin at 90 deg"
    np.testing.assert_array_equal(result.angles, [0, 45, 90, 135])


def holes(shape):
    mask = np.zeros(shape, bool)
    mask[10:22, 30:45] = mask[40:52, 5:15] = mask[60:, 50:] = True
    return mask


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_missing_pixels_bias_little(slope):
    x = gaussian_fields(48, np.random.default_rng(12), slope=slope)
    whole, part = scattering(x), scattering(x, mask=holes((64, 64)))
    for name, limit in (("ln_s1", 0.08), ("s21", 0.15)):
        a, b = getattr(whole, name), getattr(part, name)
        assert np.abs((b - a).mean(axis=0)).max() < limit
        assert np.median(b.std(axis=0) / a.std(axis=0)) < 1.3
    ignorant = scattering(np.where(holes((64, 64)), 10.0, x))
    assert np.abs((ignorant.ln_s1 - whole.ln_s1).mean(axis=0)).max() > 0.3


def test_missing_pixels_hold_anything():
    x = np.random.default_rng(13).normal(size=(3, 32, 40))
    masks = np.random.default_rng(14).random((3, 32, 40)) < [[[0.05]], [[0.5]], [[0.995]]]
    base = scattering(x, mask=masks)
    for value in (np.nan, np.inf, 1e300):
        other = scattering(np.where(masks, value, x), mask=masks)
        np.testing.assert_array_equal(other.s1, base.s1)
        np.testing.assert_array_equal(other.s2, base.s2)
    assert np.isfinite(base.vector).all()
    np.testing.assert_array_equal(scattering(x[0], mask=masks[0]).s2[0], base.s2[0])
    np.testing.assert_array_equal(scattering(x, mask=np.zeros((32, 40), bool)).s2, scattering(x).s2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 2), (3, 9), (5, 64)])
def test_tiny_maps_are_finite(shape):
    assert np.isfinite(scattering(np.random.default_rng(15).normal(size=(2, *shape))).vector).all()


@pytest.mark.parametrize("value", [0.0, 3.7, -1e300, 1e-300])
@pytest.mark.parametrize("normalise", [False, True])
def test_constant_map(value, normalise):
    result = scattering(np.full((1, 16, 16), value), normalise=normalise)
    assert (result.s1 == 0).all()
    assert (result.s2 == 0).all()
    assert np.isfinite(result.vector).all()
    np.testing.assert_allclose(result.ln_ratio, np.log(1e-12))


def test_chunks_do_not_matter():
    x = np.random.default_rng(16).normal(size=(40, 64, 64))
    np.testing.assert_allclose(scattering(x).s2[37], scattering(x[37]).s2[0], rtol=1e-12)


def test_adjoint_is_the_transpose():
    rng = np.random.default_rng(17)
    for shape, n_angles in (((64, 40), 4), ((33, 50), 3), ((17, 17), 2)):
        bank = morlet_bank(shape, (1.0, 1.0), None, n_angles)
        for cascade, points in ((bank.first, shape), (bank.second[0], bank.grids[0])):
            u = rng.normal(size=(2, *points))
            fields = {j: f.copy() for j, f in cascade.fields(u, Workspace())}
            g = {j: rng.normal(size=f.shape) for j, f in fields.items()}
            assert sum(np.sum(fields[j] * g[j]) for j in g) == pytest.approx(np.sum(u * cascade.adjoint(g)), rel=1e-12)


@pytest.mark.parametrize("options", [{"n_scales": 0}, {"n_scales": 4}, {"n_angles": 1}, {"oversampling": 0.5}])
def test_bad_options(options):
    with pytest.raises(ConfigError, match="AOD-CF44"):
        scattering(np.zeros((1, 16, 16)), **options)


@pytest.mark.parametrize(
    ("maps", "mask", "code"),
    [
        (np.full((1, 8, 8), np.nan), None, "IN17"),
        (np.zeros(5), None, "IN16"),
        (np.zeros((0, 8, 8)), None, "IN40"),
        (np.zeros((2, 8, 8)), np.ones((8, 8), bool), "IN18"),
        (np.zeros((2, 8, 8)), np.zeros((8, 9), bool), "IN25"),
        (np.zeros((2, 8, 8)), np.zeros((8, 8)), "IN35"),
        (np.array([["a"]]), np.zeros((1, 1), bool), "IN35"),
    ],
)
def test_bad_input(maps, mask, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        scattering(maps, mask=mask)
