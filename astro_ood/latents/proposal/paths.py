r"""Paths between two latents: the position on the path is random, within the middle `reach` of it.

``lerp`` is the straight line, which loses a third of the variance. ``slerp`` follows the great circle about the origin with the
magnitude interpolated linearly: the published way, whose candidates near the ends are near copies, so that a `reach` below 1 keeps them
away. ``norm_path`` follows the great circle about the *mean*, and its distance from there keeps the law of the latents' distances,
:math:`\log r = m + \sum_i w_i (\log r_i - m) / |w|` with :math:`w = (1 - u, u)`: linear in `u` it would be drawn to the middle, and an average
of norms is likelier than any norm (Samuel et al. 2023, arXiv:2306.08687, take the likeliest path; this one is as likely as a latent).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from astro_ood._random import stream
from astro_ood.latents.geometry import angles_between
from astro_ood.latents.proposal.seeds import Array, Candidates, Seeds

Coefficients = Callable[[Array, float, Array], Array]


def lerp(seeds: Seeds, first: int, m: int, seed: int, reach: float = 1.0) -> Candidates:
    """Candidates on straight lines between two latents."""
    return _between(seeds, first, m, seed, "lerp", reach)


def slerp(seeds: Seeds, first: int, m: int, seed: int, reach: float = 1.0) -> Candidates:
    """Candidates on great circles between two latents; ``reach = 1`` is the published way."""
    return _between(seeds, first, m, seed, "slerp", reach)


def norm_path(seeds: Seeds, first: int, m: int, seed: int, reach: float = 1.0) -> Candidates:
    """Candidates on great circles about the mean, as far from it as latents are."""
    return _between(seeds, first, m, seed, "norm_path", reach)


def _between(seeds: Seeds, first: int, m: int, seed: int, kind: str, reach: float) -> Candidates:
    parents, weights = np.empty((m, 2), dtype=np.int64), np.empty((m, 2))
    origin = seeds.mean if kind == "norm_path" else np.zeros_like(seeds.mean)
    out = np.empty((m, *seeds.mean.shape))
    for row in range(m):
        rng = stream(seed, kind, first + row)
        parents[row] = rng.choice(len(seeds), 2, replace=False)
        u = 0.5 + reach * (rng.uniform() - 0.5)
        pair = seeds[parents[row]] - origin
        weights[row] = np.array([1 - u, u]) if kind == "lerp" else great_circle(pair, u)
        if kind == "norm_path":
            wanted = _typical(np.log(seeds.norms), parents[row], u)
            weights[row] *= wanted / np.linalg.norm(np.tensordot(weights[row], pair, 1))
        out[row] = origin + np.tensordot(weights[row], pair, 1)
    return Candidates(out, parents, weights)


def great_circle(pair: Array, u: float) -> Array:
    """Coefficients of two latents at position `u`, the magnitude interpolated linearly."""
    flat = pair.reshape(2, -1)
    angle, norms = np.radians(angles_between(flat[0], flat[1])), np.linalg.norm(flat, axis=1)
    share = np.array([1 - u, u])
    length = share @ norms
    if angle > 1e-6:
        share = np.sin(share * angle) / np.sin(angle)
    return np.asarray(length * share / norms)


def _typical(log_norms: Array, parents: Array, u: float) -> float:
    """Norm between two, distributed as those of all."""
    share, middle = np.array([1 - u, u]), float(log_norms.mean())
    return float(np.exp(middle + share @ (log_norms[parents] - middle) / np.linalg.norm(share)))
