import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from astro_ood.errors import InputError
from astro_ood.stats.features import features
from astro_ood.stats.onepoint import QUANTILES, density, histograms, moments, quantiles


def test_moments_agree_with_scipy():
    x = np.random.default_rng(0).lognormal(size=(5, 20, 30))
    flat = x.reshape(5, -1)
    expected = np.stack([flat.mean(1), flat.std(1), stats.skew(flat, axis=1), stats.kurtosis(flat, axis=1)], axis=1)
    np.testing.assert_allclose(moments(x), expected)


def test_constant_map_has_no_shape():
    np.testing.assert_allclose(moments(np.full((1, 16, 16), 0.1)), [[0.1, 0, 0, 0]])


def test_quantiles_of_each_map():
    x = np.random.default_rng(1).normal(size=(4, 101, 1)) * np.arange(1, 5)[:, None, None]
    got = quantiles(x)
    for row, one in zip(got, x, strict=True):
        np.testing.assert_allclose(row, np.quantile(one, QUANTILES))


def test_histograms_share_edges_and_integrate_to_one():
    rng = np.random.default_rng(2)
    a, b = histograms(rng.normal(size=(3, 16, 16)), 5 + rng.normal(size=(4, 16, 16)), 20)
    np.testing.assert_array_equal(a.edges, b.edges)
    for h in (a, b):
        np.testing.assert_allclose(h.density @ np.diff(h.edges), 1.0)
    assert a.density.shape == (3, 20)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_masked_maps_are_their_observed_pixels(seed, shared):
    rng = np.random.default_rng(seed)
    x = rng.lognormal(size=(4, 9, 13))
    gone = rng.random((9, 13) if shared else x.shape) < rng.random()
    gone[..., 0, 0] = False
    with_rubbish = np.where(gone, rng.choice([np.nan, np.inf, -1e300], x.shape), x)
    seen = [one[~here] for one, here in zip(x, np.broadcast_to(gone, x.shape), strict=True)]
    np.testing.assert_allclose(quantiles(with_rubbish, mask=gone), [np.quantile(s, QUANTILES) for s in seen])
    got = moments(with_rubbish, mask=gone)
    np.testing.assert_allclose(got[:, :2], [(s.mean(), s.std()) for s in seen], atol=1e-14)
    varied = [i for i, s in enumerate(seen) if s.std() > 1e-9]
    np.testing.assert_allclose(got[varied, 2], [stats.skew(seen[i]) for i in varied], atol=1e-7)
    np.testing.assert_allclose(got[varied, 3], [stats.kurtosis(seen[i]) for i in varied], atol=1e-7)
    edges = np.linspace(0, x.max(), 9)
    np.testing.assert_allclose(density(with_rubbish, edges, mask=gone), [np.histogram(s, edges, density=True)[0] for s in seen])


def test_masks_of_one_observed_pixel_and_of_none():
    x = np.random.default_rng(3).normal(size=(2, 8, 8))
    gone = np.ones(x.shape, bool)
    gone[:, 2, 5] = False
    np.testing.assert_array_equal(quantiles(x, mask=gone), np.repeat(x[:, 2, 5, None], len(QUANTILES), axis=1))
    np.testing.assert_array_equal(moments(x, mask=gone), [[v, 0, 0, 0] for v in x[:, 2, 5]])
    gone[1] = True
    for measure in (quantiles, moments):
        with pytest.raises(InputError, match="AOD-IN18"):
            measure(x, mask=gone)


@pytest.mark.parametrize("shared", [True, False])
def test_no_statistic_of_a_map_depends_on_what_a_missing_pixel_holds(shared):
    rng = np.random.default_rng(4)
    x = rng.lognormal(size=(3, 32, 32))
    gone = rng.random(x.shape[shared:]) < 0.1
    found = [
        features(np.where(gone, junk, x), (2.0, 1.5), "K", flux=np.where(gone, junk, x), mask=gone) for junk in (0.0, np.nan, 1e200)
    ]
    whole = features(x, (2.0, 1.5), "K", flux=x)
    for name, feature in found[0].items():
        assert np.isfinite(feature.values).all()
        assert not np.array_equal(feature.values, whole[name].values)
        assert (feature.scales, feature.units) == (whole[name].scales, whole[name].units)
        for other in found[1:]:
            np.testing.assert_array_equal(other[name].values, feature.values)
