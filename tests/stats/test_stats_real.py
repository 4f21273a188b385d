"""Real 1.1 mm dust maps: held-out patches in the place of samples pass, spoiled ones do not."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from astro_ood.stats.novelty import novelty
from astro_ood.stats.rows import is_copying
from astro_ood.stats.scores import validate_sets
from astro_ood.stats.surrogates import augment, iaaft
from astro_ood.stats.verdict import verdict

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gc_bolocam_gps.fits"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="shared/data/gc_bolocam_gps.fits is not here")


def disjoint(path):
    """Patches (N, 64, 64) of the first image of a file."""
    from astropy.io import fits

    image = np.asarray(fits.getdata(path), np.float64)
    rows, columns = (n // 64 for n in image.shape)
    patches = image[: rows * 64, : columns * 64].reshape(rows, 64, columns, 64).swapaxes(1, 2).reshape(-1, 64, 64)
    return patches[np.isfinite(patches).all(axis=(1, 2))]


@pytest.fixture(scope="module")
def thirds():
    patches = disjoint(DATA)
    return np.split(patches[np.random.default_rng(0).permutation(len(patches))][:60], 3)


def score(thirds, synthetic):
    return verdict(validate_sets(thirds[0], synthetic, held_out=thirds[1], pixel_scale=0.12, unit="Jy/beam").rows)


def test_other_real_patches_show_no_difference(thirds):
    assert score(thirds, thirds[2]).status in ("usable", "undecided")


def test_smoothed_patches_fail_at_small_scales(thirds):
    result = score(thirds, gaussian_filter(thirds[2], (0, 1.5, 1.5)))
    assert result.status == "fails"
    assert "and below: too little power" in result.headline


def test_augmented_patches_are_copies(thirds):
    assert score(thirds, augment(thirds[0], 40, np.random.default_rng(1))[0]).status == "copies"


def test_random_phases_fail_in_structure_and_are_no_copies(thirds):
    result = score(thirds, iaaft(thirds[0], 40, np.random.default_rng(2))[0])
    assert result.status == "limited"
    assert result.headline.startswith("usable for one-point statistics")
    assert "wavelet scattering" in result.headline


def test_another_sky_of_the_same_mean_and_scatter_fails(thirds):
    other = disjoint(DATA.with_name("HorseHead.fits"))[:40]
    other = (other - other.mean()) / other.std() * thirds[0].std() + thirds[0].mean()
    result = score(thirds, other)
    assert result.status == "fails"
    assert "power (x" in result.headline


def test_smooth_patches_of_one_sky_are_no_copies_of_one_another():
    """Photographic plate with a smooth background: patches that happen to look alike are on both sides."""
    patches = disjoint(DATA.with_name("HorseHead.fits"))
    x = patches[np.random.default_rng(0).permutation(len(patches))]
    near = novelty(x[112:168], x[:56], x[56:112])
    assert near.copies.sum() == 3
    assert not is_copying(near)
