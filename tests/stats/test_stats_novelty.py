import time

import numpy as np
import pytest
from stats_support import gaussian_fields

from astro_ood.errors import InputError
from astro_ood.stats.novelty import Kinship, Novelty, copy_threshold, correlations, nearest, nearest_other, novelty, orientations
from astro_ood.stats.rows import is_copying
from astro_ood.stats.surrogates import augment


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return gaussian_fields(12, rng), gaussian_fields(12, rng), gaussian_fields(48, rng)


@pytest.mark.parametrize("shape", [(14, 14), (13, 10)])
def test_correlation_equals_a_brute_force_search(shape):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, *shape)), rng.normal(size=(3, *shape))

    def best(one, two):
        height, width = shape
        views = [f for t in ((two, two.T) if height == width else (two,)) for f in (t, t[::-1], t[:, ::-1], t[::-1, ::-1])]
        found = -1.0
        for view in views:
            for dy in range(-(height // 2), height // 2 + 1):
                for dx in range(-(width // 2), width // 2 + 1):
                    u = one[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
                    v = view[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
                    found = max(found, np.corrcoef(u.ravel(), v.ravel())[0, 1])
        return found

    expected = [[best(x, y) for y in b] for x in a]
    np.testing.assert_allclose(correlations(a, b), expected, atol=1e-5)


@pytest.mark.parametrize("orientation", range(8))
def test_turned_and_shifted_copies_are_at_distance_zero(sets, orientation):
    inverted = sets[0]
    copies = np.roll(orientations(inverted)[orientation], (11, -30), axis=(1, 2)) * 3 + 7
    distance, index = nearest(copies, inverted)
    np.testing.assert_array_equal(index, np.arange(12))
    assert distance.max() < 0.05


def test_crop_shifted_copies_are_found(sets):
    made, parents = augment(sets[0], 20, np.random.default_rng(2))
    result = novelty(made, sets[0], sets[1], parents=parents)
    np.testing.assert_array_equal(result.nearest, parents)
    assert result.copy_rate == 1.0
    assert result.parent_correlation.min() > 0.99


def test_whether_samples_remember_their_parents(sets):
    """Mixtures that hold a third of the variance of their parent are no copies, and remember it; under shuffled parents they do not."""
    inverted, held_out, samples = sets
    rng = np.random.default_rng(8)
    parents = rng.integers(12, size=20)
    mixed = 0.7 * inverted[parents] / inverted[parents].std(axis=(1, 2), keepdims=True)
    mixed += samples[:20] / samples[:20].std(axis=(1, 2), keepdims=True)
    near = novelty(mixed, inverted, held_out, parents=parents)
    assert near.copy_rate <= 0.05
    assert near.kinship.p(499, rng) == 1 / 500
    assert near.kinship.others < np.median(near.parent_correlation)
    np.testing.assert_allclose(near.kinship.correlation[np.arange(20), parents], near.parent_correlation, rtol=1e-6)
    strangers = Kinship(near.kinship.correlation, rng.permutation(parents))
    assert strangers.p(499, rng) > 0.01


def test_samples_of_strangers_remember_nobody_in_one_case_of_twenty():
    """Inverted maps that resemble everything, and are parents of many, do not make kin of samples."""
    p = []
    for trial in range(300):
        rng = np.random.default_rng([9, trial])
        appeal = rng.normal(size=6)
        found = (appeal + 0.5 * rng.normal(size=(15, 6))).astype(np.float32)
        p.append(Kinship(found, rng.choice(6, size=15, p=np.exp(appeal) / np.exp(appeal).sum())).p(99, rng))
    # 300 trials: 5 % within three standard deviations of 1.3 %
    assert 0.012 < np.mean(np.array(p) <= 0.05) < 0.088


def test_independent_maps_are_no_copies(sets):
    inverted, held_out, samples = sets
    result = novelty(samples, inverted, held_out)
    assert not is_copying(result)
    assert result.copy_rate <= 0.05
    assert 0.85 < result.ratio < 1.15


def test_some_noisy_copies_among_new_samples(sets):
    inverted, held_out, samples = sets
    noisy = inverted[:6, ::-1] + 0.05 * np.random.default_rng(3).normal(size=(6, 64, 64))
    result = novelty(np.concatenate([samples, noisy]), inverted, held_out)
    assert result.copies[-6:].all()
    assert is_copying(result)


def test_a_few_that_are_alike_by_chance_are_no_copies():
    """As many samples as held-out maps: the closest two or three of all of them are often samples."""
    reference = np.linspace(0.5, 1.0, 40)
    found = [Novelty(np.r_[np.full(k, 0.3), reference[k:]], reference, np.zeros(40, np.int64), 0.4) for k in (3, 6)]
    assert [is_copying(one) for one in found] == [False, True]
    one = Novelty(np.r_[0.15, reference[1:]], reference, np.zeros(40, np.int64), 0.4)
    assert is_copying(one)


def test_mixture_that_is_nearly_its_parent_is_a_copy(sets):
    inverted, held_out, _ = sets
    mixture = 0.95 * inverted / inverted.std(axis=(1, 2), keepdims=True) + 0.3 * np.roll(inverted, 1, axis=0)
    assert is_copying(novelty(mixture, inverted, held_out))


def test_verdict_of_copying_is_rarely_wrong():
    rng = np.random.default_rng(4)
    wrong = [
        is_copying(novelty(gaussian_fields(24, rng, 32), gaussian_fields(8, rng, 32), gaussian_fields(8, rng, 32)))
        for _ in range(40)
    ]
    assert np.mean(wrong) <= 0.05


def test_leave_one_out_excludes_the_own_region(sets):
    pairs = np.concatenate([sets[0][:5], sets[0][:5, ::-1]])
    assert nearest_other(pairs).max() < 0.05
    assert nearest_other(pairs, np.tile(np.arange(5), 2)).min() > 0.3
    with pytest.raises(InputError, match="AOD-IN40"):
        nearest_other(pairs, np.zeros(10))


def test_constant_maps_correlate_with_nothing():
    x = np.random.default_rng(5).normal(size=(2, 16, 16))
    assert np.abs(correlations(np.ones((1, 16, 16)), x)).max() < 1e-6


def test_threshold_falls_with_few_and_with_spread_references():
    assert copy_threshold(np.array([0.7, 0.8, 0.9])) < copy_threshold(np.repeat([0.7, 0.8, 0.9], 10)) <= 0.9 * 0.7
    assert copy_threshold(np.full(2, 0.8)) == 0.01
    assert copy_threshold(np.append(np.full(500, 0.8), 0.5)) == pytest.approx(0.45)


def test_shapes_must_agree():
    with pytest.raises(InputError, match="AOD-IN25"):
        nearest(np.zeros((1, 16, 16)), np.zeros((1, 16, 18)))


def test_fast_enough(sets):
    inverted, _, samples = sets
    start = time.process_time()
    nearest(samples, inverted)
    assert time.process_time() - start < 2.0
