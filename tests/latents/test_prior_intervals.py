"""Intervals of what priors are fitted from: closed forms, leaving out by hand, coverage of a known spectrum."""

import numpy as np
import pytest

from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.geometry import centre_and_spread
from astro_ood.latents.prior.intervals import intervals, octave_edges, products

SIZE = 16


def test_estimates_are_those_of_the_corrected_prior(coloured):
    _, draw = coloured
    z = draw(7, 0) + 0.3
    mu_2, s_2 = centre_and_spread(z)
    assert intervals(z, "variance").value[0] == pytest.approx(s_2)
    assert intervals(z, "|mu|").value[0] == pytest.approx(np.sqrt(mu_2))
    gram, counts, _ = products(z)
    power = intervals(z, "band power")
    assert counts.sum() == SIZE**2
    assert np.sum(power.value * counts) / counts.sum() == pytest.approx(s_2)
    np.testing.assert_allclose(gram.sum(axis=0), z.reshape(7, -1) @ z.reshape(7, -1).T)


def test_the_jackknife_leaves_out_one_latent_at_a_time(coloured):
    z = coloured[1](5, 1)
    found = intervals(z, "variance")
    rest = np.log([centre_and_spread(np.delete(z, i, axis=0))[1] for i in range(5)])
    error = np.sqrt(4 / 5 * np.sum((rest - rest.mean()) ** 2))
    t = 2.7764451
    np.testing.assert_allclose([found.low[0], found.high[0]], found.value[0] * np.exp([-t * error, t * error]))


def test_intervals_of_four_latents_hold_the_truth(coloured):
    """At 95 %: 300 trials of four octaves, of the variance and of the norm of the centre; a bootstrap falls far short."""
    power, draw = coloured
    edges = octave_edges(SIZE, SIZE)
    k = SIZE * np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    octave = np.searchsorted(edges, k, side="right") - 1
    truth = np.array([power[octave == band].mean() for band in range(len(edges) - 1)])
    held, resampled = [], []
    for seed in range(300):
        z = draw(4, seed)
        one, all_, centre = intervals(z), intervals(z, "variance"), intervals(z + 0.5, "|mu|")
        known = [(one, truth), (all_, power.mean()), (centre, 0.5 * SIZE)]
        held.append(np.concatenate([(a.low <= t) & (t <= a.high) for a, t in known]))
        if seed < 60:
            plain = intervals(z, "variance", method="bootstrap", n_boot=199)
            resampled.append(plain.low[0] <= power.mean() <= plain.high[0])
    share = np.mean(held, axis=0)
    assert (share >= 0.91).all()
    assert np.mean(resampled) < 0.8


def test_more_latents_narrow_them(coloured):
    widths = [np.log(found.high / found.low) for found in (intervals(coloured[1](n, 2)) for n in (4, 64, 1000))]
    assert (widths[0] > 2 * widths[1]).all()
    assert (widths[1] > 2 * widths[2]).all()


def test_bootstraps_are_repeated_by_their_seed(coloured):
    z = coloured[1](12, 3)
    first, again, other = (intervals(z, method="bootstrap", n_boot=99, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.low, again.low)
    assert not np.array_equal(first.low, other.low)


def test_what_cannot_be_answered_is_refused(coloured):
    z = coloured[1](4, 4)
    with pytest.raises(RunError, match=r"IN40.*3 latents"):
        intervals(z[:3])
    with pytest.raises(ConfigError, match=r"CF44 quantity: found 'mean'"):
        intervals(z, "mean")
    with pytest.raises(ConfigError, match=r"CF44 method"):
        intervals(z, method="exact")
