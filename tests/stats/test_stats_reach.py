"""Over which scales a statistic agrees: a failure that is planted at some scales is said of these and of no others."""

import numpy as np
import pytest
import scipy.fft
from scipy.ndimage import gaussian_filter
from stats_support import gaussian_fields

from astro_ood.stats.conditional import compare
from astro_ood.stats.features import features
from astro_ood.stats.reach import Range, agreeing, lengths, ranges
from astro_ood.stats.rows import comparison_rows
from astro_ood.stats.verdict import verdict

SIDE, STEP = 48, 2.0


@pytest.fixture(scope="module")
def fields():
    rng = np.random.default_rng(40)
    return [gaussian_fields(n, rng, SIDE, scatter=0.1) for n in (48, 48, 64)]


def band(maps, low, high):
    """What waves of wavelengths from `low` to `high` arcmin add to maps."""
    f = np.hypot(np.fft.fftfreq(SIDE, STEP)[:, None], np.fft.rfftfreq(SIDE, STEP)[None])
    inside = (f > 0) & (1 / np.where(f > 0, f, 1) >= low) & (1 / np.where(f > 0, f, 1) <= high)
    return scipy.fft.irfft2(scipy.fft.rfft2(maps) * inside, s=(SIDE, SIDE))


def judged(statistic, inverted, held_out, samples):
    """Rows of one statistic alone."""
    found = [features(maps, STEP, "K")[statistic] for maps in (held_out, samples, inverted)]
    result = compare(
        found[0].values, found[1].values, np.random.default_rng(0), inverted=found[2].values, kind=found[1].kind, n_permutations=999
    )
    return comparison_rows(statistic, found[1], result, result.p, 12)


def words(rows):
    return [r.word for r in ranges(rows[1:])]


def too_strong(maps, low, high):
    return maps + 0.8 * band(maps, low, high)


def skewed(maps, low, high):
    """The same power from `low` to `high`, of waves of sparse sources."""
    noise = np.random.default_rng(41).gamma(0.05, size=maps.shape)
    own, other = band(maps, low, high), band(noise, low, high)
    return maps - own + other * (own.std(axis=(1, 2)) / other.std(axis=(1, 2)))[:, None, None]


def noisy(maps):
    return maps + 0.3 * np.random.default_rng(42).normal(size=maps.shape)


PLANTED = [
    ("spectrum", lambda x: too_strong(x, 0, 8), "agrees", "differs"),
    ("spectrum", lambda x: too_strong(x, 32, 999), "differs", "agrees"),
    ("increments", noisy, "agrees", "differs"),
    ("bispectrum", lambda x: skewed(x, 0, 9), "agrees", "differs"),
    ("scattering", lambda x: gaussian_filter(x, (0, 0.7, 0.7)), "agrees", "differs"),
]


@pytest.mark.parametrize(("statistic", "spoil", "coarse", "fine"), PLANTED)
def test_a_failure_is_said_of_the_scales_where_it_was_planted(fields, statistic, spoil, coarse, fine):
    inverted, held_out, samples = fields
    rows = judged(statistic, inverted, held_out, spoil(samples))
    found = ranges(rows[1:])
    assert (found[0].word, found[-1].word) == (coarse, fine)
    assert rows[0]["verdict"] == "different"
    widest = agreeing(found)
    assert widest is not None
    assert (rows[0]["agrees_from"], rows[0]["agrees_to"]) == (widest.longest, widest.shortest)
    assert rows[0]["length_unit"] == "arcmin"


@pytest.mark.parametrize("statistic", ["spectrum", "increments", "bispectrum", "scattering"])
def test_right_samples_agree_at_all_scales(fields, statistic):
    rows = judged(statistic, *fields)
    (found,) = ranges(rows[1:])
    assert (found.word, found.where) == ("agrees", "at all scales")
    assert found.longest == max(row["length"] for row in rows[1:])


def test_a_failure_in_the_middle_leaves_both_sides(fields):
    rows = judged("spectrum", fields[0], fields[1], too_strong(fields[2], 10, 24))
    assert words(rows) == ["agrees", "differs", "agrees"]


def test_scales_without_power_are_undecided_and_not_usable(fields):
    """Nine maps on either side see a factor of 2.5 nowhere at the largest scales."""
    few = judged("spectrum", fields[0][:9], fields[1][:9], fields[2])
    assert few[0]["verdict"] == "no difference detected"
    assert words(few)[0] == "undecided"
    assert few[1]["verdict"] == "no difference detected"
    longest = max(row["length"] for row in few[1:])
    assert few[0]["agrees_from"] is None or few[0]["agrees_from"] < longest
    # who would be content with a factor of 1000 has power enough
    assert [r.word for r in ranges(few[1:], tolerance=1000.0)] == ["agrees"]


def test_lengths_are_read_from_what_the_features_are_called(fields):
    found = features(fields[0][:2], STEP, "K")
    of = {name: lengths(name, f.scales, f.scale_unit) for name, f in found.items()}
    assert {name for name, (values, _) in of.items() if values[0] is not None} == {
        "spectrum",
        "increments",
        "bispectrum",
        "scattering",
    }
    for values, unit in (of[name] for name in ("spectrum", "increments", "bispectrum", "scattering")):
        assert unit == "arcmin"
        assert all(STEP <= value <= SIDE * STEP * 1.5 for value in values)
    by_label = dict(zip(found["scattering"].scales, of["scattering"][0], strict=True))
    assert {label: by_label[label] for label in ("S1, 5.33 arcmin", "S2/S1, 5.33 in 10.7 arcmin, 0°")} == {
        "S1, 5.33 arcmin": 5.33,
        "S2/S1, 5.33 in 10.7 arcmin, 0°": 5.33,
    }
    assert of["increments"][0][-1] == STEP
    assert lengths("spectrum", [0.25], "cycles/pixel") == ([4.0], "pixel")


def test_ranges_in_words():
    def said(longest, shortest, *, first=False, last=False):
        return Range("agrees", longest, shortest, "arcmin", first, last).where

    assert said(1234.5, 24.04, first=True) == "at 24 arcmin and above"
    assert said(24.04, 2.0, last=True) == "at 24 arcmin and below"
    assert said(60.0, 24.0) == "from 24 to 60 arcmin"
    assert said(24.0, 24.0) == "near 24 arcmin"
    assert said(1234.5, 2.0, first=True, last=True) == "at all scales"


HEADS = {
    "pdf": "no difference detected",
    "moments": "no difference detected",
    "excursion": "different",
    "scatter": "no difference detected",
    "correlation": "no difference detected",
}
SCALES = (120.0, 60.0, 24.0, 12.0)


def table(**reached):
    """Rows of a set: down to which of the scales each statistic agrees; 0 has no power anywhere."""
    sizes = {"set": "synthetic", "n_real": 12, "n_inverted": 12, "n_synthetic": 24, "held_out": True, "scale_unit": ""}
    numbers = {"value": 0.5, "low": 0.1, "high": 0.9, "floor": 0.1, "p": 0.2, "p_adjusted": 0.2, "p_min": 1e-4, "length": None}
    base = sizes | numbers | {"scale": None, "detectable": 4.0, "unit": "", "length_unit": ""}
    rows = [base | {"statistic": s, "verdict": v} for s, v in HEADS.items()]
    for statistic, least in {"spectrum": 12.0, "increments": 12.0, "bispectrum": 12.0, "scattering": 12.0, **reached}.items():
        different = least > SCALES[-1]
        rows.append(base | {"statistic": statistic, "verdict": "different" if different else "no difference detected"})
        for x in SCALES:
            verdict = "no difference detected" if x >= least else "different"
            place = {"scale": 1 / x, "scale_unit": "cycles/arcmin", "length": x, "length_unit": "arcmin", "unit": "ln P"}
            rows.append(base | place | {"statistic": statistic, "verdict": verdict, "detectable": 0.5 if least else 2.0})
    kinds = {"novelty_nn": "novel", "novelty_copy": "novel", "novelty_scattering": "novel", "novelty_twins": "novel"}
    return rows + [base | {"statistic": s, "verdict": v, "value": 0.0} for s, v in kinds.items()]


def test_the_words_of_a_referee():
    result = verdict(table(spectrum=24.0, scattering=24.0))
    assert result.status == "limited"
    assert result.headline.startswith(
        "usable for one-point statistics and the variety of maps, at all scales for structure functions and gradients and the bispectrum,"
        " and down to 24 arcmin for two-point statistics and wavelet scattering; not for filament morphology"
        " (Minkowski functionals, peaks, scattering): fails at scales of 12 arcmin and below"
    )
    assert "Power spectrum by scale: agreement at 24 arcmin and above, difference at 12 arcmin and below." in result.sentences


def test_of_two_lengths_that_are_alike_the_longer_is_promised():
    rows = table(spectrum=24.0, scattering=24.0)
    for row in rows:
        if row["statistic"] == "scattering" and row["length"] == 24.0:
            row["length"] = 30.0
    assert "down to 30 arcmin for two-point statistics and wavelet scattering" in verdict(rows).headline


def test_what_could_not_have_been_seen_is_said():
    rows = [row | {"verdict": "no difference detected"} if row["statistic"] == "excursion" else row for row in table(bispectrum=0)]
    result = verdict(rows)
    assert result.status == "usable"
    assert (
        "undecided for the bispectrum: no difference from held-out maps detected; differences below 65 % in P(k)" in result.headline
    )
    assert "Bispectrum by scale: undecided at all scales." in result.sentences
