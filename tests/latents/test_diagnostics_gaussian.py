"""Gaussian fields of any colour pass; planted departures are found, and named."""

import numpy as np
import pytest

from astro_ood.latents.diagnostics import compute_gaussianity, judge_gaussianity
from astro_ood.latents.diagnostics.gaussianity import CRITICAL, anderson_darling

QUICK = {"n_surrogates": 39, "n_projections": 32}


def test_statistic_has_its_known_law():
    tests = anderson_darling(np.random.default_rng(0).standard_normal((40, 20_000)) * 3 + 1)
    assert np.mean(tests > CRITICAL) == pytest.approx(0.05, abs=0.007)


def test_level_on_gaussian_fields(coloured):
    """METHOD's pixel tests reject most of these."""
    _, draw = coloured
    p = np.array([compute_gaussianity(draw(8, 100 + i), n_surrogates=19, n_projections=16, seed=i).p for i in range(24)])
    assert np.sum(p <= 0.05) <= 4  # 1.2 expected; 5 or more has a chance of 0.6 %
    assert 0.35 < p.mean() < 0.7


def test_what_is_planted_is_named(coloured):
    _, draw = coloured
    z = draw(24, 1)
    loud = z * np.random.default_rng(2).lognormal(0, 0.4, (24, 1, 1, 1))
    found = compute_gaussianity(loud, **QUICK)
    told = judge_gaussianity(found, {"white": compute_gaussianity(np.random.default_rng(3).standard_normal(z.shape), **QUICK)})
    assert told.passed is False
    assert told.p == pytest.approx(1 / 40)
    assert "amplitude" in told.words
    assert "white: no departure" in told.words
    edged = compute_gaussianity(np.exp(z), **QUICK)
    assert edged.p == pytest.approx(1 / 40)
    assert edged.scores[edged.names.index("skewness")] > 10
    assert edged.scores[edged.names.index("kurtosis")] > 10


def test_words_and_numbers_of_gaussian_latents(coloured):
    _, draw = coloured
    found = compute_gaussianity(draw(24, 5), **QUICK)
    told = judge_gaussianity(found)
    assert told.passed is True
    assert told.verdict == "no difference detected"
    assert told.low <= told.value <= told.high
    np.testing.assert_allclose(found.projected.mean(axis=0), 0, atol=1e-6)
    assert found.null.shape == (39, len(found.names))
    again = compute_gaussianity(draw(24, 5), **QUICK)
    np.testing.assert_array_equal(again.null, found.null)


def test_few_latents_are_undecided(coloured):
    _, draw = coloured
    told = judge_gaussianity(compute_gaussianity(draw(5, 0), **QUICK))
    assert told.passed is None
    with pytest.raises(ValueError, match="at least 4"):
        compute_gaussianity(draw(3, 0))


def test_channels_that_agree_are_no_departure(coloured):
    _, draw = coloured
    z = draw(16, 8)
    both = np.concatenate([z, 0.9 * z + 0.3 * draw(16, 9)], axis=1)
    assert compute_gaussianity(both, **QUICK).p > 0.05
