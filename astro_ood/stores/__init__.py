"""Stores of a run: written whole or not at all, refused when damaged, and able to say where they come from.

A zarr array alone promises less than a long computation needs: a missing chunk reads as its fill value, a killed writer leaves a
directory that opens, and two writers lose each other's values without a word. Here a store has one writer, carries a manifest with
the SHA-256 of every file, and appears under its name by one rename.

Codes of `StoreError`: ST01 no store here, ST02 manifest damaged, ST03 unknown layout, ST04 another stage, ST05 files damaged, ST06
the target is in the way, ST07 cannot be written, ST08 shards missing or mixed, ST09 no such array, ST10 directory in use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from astro_ood.stores.layout import LAYOUT_VERSION, RunPaths, complete_shards
from astro_ood.stores.lock import RunLock
from astro_ood.stores.manifest import Manifest, Problem, manifest_hash

if TYPE_CHECKING:
    from astro_ood.stores.store import (
        ArraySpec,
        ShardedStore,
        Store,
        StoreWriter,
        Variable,
        open_shards,
        open_store,
        write_store,
    )
    from astro_ood.stores.verify import verify_run

__all__ = [
    "LAYOUT_VERSION",
    "ArraySpec",
    "Manifest",
    "Problem",
    "RunLock",
    "RunPaths",
    "ShardedStore",
    "Store",
    "StoreWriter",
    "Variable",
    "complete_shards",
    "manifest_hash",
    "open_shards",
    "open_store",
    "verify_run",
    "write_store",
]


def __getattr__(name: str) -> object:
    """Import what needs zarr only when it is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{'verify' if name == 'verify_run' else 'store'}"), name)
    globals()[name] = value
    return value
