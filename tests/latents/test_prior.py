"""Priors against dense multivariate normals, and what comes back when they are fitted to their own draws."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from astro_ood.errors import ConfigError, RunError
from astro_ood.latents import prior
from astro_ood.latents.prior import IsotropicPrior, SpectralPrior

SHAPE = (2, 4, 4)


def fourier_matrix(h: int, w: int) -> np.ndarray:
    """Unitary matrix of the two-dimensional transform on flattened images."""
    return np.kron(np.fft.fft(np.eye(h), norm="ortho"), np.fft.fft(np.eye(w), norm="ortho"))


def dense_covariance(fitted: SpectralPrior) -> np.ndarray:
    """Covariance of the flattened latent (C H W), from its Fourier form."""
    h, w, c, _ = fitted.covariance.shape
    f = fourier_matrix(h, w)
    modes = fitted.covariance.reshape(h * w, c, c)
    return np.einsum("kx,kab,ky->axby", f.conj(), modes, f).reshape(c * h * w, c * h * w)


def coupled(n: int, seed: int, size: int = 16) -> np.ndarray:
    """Two channels (n, 2, size, size): the second is mostly the first, one pixel further along x."""
    rng = np.random.default_rng(seed)
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    power = 1 / (0.01 + k**2)
    amplitude = np.sqrt(power / power.mean())
    a, b = np.fft.ifft2(np.fft.fft2(rng.standard_normal((2, n, size, size))) * amplitude).real
    return np.stack([a, 0.8 * np.roll(a, 1, axis=-1) + 0.6 * b], axis=1)


def test_isotropic_is_the_published_fit():
    z = 0.4 + np.random.default_rng(0).standard_normal((5, *SHAPE))
    fitted = prior.fit(z, "isotropic")
    assert isinstance(fitted, IsotropicPrior)
    np.testing.assert_array_equal(fitted.mean, np.mean(z, axis=0))
    assert fitted.variance == pytest.approx(np.var(z))


def test_isotropic_counts_the_spread_of_the_mean_as_noise():
    pattern = np.random.default_rng(1).standard_normal(SHAPE)
    z = 3 * pattern + np.random.default_rng(2).standard_normal((400, *SHAPE))
    assert prior.fit(z, "isotropic").variance == pytest.approx(1 + 9 * pattern.var(), rel=0.03)


def test_isotropic_density():
    z = np.random.default_rng(3).standard_normal((7, *SHAPE))
    fitted = prior.fit(z, "isotropic")
    dense = multivariate_normal(fitted.mean.ravel(), fitted.variance * np.eye(32))
    np.testing.assert_allclose(fitted.log_prob(z), dense.logpdf(z.reshape(7, -1)))


@pytest.mark.parametrize("n", [2, 3, 20])
def test_spectral_density(n):
    z = np.cumsum(np.random.default_rng(n).standard_normal((n, *SHAPE)), axis=-1)
    fitted = prior.fit(z, "spectral")
    covariance = dense_covariance(fitted)
    assert np.abs(covariance.imag).max() < 1e-12 * np.abs(covariance.real).max()
    dense = multivariate_normal(fitted.mean.ravel(), covariance.real)
    other = np.random.default_rng(9).standard_normal((4, *SHAPE))
    for x in (z, other):
        np.testing.assert_allclose(fitted.log_prob(x), dense.logpdf(x.reshape(len(x), -1)), rtol=1e-9)


def test_spectral_draws_have_the_fitted_covariance():
    """Nothing is lost where the imaginary part of a draw is dropped: the pixels have the covariance of the density."""
    z = np.cumsum(np.random.default_rng(4).standard_normal((12, *SHAPE)), axis=-1)
    fitted = prior.fit(z, "spectral")
    draws = fitted.sample(6000, 1) - fitted.mean
    found = np.cov(draws.reshape(6000, -1), rowvar=False, bias=True)
    expected = dense_covariance(fitted).real
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((found - expected) / scale).max() < 5 / np.sqrt(6000)


@pytest.mark.parametrize("size", [(4, 4), (5, 7), (8, 6)])
def test_modes_of_opposite_wavenumber_are_conjugate(size):
    z = np.random.default_rng(5).standard_normal((6, 3, *size))
    covariance = prior.fit(z, "spectral").covariance
    h, w = size
    opposite = covariance[np.ix_(-np.arange(h) % h, -np.arange(w) % w)]
    np.testing.assert_allclose(opposite, covariance.conj(), atol=1e-12)


def test_spectrum_and_coupling_of_channels_come_back():
    n = 400
    real, drawn = coupled(n, 6), prior.fit(coupled(n, 6), "spectral").sample(n, 7)
    assert drawn.dtype == np.float64
    power = [np.mean(np.abs(np.fft.fft2(x, norm="ortho")) ** 2, axis=0) for x in (real, drawn)]
    # each mode of each set scatters by 1/sqrt(n); a quarter of the image averages many of them
    assert np.abs(np.log(power[1] / power[0])).max() < 0.6
    rings = np.rint(16 * np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))).astype(int)
    for k in range(1, 11):
        ratio = power[1][:, rings == k].mean() / power[0][:, rings == k].mean()
        assert ratio == pytest.approx(1, abs=0.12)
    for lag, expected in ((1, 0.8), (-1, None)):
        found = [np.mean(np.roll(x[:, 0], lag, axis=-1) * x[:, 1]) / np.mean(x[:, 0] ** 2) for x in (real, drawn)]
        assert found[1] == pytest.approx(found[0], abs=0.04)
        if expected:
            assert found[1] == pytest.approx(expected, abs=0.04)


def test_isotropic_prior_cannot_say_colour(coloured):
    power, draw = coloured
    drawn = prior.fit(draw(64, 8), "isotropic").sample(200, 1)
    found = np.mean(np.abs(np.fft.fft2(drawn, norm="ortho")) ** 2, axis=(0, 1))
    assert found[8, 8] > 5 * power[8, 8]


@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_spread_is_that_of_the_latents_for_few_of_them(coloured, strength):
    """A mean fitted to the same few latents takes a share of their spread; the fit gives it back."""
    power, draw = coloured
    pattern = strength * np.random.default_rng(0).standard_normal((1, 16, 16))
    totals = [prior.fit(pattern + draw(4, seed)).covariance.real.mean() for seed in range(400)]
    assert np.mean(totals) == pytest.approx(power.mean(), rel=0.06)


@pytest.mark.parametrize("kind", ["isotropic", "spectral"])
def test_draws_depend_on_seed_and_item_alone(kind):
    fitted = prior.fit(np.random.default_rng(1).standard_normal((5, *SHAPE)), kind)
    whole = fitted.sample(6, seed=3)
    assert np.array_equal(whole[4:], fitted.sample(2, seed=3, first=4))
    assert not np.isclose(whole, fitted.sample(6, seed=4)).any(axis=(1, 2, 3)).all()
    assert len(np.unique(whole[:, 0, 0, 0])) == 6


@pytest.mark.parametrize("kind", ["isotropic", "spectral"])
def test_stored_parameters_give_the_same_prior(kind):
    z = np.random.default_rng(1).standard_normal((5, *SHAPE))
    fitted = prior.fit(z, kind)
    restored = prior.restore(fitted.kind, fitted.arrays())
    assert restored.kind == kind
    assert np.array_equal(restored.sample(3, 1), fitted.sample(3, 1))
    assert np.array_equal(restored.log_prob(z), fitted.log_prob(z))


def test_density_prefers_its_own_draws(coloured):
    _, draw = coloured
    fitted = prior.fit(draw(48, 2), "spectral")
    own, white = fitted.log_prob(draw(20, 3)), fitted.log_prob(np.random.default_rng(0).standard_normal((20, 1, 16, 16)))
    assert own.min() > white.max()


def test_refusals():
    with pytest.raises(ConfigError, match=r"CF11.*isotropic, isotropic_corrected, diagonal, spectral, lowrank, wavelet"):
        prior.fit(np.zeros((4, *SHAPE)), "lognormal")
    with pytest.raises(RunError, match=r"IN40.*1 latents"):
        prior.fit(np.zeros((1, *SHAPE)))
