import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from skimage.transform import rotate

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._apertures import Cutout, Growth, overlap
from astro_ood.stats._rotation import Turn
from astro_ood.stats.morphology import MORPHOLOGY, gini_coefficient, morphology, second_moment_share


def galaxy(profile, size=96, centre=(47.3, 48.9), ratio=1.0, angle=0.0, steps=(1.0, 1.0), over=7):
    """Profile (a function of the semi-major axis) averaged over pixels."""
    fine = (np.arange(size * over) - (over - 1) / 2) / over
    y, x = (fine[:, None] - centre[0]) * steps[0], (fine[None] - centre[1]) * steps[1]
    u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return profile(np.hypot(u, v / ratio)).reshape(size, over, size, over).mean(axis=(1, 3))


def exponential(r):
    return np.exp(-r / 5.0)


def de_vaucouleurs(r):
    return np.exp(-7.67 * ((r / 8.0) ** 0.25 - 1))


def disc(r):
    return (r < 20.0).astype(float)


def closed_form(profile):
    """Petrosian radius, C, Gini and M20 of a circular profile, from integrals over r."""

    def flux(r):
        return quad(lambda s: s * float(profile(s)), 0, r, limit=200)[0]

    petrosian = brentq(lambda r: float(profile(r)) - 0.2 * 2 * flux(r) / r**2, 1.0, 80.0)
    r20, r80 = (brentq(lambda r, f=f: flux(r) - f * flux(1.5 * petrosian), 1e-6, 1.5 * petrosian) for f in (0.2, 0.8))
    # Rings of equal area within the Petrosian radius, the brightest first.
    share = (np.arange(200_000) + 0.5) / 200_000
    r = petrosian * np.sqrt(share)
    light = profile(r)
    gini = np.sum((1 - 2 * share) * light) / np.sum(light)
    moment = np.cumsum(light * r**2)
    m20 = np.log10(moment[np.searchsorted(np.cumsum(light), 0.2 * light.sum())] / moment[-1])
    return petrosian, r20, r80, 5 * np.log10(r80 / r20), gini, m20


def test_exponential_disc_has_its_closed_form():
    petrosian, r20, r80, c, gini, m20 = closed_form(exponential)
    result = morphology(galaxy(exponential, 128, (63.3, 64.9)), sky=0.0)
    assert result.measured.all()
    np.testing.assert_allclose(result.centre, [[63.3, 64.9]], atol=0.01)
    assert result.petrosian[0] == pytest.approx(petrosian, rel=0.003)
    assert result.r80[0] == pytest.approx(r80, rel=0.002)
    # The mean over a pixel widens the core by 1 / 24 pixel^2 over r.
    assert result.r20[0] == pytest.approx(r20, rel=0.005)
    assert result.concentration[0] == pytest.approx(c, abs=0.02)
    # The smoothed threshold lies on the Petrosian radius; its pixels are counted whole.
    assert result.gini[0] == pytest.approx(gini, abs=0.003)
    assert result.m20[0] == pytest.approx(m20, abs=0.01)
    # Interpolation smooths the turned cusp.
    assert abs(result.asymmetry[0]) < 0.01


def test_de_vaucouleurs_spheroid_has_its_closed_form():
    petrosian, _, r80, c, gini, m20 = closed_form(de_vaucouleurs)
    # Centred on a pixel: the cusp then needs no interpolation.
    result = morphology(galaxy(de_vaucouleurs, 128, (64.0, 63.0), over=21), sky=0.0)
    assert result.petrosian[0] == pytest.approx(petrosian, rel=0.01)
    assert result.r80[0] == pytest.approx(r80, rel=0.01)
    assert result.concentration[0] == pytest.approx(c, abs=0.06)
    assert result.gini[0] == pytest.approx(gini, abs=0.02)
    assert result.m20[0] == pytest.approx(m20, abs=0.06)
    # The frame that is the sky holds the wings, about another centre.
    assert abs(result.asymmetry[0]) < 1e-3


def test_uniform_disc():
    result = morphology(galaxy(disc), sky=0.0)
    np.testing.assert_allclose(result.r20, 20 * np.sqrt(0.2), rtol=0.002)
    np.testing.assert_allclose(result.concentration, 5 * np.log10(2), atol=0.002)
    # Half a pixel beyond the rim the mean within a ring of one pixel has fallen to a fifth.
    np.testing.assert_allclose(result.petrosian, 20.4, atol=0.2)
    # Equal pixels share the 20 %, so only the rim departs from log10(0.2) and from equality.
    np.testing.assert_allclose(result.m20, np.log10(0.2), atol=0.03)
    assert 0 < result.gini[0] < 0.1


@pytest.mark.parametrize("ratio", [0.7, 0.5])
def test_inclined_disc_keeps_gini_and_m20(ratio):
    # An affine map changes neither the distribution of light nor, with its own ellipse, the share of each ring. M20 is of second
    # moments: their ratio is that of the round disc as well, but for the smoothing, which is
    # round and widens the short axis.
    *_, gini, m20 = closed_form(exponential)
    result = morphology(galaxy(exponential, 128, (63.3, 64.9), ratio, 0.6), sky=0.0)
    assert result.gini[0] == pytest.approx(gini, abs=0.03)
    assert result.m20[0] == pytest.approx(m20, abs=0.06)


def clumps(offset):
    """A Gaussian and two satellites."""
    one = galaxy(lambda r: np.exp(-((r / 6) ** 2)), over=1)
    two = galaxy(lambda r: 0.5 * np.exp(-((r / 3) ** 2)), centre=(47.3 + offset, 55.0), over=1)
    return one + two + galaxy(lambda r: 0.3 * np.exp(-((r / 2) ** 2)), centre=(40.0, 44.0), over=1)


# C, A, Gini, M20 and Petrosian radius by statmorph 0.7.2, on the object that `morphology` finds.
STATMORPH = {
    "exponential": (lambda: galaxy(exponential), (2.72954, None, 0.48990, -1.79866, 18.14284)),
    "elliptical": (lambda: galaxy(exponential, ratio=0.5, angle=0.5), (2.82639, None, 0.49500, -1.76422, 13.61848)),
    "clumps": (lambda: clumps(4.0), (2.11178, 0.18509, 0.37767, -1.57936, 10.49128)),
}


@pytest.mark.parametrize("name", STATMORPH)
def test_statmorph_agrees(name):
    image, expected = STATMORPH[name]
    result = morphology(image(), sky=0.0)
    c, a, gini, m20, petrosian = expected
    np.testing.assert_allclose(result.concentration, c, atol=0.0002)
    np.testing.assert_allclose(result.petrosian, petrosian, atol=0.001)
    # Their sky is a box within the wings of the two exponentials.
    if a is not None:
        np.testing.assert_allclose(result.asymmetry, a, atol=0.0002)
    # Their ellipse is integrated exactly, ours by whole pixels; they count the last of the brightest pixels in full.
    np.testing.assert_allclose(result.gini, gini, atol=0.004)
    np.testing.assert_allclose(result.m20, m20, atol=0.02)


@pytest.mark.parametrize("offset", [4.0, 14.0])
def test_asymmetry_is_that_of_scikit_image_and_the_least(offset):
    image = clumps(offset)
    result = morphology(image, sky=0.0)
    radius = 1.5 * result.petrosian[0]

    def asymmetry(centre):
        turned = rotate(image, 180.0, center=centre[::-1])
        weight = supersampled(centre, radius, image.shape)
        return np.sum(weight * np.abs(image - turned)) / np.sum(weight * image)

    least = asymmetry(result.centre[0])
    assert result.asymmetry[0] == pytest.approx(least, rel=1e-3)
    for shift in (0.03, 0.3, 2.0):
        for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert asymmetry(result.centre[0] + shift * np.array([a, b])) > least * 0.999


def supersampled(centre, radius, shape, steps=(1.0, 1.0), over=20):
    """Share of each pixel within a circle, by a fine grid."""
    fine = [(np.arange(n * over) - (over - 1) / 2) / over for n in shape]
    inside = np.hypot((fine[0][:, None] - centre[0]) * steps[0], (fine[1][None] - centre[1]) * steps[1]) < radius
    return inside.reshape(shape[0], over, shape[1], over).mean(axis=(1, 3))


@pytest.mark.parametrize("radius", [0.3, 1.0, 4.7, 30.0])
@pytest.mark.parametrize("steps", [(1.0, 1.0), (2.0, 0.5)])
def test_overlap_of_circle_and_pixels(radius, steps):
    shape, centre = (14, 16), (5.3, 8.0)
    y, x = Cutout(np.zeros(shape), np.ones(shape, bool), steps).offsets(centre)
    grid = [part.ravel() for part in np.broadcast_arrays(y, x)]
    exact = overlap(*grid, radius, steps).reshape(shape)
    np.testing.assert_allclose(exact, supersampled(centre, radius, shape, steps, 60), atol=0.02)
    if radius < 4:
        assert exact.sum() * np.prod(steps) == pytest.approx(np.pi * radius**2)
    assert (exact >= -1e-12).all()
    assert (exact <= 1 + 1e-12).all()


def test_curve_of_growth_of_a_uniform_map_is_its_area():
    growth = Growth(Cutout(np.full((30, 40), 2.0), np.ones((30, 40), bool), (1.0, 1.0)), (14.2, 20.7))
    for radius in (0.2, 1.0, 3.3, 12.0):
        np.testing.assert_allclose(growth.sums(radius), np.pi * radius**2 * np.array([2.0, 1.0]))


def test_turned_map_is_that_of_scipy():
    rng = np.random.default_rng(0)
    image, centre = rng.normal(size=(12, 15)), (5.3, 7.85)
    twin, both = Turn(Cutout(image, np.ones(image.shape, bool), (1.0, 1.0))).twin(centre, slice(0, 12), slice(0, 15))
    y, x = np.mgrid[:12, :15]
    expected = scipy.ndimage.map_coordinates(image, [2 * centre[0] - y, 2 * centre[1] - x], order=1, cval=np.nan)
    np.testing.assert_array_equal(both, np.isfinite(expected))
    np.testing.assert_allclose(twin[both], expected[both])


def test_asymmetry_of_noise_is_removed():
    rng = np.random.default_rng(1)
    clean = galaxy(lambda r: np.exp(-((r / 8) ** 2)), 64, (31.5, 31.5), over=1)
    noisy = clean + 0.03 * rng.normal(size=(40, 64, 64)) + 5.0
    result = morphology(noisy)
    assert result.measured.all()
    np.testing.assert_allclose(result.sky, 5.0, atol=0.02)
    # |signal difference + noise| is less than the sum of both, and the search profits from noise: a small negative bias.
    assert -0.03 < result.asymmetry.mean() < 0.01
    np.testing.assert_allclose(result.concentration, morphology(clean).concentration[0], atol=0.05)
    assert np.abs(result.centre - 31.5).max() < 0.5


def test_gini_of_known_distributions():
    assert gini_coefficient(np.full(50, 3.0)) == pytest.approx(0.0)
    assert gini_coefficient([0, 0, 0, 1]) == pytest.approx(1.0)
    assert gini_coefficient(-np.arange(1.0, 2001.0)) == pytest.approx(1 / 3, abs=1e-3)
    assert gini_coefficient(np.random.default_rng(2).exponential(size=200_000)) == pytest.approx(0.5, abs=0.005)
    values = np.random.default_rng(3).normal(size=40)
    differences = np.abs(np.abs(values)[:, None] - np.abs(values)[None]).sum() / (40 * 39)
    assert gini_coefficient(values) == pytest.approx(differences / (2 * np.abs(values).mean()))


def test_second_moment_share_by_a_loop():
    rng = np.random.default_rng(4)
    flux, y, x = rng.exponential(size=300), *rng.normal(size=(2, 300))
    yc, xc = np.average(y, weights=flux), np.average(x, weights=flux)
    held = moment = 0.0
    for i in np.argsort(-flux):
        part = min(1.0, max(0.0, (0.2 * flux.sum() - held) / flux[i]))
        held += part * flux[i]
        moment += part * flux[i] * ((y[i] - yc) ** 2 + (x[i] - xc) ** 2)
    total = np.sum(flux * ((y - yc) ** 2 + (x - xc) ** 2))
    assert second_moment_share(flux, y, x) == pytest.approx(np.log10(moment / total))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-12, 1e12))
def test_invariances(seed, factor):
    rng = np.random.default_rng(seed)
    image = galaxy(exponential, 48, (23.0, 25.5), 0.6, 0.4, over=3) + 0.3 * galaxy(
        lambda r: np.exp(-((r / 2) ** 2)), 48, rng.uniform(18, 30, 2), over=1
    )
    image += 0.002 * rng.normal(size=image.shape)
    expected = morphology(image)
    for turned in (image[::-1], image[:, ::-1], np.rot90(image), factor * image):
        np.testing.assert_allclose(morphology(turned).values, expected.values, rtol=0.002, atol=0.002)
    np.testing.assert_allclose(morphology(image + 7.0).values, expected.values, rtol=1e-4, atol=1e-4)


def test_rectangular_pixels_measure_on_the_sky():
    square = morphology(galaxy(exponential, 128, (63.3, 64.9)), 0.5, sky=0.0)
    tall = morphology(galaxy(exponential, 128, (63.3, 64.9), steps=(1.4, 0.8)), (0.7, 0.4), sky=0.0)
    assert square.length_unit == "arcmin"
    np.testing.assert_allclose(tall.petrosian, square.petrosian, rtol=0.01)
    np.testing.assert_allclose(tall.r80, square.r80, rtol=0.01)
    np.testing.assert_allclose(tall.values, square.values, atol=0.03)
    assert square.petrosian[0] == pytest.approx(0.5 * morphology(galaxy(exponential, 128, (63.3, 64.9)), sky=0.0).petrosian[0])


def test_missing_pixels_never_matter_and_twins_stand_in():
    image = np.stack([galaxy(exponential), clumps(4.0)])
    mask = np.zeros(image.shape, bool)
    mask[:, 55:60, 50:53] = True
    mask[1, 20, :] = True
    results = [morphology(np.where(mask, rubbish, image), mask=mask, sky=0.0) for rubbish in (np.nan, -np.inf, 1e6, 0.0)]
    for result in results[1:]:
        np.testing.assert_array_equal(result.values, results[0].values)
    whole = morphology(image, sky=0.0)
    np.testing.assert_allclose(results[0].concentration[0], whole.concentration[0], atol=0.01)
    np.testing.assert_allclose(results[0].petrosian[0], whole.petrosian[0], rtol=0.01)
    np.testing.assert_allclose(results[0].gini[0], whole.gini[0], atol=0.01)
    nothing = np.zeros((96, 96), bool)
    np.testing.assert_array_equal(morphology(image, mask=nothing).values, morphology(image).values)


def test_a_masked_neighbour_is_no_part_of_the_object():
    alone = galaxy(exponential)
    both = alone + 3 * galaxy(exponential, centre=(85.0, 88.0))
    y, x = np.mgrid[:96, :96]
    mask = np.hypot(y - 85, x - 88) < 30
    np.testing.assert_allclose(morphology(both, mask=mask, sky=0.0).values, morphology(alone, mask=mask, sky=0.0).values, atol=0.05)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e10, 1e30])
def test_constant_maps_hold_no_object(value):
    result = morphology(np.full((2, 32, 32), value))
    assert (result.values == 0).all()
    assert not result.measured.any()


def test_noise_holds_no_object():
    result = morphology(np.random.default_rng(5).normal(size=(30, 64, 64)))
    assert result.measured.mean() < 0.1
    assert np.isfinite(result.values).all()


def test_an_object_larger_than_the_map_is_not_measured():
    result = morphology(galaxy(lambda r: 1 / (1 + r / 50), 32, (15.5, 15.5)), sky=0.0)
    assert not result.measured.any()
    assert np.isfinite(result.values).all()
    assert result.petrosian[0] == pytest.approx(16.0, abs=1.0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10**6), st.floats(0.0, 0.9))
def test_any_small_map_is_finite(height, width, seed, share):
    rng = np.random.default_rng(seed)
    mask = rng.random((1, height, width)) < share
    mask[0, 0, 0] = False
    result = morphology(rng.choice([0.0, 1.0, -3.0, 1e6], size=(1, height, width)), mask=mask)
    assert np.isfinite(result.values).all()
    assert np.isfinite([result.petrosian, result.r20, result.r80, result.sky]).all()
    assert result.values.shape == (1, len(MORPHOLOGY))


@pytest.mark.parametrize(
    ("maps", "code"),
    [(np.zeros(5), "IN16"), (np.full((1, 16, 16), np.nan), "IN17"), (np.array([["a"]]), "IN35"), (np.zeros((0, 16, 16)), "IN40")],
)
def test_bad_maps(maps, code):
    with pytest.raises(InputError, match=f"AOD-{code}"):
        morphology(maps)


def test_bad_settings():
    x = galaxy(exponential, 16, (8.0, 8.0), over=1)
    with pytest.raises(InputError, match="AOD-IN18"):
        morphology(x, mask=np.ones((16, 16), bool))
    with pytest.raises(ConfigError, match="AOD-CF26"):
        morphology(x, -1.0)
    with pytest.raises(ConfigError, match="AOD-CF44"):
        morphology(x, sky=float("nan"))
