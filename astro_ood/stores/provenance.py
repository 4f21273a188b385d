"""Where each store of a run comes from, and whether its inputs are still the ones that it was made from."""

from __future__ import annotations

import os
import platform
import shlex
from pathlib import Path
from typing import Any

from astro_ood.errors import StoreError
from astro_ood.stores.layout import walk_stores
from astro_ood.stores.manifest import Manifest, manifest_hash, read_manifest, versions


def provenance(root: Path | str) -> dict[str, Any]:
    """Chain of all stores of a run, from fields to samples.

    Parameters
    ----------
    root : Path
        Directory of the run.

    Returns
    -------
    dict
        ``"environment"``, and ``"stores"``: one entry per store with its path relative to `root`, stage, time, settings and their
        hash, network, seed, versions, command line, arrays, size and inputs, each input ``"current"``, ``"stale"`` (the store there
        now is another one) or ``"missing"``. A store with a damaged manifest has an entry with ``"problem"``.
    """
    root = Path(root)
    manifests: dict[str, Manifest | StoreError] = {}
    hashes: dict[str, str] = {}
    for directory in (path for path, whole in walk_stores(root) if whole):
        name = directory.relative_to(root).as_posix()
        try:
            manifests[name], hashes[name] = read_manifest(directory), manifest_hash(directory)
        except StoreError as error:
            manifests[name] = error
    return {"environment": environment(), "stores": [_entry(name, manifest, hashes) for name, manifest in manifests.items()]}


def _entry(name: str, manifest: Manifest | StoreError, hashes: dict[str, str]) -> dict[str, Any]:
    if isinstance(manifest, StoreError):
        return {"store": name, "problem": str(manifest)}
    return {
        "store": name,
        "manifest_hash": hashes[name],
        "stage": manifest.stage,
        "created": manifest.created,
        "command": shlex.join(manifest.command),
        "settings": manifest.settings,
        "settings_hash": manifest.settings_hash,
        "model": manifest.model,
        "seed": manifest.seed,
        "versions": manifest.versions,
        "inputs": {key: {"manifest_hash": sha, "state": _state(sha, hashes.get(key))} for key, sha in manifest.inputs.items()},
        "arrays": {key: dict(vars(info)) for key, info in manifest.arrays.items()},
        "bytes": sum(info.size for info in manifest.files.values()),
    }


def _state(recorded: str, present: str | None) -> str:
    if present is None:
        return "missing"
    return "current" if present == recorded else "stale"


def environment() -> dict[str, Any]:
    """Facts of the machine and of the interpreter that may change the last digits of a result."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "versions": versions(),
    }
