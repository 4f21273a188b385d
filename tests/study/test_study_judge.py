"""The judge of recipes on Gaussian fields, whose differences are planted."""

import numpy as np
import pytest

from astro_ood.maps import gaussian_field
from astro_ood.stats.spectrum import power_spectrum
from astro_ood.study.domains import Domain
from astro_ood.study.judge import SMALL, Judge, louder

N = 64


def fields(n, slope, seed):
    return 0.25 * gaussian_field(n, 64, slope, np.random.default_rng(seed))[:, :32, :32]


@pytest.fixture(scope="module")
def judge():
    x = fields(2 * N, -2.0, 0)[:, None].astype(np.float32)
    names = tuple(f"f{i}" for i in range(2 * N))
    domain = Domain(x[:N], x[N:], names[:N], names[N:])
    white = 0.25 * np.random.default_rng(1).standard_normal((N, 1, 32, 32)).astype(np.float32)
    return Judge(domain, white, seed=0, permutations=999)


def test_fields_of_the_same_law_agree(judge):
    found = judge(fields(N, -2.0, 7)[:, None].astype(np.float32))
    assert "differs" not in found.outcome.values()
    assert found.outcome["spectrum"] == "agrees"
    assert found.within == 1.0
    assert found.near.ratio == pytest.approx(1.0, abs=0.1)
    assert found.near.copy_rate <= 0.05


def test_another_slope_differs_at_its_scales(judge):
    found = judge(fields(N, -3.0, 8)[:, None].astype(np.float32))
    assert found.outcome["spectrum"] == "differs"
    assert found.within < 0.8
    assert found.worst["spectrum"] > 5


def test_turned_copies_are_no_new_maps(judge):
    found = judge(np.rot90(judge.domain.inverted, axes=(2, 3)))
    assert found.near.ratio < 0.1
    assert found.near.copy_rate == 1.0
    assert all(bias == pytest.approx(0, abs=0.35) for name, bias in found.bias.items() if name != "increments")


def test_nothing_is_decided_by_few_maps(judge):
    few = Domain(judge.domain.inverted[:5], judge.domain.held_out[:5], tuple("abcde"), tuple("fghij"))
    found = Judge(few, judge.domain.inverted[5:10], seed=0, permutations=199)(judge.domain.inverted[10:15])
    assert set(found.outcome.values()) <= {"undecided", "differs"}


def test_louder_maps_have_more_power_at_small_scales_alone():
    x = fields(200, -2.0, 3)
    before, after = (power_spectrum(v, n_bins=6) for v in (x, louder(x, 0.5)))
    gain = np.log(after.power.mean(axis=0) / before.power.mean(axis=0))
    assert gain[before.k < 0.6 * SMALL] == pytest.approx(0, abs=0.03)
    assert gain[before.k > 1.4 * SMALL] == pytest.approx(np.log(1.5), abs=0.05)
