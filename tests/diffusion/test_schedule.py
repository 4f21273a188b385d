"""Noise schedules against the published numbers and their own definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astro_ood.diffusion.schedule import NoiseSchedule

LINEAR = NoiseSchedule.linear()


def test_linear_schedule_has_the_published_values():
    found = LINEAR.alpha([0, 500, 900, 999]) ** 2
    np.testing.assert_allclose(found, [0.9999, 0.0778, 2.70e-4, 4.04e-5], rtol=2e-3)


@given(st.floats(0, 999))
def test_variance_is_preserved_and_time_is_recovered(t):
    assert LINEAR.alpha(t) ** 2 + LINEAR.sigma(t) ** 2 == pytest.approx(1, abs=1e-14)
    assert LINEAR.time_of(LINEAR.log_snr(t)) == pytest.approx(t, abs=1e-9)


def test_clean_end():
    assert LINEAR.alpha(-1) == 1
    assert LINEAR.sigma(-1) == 0


def test_log_snr_is_linear_between_steps():
    assert LINEAR.log_snr(10.25) == pytest.approx(0.75 * LINEAR.log_snr(10) + 0.25 * LINEAR.log_snr(11))


def test_published_grid():
    times = LINEAR.timesteps(80, 900, "published")
    assert len(times) == 80
    assert times[:5].tolist() == [0, 11, 22, 34, 45]
    assert times[-2:].tolist() == [888, 900]


def test_log_snr_grid_is_equidistant_in_log_snr():
    times = LINEAR.timesteps(24, 700)
    assert times[[0, -1]].tolist() == [0, 700]
    steps = np.diff(LINEAR.log_snr(times))
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


def test_equal_noise_time_in_another_schedule():
    other = NoiseSchedule.linear(300, 1e-3, 0.06)
    t = other.equivalent_time(700, LINEAR)
    assert other.log_snr(t) == pytest.approx(float(LINEAR.log_snr(700)))


@pytest.mark.parametrize("alpha_bar", [[0.9], [0.9, 0.95], [1.0, 0.5], [0.5, 0.0], [0.5, np.nan]])
def test_refuses_what_is_no_schedule(alpha_bar):
    with pytest.raises(ValueError, match="alpha_bar"):
        NoiseSchedule(alpha_bar)


@pytest.mark.parametrize("t", [-0.5, -2, 999.5])
def test_refuses_times_outside(t):
    with pytest.raises(ValueError, match="t must be"):
        LINEAR.alpha(t)


@pytest.mark.parametrize(("n", "stop"), [(1, 700), (10, 0), (10, 1000)])
def test_refuses_impossible_grids(n, stop):
    with pytest.raises(ValueError, match="grid points"):
        LINEAR.timesteps(n, stop)
