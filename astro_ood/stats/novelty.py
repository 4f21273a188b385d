"""Are the samples new? Nearest neighbours under flips, rotations and shifts.

Two maps, each brought to zero mean and unit variance, are at distance sqrt(2 - 2 r), r the largest correlation coefficient over
the eight flips and rotations of the square (four if the sides differ) and over shifts: 0 for a copy, sqrt 2 for unrelated maps.
A shifted copy of a map that is not periodic agrees on the overlap only, so r is the normalised cross-correlation of the
overlapping rectangles (Padfield 2012, IEEE Trans. Image Process. 21, 2670), with at least `overlap` of either side in common. With
one half, every cyclic shift is found as well.

Red fields resemble one another by chance, so a distance says nothing by itself: it is compared with those of held-out maps to the
same references. A sample is a **copy** if it lies closer than 0.9 of the *smallest* held-out distance and below the 0.2 %
prediction limit of a lognormal law for the held-out distances (Student's t, so that few held-out maps lower the threshold).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, IntArray, as_stack
from astro_ood.stats.stack import Stack

COPY_FRACTION = 0.9
COPY_TAIL = 0.002
OVERLAP = 0.5
# Of the maps whose transforms in all orientations are held at a time; these take some twenty times as much.
_TURNED_BYTES = 1 << 22
# Correlations that are kept to test those with parents.
_MOST_PAIRS = 10_000_000
_REST = 1e-9
# Distance to an exact copy that single-precision transforms may leave.
_NOISE = 1e-2
# Few distances can agree by chance, and leave-one-out distances come in equal pairs: their ln never spreads less than this.
_LEAST_SPREAD = 0.1


@dataclass(frozen=True)
class Kinship:
    """Do samples resemble their own parents more than the other inverted maps?

    Attributes
    ----------
    correlation : ndarray, shape (N, M)
        Of samples with inverted maps, over orientations and shifts; of many, some samples are taken evenly.
    parents : ndarray of int, shape (N,)
    """

    correlation: NDArray[np.float32]
    parents: IntArray

    @property
    def others(self) -> float:
        """Median correlation with inverted maps that are not the parent."""
        own = np.arange(self.correlation.shape[1]) == self.parents[:, None]
        return float(np.median(self.correlation[~own])) if not own.all() else float("nan")

    def p(self, n_permutations: int, rng: np.random.Generator) -> float:
        """One-sided p of the mean correlation with the parents when these are dealt to the samples anew; at least 1 / (n + 1).

        What the inverted maps have in common, and that some of them resemble everything, stays as it is: only who came from whom is permuted.
        """
        each = np.arange(len(self.parents))
        null = [float(self.correlation[each, rng.permutation(self.parents)].mean()) for _ in range(n_permutations)]
        own = float(self.correlation[each, self.parents].mean())
        return (np.count_nonzero(np.array(null) >= own - _REST) + 1) / (n_permutations + 1)


@dataclass(frozen=True)
class Novelty:
    """How close samples come to the maps they were made from.

    Attributes
    ----------
    samples, reference : ndarray, shapes (N,) and (M,)
        Nearest-neighbour distances of samples, and of held-out maps (or, without any, of each real map to the others).
    nearest : ndarray of int, shape (N,)
        Index of the nearest real map.
    threshold : float
        Distance below which a sample counts as a copy.
    parent_correlation : ndarray or None, shape (N,)
        Largest correlation of each sample with its own parent, if parents are known.
    kinship : Kinship or None
        The same beside the correlations with the other inverted maps.
    """

    samples: FloatArray
    reference: FloatArray
    nearest: IntArray
    threshold: float
    parent_correlation: FloatArray | None = None
    kinship: Kinship | None = None

    @property
    def ratio(self) -> float:
        """Median distance of samples over that of held-out maps: below 1, samples are closer than real maps are."""
        return float(np.median(self.samples) / max(float(np.median(self.reference)), _REST))

    @property
    def copies(self) -> NDArray[np.bool_]:
        """Which samples are copies."""
        return np.asarray(self.samples < self.threshold)

    @property
    def copy_rate(self) -> float:
        """Fraction of the samples that are copies."""
        return float(np.mean(self.copies))


def orientations(x: FloatArray) -> FloatArray:
    """Flips and rotations that keep the shape: (8, N, H, W) for square maps, (4, N, H, W) else."""
    flips = [x, x[:, ::-1], x[:, :, ::-1], x[:, ::-1, ::-1]]
    if x.shape[1] == x.shape[2]:
        flips += [f.transpose(0, 2, 1) for f in flips]
    return np.stack(flips)


def correlations(a: ArrayLike | Stack, b: ArrayLike | Stack, overlap: float = OVERLAP) -> FloatArray:
    """Largest correlation of each map of `a` with each of `b` over orientations and shifts.

    Parameters
    ----------
    a, b : array_like or Stack, shapes (N, H, W) and (M, H, W)
        Missing pixels of a `Stack` are filled smoothly.
    overlap : float
        Least fraction of either side that two shifted maps share, in (0, 1]; 1 allows no shift.

    Returns
    -------
    ndarray, shape (N, M)
        In [-1, 1].
    """
    one, two = _as_set(a, "first set"), _as_set(b, "second set")
    if one.shape[1:] != two.shape[1:]:
        raise InputError("IN25", "novelty", f"maps of shapes {one.shape[1:]} and {two.shape[1:]}", "give maps of one shape")
    shape = one.shape[1:]
    reach = [int(n * (1 - overlap)) for n in shape]
    padded = [scipy.fft.next_fast_len(n + r, real=True) for n, r in zip(shape, reach, strict=True)]
    rows, columns = (np.arange(-r, r + 1) for r in reach)
    area = np.outer(shape[0] - np.abs(rows), shape[1] - np.abs(columns)).astype(np.float64)
    parts = []
    for others in two.filled(_TURNED_BYTES):
        turned = [_Shifted(view, padded, rows, columns, area) for view in np.swapaxes(orientations(_standardise(others)), 0, 1)]
        part = np.empty((len(one), len(others)))
        for i, item in enumerate(item for maps in one.filled() for item in _standardise(maps)):
            # The rectangle of `a` under shift s is that of `b` under -s.
            fixed = _Shifted(item[None], padded, -rows, -columns, area)
            for j, other in enumerate(turned):
                part[i, j] = _best(fixed, other, padded, rows, columns, area)
        parts.append(part)
    return np.clip(np.concatenate(parts, axis=1), -1.0, 1.0)


def nearest(a: ArrayLike | Stack, b: ArrayLike | Stack, overlap: float = OVERLAP) -> tuple[FloatArray, IntArray]:
    """Nearest map of `b` for each map of `a`.

    Returns
    -------
    distance, index : ndarray, shape (N,)
    """
    distance, index, _, _ = _nearest(a, b, None, overlap)
    return distance, index


def nearest_other(x: ArrayLike | Stack, regions: ArrayLike | None = None, overlap: float = OVERLAP) -> FloatArray:
    """Distance of each map to the nearest *other* map, those of its own region left out.

    Parameters
    ----------
    x : array_like or Stack, shape (N, H, W)
    regions : array_like, shape (N,), optional
        Label of the region of each map.

    Returns
    -------
    ndarray, shape (N,)
    """
    maps = _as_set(x, "maps", 2)
    labels = np.arange(len(maps)) if regions is None else np.asarray(regions)
    if len(np.unique(labels)) < 2:
        raise InputError("IN40", "regions", "all maps are of one region", "give maps of at least two regions, or no regions")
    found, start = [], 0
    for part in maps.filled():
        own = labels[start : start + len(part), None] == labels[None, :]
        found.append(np.where(own, -1.0, correlations(part, maps, overlap)).max(axis=1))
        start += len(part)
    return _distance(np.concatenate(found))


def novelty(
    samples: ArrayLike | Stack,
    inverted: ArrayLike | Stack,
    held_out: ArrayLike | Stack | None = None,
    *,
    parents: ArrayLike | None = None,
    regions: ArrayLike | None = None,
    overlap: float = OVERLAP,
) -> Novelty:
    """Compare the distances of samples and of held-out maps to the inverted maps.

    Parameters
    ----------
    samples, inverted, held_out : array_like or Stack, shapes (N, H, W), (M, H, W), (L, H, W)
        Without `held_out`, the reference is each inverted map against the others (leave one out).
    parents : array_like of int, shape (N,), optional
        Index of the inverted map that each sample was made from.
    regions : array_like, shape (M,), optional
        Regions of the inverted maps, for the leave-one-out distances.

    Returns
    -------
    Novelty
    """
    found, index, with_parent, kinship = _nearest(samples, inverted, parents, overlap)
    reference = nearest_other(inverted, regions, overlap) if held_out is None else nearest(held_out, inverted, overlap)[0]
    return Novelty(found, reference, index, copy_threshold(reference), with_parent, kinship)


def _nearest(
    a: ArrayLike | Stack, b: ArrayLike | Stack, parents: ArrayLike | None, overlap: float
) -> tuple[FloatArray, IntArray, FloatArray | None, Kinship | None]:
    """Distance and index of the nearest map of `b` for each of `a`; where parents are known, the correlation with them, and beside the others."""
    one, two = _as_set(a, "first set"), _as_set(b, "second set")
    origin = np.zeros(len(one), np.int64) if parents is None else np.asarray(parents, np.int64)
    stride = -(-len(one) * len(two) // _MOST_PAIRS)
    found, shown, start = [], [], 0
    for part in one.filled():
        r = correlations(part, two, overlap)
        each = np.arange(len(r))
        index = np.argmax(r, axis=1)
        found.append((_distance(r[each, index]), index, r[each, origin[start : start + len(part)]]))
        if parents is not None:
            shown.append(r[-start % stride :: stride].astype(np.float32))
        start += len(part)
    distance, place, with_parent = (np.concatenate(column) for column in zip(*found, strict=True))
    if parents is None:
        return distance, place.astype(np.int64), None, None
    return distance, place.astype(np.int64), with_parent, Kinship(np.concatenate(shown), origin[::stride])


def copy_threshold(reference: FloatArray) -> float:
    """Distance below which a sample is a copy, from nearest-neighbour distances (M,) of real maps, M >= 2."""
    ln_d, n = np.log(np.maximum(reference, _NOISE)), len(reference)
    spread = max(float(ln_d.std(ddof=1)), _LEAST_SPREAD)
    reach = float(student.isf(COPY_TAIL, n - 1)) * spread * np.sqrt(1 + 1 / n)
    limit = min(COPY_FRACTION * float(reference.min()), float(np.exp(ln_d.mean() - reach)))
    return max(limit, _NOISE)


def _as_set(x: ArrayLike | Stack, where: str, least: int = 1) -> Stack:
    return x if isinstance(x, Stack) else Stack.of(as_stack(x, where, least), where)


class _Shifted:
    """Views (V, H, W) of one map: transform, and sum and energy of the rectangle that each shift leaves in common."""

    def __init__(self, views: FloatArray, padded: list[int], rows: IntArray, columns: IntArray, area: FloatArray) -> None:
        self.transform = scipy.fft.rfft2(views, s=padded).astype(np.complex64)
        total, square = (_rectangles(v, rows, columns) for v in (views, views**2))
        self.mean_sum = (total / np.sqrt(area)).astype(np.float32)
        variance = square - total**2 / area
        # A rectangle without structure of its own correlates with nothing.
        self.scale = np.where(variance > 1e-3 * area, 1.0 / np.sqrt(np.maximum(variance, _REST)), 0.0).astype(np.float32)


def _best(a: _Shifted, b: _Shifted, padded: list[int], rows: IntArray, columns: IntArray, area: FloatArray) -> float:
    """Largest correlation of one map with the views of another."""
    cross = scipy.fft.irfft2(np.conj(a.transform) * b.transform, s=padded)[:, rows[:, None], columns[None, :]]
    return float(np.max((cross - a.mean_sum * b.mean_sum) * a.scale * b.scale))


def _rectangles(x: FloatArray, rows: IntArray, columns: IntArray) -> FloatArray:
    """Sums of `x` (V, H, W) over the part that stays inside after a shift by (-row, -column): (V, R, C)."""
    height, width = x.shape[1:]
    table = np.zeros((len(x), height + 1, width + 1))
    table[:, 1:, 1:] = x.cumsum(axis=1).cumsum(axis=2)
    top, bottom = np.maximum(rows, 0), height + np.minimum(rows, 0)
    left, right = np.maximum(columns, 0), width + np.minimum(columns, 0)

    def corner(r: IntArray, c: IntArray) -> FloatArray:
        return table[:, r[:, None], c[None, :]]

    return corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)


def _standardise(x: FloatArray) -> FloatArray:
    centred = x - x.mean(axis=(1, 2), keepdims=True)
    sd = centred.std(axis=(1, 2), keepdims=True)
    return np.asarray(centred / np.where(sd > 0, sd, 1.0))


def _distance(r: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.maximum(2.0 - 2.0 * r, 0.0)))
