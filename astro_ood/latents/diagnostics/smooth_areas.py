r"""Do latents keep the picture where the map is smooth?

Inverted latents are least random in the smooth areas of a picture (Staniszewski et al. 2024, arXiv:2410.23530). Pixels of each clean map are
ranked by the squared gradient, averaged over the channels and a neighbourhood; in the smoothest tenth and in the rest, each latent gives

- the logarithm of the ratio of its local variances (smooth over rest), about the mean over latents at each pixel,
- the difference of the correlations of neighbouring pixels (smooth less rest).

Both are 0 on average where the latent knows nothing of its map. The map is the unit. The null hands each latent the areas of another map: it
keeps what all maps have in common (a bright centre, borders), so only the tie between a latent and its *own* map counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from astro_ood._judgement import Judgement
from astro_ood._random import stream
from astro_ood.latents.diagnostics.intervals import ALPHA, LEAST_LATENTS, Array, mean_interval, p_text

FRACTION = 0.1
_NEIGHBOURHOOD = 3


@dataclass(frozen=True)
class SmoothAreas:
    """Latents in the smoothest areas of their maps, and elsewhere.

    Attributes
    ----------
    fraction : float
        Of the pixels, that count as smooth.
    log_variance : ndarray, shape (N,)
        ln (variance in smooth areas / variance elsewhere) of each latent.
    correlation : ndarray, shape (N,)
        Correlation of neighbouring pixels in smooth areas, less that elsewhere.
    null_log_variance, null_correlation : ndarray, shape (B,)
        Their means over latents where the maps are exchanged among the latents.
    deciles : ndarray, shape (10,)
        Variance of the latents by decile of smoothness, the smoothest first, over that of all pixels; averaged over latents.
    """

    fraction: float
    log_variance: Array
    correlation: Array
    null_log_variance: Array
    null_correlation: Array
    deciles: Array

    @property
    def p(self) -> float:
        """Two-sided p of the larger of the two standardised means (max-T over the exchanges)."""
        pool = np.column_stack(
            [
                np.append(self.log_variance.mean(), self.null_log_variance),
                np.append(self.correlation.mean(), self.null_correlation),
            ]
        )
        extreme = np.max(np.abs(pool - pool.mean(axis=0)) / np.maximum(pool.std(axis=0), 1e-300), axis=1)
        return float(np.mean(extreme >= extreme[0] * (1 - 1e-12)))


def compute_smooth_areas(
    z: NDArray[Any], maps: NDArray[Any], *, fraction: float = FRACTION, n_permutations: int = 199, seed: int = 0
) -> SmoothAreas:
    """Compare latents inside and outside of the smooth areas of their maps.

    Parameters
    ----------
    z : ndarray, shape (N, C, H, W)
        N >= 3.
    maps : ndarray, shape (N, M, H, W)
        The clean maps in the same order, as the network saw them.
    fraction : float
        Of pixels that count as smooth.
    n_permutations : int
        Exchanges of maps.
    seed : int
        Of exchanges, and of the order of pixels with one gradient.

    Raises
    ------
    ValueError
        Fewer than three latents, or maps of other number or size.
    """
    if len(z) < 3 or len(z) != len(maps) or z.shape[2:] != maps.shape[2:]:
        raise ValueError(f"at least three latents and as many maps of one size are needed, found {z.shape} and {maps.shape}")
    z = np.asarray(z, dtype=np.float64)
    z = (z - z.mean(axis=0)) * np.sqrt(len(z) / (len(z) - 1))
    rank = np.array([_rank(x, stream(seed, "ties", i)) for i, x in enumerate(maps)])
    smooth = rank < fraction
    own = np.mean(z**2, axis=1)
    vertical, horizontal = np.mean(z[..., 1:, :] * z[..., :-1, :], axis=1), np.mean(z[..., 1:] * z[..., :-1], axis=1)
    # each sum needs the product of every latent with every map's areas once: exchanges then only pick entries
    inside = _sums(own, vertical, horizontal, smooth)
    outside = _sums(own, vertical, horizontal, ~smooth)
    log_variance = np.log(np.maximum(inside[0], 1e-300) / np.maximum(outside[0], 1e-300))
    correlation = inside[1] - outside[1]
    rows = np.arange(len(z))
    orders = [stream(seed, "exchange", i).permutation(len(z)) for i in range(n_permutations)]
    deciles = np.array(
        [[np.mean(x[(r >= i / 10) & (r < (i + 1) / 10)]) for i in range(10)] for x, r in zip(own, rank, strict=True)]
    )
    return SmoothAreas(
        fraction,
        log_variance[rows, rows],
        correlation[rows, rows],
        np.array([log_variance[rows, order].mean() for order in orders]),
        np.array([correlation[rows, order].mean() for order in orders]),
        np.mean(deciles / np.maximum(own.mean(axis=(1, 2)), 1e-300)[:, None], axis=0),
    )


def judge_smooth_areas(found: SmoothAreas) -> Judgement:
    """Whether latents are the same in smooth areas of their maps as elsewhere."""
    n, p = len(found.log_variance), found.p
    mean, *ends = mean_interval(found.log_variance)
    ratio, low, high = (float(np.exp(x)) for x in (mean, *ends))
    lag, lag_low, lag_high = mean_interval(found.correlation)
    text = f"in the smoothest {found.fraction:.0%} of their maps, latents have {ratio:.3f} ({low:.3f} to {high:.3f}) times the variance of elsewhere"
    text += f"; the correlation of their neighbouring pixels differs by {lag:+.3f} ({lag_low:+.3f} to {lag_high:+.3f}; {p_text(p)})"
    few = n < LEAST_LATENTS or 1 / (len(found.null_correlation) + 1) > ALPHA
    if p <= ALPHA:
        return Judgement("smooth areas", False, ratio, low, high, p, f"latents keep the smooth areas of their maps: {text}")
    if few:
        return Judgement(
            "smooth areas", None, ratio, low, high, p, f"{n} latents cannot show whether they keep smooth areas: {text}"
        )
    return Judgement("smooth areas", True, ratio, low, high, p, f"no trace of smooth areas was detected: {text}")


def _rank(x: NDArray[Any], rng: np.random.Generator) -> Array:
    """Rank of each pixel of a map (M, H, W) by its gradient, 0 for the smoothest, below 1; chance orders equal ones."""
    x = np.asarray(x, dtype=np.float64)
    steep = sum(np.gradient(x, axis=axis) ** 2 for axis in (-2, -1))
    local = ndimage.uniform_filter(np.mean(steep, axis=0), _NEIGHBOURHOOD, mode="nearest")
    rank = np.empty(local.size)
    rank[np.lexsort((rng.random(local.size), local.ravel()))] = np.arange(local.size) / local.size
    return rank.reshape(local.shape)


def _sums(own: Array, vertical: Array, horizontal: Array, chosen: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Variance and neighbour correlation of each latent (rows) in the chosen pixels of each map (columns), (N, N) each."""
    variance = _mean(own, chosen)
    up, across = chosen[:, 1:] & chosen[:, :-1], chosen[..., 1:] & chosen[..., :-1]
    pairs = up.sum(axis=(1, 2)) + across.sum(axis=(1, 2))
    products = _total(vertical, up) + _total(horizontal, across)
    return variance, products / np.maximum(pairs, 1) / np.maximum(variance, 1e-300)


def _total(values: Array, chosen: NDArray[np.bool_]) -> Array:
    return np.asarray(values.reshape(len(values), -1) @ chosen.reshape(len(chosen), -1).astype(np.float64).T)


def _mean(values: Array, chosen: NDArray[np.bool_]) -> Array:
    return np.asarray(_total(values, chosen) / np.maximum(chosen.sum(axis=(1, 2)), 1))
