"""Small stores for the tests of this directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from astro_ood.stores import Manifest, Variable, write_store


def write(directory: Path, stage: str = "fields", **changes: Any) -> Manifest:
    """A store of three maps, with what a test wants otherwise in `changes`."""
    rng = np.random.default_rng(1)
    arrays = {
        "x": Variable(rng.standard_normal((3, 1, 4, 5)).astype(np.float32), ("item", "channel", "y", "x"), "K"),
        "mask": Variable(np.zeros((3, 4, 5), dtype=bool), ("item", "y", "x")),
    }
    words: dict[str, Any] = {
        "arrays": arrays,
        "attrs": {"stretch": {"kind": "asinh"}},
        "settings": {"patch": 4},
        "inputs": {},
        "seed": 7,
    }
    return write_store(directory, stage=stage, **(words | changes))


def write_shard(parent: Path, shard: int, items: list[int], n_shards: int = 2, **changes: Any) -> Manifest:
    """A shard whose rows are the global index itself."""
    z = np.repeat(np.asarray(items, dtype=float)[:, None], 4, axis=1)
    arrays = {"z": Variable(z, ("item", "d")), "grid": Variable(np.arange(6.0), ("t",))}
    attrs = {"items": items, "ids": [f"map-{item}" for item in items], "n_shards": n_shards, "shard": shard, "preset": "fast"}
    return write(parent / f"{shard:04d}", parent.name, **({"arrays": arrays, "attrs": attrs} | changes))
