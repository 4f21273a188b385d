"""A small finished run, written anew for each test that damages it."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores_support import write, write_shard

from astro_ood.stores import RunPaths, manifest_hash


@pytest.fixture
def run(tmp_path: Path) -> RunPaths:
    """An undamaged run: fields, two shards of latents, and a prior."""
    paths = RunPaths(tmp_path / "run")
    write(paths.fields)
    origin = {"fields": manifest_hash(paths.fields)}
    write_shard(paths.root / "latents", 0, [0, 2], inputs=origin)
    write_shard(paths.root / "latents", 1, [1, 3], inputs=origin)
    write(paths.prior, "prior", inputs={f"latents/{shard:04d}": manifest_hash(paths.latents(shard)) for shard in (0, 1)})
    return paths
