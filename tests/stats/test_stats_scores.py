import csv
import io
import json

import numpy as np
import pytest
import scipy.fft
from scipy.ndimage import gaussian_filter
from stats_support import gaussian_fields

from astro_ood.errors import InputError
from astro_ood.stats.rows import attainable
from astro_ood.stats.scores import validate_sets
from astro_ood.stats.sets import compare_sets
from astro_ood.stats.surrogates import augment
from astro_ood.stats.verdict import verdict

KEYS = {
    "set",
    "statistic",
    "scale",
    "length",
    "length_unit",
    "agrees_from",
    "agrees_to",
    "value",
    "low",
    "high",
    "floor",
    "p",
    "p_adjusted",
    "p_min",
    "detectable",
    "verdict",
    "unit",
}
WORDS = {"no difference detected", "different", "undecided", "novel", "copies"}


@pytest.fixture(autouse=True)
def few_divisions(monkeypatch):
    """A quarter of the usual number: what is looked at here is not the third digit of p."""
    monkeypatch.setattr("astro_ood.stats.scores.DIVISIONS", 25)


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(10)
    return {
        "inverted": gaussian_fields(24, rng),
        "held_out": gaussian_fields(24, rng),
        "samples": gaussian_fields(48, rng),
    }


def head(rows, statistic, name="synthetic"):
    (row,) = [r for r in rows if r["statistic"] == statistic and r["scale"] is None and r["set"] == name]
    return row


def score(maps, synthetic, **options):
    return validate_sets(maps["inverted"], synthetic, held_out=maps["held_out"], pixel_scale=2.0, unit="K", **options).rows


def test_good_samples_are_usable(maps):
    rows = score(maps, maps["samples"])
    field = ("pdf", "moments", "spectrum", "increments", "bispectrum", "excursion", "scattering")
    for statistic in (*field, "scatter", "correlation", "joint"):
        assert head(rows, statistic)["verdict"] == "no difference detected"
    for statistic in ("novelty_nn", "novelty_copy", "novelty_scattering", "novelty_twins"):
        assert head(rows, statistic)["verdict"] == "novel"
    result = verdict(rows)
    assert result.status == "usable"
    assert "could have been missed" in result.headline
    assert "arcmin" in result.headline
    assert "variety" in result.headline
    assert "galaxies" not in result.headline


def test_rows_are_plain_and_complete(maps):
    rows = score(maps, maps["samples"], parents=np.zeros(48, int), baselines={"other": maps["samples"][::2]})
    assert {row["set"] for row in rows} == {"synthetic", "other"}
    for row in rows:
        assert set(row) >= KEYS
        assert row["verdict"] in WORDS
        assert all(type(value) in (str, float, int, bool, type(None)) for value in row.values())
    json.dumps(rows, allow_nan=False)
    csv.DictWriter(io.StringIO(), rows[0].keys()).writerows(rows)
    scales = [row["scale"] for row in rows if row["statistic"] == "spectrum" and row["set"] == "other" and row["scale"] is not None]
    assert all(isinstance(scale, float) for scale in scales)
    assert max(scales) < 0.25
    parent = head(rows, "novelty_parent")
    assert 0 < parent["floor"] < 1
    assert parent["value"] < 1
    assert parent["p"] is None  # of one parent alone, nothing can be permuted
    tested = [row for row in rows if row["scale"] is None and row["p"] is not None]
    assert all(row["p_min"] <= row["p"] <= row["p_adjusted"] <= min(1, 12 * row["p"]) for row in tested)


def test_all_p_values_of_scales_are_corrected_within_their_statistic_and_those_of_rows_for_the_number_of_tests(maps):
    rows = score(maps, gaussian_filter(maps["samples"], (0, 1, 1)))
    for whole in (row for row in rows if row["scale"] is None and row["p"] is not None):
        scales = [row["p"] for row in rows if row["statistic"] == whole["statistic"] and row["scale"] is not None]
        assert not scales or min(scales) == whole["p"]


def test_what_could_be_detected_is_said_only_of_what_planted_differences_confirm(maps):
    rows = score(maps, maps["samples"])
    assert {row["statistic"] for row in rows if row["detectable"] is None} == {
        *("joint", "correlation", "novelty_nn", "novelty_copy", "novelty_scattering", "novelty_twins")
    }


def test_the_row_of_a_statistic_is_that_of_its_farthest_scale_with_its_interval(maps):
    rows = score(maps, maps["samples"] - 1.0)
    scales = [row for row in rows if row["statistic"] == "moments" and row["scale"] is not None]
    far, whole = max(scales, key=lambda row: abs(row["value"]) / row["floor"]), head(rows, "moments")
    assert far["value"] < 0
    assert [whole[key] for key in ("value", "low", "high")] == pytest.approx(
        [-far[key] / far["floor"] for key in ("value", "high", "low")]
    )
    assert whole["low"] < whole["value"] < whole["high"]
    sets = head(rows, "joint")
    assert sets["low"] < sets["value"] < sets["high"]
    pairs = head(rows, "correlation")
    assert pairs["low"] < pairs["value"] < pairs["high"]


def test_divisions_follow_the_number_of_tests(maps, monkeypatch):
    monkeypatch.setattr("astro_ood.stats.scores.DIVISIONS", 100)
    small = {name: x[:, :32, :32] for name, x in maps.items()}
    plain = score(small, small["samples"], n_permutations=10)
    more = score(small, small["samples"], n_permutations=10, image_features=lambda x: x.mean(axis=2))
    for rows, m in ((plain, 12), (more, 13)):
        assert attainable(r for r in rows if r["scale"] is None) == (1 / (100 * m + 1), 1 / (100 * m + 1), m)
    asked = score(small, small["samples"], n_permutations=4999)
    assert [head(asked, s)["p_min"] for s in ("spectrum", "joint", "correlation", "novelty_nn")] == [
        1 / 5000,
        1 / 1201,
        1 / 1201,
        1 / 5000,
    ]
    assert any("no p below 0.0002 to 0.00083 (by test) can occur" in s for s in verdict(asked).sentences)


def test_a_test_that_does_not_exist_is_not_counted(maps):
    rows = validate_sets(maps["inverted"][:, :32, :32], maps["samples"][:, :32, :32], n_permutations=10).rows
    assert attainable(r for r in rows if r["scale"] is None)[2] == 11


def test_scale_values_are_differences_from_held_out_maps(maps):
    rows = score(maps, maps["samples"] + 1.0)
    mean = next(row for row in rows if row["scale"] == "mean")
    assert mean["value"] == pytest.approx(maps["samples"].mean() + 1 - maps["held_out"].mean())
    assert mean["unit"] == "K"
    assert mean["verdict"] == "different"
    assert mean["low"] < mean["value"] < mean["high"]


def test_same_seed_same_rows(maps):
    assert score(maps, maps["samples"], seed=3) == score(maps, maps["samples"], seed=3)


def test_smoothed_small_scales_fail_in_the_spectrum_at_small_scales(maps):
    rows = score(maps, gaussian_filter(maps["samples"], (0, 1, 1)))
    spectrum = [row for row in rows if row["statistic"] == "spectrum" and row["scale"] is not None]
    assert [row["verdict"] for row in spectrum[-2:]] == ["different"] * 2
    assert spectrum[0]["verdict"] == "no difference detected"
    result = verdict(rows)
    assert result.status == "fails"
    assert "arcmin and below: too little power" in result.headline


def test_phase_randomised_maps_fail_in_the_distribution_not_in_the_spectrum():
    rng = np.random.default_rng(11)
    sets = [np.exp(1.5 * gaussian_fields(24, rng, periodic=True, scatter=0.1)) for _ in range(3)]
    transform = scipy.fft.rfft2(sets[2])
    phases = scipy.fft.rfft2(rng.normal(size=sets[2].shape))
    phases[:, 0, 0] = 1.0
    randomised = scipy.fft.irfft2(np.abs(transform) * phases / np.abs(phases))
    rows = validate_sets(sets[0], randomised, held_out=sets[1]).rows
    assert head(rows, "pdf")["verdict"] == "different"
    assert head(rows, "spectrum")["verdict"] == "no difference detected"


def test_too_alike_samples_fail_in_the_scatter():
    rng = np.random.default_rng(12)
    sets = {name: gaussian_fields(32, rng, scatter=0.5) for name in ("inverted", "held_out")}
    rows = score(sets, gaussian_fields(64, rng, scatter=0.0))
    assert head(rows, "scatter")["verdict"] == "different"
    assert "too little" in verdict(rows).headline


@pytest.mark.parametrize("with_held_out", [True, False])
def test_rotated_and_shifted_copies_are_called_copies(maps, with_held_out):
    copies, parents = augment(maps["inverted"], 30, np.random.default_rng(13))
    held_out = maps["held_out"] if with_held_out else None
    rows = validate_sets(maps["inverted"], copies, held_out=held_out, parents=parents).rows
    assert head(rows, "novelty_copy")["verdict"] == "copies"
    assert head(rows, "spectrum")["verdict"] != "different"
    result = verdict(rows)
    assert result.status == "copies"
    assert result.headline.startswith("copies: 30 of 30")


def test_held_out_maps_in_the_place_of_samples_pass():
    wrong = []
    for trial in range(6):
        rng = np.random.default_rng([14, trial])
        inverted, held_out, samples = (gaussian_fields(16, rng, 32) for _ in range(3))
        rows = validate_sets(inverted, samples, held_out=held_out, n_permutations=500).rows
        wrong.append(verdict(rows).status in ("fails", "limited", "copies"))
    assert sum(wrong) <= 1


def test_few_maps_are_undecided_but_gross_failures_are_said():
    rng = np.random.default_rng(15)
    sets = {"inverted": gaussian_fields(4, rng), "held_out": gaussian_fields(4, rng)}
    samples = gaussian_fields(48, rng)
    good = verdict(score(sets, samples))
    assert good.status == "undecided"
    assert "no p below 0.0005 to 0.029 (by test) can occur" in good.headline
    bad = verdict(score(sets, samples + 10 * rng.normal(size=samples.shape)))
    assert bad.status == "fails"
    assert "too much power" in bad.headline
    assert "by its size" in bad.headline


@pytest.mark.parametrize("few", ["inverted", "held_out"])
def test_seven_maps_on_either_side_are_never_usable(maps, few):
    assert verdict(score({**maps, few: maps[few][:7]}, maps["samples"])).status == "undecided"


def test_two_maps_run():
    rng = np.random.default_rng(16)
    rows = validate_sets(gaussian_fields(2, rng), gaussian_fields(2, rng), held_out=gaussian_fields(2, rng)).rows
    assert verdict(rows).status == "undecided"
    assert verdict(validate_sets(gaussian_fields(2, rng), gaussian_fields(5, rng)).rows).status == "undecided"


def test_without_held_out_maps_the_verdict_says_so(maps):
    result = verdict(validate_sets(maps["inverted"], maps["samples"]).rows)
    assert result.status == "usable"
    assert "none held out" in result.headline
    assert "structure functions" in result.headline
    assert "undecided for the variety of maps" in result.headline
    assert "pixel" in result.headline


def test_inverted_without_held_out_makes_real_the_held_out(maps):
    one = validate_sets(maps["held_out"], maps["samples"], inverted=maps["inverted"]).rows
    assert one == validate_sets(maps["inverted"], maps["samples"], held_out=maps["held_out"]).rows


def test_few_regions_are_undecided(maps):
    regions = np.repeat([0, 1, 2], 8)
    rows = score(maps, maps["samples"], regions=regions, regions_held_out=regions + 3)
    assert head(rows, "spectrum")["p_min"] == 0.1
    assert verdict(rows).status == "undecided"


def test_log_compares_logarithms(maps):
    positive = {name: 10**x for name, x in maps.items()}
    logged = score(positive, positive["samples"], log=True)
    plain = score(maps, maps["samples"])
    for a, b in zip(logged, plain, strict=True):
        assert a["value"] == pytest.approx(b["value"])
    assert next(row for row in logged if row["scale"] == "mean")["unit"] == "log10(K)"
    with pytest.raises(InputError, match="AOD-IN19"):
        score(maps, maps["samples"], log=True)


def test_bad_sets(maps):
    with pytest.raises(InputError, match="AOD-IN25"):
        score(maps, maps["samples"][:, :32])
    with pytest.raises(InputError, match="AOD-IN40 synthetic"):
        score(maps, maps["samples"][:1])


def test_constant_samples_are_different_not_an_error(maps):
    assert verdict(score(maps, np.ones((8, 64, 64)))).status == "fails"


def test_baselines_are_named_in_the_sentences(maps):
    rows = score(maps, maps["samples"], baselines={"augmented": augment(maps["inverted"], 24, np.random.default_rng(17))[0]})
    (line,) = [
        s for s in verdict(rows).sentences if s.startswith("Baseline augmented (24 maps, where there are 48 samples): differs")
    ]
    assert "copy rate" in line
    with pytest.raises(ValueError, match="no rows"):
        verdict(rows, name="absent")


def test_distances_take_a_thousand_samples_at_most(maps, monkeypatch):
    sizes = []

    def spy(real, samples, rng, **options):
        sizes.append(len(samples))
        return compare_sets(real, samples, rng, **options)

    monkeypatch.setattr("astro_ood.stats.scores.MOST_SAMPLES", 20)
    monkeypatch.setattr("astro_ood.stats.scores.compare_sets", spy)
    score(maps, maps["samples"])
    assert sizes == [20]


def galaxies(n, rng, index):
    """Inclined profiles exp(-(r / h)^(1 / index)) of various sizes on noise, (n, 48, 48)."""
    y, x = np.mgrid[:48, :48] - 23.5
    found = []
    for _ in range(n):
        turn, ratio, size = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0), rng.uniform(3.0, 4.0)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        found.append(np.exp(-((np.hypot(u, v / ratio) / size) ** (1 / index))) + 0.003 * rng.standard_normal(x.shape))
    return np.stack(found)


def test_galaxies_of_another_shape_differ_in_their_morphology():
    rng = np.random.default_rng(30)
    sets = {"inverted": galaxies(16, rng, 1.0), "held_out": galaxies(16, rng, 1.0)}
    right, wrong = (score(sets, galaxies(24, rng, index), galaxies=True) for index in (1.0, 1.4))
    assert head(right, "morphology")["verdict"] == "no difference detected"
    assert head(wrong, "morphology")["verdict"] == "different"
    by_scale = {r["scale"]: r["verdict"] for r in wrong if r["statistic"] == "morphology"}
    assert by_scale["concentration"] == "different"
    assert "morphology of galaxies" in verdict(wrong).headline
    assert "the morphology of galaxies" in verdict(right).headline


def test_features_of_an_image_see_what_no_statistic_does():
    rng = np.random.default_rng(31)
    ramp = np.linspace(-1, 1, 32)
    inverted, held_out, samples = (gaussian_fields(n, rng, size=32) + ramp for n in (16, 16, 24))

    def coarse(maps):
        return maps.reshape(len(maps), 4, 8, 4, 8).mean(axis=(2, 4)).reshape(len(maps), -1)

    sets = {"inverted": inverted, "held_out": held_out}
    right, mirrored = (score(sets, maps, image_features=coarse) for maps in (samples, samples[..., ::-1]))
    assert head(right, "image")["verdict"] == "no difference detected"
    assert head(mirrored, "image")["verdict"] == "different"
    assert head(mirrored, "joint")["verdict"] == "no difference detected"
    assert {r["scale"] for r in mirrored if r["statistic"] == "image"} >= {"energy", "kid"}
    with pytest.raises(InputError, match="AOD-IN25 image_features"):
        score(sets, samples, image_features=lambda maps: maps)
