r"""First and second moments of latents in one pass, and the shrinkage that makes covariances of few latents honest.

A coefficient's own sample covariance :math:`S_j` (C x C, from `n` latents) is unbiased and noisy; that of its group, :math:`T`, is
steady and blurred. Each group takes

.. math:: \lambda T + (1 - \lambda) S_j, \qquad
          \lambda = \min\Big(1, \frac{\sum_j \widehat{\mathrm{E}} |S_j - \Sigma_j|^2}{\sum_j |S_j - T|^2}\Big),

the weight that minimises the expected squared error (Ledoit and Wolf 2004, with the group as the target, as Opgen-Rhein and Strimmer
2007 shrink variances). The numerator follows from the normal law: :math:`(\mathrm{tr}\,S^2 + (\mathrm{tr}\,S)^2)/(n + 2)` for real
coefficients, :math:`(\mathrm{tr}\,S)^2/(n + 1)` for complex ones. The target itself is drawn towards the channel covariance of the
whole latent, scaled to its trace, by one pseudo-observation: channels that agree go on agreeing where a group has few members.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import RunError
from astro_ood.latents.geometry import mean_from_sums
from astro_ood.latents.prior.base import Array, Blocks, blocks_of
from astro_ood.latents.prior.bases import Basis

Coefficients = NDArray[Any]

_FLOOR = 1e-6


@dataclass(frozen=True)
class Moments:
    """Sums over latents.

    Attributes
    ----------
    n : int
        Number of latents.
    total : ndarray, shape (C, H, W)
        Sum of them.
    products : ndarray, shape (H, W, C, C)
        Sum of the outer products of each coefficient over channels, in some orthonormal basis.
    """

    n: int
    total: Array
    products: Coefficients

    @classmethod
    def of(cls, source: Blocks, basis: Basis) -> Moments:
        """Read all blocks once.

        Raises
        ------
        RunError
            IN40: fewer than two latents.
        """
        n, total, products = 0, None, None
        for block in blocks_of(source):
            coefficients = basis.forward(block)
            outer = np.einsum("nahw,nbhw->hwab", coefficients, coefficients.conj())
            n += len(block)
            total = block.sum(axis=0) if total is None else total + block.sum(axis=0)
            products = outer if products is None else products + outer
        if n < 2 or total is None or products is None:
            raise RunError("IN40", "prior", f"{n} latents, a prior needs at least 2", "invert more maps")
        return cls(n, total, products)

    @property
    def squares(self) -> float:
        """Sum of the squares of all pixels."""
        return float(np.einsum("hwaa->", self.products).real)

    def mean(self) -> tuple[Array, float]:
        """Shrunk mean (C, H, W), and the weight of the mean of the latents in it."""
        return mean_from_sums(self.n, self.total, self.squares)

    def scatter(self, basis: Basis) -> tuple[Coefficients, float]:
        """Sample covariance (H, W, C, C) of the coefficients about the shrunk mean, and the number of latents that it is worth.

        The fitted part of the mean has taken its share of the spread, which is given back.
        """
        mean, weight = self.mean()
        found, taken = (np.moveaxis(basis.forward(x), 0, -1) for x in (self.total / self.n, mean))
        cross = found[..., :, None] * taken[..., None, :].conj()
        own = taken[..., :, None] * taken[..., None, :].conj()
        about = self.products / self.n - cross - np.swapaxes(cross, -1, -2).conj() + own
        share = weight * (2 - weight) / self.n
        out = about / (1 - share)
        if basis.holds_constant(*self.total.shape[1:]):
            out[0, 0] = about[0, 0] / (1 - 1 / self.n)  # the constant part of the mean is fitted whole
        return out, self.n * (1 - share)


def shrink(scatter: Coefficients, n: float, basis: Basis) -> Coefficients:
    """Covariances (H, W, C, C), positive definite, from sample covariances that are worth `n` latents."""
    h, w, c, _ = scatter.shape
    group, flat = basis.groups(h, w).ravel(), scatter.reshape(h * w, c, c)
    counts = np.bincount(group)
    pooled = np.stack([_sums(flat[:, a, b], group) for a in range(c) for b in range(c)], axis=-1).reshape(-1, c, c)
    pooled /= counts[:, None, None]
    noise = _sums(_sampling_variance(flat, n, basis.paired), group).real
    spread = _sums(np.sum(np.abs(flat - pooled[group]) ** 2, axis=(1, 2)), group).real
    weight = np.clip(noise / np.maximum(spread, 1e-300), 0.0, 1.0)[group, None, None]
    whole = flat.mean(axis=0).real
    traces = np.trace(pooled, axis1=1, axis2=2).real[:, None, None]
    members = (n * counts)[:, None, None]
    target = (members * pooled + whole * traces / max(float(np.trace(whole)), 1e-300)) / (members + 1)
    floor = _FLOOR * float(np.trace(whole)) / c
    out = weight * target[group] + (1 - weight) * flat + floor * np.eye(c)
    return np.asarray(out.reshape(h, w, c, c))


def _sampling_variance(flat: Coefficients, n: float, paired: bool) -> Array:
    """Expected squared error of each sample covariance (J, C, C), from itself."""
    traces = np.trace(flat, axis1=1, axis2=2).real ** 2
    if paired:
        return np.asarray(traces / (n + 1))
    return np.asarray((np.sum(np.abs(flat) ** 2, axis=(1, 2)) + traces) / (n + 2))


def _sums(values: Coefficients, group: NDArray[np.int64]) -> Coefficients:
    """Sum of values (J,) over each group."""
    real = np.bincount(group, weights=values.real)
    return real + 1j * np.bincount(group, weights=values.imag) if np.iscomplexobj(values) else real
