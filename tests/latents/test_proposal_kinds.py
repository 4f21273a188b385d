"""What each proposal does to the spectrum, the amplitudes and the likeness to parents, on a linear-Gaussian field of known spectrum."""

import numpy as np
import pytest

from astro_ood.latents import prior
from astro_ood.latents.geometry import angles_between
from astro_ood.latents.proposal import KINDS, Seeds, Start, maker
from astro_ood.latents.proposal.mixtures import octaves

N = 16


def norms(z: np.ndarray) -> np.ndarray:
    return np.linalg.norm(z.reshape(len(z), -1), axis=1)


def mean_of(z: np.ndarray) -> np.ndarray:
    return Seeds.of(z).mean


@pytest.fixture(scope="module")
def oracle(coloured):
    """For each proposal: power over truth in octaves, median of the largest |cos| with a parent, over 40 sets of latents."""
    power, draw = coloured
    octave = octaves(16, 16).ravel()
    expected = np.bincount(octave, weights=power.ravel())

    def found(kind: str, **options) -> tuple[np.ndarray, float]:
        ratios, cosines = [], []
        for trial in range(40):
            z = draw(N, trial)
            mean = mean_of(z)
            made = maker(kind, z, prior.fit(z), trial, **options)(0, 16).z - mean
            spectrum = np.mean(np.abs(np.fft.fft2(made, norm="ortho")) ** 2, axis=(0, 1))
            ratios.append(np.bincount(octave, weights=spectrum.ravel()) / expected)
            around = (z - mean).reshape(N, -1)
            cosine = made.reshape(16, -1) @ around.T / norms(made)[:, None] / norms(z - mean)
            cosines.append(np.abs(cosine).max(axis=1))
        return np.mean(ratios, axis=0), float(np.median(cosines))

    return found


@pytest.mark.parametrize(
    ("kind", "options", "power", "likeness"),
    [
        ("gaussian", {}, 1.0, (0.0, 0.45)),
        ("shell", {}, 1.0, (0.0, 0.45)),
        ("parent", {"noise": 0.9}, 1.0, (0.4, 0.55)),
        ("parent", {"noise": 0.3}, 1.0, (0.92, 0.97)),
        ("lerp", {}, 2 / 3, (0.9, 0.97)),
        ("slerp", {}, 1.0, (0.88, 0.96)),
        ("slerp", {"reach": 0.3}, 1.0, (0.7, 0.83)),
        ("norm_path", {}, 1.0, (0.88, 0.96)),
        ("norm_path", {"reach": 0.3}, 1.0, (0.7, 0.83)),
        ("lol", {"k": 3}, 1.0, (0.7, 0.87)),
        ("lol", {"k": N}, 1.0, (0.45, 0.65)),
        ("bands", {"k": N}, 1.0, (0.3, 0.5)),
        ("low_high", {}, 1.0, (0.6, 0.99)),
    ],
)
def test_spectrum_and_likeness(oracle, kind, options, power, likeness):
    ratio, cosine = oracle(kind, **options)
    np.testing.assert_allclose(ratio, power, rtol=0.11)
    assert likeness[0] <= cosine <= likeness[1]


@pytest.mark.parametrize("kind", ["lerp", "slerp", "norm_path"])
@pytest.mark.parametrize("reach", [0.0, 0.4])
def test_reach_keeps_candidates_away_from_parents(coloured, kind, reach):
    z = coloured[1](N, 0)
    made = maker(kind, z, None, 0, reach=reach)(0, 60)
    origin = mean_of(z) if kind == "norm_path" else np.zeros_like(z[0])
    for i, pair in enumerate(made.parents):
        a, b = ((z[p] - origin).ravel() for p in pair)
        to_a, to_b = (angles_between((made.z[i] - origin).ravel(), p) for p in (a, b))
        if kind == "lerp":
            assert made.weights[i].min() >= 0.5 - reach / 2 - 1e-12
        else:
            assert min(to_a, to_b) >= (0.5 - reach / 2) * angles_between(a, b) - 1e-6
        assert to_a + to_b == pytest.approx(angles_between(a, b), abs=1e-4)


def test_the_whole_path_is_the_published_one(coloured):
    z = coloured[1](N, 0)
    whole = maker("slerp", z, None, 3)(0, 300)
    closest = [min(angles_between(x.ravel(), z[p].ravel()) for p in pair) for x, pair in zip(whole.z, whole.parents, strict=True)]
    assert min(closest) < 2  # near copies, which a smaller reach excludes


@pytest.mark.parametrize("kind", ["norm_path", "shell"])
def test_distances_from_the_mean_keep_their_law(coloured, kind):
    """Amplitudes that differ from latent to latent, as those of real maps do; a slerp and a Gaussian average them away."""
    rng, spreads = np.random.default_rng(0), {kind: [], "gaussian": [], "slerp": []}
    middles = []
    for trial in range(30):
        z = coloured[1](N, trial) * np.exp(0.3 * rng.standard_normal((N, 1, 1, 1)))
        mean, seeds = mean_of(z), Seeds.of(z)
        for name, found in spreads.items():
            made = np.log(norms(maker(name, z, prior.fit(z), trial)(0, 64).z - mean))
            found.append(made.std() / np.log(seeds.norms).std())
            if name == kind:
                middles.append(made.mean() - np.log(seeds.norms).mean())
    assert np.mean(spreads[kind]) == pytest.approx(1, abs=0.08)
    assert np.mean(middles) == pytest.approx(0, abs=0.02)
    assert max(np.mean(spreads[name]) for name in ("gaussian", "slerp")) < 0.9


def test_noise_goes_from_a_copy_to_the_prior(coloured):
    z = coloured[1](N, 0)
    fitted = prior.fit(z)
    copies, draws = (maker("parent", z, fitted, 5, noise=s)(0, 6) for s in (0.0, 1.0))
    np.testing.assert_allclose(copies.z, z[copies.parents[:, 0]])
    np.testing.assert_allclose(draws.z - mean_of(z), fitted.sample(6, 5) - fitted.mean)
    assert (copies.weights == 1).all()
    assert (draws.weights == 0).all()


def test_bands_are_made_of_their_parents_octave_by_octave():
    z = np.random.default_rng(0).standard_normal((6, 2, 16, 16))
    made = maker("bands", z, None, 0, k=4)(0, 5)
    octave, mean = octaves(16, 16), mean_of(z)
    assert octave.max() == 2
    assert made.parents.shape == made.weights.shape == (5, 12)
    for x, parents, weights in zip(made.z, made.parents, made.weights, strict=True):
        assert len(set(parents)) == 4
        expected = mean.astype(complex)
        for band in range(3):
            some = slice(4 * band, 4 * band + 4)
            mixed = np.tensordot(weights[some], z[parents[some]] - mean, 1)
            expected = expected + np.fft.ifft2(np.where(octave == band, np.fft.fft2(mixed), 0))
        assert np.abs(expected.imag).max() < 1e-12
        np.testing.assert_allclose(x, expected.real, atol=1e-12)


def test_low_and_high_are_those_of_the_parents():
    z = np.random.default_rng(0).standard_normal((6, 2, 16, 16))
    made = maker("low_high", z, None, 0)(0, 20)
    octave, cuts = octaves(16, 16), set()
    for x, (low, high) in zip(made.z, made.parents, strict=True):
        modes = [np.fft.fft2(y) for y in (x, z[low], z[high])]
        own = [np.array([np.allclose(modes[0][:, octave == b], m[:, octave == b]) for b in range(3)]) for m in modes[1:]]
        assert (own[0] != own[1]).all()
        assert own[0][0]
        assert own[1][2]
        cuts.add(int(own[0].sum()))
    assert cuts == {1, 2}


@pytest.mark.parametrize(("size", "last"), [((64, 64), 4), ((16, 16), 2), ((8, 32), 1), ((5, 7), 0), ((1, 1), 0)])
def test_octaves_join_opposite_modes(size, last):
    found = octaves(*size)
    assert found.max() == last
    assert set(found.ravel()) == set(range(last + 1))
    h, w = size
    np.testing.assert_array_equal(found, found[np.ix_(-np.arange(h) % h, -np.arange(w) % w)])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "gaussian"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 2, 2)])
def test_single_precision_and_odd_sides(kind, shape):
    z = np.random.default_rng(0).standard_normal((4, *shape)).astype(np.float32)
    fitted = prior.fit(z)
    single, double = (maker(kind, values, fitted, 0, start=Start(values, 0.6, 0.8))(0, 3).z for values in (z, z.astype(np.float64)))
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, rtol=1e-5, atol=1e-6)
    assert maker(kind, z, fitted, 0, start=Start(z, 0.6, 0.8))(0, 0).z.shape == (0, *shape)
