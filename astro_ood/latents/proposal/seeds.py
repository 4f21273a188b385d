"""What proposals start from and what they make: the inverted latents as seeds, candidates with their parents and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.latents.geometry import mean_from_sums

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Latents that were made, and how.

    Attributes
    ----------
    z : ndarray, shape (M, C, H, W)
    parents : ndarray of int, shape (M, K)
        Rows of the inverted latents each candidate was made from; -1 where there is none. A parent may stand there more than once:
        `bands` names each for every octave.
    weights : ndarray, shape (M, K)
        Coefficient of each parent: of itself (`lerp`, `slerp`), or of its difference from the mean (all others).
    """

    z: Array
    parents: NDArray[np.int64]
    weights: Array


@dataclass(frozen=True)
class Seeds:
    """Inverted latents, in whatever precision they are kept, with their shrunk mean.

    Attributes
    ----------
    z : ndarray, shape (N, C, H, W)
    mean : ndarray, shape (C, H, W)
    weight : float
        Of the mean of the latents in `mean`.
    norms : ndarray, shape (N,)
        Distance of each from the mean, with the share given back that the fitted mean has taken.
    """

    z: NDArray[Any]
    mean: Array
    weight: float
    norms: Array

    @classmethod
    def of(cls, z: NDArray[Any]) -> Seeds:
        """Seeds from latents (N, C, H, W); float64 copies are made of one at a time."""
        total, squares = np.zeros(z.shape[1:]), 0.0
        for row in z:
            total += row
            squares += float(np.sum(row.astype(np.float64) ** 2))
        mean, weight = mean_from_sums(len(z), total, squares)
        norms = np.array([np.linalg.norm(row - mean) for row in z])
        return cls(z, mean, weight, norms / np.sqrt(1 - weight * (2 - weight) / len(z)))

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: NDArray[np.int64]) -> Array:
        return np.asarray(self.z[rows], dtype=np.float64)

    def around(self, rows: NDArray[np.int64]) -> Array:
        """Differences from the mean."""
        return self[rows] - self.mean

    def spread(self, weights: Array) -> Array:
        """Factor (...) that gives weighted sums over the last axis the spread of one latent; see `lol`."""
        a, b = weights.sum(axis=-1), np.sum(weights**2, axis=-1)
        return np.asarray(1 / np.sqrt(b * (1 - a**2 * self.weight * (2 - self.weight) / (len(self) * b))))
