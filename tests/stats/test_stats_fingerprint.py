import numpy as np
import pytest
from stats_support import gaussian_fields

from astro_ood.errors import InputError
from astro_ood.stats.fingerprint import fingerprint_novelty, fingerprints
from astro_ood.stats.novelty import novelty, orientations
from astro_ood.stats.rows import is_copying
from astro_ood.stats.scores import _closer_p, validate_sets
from astro_ood.stats.synthesis import synthesise
from astro_ood.stats.verdict import verdict


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return tuple(gaussian_fields(n, rng, size=32, slope=3.0) for n in (12, 12, 24))


def found(samples, inverted, held_out=None, **options):
    made = [None if x is None else fingerprints(x) for x in (samples, inverted, held_out)]
    return fingerprint_novelty(*made, **options)


@pytest.mark.parametrize("shape", [(32, 32), (24, 32)])
def test_views_are_the_fingerprints_of_turned_maps(shape):
    x = np.random.default_rng(1).normal(size=(3, *shape)).cumsum(axis=1).cumsum(axis=2)
    views = fingerprints(x)
    assert len(views) == (4 if shape[0] == shape[1] else 2)
    for turned in orientations(x):
        own = fingerprints(turned)[0]
        assert np.abs(views - own).max(axis=(1, 2)).min() < 1e-9


def test_pixels_that_are_not_square_have_no_quarter_turns():
    x = np.random.default_rng(2).normal(size=(2, 32, 32))
    assert len(fingerprints(x, (1.0, 2.0))) == 2
    assert len(fingerprints(x, 2.0)) == 4


def test_unit_and_offset_do_not_matter(sets):
    np.testing.assert_allclose(fingerprints(1e20 * sets[0] + 3e21), fingerprints(sets[0]), atol=1e-6)


def test_copies_turned_copies_and_noisy_copies_are_found(sets):
    inverted, held_out, _ = sets
    rng = np.random.default_rng(3)
    for turned in orientations(inverted):
        noisy = turned + 0.03 * turned.std(axis=(1, 2), keepdims=True) * rng.normal(size=turned.shape)
        exact, rough = found(turned, inverted, held_out), found(noisy, inverted, held_out)
        assert exact.samples.max() < 1e-6
        np.testing.assert_array_equal(exact.nearest, np.arange(12))
        np.testing.assert_array_equal(rough.nearest, np.arange(12))
        assert exact.copy_rate == rough.copy_rate == 1.0


def test_maps_of_the_same_statistics_are_twins_and_no_copies(sets):
    inverted, held_out, _ = sets
    made, parents = synthesise(inverted, 12, np.random.default_rng(4), iterations=60)
    twins = found(made, inverted, held_out)
    assert is_copying(twins)
    assert np.mean(twins.nearest == parents) > 0.9
    assert not is_copying(novelty(made, inverted, held_out))
    rows = validate_sets(inverted, made, held_out=held_out).rows
    words = {row["statistic"]: row["verdict"] for row in rows if row["scale"] is None}
    assert words["novelty_scattering"] == words["novelty_twins"] == "different"
    assert words["novelty_copy"] == words["novelty_nn"] == "novel"
    result = verdict(rows)
    assert result.status == "limited"
    assert "in the variety of maps: scattering coefficients of samples are" in result.headline
    assert "of 12 have those of one inverted map more nearly than chance allows" in result.headline


@pytest.mark.parametrize("with_held_out", [True, False])
def test_other_real_maps_are_no_twins(sets, with_held_out):
    inverted, held_out, new = sets
    result = found(new, inverted, held_out if with_held_out else None)
    assert not is_copying(result)
    assert 0.8 < result.ratio < 1.25


def test_other_real_maps_are_called_closer_as_often_as_stated():
    """100 trials at nominal 5 %: more than 12 rejections would be a chance of 1 in 600."""
    prints = fingerprints(gaussian_fields(240, np.random.default_rng(5), size=24, slope=3.0))
    rejected, copying = 0, 0
    for trial in range(100):
        rng = np.random.default_rng([6, trial])
        part = rng.permutation(240)
        result = fingerprint_novelty(*(prints[:, part[a:b]] for a, b in ((24, 56), (0, 12), (12, 24))))
        rejected += _closer_p(result, 499, rng)[0] <= 0.05
        copying += is_copying(result)
    assert rejected <= 12
    assert copying <= 2


def test_without_held_out_maps_there_is_no_p(sets):
    rows = validate_sets(sets[0], sets[2]).rows
    (row,) = [r for r in rows if r["statistic"] == "novelty_scattering"]
    assert (row["p"], row["p_min"], row["verdict"]) == (None, None, "undecided")
    assert all("variety" not in line for line in (verdict(rows).headline, *verdict(rows).sentences))
    copies = validate_sets(sets[0], sets[0][:, ::-1]).rows
    (row,) = [r for r in copies if r["statistic"] == "novelty_scattering"]
    assert row["verdict"] == "different"
    assert verdict(copies).status == "copies"


def test_maps_of_one_region_do_not_measure_one_another(sets):
    doubled = np.repeat(sets[0], 2, axis=0)
    regions = np.repeat(np.arange(12), 2)
    assert found(sets[2], doubled).reference.max() < 1e-6
    assert found(sets[2], doubled, regions=regions).reference.min() > 0.1
    with pytest.raises(InputError, match="AOD-IN40 regions"):
        found(sets[2], doubled, regions=np.zeros(24))


def test_constant_maps_are_finite():
    flat = np.ones((3, 32, 32))
    result = found(flat, np.random.default_rng(7).normal(size=(4, 32, 32)), flat)
    assert np.isfinite(result.samples).all()
    assert np.isfinite(found(flat, flat, flat).samples).all()
