"""Weighted subsets of one pool of vectors: the distances of `distances.py`, a thousand pairs of subsets at a time.

With the kernel (or the order along a direction, or the lists of neighbours) of the pool at hand, each distance is a quadratic form
or a cumulative sum of weights. Weights are counts: a map that was drawn three times is three equal vectors of one unit, and
every formula treats it so. The number of vectors is the sum of the weights, pairs of copies are pairs of one unit, and a
neighbour that was drawn three times is three neighbours.

Vectors of one unit (region, or parent of a sample) resemble one another. Pairs of one unit are left out of the means within a set,
neighbours are sought in other units, and the folds of the discriminant keep units together (the options of `Pool.values` say
how far this holds for a set that was drawn with replacement). Shrinkage counts units, not vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from astro_ood.errors import ConfigError
from astro_ood.stats._arrays import FloatArray, IntArray
from astro_ood.stats.ruler import KERNELS, Ruler, oas, shrink

STATISTICS: tuple[str, ...] = (
    *KERNELS,
    "sliced",
    "frechet",
    "c2st_linear_accuracy",
    "c2st_linear_auroc",
    "c2st_kernel_accuracy",
    "c2st_kernel_auroc",
    "precision",
    "recall",
    "density",
    "coverage",
)
NEIGHBOURS = 5
FOLDS = 5
# Elements of the largest temporary arrays.
_BLOCK = 2_000_000
_FIRST_NEIGHBOURS = 32


class Pool:
    """Standardised vectors of which weighted subsets are compared.

    Parameters
    ----------
    x : ndarray, shape (N, K)
        Vectors in the scale of `ruler`.
    ruler : Ruler
    units : array_like of int, shape (N,), optional
        Unit of each vector, 0 to U - 1.
    folds : array_like of int, shape (N,), optional
        Fold of each vector, one for all of a unit.
    k : int
        Neighbours of precision, recall, density and coverage.
    """

    def __init__(
        self, x: FloatArray, ruler: Ruler, units: ArrayLike | None = None, folds: ArrayLike | None = None, k: int = NEIGHBOURS
    ) -> None:
        self.x, self.ruler, self.k = x, ruler, k
        self.units: IntArray = np.arange(len(x)) if units is None else np.asarray(units, np.int64)
        self.folds: IntArray = self.units % FOLDS if folds is None else np.asarray(folds, np.int64)
        self._kernels: dict[str, tuple[FloatArray, FloatArray, csr_array | None]] = {}
        # Where each vector is a unit, as most often, products with sparse matrices are spared.
        self._unit = None
        if len(np.unique(self.units)) < len(x):
            self._unit = csr_array((np.ones(len(x)), (np.arange(len(x)), self.units)))

    def values(
        self,
        a: FloatArray,
        b: FloatArray,
        statistics: Sequence[str],
        left_out: FloatArray | float | None = 1.0,
        rng: np.random.Generator | None = None,
    ) -> FloatArray:
        """Distances between subsets with weights `a` and `b` (B, N), of disjoint units.

        Parameters
        ----------
        a, b : ndarray, shape (B, N)
            How often each vector occurs in either set.
        statistics : sequence of str
            Of `STATISTICS`.
        left_out : ndarray, shape (B,), or float
            Fraction of the pairs of one unit that is left out of the means within b. With None each vector of b, copies included,
            is a unit of its own.
        rng : numpy.random.Generator, optional
            Deals the vectors of b, copies included, to folds one by one; without it all go to the fold of their unit.

        Returns
        -------
        ndarray, shape (B, S)
        """
        alone = left_out is None
        omega = np.broadcast_to(np.asarray(0.0 if left_out is None else left_out, np.float64), (len(a),))
        rows = max(1, _BLOCK // max(len(self.x) * _FIRST_NEIGHBOURS, self.x.shape[1] ** 2, 1))
        blocks = [slice(i, i + rows) for i in range(0, len(a), rows)]
        return np.concatenate([self._block(a[s], b[s], statistics, omega[s], alone, rng) for s in blocks])

    def pairs_of_a_unit(self, weights: FloatArray) -> FloatArray:
        """Ordered pairs of vectors of one unit in subsets (B, N): (B,)."""
        return np.asarray((self.per_unit(weights) ** 2).sum(axis=1) - weights.sum(axis=1))

    def per_unit(self, weights: FloatArray) -> FloatArray:
        """Weights (B, N) summed over each unit: (B, U)."""
        return weights if self._unit is None else np.asarray(weights @ self._unit)

    def _block(
        self,
        a: FloatArray,
        b: FloatArray,
        statistics: Sequence[str],
        omega: FloatArray,
        alone: bool,
        rng: np.random.Generator | None,
    ) -> FloatArray:
        found: dict[str, FloatArray] = {}
        for name in statistics:
            if name in found:
                continue
            if name in KERNELS:
                found[name] = self._u_statistic(name, a, b, omega)
            elif name == "sliced":
                found[name] = self._sliced(a, b)
            elif name == "frechet":
                found[name] = self._frechet(a, b, alone)
            elif name.startswith("c2st"):
                found |= self._c2st(name.split("_")[1], a, b, alone, rng)
            elif name in STATISTICS:
                found |= self._prdc(a, b, alone)
            else:
                raise ConfigError("CF44", "statistics", f"found {name!r}", f"choose from {', '.join(STATISTICS)}")
        return np.stack([found[name] for name in statistics], axis=1)

    def _kernel(self, name: str) -> tuple[FloatArray, FloatArray, csr_array | None]:
        """Kernel between units (0 within), of each vector with itself, and within units of several vectors."""
        if name not in self._kernels:
            whole, within = self.ruler.kernel(name, self.x, self.x), None
            own = whole.diagonal().copy()
            if self._unit is not None:
                row, column = (self._unit @ self._unit.T).nonzero()
                within = csr_array((whole[row, column], (row, column)), shape=whole.shape)
                whole[row, column] = 0.0
            np.fill_diagonal(whole, 0.0)
            self._kernels[name] = whole, own, within
        return self._kernels[name]

    def _u_statistic(self, name: str, a: FloatArray, b: FloatArray, omega: FloatArray) -> FloatArray:
        apart = self._kernel(name)[0]
        product = a @ apart
        cross = (product * b).sum(axis=1) / (a.sum(axis=1) * b.sum(axis=1))
        within = self._mean_within(name, a, (product * a).sum(axis=1), np.ones(len(a)))
        within += self._mean_within(name, b, ((b @ apart) * b).sum(axis=1), omega)
        return np.asarray(within - 2 * cross)

    def _mean_within(self, name: str, w: FloatArray, apart: FloatArray, omega: FloatArray) -> FloatArray:
        """Mean kernel over pairs of a set (sums between units: `apart`), the fraction `omega` of those of one unit left out."""
        _, own, together = self._kernel(name)
        total, mates = w.sum(axis=1), self.pairs_of_a_unit(w)
        others = total * (total - 1) - mates
        # Where all vectors are of one unit there are no other pairs.
        kept = np.where(others > 0, 1 - omega, 1.0)
        same = (w**2 @ own if together is None else ((w @ together) * w).sum(axis=1)) - w @ own
        return np.asarray((apart + kept * same) / (others + kept * mates))

    @cached_property
    def _sorted(self) -> tuple[IntArray, FloatArray]:
        """Order along each direction (L, N), and the gaps between neighbours (L, N - 1)."""
        along = (self.x @ self.ruler.directions).T
        order = np.argsort(along, axis=1)
        return order, np.diff(np.take_along_axis(along, order, axis=1), axis=1)

    def _sliced(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """W1 = integral of |F_a - F_b|, the distribution functions being sums of weights in order."""
        difference = np.ascontiguousarray((a / a.sum(axis=1, keepdims=True) - b / b.sum(axis=1, keepdims=True)).T)
        result = np.zeros(len(a))
        for order, gap in zip(*self._sorted, strict=True):
            result += gap @ np.abs(np.cumsum(difference[order], axis=0)[:-1])
        return result / len(self._sorted[0])

    def _number(self, w: FloatArray, alone: bool = False) -> FloatArray:
        """Effective number of units of subsets (B, N): (B,)."""
        if alone:
            return np.asarray(w.sum(axis=1))
        per_unit = self.per_unit(w)
        return np.asarray(per_unit.sum(axis=1) ** 2 / np.maximum((per_unit**2).sum(axis=1), 1e-300))

    def _frechet(self, a: FloatArray, b: FloatArray, alone: bool) -> FloatArray:
        (mean_a, cov_a), (mean_b, cov_b) = (_moments(w @ _design(self.x), self.x.shape[1]) for w in (a, b))
        cov_a, cov_b = (c * (n / np.maximum(n - 1, 1))[:, None, None] for c, n in ((cov_a, a.sum(axis=1)), (cov_b, b.sum(axis=1))))
        intensity = np.maximum(oas(cov_a, self._number(a)), oas(cov_b, self._number(b, alone)))
        cov_a, cov_b = shrink(cov_a, intensity), shrink(cov_b, intensity)
        root = np.linalg.cholesky(cov_a)
        product = np.linalg.eigvalsh(np.swapaxes(root, 1, 2) @ cov_b @ root)
        traces = np.trace(cov_a + cov_b, axis1=1, axis2=2)
        return np.asarray(((mean_a - mean_b) ** 2).sum(axis=1) + traces - 2 * np.sqrt(np.maximum(product, 0)).sum(axis=1))

    @cached_property
    def _kernel_features(self) -> FloatArray:
        return self.ruler.features(self.x)

    def _c2st(self, kind: str, a: FloatArray, b: FloatArray, alone: bool, rng: np.random.Generator | None) -> dict[str, FloatArray]:
        x = self.x if kind == "linear" else self._kernel_features
        design, masks = _design(x), [self.folds == fold for fold in np.unique(self.folds)]
        tests = [(a * mask, b * mask) for mask in masks]
        if rng is not None:
            dealt = rng.multinomial(b.astype(np.int64), np.full(len(masks), 1 / len(masks))).astype(np.float64)
            tests = [(one, dealt[..., i]) for i, (one, _) in enumerate(tests)]
        right, wins, pairs = np.zeros((2, len(a))), np.zeros(len(a)), np.zeros(len(a))
        for one, two in tests:
            n = self._number(a - one) + self._number(b - two, alone)
            tested = np.flatnonzero(one.any(axis=0) | two.any(axis=0))
            score = _discriminant((a - one) @ design, (b - two) @ design, n, x[tested])
            one, two = one[:, tested], two[:, tested]
            right += [(one * _half_sign(-score)).sum(axis=1), (two * _half_sign(score)).sum(axis=1)]
            wins += _wins(score, one, two)
            pairs += one.sum(axis=1) * two.sum(axis=1)
        accuracy = (right[0] / a.sum(axis=1) + right[1] / b.sum(axis=1)) / 2
        auroc = np.where(pairs > 0, wins / np.maximum(pairs, 1), 0.5)
        return {f"c2st_{kind}_accuracy": accuracy, f"c2st_{kind}_auroc": auroc}

    @cached_property
    def _neighbours(self) -> tuple[IntArray, IntArray | None]:
        """Vectors of other units in order of distance (N, N), those of the own unit last, as index N.

        With it, where distances are equal, the last place of those that are equal to each (N, N).
        """
        distance = -self.ruler.kernel("energy", self.x, self.x)
        mates = self.units[:, None] == self.units[None]
        distance[mates] = np.inf
        order = np.argsort(distance, axis=1, kind="stable")
        distance = np.take_along_axis(distance, order, axis=1)
        order[np.isinf(distance)] = len(self.x)
        rises = np.ones(distance.shape, np.bool_)
        rises[:, :-1] = distance[:, 1:] > distance[:, :-1]
        if (rises | np.isinf(distance)).all():
            return order, None
        places = np.where(rises, np.arange(len(self.x)), len(self.x))
        return order, np.minimum.accumulate(places[:, ::-1], axis=1)[:, ::-1]

    def _prdc(self, a: FloatArray, b: FloatArray, alone: bool) -> dict[str, FloatArray]:
        n_a, n_b = a.sum(axis=1), b.sum(axis=1)
        inside, held, covered = self._balls(a, b)
        _, reached, _ = self._balls(b, a, alone)
        return {
            "precision": (b * held).sum(axis=1) / n_b,
            "recall": (a * reached).sum(axis=1) / n_a,
            "density": (a * inside).sum(axis=1) / (self.k * n_b),
            "coverage": (a * covered).sum(axis=1) / n_a,
        }

    def _balls(self, own: FloatArray, other: FloatArray, alone: bool = False) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Balls of `own` vectors to their k-th `own` neighbour.

        Vectors of `other` in each ball, whether each vector is in any ball, and whether each ball holds one of `other`: all (B, N).
        A vector on the surface is outside; without k neighbours a ball is empty.
        """
        own_, other_ = (np.pad(w, ((0, 0), (0, 1))).astype(np.float32) for w in (own, other))
        neighbours, last = self._neighbours
        width = len(self.x) if last is not None else min(_FIRST_NEIGHBOURS, len(self.x))
        while True:
            near = neighbours[:, :width]
            passed = np.cumsum(own_[:, near], axis=2)
            if alone:
                passed += np.maximum(own_[:, :-1, None] - 1, 0)
            complete = passed[..., -1] >= self.k
            if width == len(self.x) or complete[own > 0].all():
                break
            width = min(2 * width, len(self.x))
        if last is not None:
            passed = np.take_along_axis(passed, np.broadcast_to(last, passed.shape), axis=2)
        weight = np.where((passed < self.k) & (complete & (own > 0))[..., None], other_[:, near], 0.0)
        held = np.zeros(own_.shape)
        division, ball, place = np.nonzero(weight)
        held[division, near[ball, place]] = 1.0
        inside = weight.sum(axis=2)
        return inside, held[:, :-1], (inside > 0).astype(np.float64)


def _design(x: FloatArray) -> FloatArray:
    """One, the features and the products of pairs of them, (N, 1 + K + K (K + 1) / 2), whose weighted sums hold all moments."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], axis=1)


def _moments(sums: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Means (B, K) and population covariances (B, K, K) from sums over `_design`; zero for no vectors."""
    total = np.maximum(sums[:, :1], 1.0)
    mean = sums[:, 1 : size + 1] / total
    place = np.zeros((size, size), np.intp)
    i, j = np.triu_indices(size)
    place[i, j] = place[j, i] = np.arange(size + 1, size + 1 + len(i))
    covariance = np.take(sums, place.ravel(), axis=1).reshape(-1, size, size)
    covariance /= total[..., None]
    covariance -= mean[:, :, None] * mean[:, None, :]
    return mean, covariance


def _discriminant(sums_a: FloatArray, sums_b: FloatArray, n: FloatArray, x: FloatArray) -> FloatArray:
    """Discriminant of vectors (B, N), positive for b, from the sums of the training vectors; 0 where one set has none."""
    (mean_a, cov_a), (mean_b, cov_b) = (_moments(sums, x.shape[1]) for sums in (sums_a, sums_b))
    known = (sums_a[:, :1] > 0.5) & (sums_b[:, :1] > 0.5)
    within = (cov_a + cov_b) / 2
    direction = np.linalg.solve(shrink(within, oas(within, n)), ((mean_b - mean_a) * known)[..., None])[..., 0]
    return np.asarray(direction @ x.T - ((mean_a + mean_b) / 2 * direction).sum(axis=1, keepdims=True))


def _half_sign(score: FloatArray) -> FloatArray:
    return np.asarray((np.sign(score) + 1) / 2)


def _wins(score: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Weighted number of pairs in which b scores higher than a, ties counting one half: (B,)."""
    result = np.zeros(len(score))
    # Ties are in order of position; the reversed arrays have them the other way.
    for s, first, second in ((score, a, b), (score[:, ::-1], a[:, ::-1], b[:, ::-1])):
        order = np.argsort(s, axis=1, kind="stable")
        below = np.cumsum(np.take_along_axis(first, order, axis=1), axis=1)
        result += 0.5 * (below * np.take_along_axis(second, order, axis=1)).sum(axis=1)
    return result
