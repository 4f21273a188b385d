"""Two Gaussians a known distance apart: closed forms with known and with learned weights, and nothing under the null."""

import numpy as np
import pytest
from scipy.stats import norm

from astro_ood.latents.diagnostics import compute_separability, judge_separability
from astro_ood.latents.diagnostics.separability import auroc, auroc_interval, centre_interval, held_out_auroc

D = 256
QUICK = {"n_permutations": 39, "sizes": (5,)}


def pair(n: int, m: int, delta: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((n, D)) + delta / np.sqrt(D), rng.standard_normal((m, D))
    return a.reshape(n, 1, 16, 16), b.reshape(m, 1, 16, 16)


def test_known_weights_reach_the_closed_form():
    a, b = (x.reshape(len(x), -1).sum(axis=1) for x in pair(4000, 4000, 1.5, 0))
    assert auroc(np.append(a, b), np.arange(8000) < 4000) == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.01)
    assert auroc(np.array([1.0, 1.0, 0.0]), np.array([True, False, False])) == 0.75


def test_learned_weights_reach_theirs():
    n, delta, kept = 20, 3.0, 16
    labels, folds = np.arange(2 * n) < n, np.arange(2 * n) % 5
    found = []
    for seed in range(60):
        flat = np.concatenate(pair(n, n, delta, seed)).reshape(2 * n, -1)
        found.append(held_out_auroc(flat @ flat.T, labels, folds, ridge=100.0))
    expected = norm.cdf(delta**2 / np.sqrt(2 * (delta**2 + 2 * D / kept)))
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(60))
    assert expected < norm.cdf(delta / np.sqrt(2)) - 0.05


def test_nothing_is_learned_where_nothing_is():
    found = [compute_separability(*pair(10, 10, 0.0, i), n_permutations=19, sizes=(), seed=i).whole for i in range(30)]
    assert np.mean([area.value for area in found]) == pytest.approx(0.5, abs=0.12)
    assert np.mean([area.low <= 0.5 <= area.high for area in found]) > 0.8
    assert np.sum([area.p <= 0.05 for area in found]) <= 5


def test_interval_has_a_width_even_where_all_pairs_are_in_order():
    low, high = auroc_interval(1.0, 8, 8)
    assert 0.6 < low < 0.95
    assert high == 1.0
    assert auroc_interval(0.0, 8, 8) == pytest.approx((1 - high, 1 - low))
    narrow, wide = auroc_interval(0.8, 50, 50), auroc_interval(0.8, 50, 50, wider=2.0)
    assert wide[0] < narrow[0] < 0.8 < narrow[1] < wide[1]


def test_norm_and_direction_are_told_apart():
    a, b = pair(30, 30, 0.0, 1)
    louder = compute_separability(1.2 * a, b, **QUICK)
    assert louder.norm.value > 0.95
    assert louder.direction.value < 0.7
    moved = compute_separability(*pair(30, 30, 6.0, 2), **QUICK)
    assert moved.direction.value > 0.95
    assert moved.curve[0] < moved.curve[-1]
    told = judge_separability(moved, controls={"inverted in-domain": louder})
    assert told.passed is False
    assert told.verdict == "different"
    assert "inverted in-domain: " in told.words
    assert "norm alone does as well" not in told.words


def test_distance_of_the_centres_is_debiased():
    delta = 6.0
    found = np.array([compute_separability(*pair(8, 12, delta, i), n_permutations=2, sizes=()).separation for i in range(40)])
    assert np.mean((found[:, 0] * D**0.25) ** 2) == pytest.approx(delta**2, rel=0.15)
    covered = (found[:, 1] * D**0.25 <= delta) & (delta <= found[:, 2] * D**0.25)
    assert covered.mean() > 0.85


@pytest.mark.parametrize("delta", [0.0, 4.0])
def test_interval_of_the_centre_covers(delta):
    ends = [centre_interval(pair(6, 2, delta, i)[0]) for i in range(100)]
    assert np.mean([low <= delta**2 <= high for _, low, high in ends]) > 0.9


def test_few_latents_are_undecided():
    told = judge_separability(compute_separability(*pair(4, 4, 0.0, 3), **QUICK))
    assert told.passed is None
    with pytest.raises(ValueError, match="one shape"):
        compute_separability(np.zeros((1, 1, 4, 4)), np.zeros((3, 1, 4, 4)))
