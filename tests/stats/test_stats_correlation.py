import numpy as np
import pytest
import scipy.fft
from stats_support import gaussian_fields

from astro_ood.errors import InputError
from astro_ood.stats.correlation import BETWEEN, Pairs, compare_correlations
from astro_ood.stats.scores import validate_sets
from astro_ood.stats.verdict import verdict

SIZES = {"one": 4, "two": 1, "three": 3}


def split(values):
    return dict(zip(SIZES, np.split(values, np.cumsum(list(SIZES.values()))[:-1], axis=1), strict=True))


def draws(rng, n, rho=0.8):
    """Vectors whose neighbours are correlated: (n, 8)."""
    apart = np.abs(np.arange(8)[:, None] - np.arange(8))
    return rng.normal(size=(n, 8)) @ np.linalg.cholesky(rho**apart).T


def test_distances_are_those_of_correlation_matrices():
    rng = np.random.default_rng(0)
    x = draws(rng, 30) * [1, 10, 1e-6, 1e6, 1, 1, 1, 1] + 5
    a, b = rng.integers(0, 4, size=(2, 6, 30)).astype(float)
    pairs = Pairs(SIZES)
    assert pairs.names == ("one", "three", BETWEEN)
    owner = np.repeat([0, 1, 2], list(SIZES.values()))
    expected = []
    for one, two in zip(a, b, strict=True):
        difference = (np.corrcoef(np.repeat(x, n.astype(int), axis=0).T) for n in (one, two))
        square = (next(difference) - next(difference)) ** 2
        upper = np.triu(np.ones((8, 8), bool), 1)
        groups = [upper & (owner[:, None] == k) & (owner == k) for k in (0, 2)]
        groups.append(upper & (owner[:, None] != owner))
        expected.append([np.sqrt(square[g].mean()) for g in groups])
    np.testing.assert_allclose(pairs.distances(x, a, b), expected, rtol=1e-8)


def test_columns_that_do_not_vary_have_no_correlation():
    rng = np.random.default_rng(1)
    x, y = draws(rng, 10), draws(rng, 10)
    x[:, 2] = y[:, 2] = 1e7 / 3
    y[:, 5] = 0.1
    result = compare_correlations(split(x), split(y), rng, n_permutations=99)
    assert np.isfinite(result.value).all()
    assert (result.value <= 2).all()


@pytest.mark.parametrize(("n_i", "n_s", "n_h"), [(8, 32, 8), (24, 96, 96)])
def test_perfect_generators_are_rejected_as_often_as_stated(n_i, n_s, n_h):
    """Resampled and mixed parents, 100 trials each at nominal 5 %: more than 12 would be a chance of 1 in 600."""
    rejected = np.zeros(2, int)
    for trial in range(100):
        rng = np.random.default_rng([2, trial])
        inverted, held_out = draws(rng, n_i), draws(rng, n_h)
        resampled = inverted[rng.integers(n_i, size=n_s)]
        weights, three = rng.normal(size=(n_s, 3)), np.argsort(rng.random((n_s, n_i)), axis=1)[:, :3]
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        mixed = np.einsum("mk,mkd->md", weights, inverted[three] - inverted.mean(axis=0))
        for i, made in enumerate((resampled, mixed)):
            result = compare_correlations(split(held_out), split(made), rng, inverted=split(inverted), n_permutations=99)
            rejected[i] += result.p_any <= 0.05
    assert (rejected <= 12).all()


def test_intervals_cover_the_expected_distance():
    found = []
    for trial in range(60):
        rng = np.random.default_rng([9, trial])
        inverted, held_out = draws(rng, 24), draws(rng, 24)
        made = inverted[rng.integers(24, size=48)]
        made[:, :4] = np.sqrt(0.5) * (made[:, :4] + rng.normal(size=(48, 4)))
        result = compare_correlations(split(held_out), split(made), rng, inverted=split(inverted), n_permutations=9)
        found.append((result.low, result.value, result.high))
    low, value, high = np.swapaxes(found, 0, 1)
    expected = value.mean(axis=0)
    assert (((low <= expected) & (expected <= high)).mean(axis=0) >= 0.82).all()
    # intervals no wider than the values scatter would need
    assert ((high - low).mean(axis=0) < 8 * value.std(axis=0)).all()


def test_lost_correlations_are_found_where_they_were_lost():
    rng = np.random.default_rng(3)
    inverted, held_out = draws(rng, 48), draws(rng, 48)
    made = inverted[rng.integers(48, size=96)]
    made[:, :4] = np.stack([rng.permutation(column) for column in made[:, :4].T], axis=1)
    result = compare_correlations(split(held_out), split(made), rng, inverted=split(inverted))
    p = dict(zip(result.statistics, result.p_adjusted, strict=True))
    assert p["one"] == result.p_any <= 0.01
    assert p["three"] > 0.05
    assert result.value[0] > result.critical[0] > result.floor[0]


@pytest.mark.parametrize("options", [{}, {"n_effective": 12}])
def test_without_inverted_maps(options):
    rng = np.random.default_rng(4)
    result = compare_correlations(split(draws(rng, 40)), split(draws(rng, 40)), rng, n_permutations=199, **options)
    assert result.p_any > 0.05
    assert result.n_effective == options.get("n_effective", 40)
    lost = split(rng.normal(size=(40, 8)))
    assert compare_correlations(split(draws(rng, 40)), lost, rng, n_permutations=199).p_any <= 0.05


def test_same_seed_same_result_and_too_few_maps_are_refused():
    rng = np.random.default_rng(5)
    x, y = split(draws(rng, 12)), split(draws(rng, 12))
    one, two = (compare_correlations(x, y, np.random.default_rng(6), n_permutations=99) for _ in range(2))
    np.testing.assert_array_equal(one.p_adjusted, two.p_adjusted)
    with pytest.raises(InputError, match="AOD-IN40 correlations"):
        compare_correlations(x, split(draws(rng, 1)), rng)


def test_scales_that_vary_each_for_itself_are_told_by_their_correlations():
    """Real maps are faint or bright at all scales; samples scatter as much at each scale, but independently."""
    rng = np.random.default_rng(7)
    real = gaussian_fields(96, rng, size=32, slope=3.0, scatter=0.5)
    made = scipy.fft.rfft2(gaussian_fields(96, rng, size=32, slope=3.0, scatter=0.0), s=(32, 32))
    k = np.hypot(scipy.fft.fftfreq(32)[:, None], scipy.fft.rfftfreq(32))
    band = np.clip(np.log2(np.maximum(32 * k, 1)) * 1.5, 0, 6).astype(int)
    gain = np.exp(0.5 * rng.normal(size=(96, 7)))
    rows = validate_sets(real[:48], scipy.fft.irfft2(made * gain[:, band], s=(32, 32)), held_out=real[48:]).rows
    heads = {row["statistic"]: row for row in rows if row["scale"] is None}
    assert heads["correlation"]["verdict"] == "different"
    wrong = {row["scale"] for row in rows if row["statistic"] == "correlation" and row["verdict"] == "different"}
    assert "spectrum" in wrong
    assert any("correlations of the statistics over maps" in s for s in (verdict(rows).headline, *verdict(rows).sentences))
