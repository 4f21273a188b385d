"""What several stages need: shards, hashes of what a store was made from, the network as the configuration wants it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.config import Config
from astro_ood.errors import ConfigError
from astro_ood.stores import RunPaths, complete_shards, manifest_hash

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser
    from astro_ood.diffusion.presets import Preset

MAP_DIMS = ("item", "channel", "y", "x")
LATENT_DIMS = ("item", "latent_channel", "latent_y", "latent_x")
LEAST_BLOCK = 32


def network(config: Config) -> Denoiser:
    """The frozen network, ready on its device as the configuration wants it."""
    from astro_ood.api.models import open_configured

    return open_configured(config.model)


def configured(config: Config, model: Denoiser, t_0: float | None = None) -> Preset:
    """Solver and grid as the configuration says; for a tolerance, which a probe meets, those of `fast`."""
    from astro_ood.diffusion import presets

    settings = config.inversion
    name = "fast" if settings.preset == presets.TOLERANCE else settings.preset
    times = settings.t_0 if t_0 is None else t_0
    return presets.choose(name, model.schedule, n_steps=settings.n_steps, t_0=times, solver=settings.solver)


def identity(model: Denoiser) -> Mapping[str, str]:
    """The network and what ran it: shards that differ in them are no one result."""
    return {
        "name": model.name,
        "sha256": model.sha256,
        "device": model.device.type,
        "precision": model.execution.precision,
        "runtime": "onnxruntime" if model.execution.onnx else "torch",
    }


@contextmanager
def share_in_network(label: str, model: Denoiser) -> Iterator[None]:
    """Log how much of the time of a block was spent inside the network."""
    began, before = time.perf_counter(), model.runner.seconds
    yield
    wall = time.perf_counter() - began
    logger.info("%s: %.1f s, %.1f %% of them in the network", label, wall, 100 * (model.runner.seconds - before) / wall)


def check_shards(n: int, shards: int, key: str) -> None:
    """Refuse shards that would be empty."""
    if shards > n:
        raise ConfigError("CF44", key, f"{shards} shards for {n} maps", f"take at most {n}")


def shard_items(n: int, shards: int, shard: int) -> NDArray[np.int64]:
    """Items of one shard: contiguous, sizes equal within one."""
    check_shards(n, shards, "shards")
    if not 0 <= shard < shards:
        raise ConfigError(
            "CF44", "shard", f"found {shard}, expected 0 to {shards - 1}", "the configuration sets the number of shards"
        )
    first, rest = divmod(n, shards)
    start = shard * first + min(shard, rest)
    return np.arange(start, start + first + (shard < rest))


def blocks(items: NDArray[np.int64], micro_batch: int) -> Iterator[NDArray[np.int64]]:
    """Items block by block: whole micro-batches, at least `LEAST_BLOCK` items."""
    size = micro_batch * -(-LEAST_BLOCK // micro_batch)
    for start in range(0, len(items), size):
        yield items[start : start + size]


def drop_surplus(directory: Path, shards: int) -> None:
    """Remove what an earlier run with more shards left; no job of this one writes there."""
    for surplus in complete_shards(directory):
        if int(surplus.name) >= shards:
            shutil.rmtree(surplus, ignore_errors=True)


def inputs(paths: RunPaths, *directories: Path) -> dict[str, Any]:
    """Manifest hashes of the stores that a store is made from, by their path relative to the run."""
    return {d.relative_to(paths.root).as_posix(): manifest_hash(d) for d in directories}
