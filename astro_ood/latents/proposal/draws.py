r"""Draws from a prior, alone or beside latents.

``gaussian`` is a draw. ``shell`` moves a draw to the distance from the mean that a randomly chosen latent has: the directions of the prior (all
alike for an isotropic one: the spherical shell) with the amplitudes of the latents, which no Gaussian has where they differ from map to
map. ``parent`` adds a draw to a latent, :math:`z = \mu + \sqrt{1 - s^2}\,(x - \mu) + s\,g`: from a copy (``s = 0``) to the prior (``s = 1``).
"""

from __future__ import annotations

import numpy as np

from astro_ood._random import stream
from astro_ood.latents.prior import LatentPrior
from astro_ood.latents.proposal.seeds import Candidates, Seeds


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
