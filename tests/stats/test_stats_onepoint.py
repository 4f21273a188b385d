import numpy as np
from scipy import stats

from astro_ood.stats.onepoint import QUANTILES, histograms, moments, quantiles


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
