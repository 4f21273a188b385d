"""What every prior is, and what every fit reads: blocks of latents, as often as it needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream

Array = NDArray[np.float64]
Blocks = NDArray[Any] | Iterable[NDArray[Any]]

BLOCK = 32


class LatentPrior(Protocol):
    """A distribution over latents (C, H, W)."""

    @property
    def kind(self) -> str:
        """Name of the prior."""

    @property
    def mean(self) -> Array:
        """Mean latent (C, H, W)."""

    def sample(self, n: int, seed: int = 0, first: int = 0) -> Array:
        """Draw latents (n, C, H, W); item ``first + i`` has a random stream of its own."""

    def log_prob(self, z: Array) -> Array:
        """Natural logarithm of the density of latents (N, C, H, W), shape (N,)."""

    def arrays(self) -> dict[str, Array]:
        """Parameters, for storage."""


def white(shape: tuple[int, ...], n: int, seed: int, first: int) -> Array:
    """White latents (n, ...); item ``first + i`` depends on it and on the seed alone."""
    return np.array([stream(seed, "prior", first + i).standard_normal(shape) for i in range(n)]).reshape(n, *shape)


def blocks_of(source: Blocks) -> Iterator[Array]:
    """Blocks (b, C, H, W) of latents, of at most `BLOCK` rows, in float64.

    Raises
    ------
    TypeError
        An iterator, which can be read only once.
    """
    if iter(source) is source:
        raise TypeError("a fit reads its blocks more than once: give an array, a list of blocks, or an object with __iter__")
    for block in (source,) if isinstance(source, np.ndarray) else source:
        for start in range(0, len(block), BLOCK):
            yield np.asarray(block[start : start + BLOCK], dtype=np.float64)
