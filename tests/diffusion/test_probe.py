"""The probe: the cheapest candidate that meets a tolerance, honest where none does."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.probe import CANDIDATES, MARGIN, PILOT, Probe, parse_tolerance, pilot_rows, probe
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ConfigError
from astro_ood.selftest import gaussian_oracle


class Counting(Denoiser):
    """The oracle, and how often it was asked and with how many maps."""

    def __init__(self, oracle):
        super().__init__(oracle.net, oracle.schedule, oracle.shape)
        self.batches = []

    def raw(self, x_t, t):
        self.batches.append(len(x_t))
        return super().raw(x_t, t)


@pytest.fixture(scope="module")
def pilot():
    oracle, maps = gaussian_oracle(size=16)
    return Counting(oracle), maps.numpy()


@pytest.fixture(scope="module", params=[0.3, 0.03, 0.003])
def found(request, pilot):
    denoiser, maps = pilot
    denoiser.batches.clear()
    return probe(denoiser, maps, request.param), len(denoiser.batches)


def test_choice_meets_the_tolerance_with_the_margin(found):
    chosen = _chosen(found[0])
    assert found[0].met
    assert chosen.error <= MARGIN * found[0].tolerance
    assert chosen.error >= max(chosen.round_trip, chosen.latent_error)
    assert chosen.round_trip <= chosen.round_trip_worst
    assert chosen.latent_error <= chosen.latent_error_worst


def test_nothing_cheaper_that_was_tried_does(found):
    chosen = _chosen(found[0])
    cheaper = [row for row in found[0].rows if row.evaluations < chosen.evaluations]
    assert all(row.error > MARGIN * found[0].tolerance for row in cheaper)


def test_evaluations_are_counted_and_few(found):
    result, calls = found
    assert result.evaluations == calls
    # doublings sum to less than twice the last, for the solutions up, their refinements and the decodings, and two middles
    assert calls <= len(CANDIDATES) * 8 * 2 * max(row.evaluations for row in result.rows)


def test_errors_are_those_of_the_maps(found, pilot):
    """What the table says, done again by hand against the closed form."""
    _, maps = pilot
    oracle, _ = gaussian_oracle(size=16)
    preset, x = found[0].preset, torch.from_numpy(maps)
    z = integrate(preset.make_solver(oracle), x, preset.times_up(oracle.schedule))
    assert z.evaluations == _chosen(found[0]).evaluations
    back = integrate(preset.make_solver(oracle), z.x, preset.times_down(oracle.schedule)).x.numpy()
    round_trip = np.sqrt(np.mean((back - maps) ** 2, axis=(1, 2, 3))) / maps.std(axis=(1, 2, 3))
    assert _chosen(found[0]).round_trip == pytest.approx(np.median(round_trip), rel=1e-6)
    exact = oracle.exact(x, 0.0, preset.t_0).numpy()
    true = np.sqrt(np.mean((z.x.numpy() - exact) ** 2, axis=(1, 2, 3))) / exact.std(axis=(1, 2, 3))
    assert _chosen(found[0]).latent_error == pytest.approx(np.median(true), rel=0.4)


def _chosen(result: Probe):
    preset = result.preset
    (row,) = (r for r in result.rows if (r.solver, r.evaluations) == (preset.solver, preset.n_steps))
    return row


def test_tighter_tolerances_cost_more(pilot):
    denoiser, maps = pilot
    costs = [probe(denoiser, maps, tolerance).preset.evaluations_up for tolerance in (0.1, 0.01, 0.001)]
    assert all(a < b for a, b in pairwise(costs))


def test_the_same_maps_give_the_same_choice(pilot):
    denoiser, maps = pilot
    assert probe(denoiser, maps, 0.01) == probe(denoiser, maps, 0.01)


def test_where_nothing_meets_the_tolerance_the_best_is_taken_and_said(pilot):
    denoiser, maps = pilot
    result = probe(denoiser, maps, 1e-9, most_evaluations=30)
    assert not result.met
    assert _chosen(result).error == min(row.error for row in result.rows)
    assert max(row.evaluations for row in result.rows) <= 30


def test_a_solver_that_is_asked_for_races_alone(pilot):
    denoiser, maps = pilot
    result = probe(denoiser, maps, 0.1, solver="heun")
    assert {row.solver for row in result.rows} == {result.preset.solver} == {"heun"}


def test_pilots_are_spread_over_the_maps():
    assert pilot_rows(3).tolist() == [0, 1, 2]
    assert pilot_rows(71).tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert pilot_rows(71, micro_batch=2).tolist() == [0, 70]


def test_a_cap_below_the_coarsest_candidate_is_refused(pilot):
    denoiser, maps = pilot
    with pytest.raises(ConfigError, match="AOD-CF44 n_steps"):
        probe(denoiser, maps, 0.01, most_evaluations=3)


def test_a_solver_that_diverges_loses(pilot):
    """Out of reach of one form of the equation the other still answers."""
    _, maps = pilot
    nowhere = Denoiser(lambda x, t: x * float("nan"), NoiseSchedule.linear(), (1, 16, 16))
    result = probe(nowhere, maps, 0.01)
    assert not result.met
    assert all(row.error == np.inf for row in result.rows)


def test_pilot_is_one_small_batch(pilot):
    denoiser, maps = pilot
    denoiser.batches.clear()
    probe(denoiser, np.repeat(maps, 5, axis=0), 0.3)
    assert set(denoiser.batches) == {PILOT}


def test_time_and_name(pilot):
    denoiser, maps = pilot
    preset = probe(denoiser, maps, 0.3, t_0=300.0).preset
    assert (preset.name, preset.t_0) == ("tolerance", 300.0)


@pytest.mark.parametrize(
    ("given", "number"), [("1%", 0.01), (" 0.5 % ", 0.005), (0.01, 0.01), ("0.02", 0.02), ("1e-3", 0.001), (0.25, 0.25)]
)
def test_tolerances(given, number):
    assert parse_tolerance(given) == pytest.approx(number)


@pytest.mark.parametrize("given", ["", "%", "one", "1%%", "-1%", 0, 1, 1.5, "150%", "nan", True, None, [0.01]])
def test_what_is_no_tolerance(given):
    with pytest.raises(ConfigError, match="AOD-CF44 tolerance"):
        parse_tolerance(given)
