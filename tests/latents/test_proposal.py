"""How candidates are made: closed forms of slerp, and the distribution that linear combinations keep."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from astro_ood.errors import ConfigError, RunError
from astro_ood.latents import prior
from astro_ood.latents.geometry import angles_between, shrunk_mean
from astro_ood.latents.proposal import FROM_PRIOR, KINDS, Seeds, Start, lol, maker, paths, slerp


def power_of(z: np.ndarray) -> np.ndarray:
    """Mean power (16, 16) of the orthonormal modes of (n, 1, 16, 16)."""
    return np.mean(np.abs(np.fft.fft2(z, norm="ortho")) ** 2, axis=(0, 1))


def octaves(power: np.ndarray) -> np.ndarray:
    """Power averaged over rings 1-2, 2-4, 4-8 and the corners."""
    k = 16 * np.hypot(*np.meshgrid(np.fft.fftfreq(16), np.fft.fftfreq(16)))
    edges = (0.5, 2, 4, 8, 12)
    return np.array([power[(k >= low) & (k < high)].mean() for low, high in pairwise(edges)])


def at(monkeypatch, position: float) -> None:
    """Let slerp take the position `position` between the latents 0 and 1."""
    fake = SimpleNamespace(choice=lambda n, size, replace: np.array([0, 1]), uniform=lambda: position)
    monkeypatch.setattr(paths, "stream", lambda *_: fake)


@pytest.fixture
def z() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((6, 2, 8, 8))


@pytest.mark.parametrize("u", [0.0, 0.1, 0.5, 0.77, 1.0])
def test_slerp_in_closed_form(monkeypatch, z, u):
    at(monkeypatch, u)
    z = z * np.linspace(1, 2, 6)[:, None, None, None]
    made = slerp(Seeds.of(z), 0, 1, 0).z.ravel()
    a, b = z[0].ravel(), z[1].ravel()
    angle = angles_between(a, b)
    assert np.linalg.norm(made) == pytest.approx((1 - u) * np.linalg.norm(a) + u * np.linalg.norm(b))
    assert angles_between(made, a) == pytest.approx(u * angle, abs=1e-5)
    assert angles_between(made, b) == pytest.approx((1 - u) * angle, abs=1e-5)


@pytest.mark.parametrize(("u", "parent"), [(0.0, 0), (1.0, 1)])
def test_slerp_ends_at_its_parents(monkeypatch, z, u, parent):
    at(monkeypatch, u)
    np.testing.assert_allclose(slerp(Seeds.of(z), 0, 1, 0).z[0], z[parent], atol=1e-14)


def test_slerp_between_equal_directions(monkeypatch, z):
    at(monkeypatch, 0.25)
    np.testing.assert_allclose(slerp(Seeds.of(np.stack([z[0], 3 * z[0]])), 0, 1, 0).z[0], 1.5 * z[0])


def test_slerp_takes_two_different_latents(z):
    made = slerp(Seeds.of(z), 0, 200, 1)
    assert (made.parents[:, 0] != made.parents[:, 1]).all()
    assert set(made.parents.ravel()) == set(range(6))


def test_parents_and_weights_make_the_candidates(z):
    made = slerp(Seeds.of(z), 0, 20, 3)
    np.testing.assert_allclose(np.einsum("mk,mk...->m...", made.weights, z[made.parents]), made.z, atol=1e-12)
    made = lol(Seeds.of(z), 0, 20, 3, k=4)
    mean, _ = shrunk_mean(z)
    assert made.parents.shape == (20, 4)
    assert all(len(set(row)) == 4 for row in made.parents)
    np.testing.assert_allclose(mean + np.einsum("mk,mk...->m...", made.weights, z[made.parents] - mean), made.z, atol=1e-12)


@pytest.mark.parametrize(("n", "k"), [(6, 6), (6, 2), (12, 3)])
@pytest.mark.parametrize("strength", [0.0, 3.0])
def test_linear_combinations_keep_the_spectrum(coloured, n, k, strength):
    """Around the fitted mean the candidates have the covariance of the seeds, also where that mean took a share of their spread."""
    power, draw = coloured
    pattern = strength * np.random.default_rng(1).standard_normal((1, 16, 16))
    found = np.zeros_like(power)
    for seed in range(250):
        z = pattern + draw(n, seed)
        found += power_of(lol(Seeds.of(z), 0, 6, seed, k).z - shrunk_mean(z)[0]) / 250
    np.testing.assert_allclose(octaves(found), octaves(power), rtol=0.07)


def test_plain_averages_would_lose_the_spread(coloured):
    """The test above can fail: without the correction by q, six of six latents fall short, and interpolation loses a third."""
    power, draw = coloured
    pattern = 3.0 * np.random.default_rng(1).standard_normal((1, 16, 16))
    uncorrected, between = np.zeros_like(power), np.zeros_like(power)
    for seed in range(250):
        z = pattern + draw(6, seed)
        mean, _ = shrunk_mean(z)
        made = lol(Seeds.of(z), 0, 6, seed, 6)
        unit = made.weights / np.linalg.norm(made.weights, axis=1, keepdims=True)
        uncorrected += power_of(np.einsum("mk,mk...->m...", unit, z[made.parents] - mean)) / 250
        u = np.random.default_rng(seed).uniform()
        between += power_of((1 - u) * z[:1] + u * z[1:2] - pattern) / 250
    assert np.all(octaves(uncorrected) < 0.88 * octaves(power))
    assert np.all(octaves(between) < 0.80 * octaves(power))


def test_linear_combinations_are_far_from_their_parents(coloured):
    _, draw = coloured
    z = draw(16, 0)
    made = lol(Seeds.of(z), 0, 100, 0, k=3)
    slerped = slerp(Seeds.of(z), 0, 100, 0)
    closest = [
        np.median([np.cos(np.radians(angles_between(m.z[i].ravel(), z[m.parents[i]].reshape(m.parents.shape[1], -1)))).max()
                   for i in range(100)])
        for m in (made, slerped)
    ]  # fmt: skip
    assert closest[0] < closest[1] - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_candidates_depend_on_seed_and_item_alone(z, kind):
    fitted = prior.fit(z)
    start = Start(z, 0.6, 0.8)
    make = maker(kind, z, fitted, seed=5, start=start)
    whole, part = make(0, 8), make(5, 3)
    for name in ("z", "parents", "weights"):
        np.testing.assert_array_equal(getattr(whole, name)[5:], getattr(part, name))
    assert not np.allclose(whole.z, maker(kind, z, fitted, seed=6, start=start)(0, 8).z)
    assert len({x.tobytes() for x in whole.z}) == 8 or kind == "low_high"  # of which there is a finite number


def test_candidates_of_a_prior_have_no_parents(z):
    made = maker("gaussian", z, prior.fit(z), 0)(0, 3)
    assert made.parents.tolist() == [[-1]] * 3
    assert made.weights.tolist() == [[0.0]] * 3


def test_k_is_capped_where_there_are_few_latents(z):
    assert maker("lol", z[:2], None, 0, k=3)(0, 1).parents.shape == (1, 2)


@pytest.mark.parametrize("k", [1, 7])
def test_wrong_number_of_parents(z, k):
    with pytest.raises(ConfigError, match=rf"CF12 proposal.k: found {k}, expected 2 to 6"):
        lol(Seeds.of(z), 0, 1, 0, k)


def test_refusals(z):
    with pytest.raises(ConfigError, match=r"CF12.*gaussian, shell, parent, forward, lerp, slerp, norm_path, lol, bands, low_high"):
        maker("magic", z, None, 0)
    for kind in FROM_PRIOR:
        with pytest.raises(RunError, match="RN12"):
            maker(kind, z, None, 0)
    for option in ({"reach": 1.1}, {"noise": -0.1}):
        with pytest.raises(ConfigError, match=r"CF12 proposal\.(reach|noise)"):
            maker("slerp", z, None, 0, **option)
    for kind in (kind for kind in KINDS if kind not in (*FROM_PRIOR, "forward")):
        with pytest.raises(RunError, match=r"IN40.*1 latents"):
            maker(kind, z[:1], None, 0)
