"""What each kind of prior recovers of a known covariance, from 4 latents to 128, and that it reads them block by block."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from astro_ood.errors import RunError
from astro_ood.latents import prior
from astro_ood.latents.prior import DiagonalPrior, LowRankPrior, WaveletPrior
from astro_ood.latents.prior.bases import Fourier, Pixels, Wavelets
from astro_ood.latents.prior.lowrank import spikes
from astro_ood.latents.prior.moments import Moments, shrink

KINDS = list(prior.PRIORS)
SHAPE = (2, 4, 4)
STRUCTURED = ["diagonal", "spectral", "lowrank", "wavelet"]


def mask(size: int = 16) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.exp(np.cos(2 * np.pi * y) * np.cos(2 * np.pi * x))


def bump(size: int = 16) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return np.exp(-((y - 0.4) ** 2 + (x - 0.6) ** 2) / 0.01)


def power_of(z: np.ndarray) -> np.ndarray:
    return np.mean(np.abs(np.fft.fft2(z, norm="ortho")) ** 2, axis=(0, 1))


def truths(coloured) -> dict:
    """Draws (n, seed) of four laws, the prior that is right for each, and one that is wrong."""
    _, draw = coloured

    def white(n: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).standard_normal((n, 1, 16, 16))

    def patterned(n: int, seed: int) -> np.ndarray:
        return draw(n, seed) + 5 * bump() * np.random.default_rng(seed + 999).standard_normal((n, 1, 1, 1))

    return {
        "spectral": (draw, "diagonal"),
        "diagonal": (lambda n, seed: mask() * white(n, seed), "spectral"),
        "wavelet": (lambda n, seed: mask() * draw(n, seed), "spectral"),
        "lowrank": (patterned, "spectral"),
        "isotropic_corrected": (lambda n, seed: 0.3 + white(n, seed), "isotropic"),
    }


def held_out(kind: str, draw, n: int, trials: int = 4) -> float:
    """Mean log density of held-out latents."""
    return float(np.mean([prior.fit(draw(n, 7 * s), kind).log_prob(draw(64, 7 * s + 1)).mean() for s in range(trials)]))


@pytest.mark.parametrize("n", [4, 16, 128])
@pytest.mark.parametrize("right", ["spectral", "diagonal", "wavelet", "isotropic_corrected"])
def test_the_right_prior_explains_new_latents_best(coloured, right, n):
    draw, wrong = truths(coloured)[right]
    assert held_out(right, draw, n) > held_out(wrong, draw, n)


def test_low_rank_waits_until_it_can_see(coloured):
    """It is the spectral prior for 4 latents, and better for 128."""
    draw, _ = truths(coloured)["lowrank"]
    few, many = prior.fit(draw(4, 0), "lowrank"), prior.fit(draw(128, 0), "lowrank")
    assert len(few.factors) == 0
    assert len(many.factors) == 1
    cosine = np.sum(many.factors[0, 0] * bump()) / np.linalg.norm(many.factors) / np.linalg.norm(bump())
    assert abs(cosine) > 0.95
    assert 0.7 < np.linalg.norm(many.factors) / (5 * np.linalg.norm(bump())) < 1  # doubt about the direction shrinks it
    sure = prior.fit(draw(2000, 0), "lowrank")
    assert np.linalg.norm(sure.factors) == pytest.approx(5 * np.linalg.norm(bump()), rel=0.25)
    assert held_out("lowrank", draw, 128) > held_out("spectral", draw, 128) + 2


@pytest.mark.parametrize("n", [4, 16, 128])
def test_shrinkage_pays_for_few_latents(coloured, n):
    """Against each mode's own variance, and against nothing but rings; the first loses at every n here, by much at 4."""
    _, draw = coloured
    z, new = draw(n, 3), draw(64, 4)
    basis = Fourier()
    sums = Moments.of(z, basis)
    scatter, _ = sums.scatter(basis)
    own = prior.SpectralPrior(sums.mean()[0], scatter + 1e-6 * np.eye(1))
    gain = prior.fit(z, "spectral").log_prob(new).mean() - own.log_prob(new).mean()
    assert gain > {4: 15, 16: 3, 128: 0.1}[n]


def test_shrinkage_ends_where_latents_are_many():
    z = mask() * np.random.default_rng(0).standard_normal((3000, 1, 16, 16))
    found = prior.fit(z, "diagonal").covariance[..., 0, 0]
    np.testing.assert_allclose(found, mask() ** 2, rtol=0.15)
    few = prior.fit(z[:2], "diagonal").covariance[..., 0, 0]
    assert few.std() < 0.6 * np.var(z[:2], axis=(0, 1), ddof=1).std()


def test_weight_of_equal_variances_is_one():
    """Sample variances of white noise scatter as chance says, so the group takes nearly all."""
    rng = np.random.default_rng(0)
    for basis, n in ((Pixels(), 5), (Fourier(), 5), (Wavelets(), 5)):
        coefficients = basis.forward(rng.standard_normal((n, 1, 64, 64)))
        scatter = np.einsum("nahw,nbhw->hwab", coefficients, coefficients.conj()) / n
        shrunk = shrink(scatter, n, basis)[..., 0, 0].real
        assert shrunk.std() < 0.25 * scatter[..., 0, 0].real.std()


@pytest.mark.parametrize("n", [4, 16, 128])
@pytest.mark.parametrize("kind", ["spectral", "lowrank", "wavelet"])
def test_spectrum_comes_back(coloured, kind, n):
    power, draw = coloured
    found = np.mean([power_of(prior.fit(draw(n, s), kind).sample(100, s)) for s in range(8)], axis=0)
    rings = Fourier().groups(16, 16)
    for k in range(1, 9):
        ratio = found[rings == k].mean() / power[rings == k].mean()
        # wavelets know octaves, with soft edges
        assert abs(np.log(ratio)) < (0.9 if kind == "wavelet" else 0.25)
    assert found.mean() == pytest.approx(power.mean(), rel=0.12)


@pytest.mark.parametrize("n", [4, 16, 128])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "isotropic"])
def test_variance_comes_back(kind, n):
    pattern = 2 * np.random.default_rng(5).standard_normal((1, 16, 16))
    found = []
    for seed in range(40):
        fitted = prior.fit(pattern + np.random.default_rng(seed).standard_normal((n, 1, 16, 16)), kind)
        found.append(np.mean((fitted.sample(20, seed) - fitted.mean) ** 2))
    assert np.mean(found) == pytest.approx(1, rel=0.03)


@pytest.mark.parametrize("n", [4, 16, 128])
@pytest.mark.parametrize("kind", STRUCTURED)
def test_channels_stay_coupled(coloured, kind, n):
    """Three nearly equal channels stay nearly equal, also in modes of which there is only one."""
    _, draw = coloured
    z = draw(n, 0) + 0.01 * np.random.default_rng(1).standard_normal((n, 3, 16, 16))
    made = prior.fit(z, kind).sample(200, 0)
    spread, overall = (made - made.mean(axis=1, keepdims=True)).std(), made.std()
    assert spread / overall == pytest.approx(0.01 * np.sqrt(2 / 3), rel=0.4)


def dense(fitted) -> np.ndarray:
    """Covariance of the flattened latents, by an explicit matrix of the basis."""
    if isinstance(fitted, LowRankPrior):
        flat = fitted.factors.reshape(-1, fitted.mean.size)
        return dense(fitted.residual) + flat.T @ flat
    h, w, c, _ = fitted.covariance.shape
    matrix = fitted.basis.forward(np.eye(h * w).reshape(-1, h, w)).reshape(h * w, h * w).T
    modes = fitted.covariance.reshape(h * w, c, c)
    return np.einsum("kx,kab,ky->axby", matrix.conj(), modes, matrix).real.reshape(c * h * w, c * h * w)


@pytest.mark.parametrize("n", [2, 3, 60])
@pytest.mark.parametrize("kind", STRUCTURED)
def test_density_is_exact(kind, n):
    rng = np.random.default_rng(n)
    z = np.cumsum(rng.standard_normal((n, *SHAPE)), axis=-1) + 6 * rng.standard_normal((n, 1, 1, 1)) * np.eye(4)
    fitted = prior.fit(z, kind)
    law = multivariate_normal(fitted.mean.ravel(), dense(fitted))
    new = rng.standard_normal((5, *SHAPE))
    np.testing.assert_allclose(fitted.log_prob(new), law.logpdf(new.reshape(5, -1)), rtol=1e-8)
    if kind == "lowrank" and n == 60:
        assert len(fitted.factors) >= 1


@pytest.mark.parametrize("kind", ["diagonal", "wavelet", "lowrank"])
def test_draws_have_the_covariance_of_the_density(kind):
    rng = np.random.default_rng(4)
    z = np.cumsum(rng.standard_normal((60, *SHAPE)), axis=-1) + 6 * rng.standard_normal((60, 1, 1, 1)) * np.eye(4)
    fitted = prior.fit(z, kind)
    draws = (fitted.sample(6000, 1) - fitted.mean).reshape(6000, -1)
    expected = dense(fitted)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((np.cov(draws, rowvar=False, bias=True) - expected) / scale).max() < 5 / np.sqrt(6000)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_and_storage(kind):
    z = np.random.default_rng(1).standard_normal((40, *SHAPE)) + 8 * np.random.default_rng(2).standard_normal(
        (40, 1, 1, 1)
    ) * np.eye(4)
    fitted = prior.fit(z, kind)
    whole = fitted.sample(6, seed=3)
    np.testing.assert_array_equal(whole[4:], fitted.sample(2, seed=3, first=4))
    assert fitted.sample(0).shape == (0, *SHAPE)
    restored = prior.restore(fitted.kind, fitted.arrays())
    assert (type(restored), restored.kind) == (type(fitted), kind)
    np.testing.assert_array_equal(restored.sample(3, 1), fitted.sample(3, 1))
    np.testing.assert_array_equal(restored.log_prob(z), fitted.log_prob(z))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (2, 2), (4, 6), (8, 16), (16, 16)])
def test_bases_are_orthonormal(size):
    h, w = size
    for basis in (Pixels(), Fourier(), Wavelets()):
        matrix = basis.forward(np.eye(h * w).reshape(-1, h, w)).reshape(h * w, h * w)
        np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(h * w), atol=1e-12)
        x = np.random.default_rng(0).standard_normal((3, 2, h, w))
        np.testing.assert_allclose(basis.inverse(basis.forward(x)), x, atol=1e-12)
        groups = basis.groups(h, w)
        assert set(groups.ravel()) == set(range(groups.max() + 1))
        if basis.holds_constant(h, w):
            assert basis.forward(np.ones((h, w)))[0, 0] == pytest.approx(np.sqrt(h * w))


def test_wavelets_have_four_vanishing_moments():
    """A cubic has no fine coefficients, away from the border that is no period of it."""
    x = np.broadcast_to((np.arange(64.0) / 64) ** 3, (64, 64))
    fine = Wavelets().forward(x)[:, 32:]
    assert np.abs(fine[:, :28]).max() < 1e-9
    assert np.abs(fine).max() > 0.1


def test_spiked_eigenvalues_in_closed_form():
    """A sample eigenvalue is led back to the true one, and chance makes none."""
    true, d, n = 30.0, 400, 100
    gamma = d / n
    beyond, overlap = spikes(np.array([true + gamma * true / (true - 1), (1 + np.sqrt(gamma)) ** 2]), d, n)
    assert beyond[0] == pytest.approx(true - 1)
    assert overlap[0] == pytest.approx((1 - gamma / 29**2) / (1 + gamma / 29))
    assert (beyond[1], overlap[1]) == (0, 0)
    found = [len(prior.fit(np.random.default_rng(s).standard_normal((20, 1, 16, 16)), "lowrank").factors) for s in range(60)]
    assert np.mean(found) <= 0.05


def test_loud_latents_are_no_directions():
    """Amplitudes that differ by half make the loudest latents stand out of the Gaussian edge; the prior must not copy them."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        z = np.exp(0.5 * rng.standard_normal((20, 1, 1, 1))) * rng.standard_normal((20, 1, 32, 32))
        assert len(prior.fit(z, "lowrank").factors) == 0


class Source:
    """Blocks of latents made when they are asked for."""

    def __init__(self, n: int, block: int, shape: tuple[int, ...]) -> None:
        self.n, self.block, self.shape = n, block, shape

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, self.n, self.block):
            rows = range(start, min(start + self.block, self.n))
            yield np.stack([np.random.default_rng(i).standard_normal(self.shape) + (i % 5) for i in rows])


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_change_nothing(kind):
    shape = (2, 8, 8)
    whole = prior.fit(np.concatenate(list(Source(70, 70, shape))), kind).arrays()
    for block in (1, 7, 33):
        parts = prior.fit(Source(70, block, shape), kind).arrays()
        for name, values in whole.items():
            if name == "factors":  # their signs are free
                values, parts[name] = (np.einsum("rchw,rdyx->chwdyx", v, v) for v in (values, parts[name]))
            np.testing.assert_allclose(parts[name], values, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_number_of_latents(kind):
    peaks = []
    for n in (96, 768):
        prior.fit(Source(4, 4, (1, 32, 32)), kind)  # caches are filled
        tracemalloc.start()
        prior.fit(Source(n, 32, (1, 32, 32)), kind)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 768 * 32 * 32 * 8


def test_a_source_that_ends_is_refused():
    with pytest.raises(TypeError, match="more than once"):
        prior.fit(iter([np.zeros((4, *SHAPE))]))
    with pytest.raises(RunError, match=r"IN40.*0 latents"):
        prior.fit([])
    assert isinstance(prior.fit(np.random.default_rng(0).standard_normal((4, *SHAPE)), "wavelet"), WaveletPrior)
    assert isinstance(prior.fit(np.random.default_rng(0).standard_normal((4, *SHAPE)), "diagonal"), DiagonalPrior)
