r"""Can two sets of latents be told apart, and by what?

A linear classifier is fitted to some latents and scores the others; the area under its ROC curve (AUROC) is 0.5 where it has learned nothing.
With `n` latents in `d >> n` dimensions all of it happens in the n x n matrix of inner products: ridge regression on the labels,

.. math:: a = (K_c + \lambda I)^{-1} y_c, \qquad \lambda = \text{ridge} \times \mathrm{tr}\,K_c / n,

which is Fisher's discriminant with a shrunk covariance, and tends to the direction between the two means for a large ridge. Only pairs of one
fold are compared, since scores of different folds have different offsets (which biases a pooled AUROC below 0.5 under the null).

Two unit Gaussians a distance :math:`\delta` apart have :math:`\Phi(\delta/\sqrt2)` where the direction is known, and where it is the difference
of the means of `m` training latents each (:math:`d \gg 1`)

.. math:: \Phi\left(\frac{\delta^2}{\sqrt{2(\delta^2 + 2d/m)}}\right).

Two parts of the answer are given apart: by the norm of the latents alone, and by their directions alone. A set of latents that differs in
its norm is told apart by any classifier, which says nothing of where its domain lies.

The classifier is linear: sets with the same mean and another covariance look alike to it (the spectrum and the norm do not). The p-value
is that of relabelled sets. The interval is Newcombe's (2006, Stat. Med. 25, 559, method 5), which stays an interval where all pairs are in
order, widened by the factor by which relabelled sets scatter more than his formula says at 0.5: folds share training latents, and so errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from astro_ood._judgement import Judgement
from astro_ood._random import stream
from astro_ood.latents.diagnostics.intervals import ALPHA, LEAST_LATENTS, Array, jackknife, p_text
from astro_ood.latents.geometry import spread_from_sums

RIDGE = 1.0
FOLDS = 5
# divisions into folds that are averaged, of many latents and of few
REPEATS, MOST_REPEATS = 2, 10
SIZES = (5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Area:
    """AUROC of held-out latents, its interval at 95 %, and p of relabelled sets (NaN where none were made for it)."""

    value: float
    low: float
    high: float
    p: float = float("nan")


@dataclass(frozen=True)
class Separability:
    """How well a set of latents is told from another.

    Attributes
    ----------
    n, n_other : int
        Numbers of latents.
    whole, norm, direction : Area
        By a linear classifier of the latents, of the logarithm of their norm, and of the latents scaled to one norm.
    sizes : ndarray, shape (M,)
        Latents of each set that were used; the last stands for all.
    curve, curve_low, curve_high : ndarray, shape (M,)
        AUROC of so many, averaged over subsamples, and its interval.
    separation : tuple of float
        ``|mu - mu_other| / d^(1/4)``, debiased, and its jackknife interval; the paper's yardstick is 1.
    """

    n: int
    n_other: int
    whole: Area
    norm: Area
    direction: Area
    sizes: NDArray[np.int64]
    curve: Array
    curve_low: Array
    curve_high: Array
    separation: tuple[float, float, float]


def compute_separability(
    z: NDArray[Any],
    other: NDArray[Any],
    *,
    ridge: float = RIDGE,
    n_permutations: int = 99,
    sizes: Sequence[int] = SIZES,
    seed: int = 0,
) -> Separability:
    """Tell latents from other latents by held-out folds.

    Parameters
    ----------
    z, other : ndarray, shapes (N, C, H, W) and (M, C, H, W)
        At least two each.
    ridge : float
        Shrinkage in units of the mean diagonal of the centred inner products.
    n_permutations : int
        Relabellings for the p-value and the width of the intervals, at least 2.
    sizes : sequence of int
        Numbers of latents of each set at which the AUROC is taken as well.
    seed : int
        Of folds, subsamples and relabellings.

    Raises
    ------
    ValueError
        Fewer than two latents in a set, or sets of different shape.
    """
    if min(len(z), len(other)) < 2 or z.shape[1:] != other.shape[1:]:
        raise ValueError(f"two latents of one shape are needed in each set, found {z.shape} and {other.shape}")
    n, m = len(z), len(other)
    flat = np.concatenate([z.reshape(n, -1), other.reshape(m, -1)]).astype(np.float64)
    gram = flat @ flat.T
    labels = np.arange(n + m) < n
    norm = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    kernels = (gram, np.multiply.outer(np.log(norm), np.log(norm)), gram / np.multiply.outer(norm, norm))
    repeats = max(REPEATS, min(MOST_REPEATS, 100 // (n + m)))
    values = [_repeated(kernel, labels, ridge, stream(seed, "folds"), repeats) for kernel in kernels]
    null = np.array([_relabelled(gram, labels, ridge, repeats, stream(seed, "relabel", i)) for i in range(n_permutations)])
    wider = max(1.0, float(null.std(ddof=1)) / _newcombe_sd(n, m))
    p = float((1 + np.sum(null >= values[0] - 1e-12)) / (n_permutations + 1))
    whole, length, direction = (Area(v, *auroc_interval(v, n, m, wider), q) for v, q in zip(values, (p, nan, nan), strict=True))
    taken = np.array([size for size in sizes if size < min(n, m)] + [min(n, m)], dtype=np.int64)
    curve = [_subsampled(gram, labels, int(size), ridge, wider, seed) for size in taken[:-1]] + [whole]
    return Separability(
        n,
        m,
        whole,
        length,
        direction,
        taken,
        np.array([area.value for area in curve]),
        np.array([area.low for area in curve]),
        np.array([area.high for area in curve]),
        _separation(gram, labels, flat.shape[1]),
    )


def judge_separability(
    found: Separability, name: str = "separable", controls: Mapping[str, Separability] | None = None
) -> Judgement:
    """Put the comparison into words: ``different`` means that the sets are told apart.

    Parameters
    ----------
    controls : mapping, optional
        The same comparison of other latents, which should be told from `other` no better (inverted in-domain maps), by name.
    """
    area, few = found.whole, min(found.n, found.n_other) < LEAST_LATENTS
    shown = f"AUROC {area.value:.3f} ({area.low:.2f} to {area.high:.2f}, {p_text(area.p)})"
    parts = f"by the norm alone {found.norm.value:.3f}, by the direction alone {found.direction.value:.3f}"
    separated = area.p <= ALPHA and area.value > 0.5
    if separated:
        because = "; the norm alone does as well" if found.norm.value >= area.low else ""
        text = f"told apart: {shown}; {parts}{because}"
    elif few:
        text = f"{found.n} against {found.n_other} latents cannot show whether they are told apart: {shown}"
    else:
        text = f"not told apart: {shown}; {parts}"
    text += f"; centres |μ| / ∜d = {found.separation[0]:.2f} ({found.separation[1]:.2f} to {found.separation[2]:.2f})"
    for other, control in (controls or {}).items():
        text += f"; {other}: {control.whole.value:.3f} ({control.whole.low:.2f} to {control.whole.high:.2f})"
        if control.whole.high >= area.low:
            text += ", no worse"
    return Judgement(name, False if separated else None if few else True, area.value, area.low, area.high, area.p, text)


def auroc(scores: Array, labels: NDArray[np.bool_]) -> float:
    """Probability that a score of the first kind is above one of the second; ties count half."""
    ranks = stats.rankdata(scores)
    n, m = int(labels.sum()), int((~labels).sum())
    return float((ranks[labels].sum() - n * (n + 1) / 2) / (n * m))


def auroc_interval(value: float, n: int, m: int, wider: float = 1.0) -> tuple[float, float]:
    """Newcombe's interval (method 5) of an AUROC of `n` against `m` scores at 95 %, by his variance at each candidate value.

    Parameters
    ----------
    wider : float
        Factor on his standard deviation.
    """
    z = wider * float(stats.norm.ppf(1 - ALPHA / 2))

    def excess(theta: float) -> float:
        return (value - theta) ** 2 - z**2 * _newcombe_variance(theta, n, m)

    # 0 and 1 themselves have no variance, and are roots where they are the value
    low = 0.0 if value <= 0 else optimize.brentq(excess, 0.0, min(value, 1 - 1e-9))
    high = 1.0 if value >= 1 else optimize.brentq(excess, max(value, 1e-9), 1.0)
    return float(low), float(high)


def _newcombe_variance(theta: float, n: int, m: int) -> float:
    spread = 1 + ((n + m) / 2 - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
    return theta * (1 - theta) * spread / (n * m)


def _newcombe_sd(n: int, m: int) -> float:
    """Standard deviation under the null."""
    return sqrt(_newcombe_variance(0.5, n, m))


def held_out_auroc(kernel: Array, labels: NDArray[np.bool_], folds: NDArray[np.int64], ridge: float = RIDGE) -> float:
    """AUROC of scores of each fold by the classifier of the others; pairs of one fold only.

    Parameters
    ----------
    kernel : ndarray, shape (N, N)
        Inner products of the latents.
    labels : ndarray of bool, shape (N,)
    folds : ndarray of int, shape (N,)
    """
    won = pairs = 0.0
    for fold in np.unique(folds):
        held, kept = folds == fold, folds != fold
        inside, y = kernel[np.ix_(kept, kept)], labels[kept].astype(np.float64)
        across = kernel[np.ix_(held, kept)]
        count = float(labels[held].sum() * (~labels[held]).sum())
        if count == 0 or y.min() == y.max():
            continue
        # about the mean of the two means, so that unequal numbers do not move it
        weight = np.where(y > 0, 0.5 / y.sum(), 0.5 / (1 - y).sum())
        towards, middle = inside @ weight, across @ weight
        centred = inside - towards[:, None] - towards[None] + weight @ towards
        shrunk = centred + max(ridge * np.trace(centred) / len(y), 1e-300) * np.eye(len(y))
        # the constraint on the weights keeps scores free of an offset that all training latents share
        a = np.linalg.solve(shrunk, weight * (2 * y - 1))
        scores = (across - middle[:, None] - towards[None]) @ a
        won += count * auroc(scores, labels[held])
        pairs += count
    return won / pairs if pairs else 0.5


def _folds(labels: NDArray[np.bool_], n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Folds with equal shares of both sets; no more of them than the smaller set has members."""
    folds = np.empty(len(labels), dtype=np.int64)
    n_folds = min(n_folds, int(labels.sum()), int((~labels).sum()))
    for kind in (True, False):
        rows = np.flatnonzero(labels == kind)
        folds[rng.permutation(rows)] = np.arange(len(rows)) % n_folds
    return folds


def _repeated(kernel: Array, labels: NDArray[np.bool_], ridge: float, rng: np.random.Generator, repeats: int) -> float:
    return float(np.mean([held_out_auroc(kernel, labels, _folds(labels, FOLDS, rng), ridge) for _ in range(repeats)]))


def _relabelled(kernel: Array, labels: NDArray[np.bool_], ridge: float, repeats: int, rng: np.random.Generator) -> float:
    """AUROC of relabelled sets."""
    return _repeated(kernel, rng.permutation(labels), ridge, rng, repeats)


def _subsampled(gram: Array, labels: NDArray[np.bool_], size: int, ridge: float, wider: float, seed: int) -> Area:
    """AUROC of `size` latents of each set, averaged over subsamples."""
    kinds = [np.flatnonzero(labels == kind) for kind in (True, False)]
    values = []
    for item in range(8):
        rng = stream(seed, "subsample", 1000 * size + item)
        rows = np.concatenate([rng.choice(kind, size, replace=False) for kind in kinds])
        values.append(_repeated(gram[np.ix_(rows, rows)], labels[rows], ridge, rng, REPEATS))
    value = float(np.mean(values))
    return Area(value, *auroc_interval(value, size, size, wider))


def _separation(gram: Array, labels: NDArray[np.bool_], d: int) -> tuple[float, float, float]:
    """Debiased distance of the two centres over d^(1/4); the jackknife leaves out one latent of either set at a time."""
    sets = [np.flatnonzero(labels), np.flatnonzero(~labels)]

    def inside(rows: NDArray[np.int64]) -> Array:
        """Mean product of two different latents of a set, of all and without each."""
        products = gram[np.ix_(rows, rows)].sum(axis=1) - np.diag(gram)[rows]
        n, total = len(rows), products.sum()
        rest = (total - 2 * products) / max((n - 1) * (n - 2), 1)
        return np.append(total / (n * (n - 1)), rest)

    across = gram[np.ix_(*sets)]
    own, others = inside(sets[0]), inside(sets[1])
    n, m = across.shape
    cross = across.mean()
    whole = own[0] + others[0] - 2 * cross
    without = [
        own[1:] + others[0] - 2 * (across.sum() - across.sum(axis=1)) / ((n - 1) * m),
        own[0] + others[1:] - 2 * (across.sum() - across.sum(axis=0)) / (n * (m - 1)),
    ]
    variance = sum((len(part) - 1) ** 2 / len(part) * float(np.var(part, ddof=1)) for part in without)
    half = float(stats.t.ppf(1 - ALPHA / 2, min(n, m) - 1) * np.sqrt(variance))
    ends = np.sqrt(np.maximum([whole, whole - half, whole + half], 0.0)) / d**0.25
    return float(ends[0]), float(ends[1]), float(ends[2])


def centre_interval(z: NDArray[Any]) -> tuple[float, float, float]:
    """Debiased ``|mu|^2`` of latents (N, ...), and its jackknife interval (it may reach below 0)."""
    flat = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    total, squares = flat.sum(axis=0), np.einsum("ij,ij->i", flat, flat)
    whole = spread_from_sums(len(flat), total, float(squares.sum()))[0]
    rest = [
        spread_from_sums(len(flat) - 1, total - row, float(squares.sum() - own))[0] for row, own in zip(flat, squares, strict=True)
    ]
    return jackknife(whole, np.array(rest))
