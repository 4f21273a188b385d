"""Random streams: one independent generator per purpose and item, so that order and sharding change no number."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, item: int = 0) -> np.random.Generator:
    """Generator of item `item` for one purpose (``"proposal"``, ``"eta"``, ...).

    Parameters
    ----------
    seed : int
        Seed of the run.
    purpose : str
        Name of the stream.
    item : int
        Index of the map, latent or sample.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), item]))
