"""The acceptance test: what it measures, how often it rejects a true latent, and the account it keeps."""

import logging
import tracemalloc

import numpy as np
import pytest

from astro_ood.errors import ConfigError, RunError
from astro_ood.latents import criteria, prior
from astro_ood.latents.criteria import DEFAULT, PUBLISHED_DIMENSION, Band, Criteria, Draws, draw, make
from astro_ood.latents.measures import GEOMETRIC, measure
from astro_ood.latents.proposal import Candidates, maker, source

SHAPE = (1, 8, 8)


def white(n: int, seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, *shape))


def test_measures_in_closed_form():
    references = np.array([[3.0, 0.0], [0.0, 4.0]]).reshape(2, 1, 1, 2)
    found = measure(np.array([[[[3.0, 4.0]]]]), references)
    assert found["distance"] == pytest.approx([3.5])
    assert found["origin_angle"] == pytest.approx([np.degrees(np.arctan2(4, 3) + np.arctan2(3, 4)) / 2])
    assert found["pair_angle"] == pytest.approx([np.degrees(np.arctan2(4, 3) + np.arctan2(3, 4)) / 2])


def test_two_numbers_predict_the_measures():
    shape, s = (1, 64, 64), 0.7
    mu = np.full(shape, 0.2)
    z = mu + s * white(21, 3, shape)
    found = measure(z[:1], z[1:])
    assert found["distance"][0] == pytest.approx(s * np.sqrt(2 * 4096), rel=0.02)
    assert found["origin_angle"][0] == pytest.approx(np.degrees(np.arccos(0.04 / (0.04 + s**2))), abs=1.5)
    assert found["pair_angle"][0] == pytest.approx(60, abs=1)


def test_parents_are_no_references():
    z = white(8, 0)
    for i in range(8):
        copy = measure(z[i : i + 1], z, np.array([[i, -1]]))
        left_out = measure(z[i : i + 1], np.delete(z, i, axis=0))
        assert {k: v[0] for k, v in copy.items()} == pytest.approx({k: v[0] for k, v in left_out.items()}, rel=1e-12)
    assert measure(z[:1], z)["distance"][0] < measure(z[:1], z, np.array([[0]]))["distance"][0]


def test_all_references_count_where_too_few_are_strangers():
    z = white(3, 0)
    made = white(1, 1)
    assert measure(made, z, np.array([[0, 1]])) == measure(made, z)


@pytest.mark.parametrize("n", [6, 12, 48])
def test_true_latents_are_rejected_at_the_stated_rate(n):
    """About the stated 5 %, which all bands share."""
    trials, fresh = {6: (250, 10), 12: (150, 10), 48: (30, 40)}[n]
    rejected = []
    for seed in range(trials):
        z = white(n + fresh, seed)
        mask, _ = Criteria.calibrate(z[:n], 0.05).accept(z[n:])
        rejected.append(1 - mask.mean())
    rate, error = np.mean(rejected), np.std(rejected) / np.sqrt(trials)
    assert rate + 2 * error > 0.015
    assert rate - 2 * error < 0.07


def test_each_fault_has_its_criterion(coloured):
    """Planted on latents of one spectrum and norm: criteria see what they are for, and the others do not."""
    _, fields = coloured
    z, x = fields(24, 0), fields(40, 1)
    faults = {
        "distance": 1.5 * x,
        "radius": 1.5 * x,
        "spectrum": np.random.default_rng(2).standard_normal(x.shape),
        "whiteness": 1.2 * x * (np.arange(16) < 8),
    }
    for name, made in faults.items():
        bands = Criteria.calibrate(z, names=(name,))
        assert bands.accept(made)[0].mean() < 0.3, name
        assert bands.accept(x)[0].mean() > 0.8, name
    whiteness = Criteria.calibrate(z, names=("whiteness",))
    assert whiteness.accept(faults["distance"])[0].mean() > 0.8
    assert whiteness.accept(np.repeat(x[..., :8], 2, axis=-1))[0].mean() < 0.2


def test_spectrum_in_closed_form():
    """Of two latents alike but for the amplitude all bands are off by the same number of standard deviations."""
    z = np.array([np.exp(a) * white(1, 0)[0] for a in (-0.1, 0.0, 0.1)])
    far = measure(np.exp([[[[0.3]]]]) * white(1, 0), z, names=("spectrum",))["spectrum"][0]
    near = measure(np.exp([[[[0.15]]]]) * white(1, 0), z, names=("spectrum",))["spectrum"][0]
    assert far == pytest.approx(2 * near)
    assert measure(z[1:2], z, names=("spectrum",))["spectrum"][0] == pytest.approx(0, abs=1e-9)


def test_whiteness_of_isotropic_latents(coloured):
    """Mean squares 3/4 whatever the spectrum; independent channels are averaged before they are squared."""
    for z, expected in ((white(80, 0, (1, 32, 32)), 0.75), (white(80, 0, (2, 32, 32)), 0.375), (coloured[1](200, 0), 0.75)):
        found = measure(z, z[:2], names=("whiteness",))["whiteness"]
        assert np.mean(found**2) == pytest.approx(expected, rel=0.2)


def test_another_rate_is_another_band():
    z = white(30, 0)
    wide, narrow = (Criteria.calibrate(z, rate) for rate in (0.01, 0.5))
    assert (wide.false_reject, narrow.false_reject) == (0.01, 0.5)
    for a, b in zip(wide.bands, narrow.bands, strict=True):
        assert a.low <= b.low < b.high < a.high
        assert a.low < b.low or a.name == "spectrum"
    fresh = white(400, 1)
    assert wide.accept(fresh)[0].mean() > narrow.accept(fresh)[0].mean() + 0.2


def test_strangers_are_rejected():
    bands = Criteria.calibrate(white(24, 0))
    mask, failed = bands.accept(2 * white(20, 1))
    assert not mask.any()
    assert failed["distance"].all()
    mask, failed = bands.accept(white(20, 2) + 3)
    assert not mask.any()
    assert not bands.accept(np.zeros((1, *SHAPE)))[0].any()


def test_a_copy_passes_as_its_parent_would():
    """Criteria measure geometry; that a candidate is a copy is for novelty to say, not for them."""
    z = white(16, 4)
    bands = Criteria.calibrate(z)
    parents = np.arange(16)[:, None]
    assert bands.accept(z, parents)[0].mean() > 0.85


def test_few_latents_calibrate_nothing(caplog):
    with caplog.at_level(logging.WARNING, "astro_ood"):
        bands = Criteria.calibrate(white(3, 0))
    assert "3 latents" in caplog.text
    assert (bands.kind, bands.bands) == ("none", ())
    assert bands.accept(100 * white(5, 1)) == (pytest.approx(np.ones(5)), {})
    assert Criteria.calibrate(white(4, 0)).kind == "calibrated"


def test_none_accepts_everything():
    mask, failed = make("none", white(9, 0)).accept(1e3 * white(5, 1), np.zeros((5, 1), int))
    assert mask.all()
    assert failed == {}


def test_published_bands_in_the_published_dimension():
    """611.4 and 88.0 are s = 0.975 and |mu| = 82.2 in 196,608 dimensions; latents of the network's own domain are far outside."""
    rng = np.random.default_rng(0)
    shape = (3, 256, 256)
    assert np.prod(shape) == PUBLISHED_DIMENSION
    mu = rng.standard_normal(shape)
    mu *= 82.2 / np.linalg.norm(mu)
    z = mu + 0.975 * rng.standard_normal((6, *shape))
    bands = Criteria.paper(z[:5])
    assert [(b.name, pytest.approx(b.low), pytest.approx(b.high)) for b in bands.bands] == [
        ("distance", 611.1, 611.7),
        ("origin_angle", 87.9, 88.1),
        ("pair_angle", 59.9, 60.1),
    ]
    found = measure(z[5:], bands.references)
    assert found["distance"][0] == pytest.approx(611.4, abs=2)
    assert found["origin_angle"][0] == pytest.approx(88.0, abs=0.15)
    assert found["pair_angle"][0] == pytest.approx(60.0, abs=0.2)
    own, failed = bands.accept(rng.standard_normal((1, *shape)))
    assert not own.any()
    assert failed["distance"].all()
    assert failed["origin_angle"].all()


def test_published_half_widths_elsewhere():
    z = white(24, 0)
    bands = Criteria.paper(z, seed=3)
    assert (bands.kind, bands.false_reject) == ("paper", None)
    assert len(bands.references) == len(set(bands.rows)) == 10
    np.testing.assert_array_equal(bands.references, z[bands.rows])
    assert [b.high - b.low for b in bands.bands] == pytest.approx([0.6, 0.2, 0.2])
    distance = (bands.bands[0].high + bands.bands[0].low) / 2
    mean = np.mean([np.linalg.norm(a - b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    assert distance == pytest.approx(mean)
    assert not np.array_equal(bands.rows, Criteria.paper(z, seed=4).rows)


def test_parents_among_chosen_references():
    """A parent that is no reference leaves all of them; one that is, is left out."""
    z = white(24, 0)
    bands = Criteria.paper(z)
    stranger = next(i for i in range(24) if i not in bands.rows)
    wide = Criteria("paper", (Band("distance", 0, 1e9),), bands.references, bands.rows, None)
    candidate = white(1, 1)
    for parent, expected in ((stranger, bands.references), (bands.rows[2], np.delete(bands.references, 2, axis=0))):
        value = np.mean([np.linalg.norm(candidate[0] - r) for r in expected])
        band = Band("distance", value - 1e-9, value + 1e-9)
        tight = Criteria("paper", (band,), wide.references, wide.rows, None)
        assert tight.accept(candidate, np.array([[parent]]))[0].all()
        assert not tight.accept(candidate + 0.1, np.array([[parent]]))[0].any()


def test_the_account_adds_up():
    z = white(16, 0)
    bands = Criteria.calibrate(z, 0.5)
    drawn = draw(maker("lol", z, None, 1), bands, 40)
    assert len(drawn.accepted.z) == drawn.tally["accepted"] == drawn.mask.sum() == 40
    assert len(drawn.mask) == drawn.tally["candidates"] > 40
    rejected = drawn.tally["candidates"] - 40
    failures = [drawn.tally[name] for name in DEFAULT]
    assert max(failures) <= rejected <= sum(failures)
    again = maker("lol", z, None, 1)(0, len(drawn.mask))
    mask, failed = bands.accept(again.z, again.parents)
    assert np.array_equal(mask, drawn.mask)
    assert {name: int(f.sum()) for name, f in failed.items()} == {name: drawn.tally[name] for name in DEFAULT}
    for part in ("z", "parents", "weights"):
        np.testing.assert_array_equal(getattr(drawn.accepted, part), getattr(again, part)[mask])


@pytest.mark.parametrize("batch", [1, 5, 200])
def test_size_of_the_batches_changes_nothing(batch):
    z = white(16, 0)
    bands = Criteria.calibrate(z, 0.5)
    whole, parts = (draw(maker("lol", z, None, 1), bands, 17, batch=b) for b in (64, batch))
    np.testing.assert_array_equal(whole.accepted.z, parts.accepted.z)
    assert np.flatnonzero(whole.mask).tolist() == np.flatnonzero(parts.mask).tolist()


def test_an_ended_budget_carries_the_tally():
    z = white(16, 0)

    def far(first: int, m: int) -> Candidates:
        return Candidates(100 + white(m, first), np.full((m, 1), -1), np.zeros((m, 1)))

    with pytest.raises(RunError, match=r"RN13") as caught:
        draw(far, Criteria.calibrate(z, names=("distance", "spectrum", "whiteness")), 3, budget=150, source="the constant prior")
    message = str(caught.value)
    assert (
        "0 of 150 candidates accepted, 3 wanted: the constant prior cannot meet these bands, because of distance (150 outside;"
        in message
    )
    assert "candidates' median 800" in message
    assert message.index("distance (") < message.index("choose another proposal")
    assert "whiteness (150" not in message


def test_an_isotropic_prior_is_told_by_its_spectrum(coloured):
    """Right norm, right angles, wrong spectrum: the published three do not see it, and the end of the budget says what it is."""
    _, fields = coloured
    z = fields(24, 0)
    drawn = prior.fit(z, "isotropic_corrected")
    candidates = maker("gaussian", z, drawn, 0)(0, 40)
    assert Criteria.calibrate(z, names=GEOMETRIC).accept(candidates.z, candidates.parents)[0].mean() > 0.9
    with pytest.raises(
        RunError, match=r"the isotropic_corrected prior \(gaussian\) cannot meet these bands, because of spectrum \(64 outside"
    ):
        draw(maker("gaussian", z, drawn, 0), Criteria.calibrate(z), 5, budget=64, source=source("gaussian", drawn))


def test_default_budget():
    counted = []

    def count(_: int, m: int) -> Candidates:
        counted.append(m)
        return Candidates(np.full((m, *SHAPE), 99.0), np.full((m, 1), -1), np.zeros((m, 1)))

    with pytest.raises(RunError, match="RN13"):
        draw(count, Criteria.calibrate(white(6, 0)), 2)
    assert sum(counted) == 2000


def test_unknown_criteria():
    with pytest.raises(ConfigError, match=r"CF13.*calibrated, paper, none"):
        make("strict", white(6, 0))


@pytest.mark.parametrize("names", [(), ("radius", "radius"), ("size",)])
def test_unknown_names(names):
    with pytest.raises(ConfigError, match=r"CF13.*criteria.names.*whiteness"):
        make("calibrated", white(6, 0), names=names)


def test_bands_as_plain_values():
    record = Criteria.calibrate(white(6, 0)).to_dict()
    assert [b["name"] for b in record["bands"]] == list(DEFAULT)
    assert record["kind"] == "calibrated"
    assert record["false_reject"] == 0.05


def test_many_latents_have_some_of_them_as_references(monkeypatch):
    assert criteria.reference_rows(7).tolist() == list(range(7))
    monkeypatch.setattr(criteria, "MOST_REFERENCES", 4)
    rows = criteria.reference_rows(11)
    assert rows.tolist() == [0, 2, 5, 8]
    z = white(11, 0)
    for kind in ("calibrated", "paper", "none"):
        bands = make(kind, z[rows], rows=rows)
        assert sorted(bands.rows) == rows.tolist()
        # a parent is known by its number among all latents, and one that is no reference changes nothing
        candidate, references = white(1, 1), z[bands.rows]
        np.testing.assert_array_equal(bands.references, references)
        for parent, left_out in ((5, np.delete(references, 2, axis=0)), (3, references), (10, references)):
            mask, _ = bands.accept(candidate, np.array([[parent]]))
            expected = measure(candidate, left_out)
            assert mask[0] == all(b.low <= expected[b.name][0] <= b.high for b in bands.bands)


def test_memory_does_not_grow_with_the_number_of_candidates():
    z = white(8, 0, (1, 32, 32))
    bands, peaks = Criteria.calibrate(z), []
    for n in (64, 512):
        tracemalloc.start()
        found = sum(len(c.z) for c in Draws(maker("lol", z, None, 0), bands, n, batch=32))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found == n
    assert peaks[1] < 1.1 * peaks[0]
