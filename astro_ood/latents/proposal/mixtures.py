r"""Linear combinations of latents, of the whole or octave by octave.

``lol`` is a latent-optimal linear combination (Bodin et al. 2024, arXiv:2408.08558) of ``K`` latents with independent zero-mean
weights: with ``a`` the sum and ``b`` the sum of squares of the weights,

.. math:: z = \mu + \frac{1}{\sqrt{q\,b}} \Big( \sum_i w_i x_i - a \mu \Big), \qquad q = 1 - \frac{a^2 c (2 - c)}{n b},

keeps the distribution of the latents; ``q`` restores the spread that a mean estimated from the same ``n`` latents takes away, where
``c`` is the weight of the estimated mean after shrinkage. (The constant part of the mean is always the estimated one: the spread of
that single mode stays smaller by the factor that ``q`` has for ``c = 1``.)

``bands`` does so with weights of its own in each octave of wavenumber, ``low_high`` takes the octaves below a random one from one parent
and the rest from another. The octaves are sharp in Fourier space, so the spectrum is kept exactly; what joins the scales of a map is lost
where they come from different parents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.errors import ConfigError
from astro_ood.latents.proposal.seeds import Array, Candidates, Seeds


def lol(seeds: Seeds, first: int, m: int, seed: int, k: int = 3) -> Candidates:
    """Latent-optimal combinations of `k` of the latents.

    Raises
    ------
    ConfigError
        `k` below 2 or above the number of latents.
    """
    _require(k, seeds)
    parents, weights = np.empty((m, k), dtype=np.int64), np.empty((m, k))
    out = np.empty((m, *seeds.mean.shape))
    for row in range(m):
        rng = stream(seed, "lol", first + row)
        parents[row] = rng.choice(len(seeds), k, replace=False)
        w = rng.standard_normal(k)
        weights[row] = w * seeds.spread(w)
        out[row] = seeds.mean + np.tensordot(weights[row], seeds.around(parents[row]), 1)
    return Candidates(out, parents, weights)


def bands(seeds: Seeds, first: int, m: int, seed: int, k: int = 3) -> Candidates:
    """Latent-optimal combinations of `k` of the latents, with weights of its own in each octave.

    Parents and weights have one column for each octave and parent, octave by octave from large to small scales.

    Raises
    ------
    ConfigError
        `k` below 2 or above the number of latents.
    """
    _require(k, seeds)
    octave = octaves(*seeds.mean.shape[1:])
    n_octaves = int(octave.max()) + 1
    out, parents, weights = [], np.empty((m, k), dtype=np.int64), np.empty((m, n_octaves, k))
    for row in range(m):
        rng = stream(seed, "bands", first + row)
        parents[row] = rng.choice(len(seeds), k, replace=False)
        w = rng.standard_normal((n_octaves, k))
        weights[row] = w * seeds.spread(w)[:, None]
        out.append(_mix(seeds, parents[row], weights[row], octave))
    shape = (m, *seeds.mean.shape)
    return Candidates(np.reshape(out, shape), np.tile(parents, n_octaves), weights.reshape(m, n_octaves * k))


def low_high(seeds: Seeds, first: int, m: int, seed: int) -> Candidates:
    """Large scales of one latent and small scales of another, cut between two octaves at random."""
    octave = octaves(*seeds.mean.shape[1:])
    n_octaves = int(octave.max()) + 1
    out, parents = [], np.empty((m, 2), dtype=np.int64)
    for row in range(m):
        rng = stream(seed, "low_high", first + row)
        parents[row] = rng.choice(len(seeds), 2, replace=False)
        low = np.arange(n_octaves) < rng.integers(1, max(n_octaves, 2))
        out.append(_mix(seeds, parents[row], np.stack([low, ~low], axis=1).astype(np.float64), octave))
    return Candidates(np.reshape(out, (m, *seeds.mean.shape)), parents, np.ones((m, 2)))


def octaves(h: int, w: int) -> NDArray[np.int64]:
    """Octave of each Fourier mode (h, w): 0 up to wavenumber 2 in cycles per shorter side, 1 up to 4, and so on; not beyond the axes."""
    scale = min(h, w)
    k = scale * np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None])
    last = max(0, int(np.log2(max(scale / 2, 1))) - 1)
    return np.clip(np.floor(np.log2(np.maximum(k, 1))), 0, last).astype(np.int64)


def _mix(seeds: Seeds, parents: NDArray[np.int64], weights: Array, octave: NDArray[np.int64]) -> Array:
    """The mean and the sum of parents (K,), weighted in each octave (B, K)."""
    modes = np.fft.fft2(seeds.around(parents))
    mixed = np.einsum("hwk,kchw->chw", weights[octave], modes)
    return np.asarray(seeds.mean + np.fft.ifft2(mixed).real)


def _require(k: int, seeds: Seeds) -> None:
    n = len(seeds)
    if not 2 <= k <= n:
        raise ConfigError("CF12", "proposal.k", f"found {k}, expected 2 to {n}, the number of inverted latents", "give another k")
