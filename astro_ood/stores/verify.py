"""Reading every byte of a run again, and naming what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from astro_ood.errors import StoreError
from astro_ood.stores.layout import SHARDED, STAGES, complete_shards, walk_stores
from astro_ood.stores.manifest import Problem, compare_files, read_manifest
from astro_ood.stores.store import open_shards


def verify_run(root: Path | str) -> list[Problem]:
    """Compare all stores of a run with their manifests.

    Parameters
    ----------
    root : Path
        Directory of the run.

    Returns
    -------
    list of Problem
        Every file that is missing, truncated, changed or extra; every damaged manifest; every half-finished store; stages that are
        empty, and shards that do not belong together. Empty for an undamaged run.
    """
    root = Path(root)
    stores = list(walk_stores(root))
    if not stores:
        return [Problem(root, "holds no store")]
    problems = [problem for directory, whole in stores for problem in _problems(directory, whole)]
    occupied = {path for directory, _ in stores for path in (directory, *directory.parents)}
    for stage in STAGES:
        if (root / stage).is_dir() and root / stage not in occupied:
            problems.append(Problem(root / stage, "empty stage"))
    for stage in SHARDED:
        problems.extend(_shard_problems(root / stage))
    return problems


def _problems(directory: Path, whole: bool) -> Iterator[Problem]:
    if not whole:
        yield Problem(directory, "half-finished: its writer was killed or still runs")
        return
    try:
        manifest = read_manifest(directory)
    except StoreError as error:
        yield Problem(directory, str(error))
        return
    yield from compare_files(directory, manifest, content=True)


def _shard_problems(parent: Path) -> Iterator[Problem]:
    if complete_shards(parent):
        try:
            open_shards(parent, parent.name)
        except StoreError as error:
            if error.code == "AOD-ST08":  # everything else was named above
                yield Problem(parent, str(error))
