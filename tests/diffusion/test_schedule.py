"""Noise schedules against the published numbers and their own definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astro_ood.diffusion.schedule import ContinuousSchedule, NoiseSchedule, make_schedule
from astro_ood.errors import ModelError

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


def test_cosine_schedule_follows_its_definition():
    """alpha_bar_t = f(t + 1) / f(0) with f(i) = cos^2((i / T + s) / (1 + s) pi / 2), as long as no beta is clipped."""
    schedule = NoiseSchedule.cosine(300, 0.008, (1e-4, 0.9999))
    f = np.cos((np.arange(301) / 300 + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.alpha_bar[:-1], (f[1:] / f[0])[:-1], rtol=1e-3)
    assert schedule.alpha_bar[-1] > 0


@given(st.floats(1e-4, 10), st.sampled_from([(1.0, 0.0), (0.1, 9.95), (0.0, 2.0)]))
def test_continuous_process_is_what_it_says(t, coefficients):
    a, b = coefficients
    schedule = ContinuousSchedule(10.0, a, b)
    t = max(t, schedule.first)
    assert schedule.alpha(t) ** 2 == pytest.approx(np.exp(-(a * t + b * t**2)), rel=1e-9)
    assert schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2 == pytest.approx(1, abs=1e-14)
    if a * t + b * t**2 < 30:
        assert schedule.time_of(schedule.log_snr(t)) == pytest.approx(t, rel=1e-6)


def test_continuous_grids_begin_where_the_clean_map_stands():
    schedule = ContinuousSchedule(10.0)
    assert schedule.alpha(schedule.first) ** 2 == pytest.approx(0.9999)
    for grid in ("published", "log_snr"):
        times = schedule.timesteps(10, 5.0, grid)
        assert times[[0, -1]].tolist() == [schedule.first, 5.0]
        assert (np.diff(times) > 0).all()


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        ({}, NoiseSchedule.linear()),
        ({"kind": "linear", "n": 50, "beta_first": 1e-3, "beta_last": 0.1}, NoiseSchedule.linear(50, 1e-3, 0.1)),
        ({"kind": "betas", "betas": [0.1, 0.2, 0.3]}, NoiseSchedule.from_betas([0.1, 0.2, 0.3])),
    ],
)
def test_schedules_of_cards(description, expected):
    np.testing.assert_array_equal(make_schedule(description).alpha_bar, expected.alpha_bar)


@pytest.mark.parametrize(
    ("description", "code"),
    [
        ({"kind": "sigmoid"}, "MD53"),
        ({"kind": ["linear"]}, "MD02"),
        ({"kind": "linear", "steps": 3}, "MD02"),
        ({"kind": "betas", "betas": [2.0]}, "MD02"),
        ({"kind": "vp", "last": -1}, "MD02"),
        ({"kind": "vp"}, "MD02"),
        ([], "MD02"),
        ("linear", "MD02"),
    ],
)
def test_refuses_schedules_that_are_none(description, code):
    with pytest.raises(ModelError, match=f"AOD-{code} card.json: schedule "):
        make_schedule(description, "card.json")
