import numpy as np
import pytest
from scipy.stats import kstest

from astro_ood.errors import InputError
from astro_ood.stats.distances import c2st, energy_distance, frechet_distance, prdc
from astro_ood.stats.pool import STATISTICS
from astro_ood.stats.ruler import fit_ruler, fit_scale
from astro_ood.stats.sets import compare_sets
from astro_ood.stats.testing import attainable_p

CORRELATED = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(range(6), range(6))) / 2))
QUICK = {"n_permutations": 99, "n_splits": 2, "n_bootstrap": 2}
TRIALS = {8: 200, 32: 150, 128: 80}
KERNELS = ("energy", "mmd_gaussian", "kid")
MIXED = (*KERNELS, "sliced", "frechet", "c2st_linear_auroc", "c2st_kernel_auroc", "precision", "recall", "density", "coverage")


def draw(n, rng):
    return rng.normal(size=(n, 6)) @ CORRELATED.T


def resampled(inverted, n, rng):
    parents = rng.integers(len(inverted), size=n)
    return inverted[parents], parents


def near_parents(inverted, n, rng):
    """Right mean and variance as far as the inverted maps tell, each sample near one parent."""
    parents = rng.integers(len(inverted), size=n)
    mean, sd = inverted.mean(axis=0), inverted.std(axis=0, ddof=1)
    return mean + np.sqrt(0.7) * (inverted[parents] - mean) + np.sqrt(0.3) * draw(n, rng) * sd, parents


def anew(inverted, n, rng):
    """New draws with the mean and the scatter of the inverted maps; no parent."""
    return inverted.mean(axis=0) + draw(n, rng) * inverted.std(axis=0, ddof=1), None


def p_values(make, trials, seed, statistics=KERNELS, **options):
    """p of independent comparisons (trials, S), ties of the permutation spread evenly."""
    result = []
    for trial in range(trials):
        rng = np.random.default_rng([trial, seed])
        held_out, samples, given = make(rng)
        found = compare_sets(held_out, samples, rng, statistics=statistics, **{**QUICK, **options}, **given)
        result.append(found.p)
    return np.array(result) - np.random.default_rng(seed).random((trials, 1)) / (QUICK["n_permutations"] + 1)


def conditional(n_inverted, n_samples, n_held_out, generator, known=True):
    def make(rng):
        inverted, held_out = draw(n_inverted, rng), draw(n_held_out, rng)
        samples, _ = generator(inverted, n_samples, rng)
        return held_out, samples, {"inverted": inverted} if known else {}

    return make


@pytest.mark.parametrize("n", [8, 32, 128])
def test_p_is_uniform_for_independent_real_sets(n):
    p = p_values(lambda rng: (draw(n, rng), draw(n, rng), {}), TRIALS[n], n)
    assert min(kstest(column, "uniform").pvalue for column in p.T) > 0.003
    # nearly four standard deviations of 80 trials
    assert np.all(np.mean(p <= 0.05, axis=0) < 0.14)


@pytest.mark.parametrize("n", [8, 32, 128])
def test_p_is_uniform_for_samples_of_inverted_maps_against_others(n):
    p = p_values(conditional(n, 2 * n, n, resampled), TRIALS[n], n + 1)
    assert min(kstest(column, "uniform").pvalue for column in p.T) > 0.003
    assert np.all(np.mean(p <= 0.05, axis=0) < 0.14)


def test_the_plain_permutation_would_not_do():
    p = p_values(conditional(24, 96, 96, resampled, known=False), 60, 3)
    assert np.all(np.mean(p <= 0.05, axis=0) > 0.3)


@pytest.mark.parametrize("generator", [resampled, near_parents, anew])
def test_no_statistic_rejects_a_perfect_generator_too_often(generator):
    p = p_values(conditional(16, 40, 20, generator), 60, 4, MIXED)
    # 60 trials at 5 %: 15 % is 3.6 standard deviations away, for the largest of eleven
    assert np.all(np.mean(p <= 0.05, axis=0) <= 0.15)


@pytest.mark.parametrize("generator", [resampled, near_parents])
def test_unknown_inverted_maps(generator):
    def make(rng):
        inverted, held_out = draw(24, rng), draw(32, rng)
        return held_out, generator(inverted, 60, rng)[0], {"n_effective": 24}

    names = ("energy", "mmd_gaussian", "sliced", "frechet", "recall", "coverage")
    assert np.all(np.mean(p_values(make, 60, 5, names) <= 0.05, axis=0) <= 0.15)


def test_no_statistic_rejects_independent_sets_too_often():
    p = p_values(lambda rng: (draw(16, rng), draw(24, rng), {}), 60, 6, MIXED)
    assert np.all(np.mean(p <= 0.05, axis=0) <= 0.15)


def test_a_scale_of_one_of_the_sets_is_not_valid():
    """Why the scale is fitted to all real maps: eight maps look regular in a scale of their own."""
    p = []
    for trial in range(100):
        rng = np.random.default_rng([trial, 7])
        a, b = draw(8, rng), draw(24, rng)
        found = compare_sets(a, b, rng, statistics=KERNELS, scale=fit_scale(a, whiten=True), **QUICK)
        p.append(found.p)
    assert np.all(np.mean(np.array(p) <= 0.05, axis=0) > 0.12)


def test_regions_are_exchanged_as_a_whole():
    regions = np.repeat(np.arange(9), 4)

    def make(labels):
        def sets(rng):
            held_out, inverted = (draw(9, rng)[regions] + 0.3 * draw(36, rng) for _ in range(2))
            return held_out, resampled(inverted, 60, rng)[0], {"inverted": inverted, **labels}

        return sets

    assert np.all(np.mean(p_values(make({}), 60, 8) <= 0.05, axis=0) > 0.2)
    known = {"units_real": regions, "units_inverted": regions}
    assert np.all(np.mean(p_values(make(known), 100, 9) <= 0.05, axis=0) <= 0.13)


def comparison(change, n=32, n_samples=96, generator=near_parents, draw=draw, **options):
    rng = np.random.default_rng(10)
    inverted, held_out = draw(n, rng), draw(n, rng)
    samples, parents = generator(inverted, n_samples, rng)
    given = {"n_splits": 99, "n_bootstrap": 99, "n_permutations": 299, **options}
    return compare_sets(held_out, change(samples), rng, inverted=inverted, parents=parents, **given)


def test_a_shift_is_found():
    result = comparison(lambda x: x + 1.2)
    found = {s for s, p in zip(result.statistics, result.p, strict=True) if p <= 0.02}
    assert found >= {"energy", "mmd_gaussian", "mmd_rq", "kid", "sliced", "frechet", "c2st_linear_auroc", "c2st_kernel_auroc"}
    assert result.p_any <= 0.02
    assert result.of("energy")["value"] > result.of("energy")["critical"]


def test_a_variance_deficit_is_found():
    result = comparison(lambda x: x.mean(axis=0) + 0.5 * (x - x.mean(axis=0)))
    found = {s for s, p in zip(result.statistics, result.p, strict=True) if p <= 0.05}
    assert found >= {"mmd_gaussian", "mmd_rq", "sliced", "frechet", "recall", "density"}
    assert result.p_any <= 0.05


def test_a_dropped_mode_is_found():
    def bimodal(n, rng):
        return draw(n, rng) + 6.0 * (rng.random((n, 1)) < 0.5) * [1, 1, 0, 0, 0, 0]

    def without_one(inverted, n, rng):
        common = np.flatnonzero(inverted[:, :2].sum(axis=1) < 6.0)
        parents = common[rng.integers(len(common), size=n)]
        return inverted[parents] + 0.2 * draw(n, rng), parents

    result = comparison(lambda x: x, generator=without_one, draw=bimodal)
    found = {s for s, p in zip(result.statistics, result.p, strict=True) if p <= 0.05}
    assert found >= {"energy", "mmd_gaussian", "mmd_rq", "sliced", "coverage", "recall"}
    assert result.p_any <= 0.05
    assert not {"energy", "coverage"} & {
        s for s, p in zip(result.statistics, comparison(lambda x: x, draw=bimodal).p, strict=True) if p <= 0.05
    }


@pytest.mark.parametrize("known", [True, False])
def test_a_collapsed_generator_is_found(known):
    """Samples of three parents, or all alike: pairs of siblings are not left out beyond what chance would make."""
    rng = np.random.default_rng(11)
    inverted, held_out = draw(32, rng), draw(32, rng)
    for parents in (rng.integers(3, size=96), np.zeros(96, np.int64)):
        samples = inverted[parents] + 0.01 * draw(96, rng)
        given = {"inverted": inverted, "parents": parents} if known else {"inverted": inverted}
        result = compare_sets(held_out, samples, rng, n_permutations=199, n_splits=9, n_bootstrap=9, **given)
        for statistic in ("energy", "mmd_gaussian", "sliced", "frechet", "coverage", "recall"):
            assert result.of(statistic)["p"] <= 0.05


def test_values_are_those_of_the_single_functions():
    rng = np.random.default_rng(12)
    a, b = draw(20, rng), draw(30, rng)
    result = compare_sets(a, b, np.random.default_rng(13), **QUICK)
    ruler = fit_ruler(np.concatenate([a, b]))
    assert result.of("energy")["value"] == pytest.approx(energy_distance(a, b, ruler=ruler))
    assert result.of("frechet")["value"] == pytest.approx(frechet_distance(a, b, ruler=ruler))
    found = prdc(a, b, ruler=ruler)
    assert [result.of(s)["value"] for s in ("precision", "recall", "density", "coverage")] == pytest.approx(found[:4])
    assert result.neighbours == found.k == 5
    assert result.of("c2st_linear_auroc")["value"] == pytest.approx(c2st(a, b, np.random.default_rng(13), ruler=ruler).auroc)
    assert result.statistics == STATISTICS


def test_floor_is_that_of_real_sets_of_the_sizes_compared():
    rng = np.random.default_rng(14)
    held_out, inverted = draw(60, rng), draw(20, rng)
    names = ("energy", "frechet", "c2st_linear_auroc", "coverage")
    result = compare_sets(
        held_out, draw(50, rng), rng, inverted=inverted, statistics=names, n_permutations=99, n_splits=200, n_bootstrap=9
    )
    assert result.floor_sizes == (60, 20)
    assert (result.n_real, result.n_effective, result.n_samples) == (60, 20, 50)
    fresh = [
        compare_sets(draw(60, rng), draw(20, rng), rng, statistics=names, scale=result.ruler.scale, **QUICK).value
        for _ in range(60)
    ]
    spread = np.std(fresh, axis=0)
    np.testing.assert_array_less(np.abs(result.floor - np.mean(fresh, axis=0)), spread * 0.8)
    np.testing.assert_allclose(result.floor_sd, spread, rtol=0.5)
    assert abs(result.of("energy")["floor"]) < 0.3 * result.of("energy")["floor_sd"]
    halves = compare_sets(held_out, draw(50, rng), rng, statistics=("energy",), **QUICK)
    assert halves.floor_sizes == (30, 30)
    assert np.isnan(compare_sets(held_out[:3], draw(9, rng), rng, **QUICK).floor).all()


def test_interval_covers_the_distance_of_the_laws():
    """Known inverted maps: their sampling error belongs to the interval."""
    rng = np.random.default_rng(15)
    a, b = draw(1500, rng), draw(1500, rng) + np.array([0, 0, 1.5, 0, 0, 0])
    scale = fit_scale(a)
    expected = energy_distance(a, b, ruler=fit_ruler(a, scale=scale))
    inside = []
    for _ in range(80):
        inverted = draw(24, rng)
        samples, parents = near_parents(inverted, 96, rng)
        samples[:, 2] += 1.5
        result = compare_sets(
            draw(32, rng),
            samples,
            rng,
            inverted=inverted,
            parents=parents,
            scale=scale,
            statistics=("energy",),
            n_permutations=2,
            n_splits=2,
            n_bootstrap=99,
        )
        inside.append(result.low[0] < expected < result.high[0])
    assert 0.84 <= np.mean(inside) <= 1.0


def test_no_p_below_what_the_real_maps_allow():
    rng = np.random.default_rng(16)
    names = ("energy", "coverage")
    far = draw(100, rng) + 100
    result = compare_sets(draw(6, rng), far, rng, inverted=draw(6, rng), statistics=names, n_splits=2, n_bootstrap=2)
    assert result.p_min == attainable_p(6, 6, 999)
    assert result.p[0] == result.p_any == result.p_min
    few = compare_sets(draw(3, rng), far, rng, inverted=draw(4, rng), statistics=names, n_splits=2, n_bootstrap=2)
    assert few.p[0] == few.p_min == 1 / 35


def test_adjusted_p_rises_with_the_number_of_unlike_statistics():
    rng = np.random.default_rng(17)
    a, b = draw(24, rng), draw(24, rng) + 0.45
    one = compare_sets(a, b, np.random.default_rng(18), statistics=("energy",), **QUICK)
    assert one.p_any == one.p_adjusted[0] == one.p[0]
    many = compare_sets(a, b, np.random.default_rng(18), **QUICK)
    assert np.all(many.p_adjusted >= many.p)
    assert many.p_any == many.p_adjusted.min()


def test_same_generator_same_numbers():
    rng = np.random.default_rng(19)
    a, b, c = draw(12, rng), draw(30, rng), draw(10, rng)
    first, second = (compare_sets(a, b, np.random.default_rng(20), inverted=c, **QUICK) for _ in range(2))
    for name, entry in vars(first).items():
        if isinstance(entry, np.ndarray):
            np.testing.assert_array_equal(entry, vars(second)[name])


def test_hostile_sets():
    rng = np.random.default_rng(21)
    a, b = draw(8, rng), draw(12, rng)
    cases = [
        ((a, b[:, :5]), {}, "IN25"),
        ((a, b), {"inverted": draw(8, rng)[:, :3]}, "IN25"),
        ((a, b), {"units_real": [0, 1]}, "IN25"),
        ((a, b), {"units_real": np.zeros(8)}, "IN40"),
        ((a, b), {"inverted": draw(8, rng), "parents": np.zeros(3, int)}, "IN25"),
        ((a, b), {"inverted": draw(8, rng), "parents": np.full(12, 8)}, "IN25"),
        ((a, b), {"n_effective": 1}, "IN40"),
        ((a[:1], b), {}, "IN40"),
        ((a, np.where(b > 1, np.inf, b)), {}, "IN17"),
    ]
    for sets, given, code in cases:
        with pytest.raises(InputError, match=f"AOD-{code}"):
            compare_sets(*sets, rng, **given)


def test_constant_and_single_features():
    rng = np.random.default_rng(22)
    same = np.ones((6, 2))
    result = compare_sets(same, same, rng, inverted=same, **QUICK)
    assert np.isfinite(result.value).all()
    assert np.all(result.p == 1)
    single = compare_sets(rng.normal(size=12), rng.normal(size=20), rng, inverted=rng.normal(size=9), **QUICK)
    assert np.isfinite(single.value).all()
