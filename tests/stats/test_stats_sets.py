"""Sets compared as wholes: valid where samples share parents, and able to see shifts, missing variety and missing modes."""

import numpy as np
import pytest

from astro_ood.errors import InputError
from astro_ood.stats.pool import STATISTICS
from astro_ood.stats.sets import compare_sets

K = 6
CORRELATED = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(range(K), range(K))) / 2))


def draw(n, rng):
    return rng.normal(size=(n, K)) @ CORRELATED.T


def compared(held_out, samples, rng, **options):
    return compare_sets(held_out, samples, rng, n_permutations=199, n_splits=20, n_bootstrap=50, **options)


@pytest.mark.parametrize(("n_inverted", "n_samples", "n_held_out", "trials"), [(8, 48, 8, 60), (32, 32, 32, 40)])
def test_bootstraps_of_the_inverted_maps_are_rejected_at_the_nominal_rate_only(n_inverted, n_samples, n_held_out, trials):
    any_, each = [], []
    for trial in range(trials):
        rng = np.random.default_rng([trial, n_inverted])
        inverted = draw(n_inverted, rng)
        samples = inverted[rng.integers(n_inverted, size=n_samples)]
        found = compared(draw(n_held_out, rng), samples, rng, inverted=inverted)
        any_.append(found.p_any)
        each.append(found.p)
    # three standard deviations above 5 %
    assert np.mean(np.array(any_) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert (np.mean(np.array(each) <= 0.05, axis=0) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)).all()
    # half of the p-values lie below one half, where values are not tied
    assert np.mean(np.array(each)[:, 0] <= 0.5) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(trials))


def test_independent_sets_have_uniform_p():
    p = []
    for trial in range(100):
        rng = np.random.default_rng([trial, 3])
        p.append(compared(draw(8, rng), draw(8, rng), rng).p[0])
    assert np.mean(np.array(p) <= 0.05) <= 0.12
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.2)


def wrong(kind, inverted, rng):
    samples = inverted[rng.integers(len(inverted), size=64)] + 0.2 * draw(64, rng)
    if kind == "shift":
        return samples + 1.0
    if kind == "variety":
        return samples.mean(axis=0) + 0.2 * (samples - samples.mean(axis=0))
    return samples[samples[:, 0] > 0]


def two_modes(n, rng):
    return draw(n, rng) + rng.choice([-2.0, 2.0], n)[:, None]


@pytest.mark.parametrize("kind", ["shift", "variety", "modes"])
def test_planted_defects_are_found(kind):
    found = []
    for trial in range(8):
        rng = np.random.default_rng([trial, 9])
        law = two_modes if kind == "modes" else draw
        inverted, held_out = law(32, rng), law(32, rng)
        found.append(compared(held_out, wrong(kind, inverted, rng), rng, inverted=inverted).p_any)
    assert np.mean(np.array(found) <= 0.05) >= 0.75


def test_entries_of_a_comparison():
    rng = np.random.default_rng(0)
    inverted, held_out = draw(16, rng), draw(20, rng)
    samples = inverted[rng.integers(16, size=40)] + 0.1 * draw(40, rng)
    found = compared(held_out, samples, rng, inverted=inverted)
    assert found.statistics == STATISTICS
    for name in ("value", "low", "high", "floor", "floor_sd", "null", "null_sd", "p", "p_adjusted", "detectable"):
        assert getattr(found, name).shape == (len(STATISTICS),), name
        assert np.isfinite(getattr(found, name)).all(), name
    assert (found.p_adjusted >= found.p - 1e-12).all()
    assert found.p_any >= found.p_min == pytest.approx(1 / 200, rel=0.01)
    assert (found.n_real, found.n_effective, found.n_samples) == (20, 16, 40)
    again = compared(held_out, samples, np.random.default_rng(5), inverted=inverted)
    same = compared(held_out, samples, np.random.default_rng(5), inverted=inverted)
    assert np.array_equal(again.p, same.p)


def test_regions_are_exchanged_as_a_whole():
    rng = np.random.default_rng(1)
    regions = np.repeat(np.arange(4), 3)
    found = compared(draw(12, rng), draw(30, rng), rng, inverted=draw(12, rng), units_real=regions, units_inverted=regions)
    assert (found.n_real, found.n_effective) == (4, 4)
    assert found.p_min == pytest.approx(2 / 70)


def test_what_cannot_be_compared():
    rng = np.random.default_rng(2)
    with pytest.raises(InputError, match="AOD-IN40"):
        compared(draw(1, rng), draw(5, rng), rng)
    with pytest.raises(InputError, match="AOD-IN25"):
        compared(draw(6, rng), draw(6, rng)[:, :2], rng)
