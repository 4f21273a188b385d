r"""Proposals: how a candidate latent is made from the inverted ones.

``gaussian`` draws from a fitted prior. ``slerp`` goes part of the way from one latent to another along a great circle, with the
magnitude interpolated linearly (the published way; candidates near their ends are near copies). ``lol`` is a latent-optimal linear
combination (Bodin et al. 2024, arXiv:2408.08558) of ``K`` latents with independent zero-mean weights: with ``a`` the sum and ``b``
the sum of squares of the weights,

.. math:: z = \mu + \frac{1}{\sqrt{q\,b}} \Big( \sum_i w_i x_i - a \mu \Big), \qquad q = 1 - \frac{a^2 c (2 - c)}{n b},

keeps the distribution of the latents; ``q`` restores the spread that a mean estimated from the same ``n`` latents takes away, where
``c`` is the weight of the estimated mean after shrinkage. (The constant part of the mean is always the estimated one: the spread of
that single mode stays smaller by the factor that ``q`` has for ``c = 1``.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.geometry import angles_between, shrunk_mean
from astro_ood.latents.prior import LatentPrior

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """Latents that were made, and how.

    Attributes
    ----------
    z : ndarray, shape (M, C, H, W)
    parents : ndarray of int, shape (M, K)
        Rows of the inverted latents each candidate was made from; -1 where there is none.
    weights : ndarray, shape (M, K)
        Coefficient of each parent.
    """

    z: Array
    parents: NDArray[np.int64]
    weights: Array


def gaussian(prior: LatentPrior, first: int, m: int, seed: int) -> Candidates:
    """Candidates ``first .. first + m - 1`` drawn from a prior."""
    return Candidates(prior.sample(m, seed, first), np.full((m, 1), -1), np.zeros((m, 1)))


def slerp(z: Array, first: int, m: int, seed: int) -> Candidates:
    """Candidates on great circles between two latents of (N, C, H, W)."""
    parents, weights = np.empty((m, 2), dtype=np.int64), np.empty((m, 2))
    flat = z.reshape(len(z), -1)
    for row in range(m):
        rng = stream(seed, "slerp", first + row)
        i, j = parents[row] = rng.choice(len(z), 2, replace=False)
        u = rng.uniform()
        angle = np.radians(angles_between(flat[i], flat[j]))
        norms = np.linalg.norm(flat[[i, j]], axis=1)
        length = (1 - u) * norms[0] + u * norms[1]
        direction = np.array([1 - u, u])
        if angle > 1e-6:
            direction = np.sin(direction * angle) / np.sin(angle)
        weights[row] = length * direction / norms
    return Candidates(np.einsum("mk,mk...->m...", weights, z[parents]), parents, weights)


def lol(z: Array, first: int, m: int, seed: int, k: int = 3) -> Candidates:
    """Latent-optimal combinations of `k` of the latents (N, C, H, W).

    Raises
    ------
    ConfigError
        `k` below 2 or above the number of latents.
    """
    n = len(z)
    if not 2 <= k <= n:
        raise ConfigError("CF12", "proposal.k", f"found {k}, expected 2 to {n}, the number of inverted latents", "give another k")
    mean, c = shrunk_mean(z)
    parents, weights = np.empty((m, k), dtype=np.int64), np.empty((m, k))
    out = np.empty((m, *z.shape[1:]))
    for row in range(m):
        rng = stream(seed, "lol", first + row)
        parents[row] = rng.choice(n, k, replace=False)
        w = rng.standard_normal(k)
        a, b = w.sum(), np.sum(w**2)
        weights[row] = w / np.sqrt(b * (1 - a**2 * c * (2 - c) / (n * b)))
        out[row] = mean + np.einsum("k,k...->...", weights[row], z[parents[row]] - mean)
    return Candidates(out, parents, weights)


def maker(kind: str, z: NDArray[Any], prior: LatentPrior | None, seed: int, k: int = 3) -> Callable[[int, int], Candidates]:
    """The proposal `kind` as a function ``(first, m) -> Candidates``.

    Raises
    ------
    ConfigError
        Unknown kind.
    RunError
        Too few latents for the proposal, or no prior for ``gaussian``.
    """
    z = np.asarray(z, dtype=np.float64)
    if kind == "gaussian":
        if prior is None:
            raise RunError("RN12", "proposal", "gaussian proposals need a fitted prior", "fit one first")
        return lambda first, m: gaussian(prior, first, m, seed)
    if len(z) < 2:
        raise RunError("IN40", "proposal", f"{len(z)} latents, {kind} needs at least 2", "invert more maps")
    if kind == "slerp":
        return lambda first, m: slerp(z, first, m, seed)
    if kind == "lol":
        return lambda first, m: lol(z, first, m, seed, min(k, len(z)))
    raise ConfigError("CF12", "proposal.kind", f"there is no proposal '{kind}'", "choose one of gaussian, slerp, lol")
