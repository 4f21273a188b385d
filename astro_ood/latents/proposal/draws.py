r"""Draws from a prior, alone or beside latents.

``gaussian`` is a draw. ``shell`` moves a draw to the distance from the mean that a randomly chosen latent has: the directions of the prior (all
alike for an isotropic one: the spherical shell) with the amplitudes of the latents, which no Gaussian has where they differ from map to
map. ``parent`` adds a draw to a latent, :math:`z = \mu + \sqrt{1 - s^2}\,(x - \mu) + s\,g`: from a copy (``s = 0``) to the prior (``s = 1``).
``forward`` adds noise to the *map* behind a latent, as training did: :math:`x_t = \alpha_t x_0 + \sigma_t g` with white :math:`g` (a
forward start, arXiv:2410.23530; image editing knows it as arXiv:2108.01073). Scales that the noise of that time hides are the network's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.latents.prior import LatentPrior
from astro_ood.latents.proposal.seeds import Candidates, Seeds


@dataclass(frozen=True)
class Start:
    """A time of the forward process, and the maps that start there.

    Attributes
    ----------
    maps : ndarray, shape (N, C, H, W)
        Clean maps of the inverted latents, row by row, in the network's channels, size and range.
    alpha, sigma : float
        Amplitudes of map and noise at that time.
    """

    maps: NDArray[Any]
    alpha: float
    sigma: float


def gaussian(prior: LatentPrior, first: int, m: int, seed: int) -> Candidates:
    """Candidates ``first .. first + m - 1`` drawn from a prior."""
    return Candidates(prior.sample(m, seed, first), np.full((m, 1), -1), np.zeros((m, 1)))


def shell(seeds: Seeds, prior: LatentPrior, first: int, m: int, seed: int) -> Candidates:
    """Candidates in directions of the prior, as far from the mean as latents are; without parents."""
    rows = [int(stream(seed, "shell", first + row).integers(len(seeds))) for row in range(m)]
    drawn = prior.sample(m, seed, first) - prior.mean
    factor = seeds.norms[rows] / np.linalg.norm(drawn.reshape(m, prior.mean.size), axis=1)
    return Candidates(prior.mean + factor[:, None, None, None] * drawn, np.full((m, 1), -1), np.zeros((m, 1)))


def parent(seeds: Seeds, prior: LatentPrior, first: int, m: int, seed: int, noise: float = 0.5) -> Candidates:
    """Latents with a share `noise` of a draw from the prior."""
    rows = np.array([stream(seed, "parent", first + row).integers(len(seeds)) for row in range(m)], dtype=np.int64)
    share = np.sqrt(1 - noise**2)
    drawn = prior.sample(m, seed, first) - prior.mean
    return Candidates(seeds.mean + share * seeds.around(rows) + noise * drawn, rows[:, None], np.full((m, 1), share))


def forward(start: Start, first: int, m: int, seed: int) -> Candidates:
    """Clean maps with the noise of a time; the weight of the parent is the amplitude of its map."""
    shape = start.maps.shape[1:]
    rows, out = np.empty((m, 1), dtype=np.int64), np.empty((m, *shape))
    for row in range(m):
        rng = stream(seed, "forward", first + row)
        rows[row] = rng.integers(len(start.maps))
        out[row] = start.alpha * start.maps[rows[row, 0]].astype(np.float64) + start.sigma * rng.standard_normal(shape)
    return Candidates(out, rows, np.full((m, 1), start.alpha))
