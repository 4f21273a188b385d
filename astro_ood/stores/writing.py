"""Writing a store: beside its name, checked, and published by one rename.

A killed writer leaves a temporary directory that no reader opens and that the next writer of the same target removes. Writers of
different targets never touch the same file, which is the only arrangement in which zarr loses no value.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from astro_ood.errors import StoreError
from astro_ood.stores.layout import DATA, MANIFEST, TEMPORARY, TIMESTAMP
from astro_ood.stores.lock import is_alive
from astro_ood.stores.manifest import ArrayInfo, Manifest, describe, plain

CHUNK_BYTES = 2**20
HEADROOM = 1.2


@dataclass(frozen=True, eq=False)
class Variable:
    """One array with its dimension names and its unit.

    Parameters
    ----------
    data : ndarray
        Numbers, booleans or strings.
    dims : tuple of str
        One name per axis; the first is ``"item"`` where the array has one row per map, latent or sample.
    unit : str
        Unit in the spelling of astropy; empty for a number without one.
    attrs : dict
        Further attributes, JSON-able.
    """

    data: NDArray[Any]
    dims: tuple[str, ...]
    unit: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        data = np.asarray(self.data)
        if data.dtype.kind not in "biufcUT":
            raise TypeError(f"no store holds {data.dtype}")
        if len(self.dims) != data.ndim:
            raise ValueError(f"{data.ndim} axes but {len(self.dims)} dimension names {self.dims}")
        text = data.dtype.kind in "UT"
        native = np.dtypes.StringDType() if text else data.dtype.newbyteorder("=")
        object.__setattr__(self, "data", data.astype(native, copy=False))

    @property
    def info(self) -> ArrayInfo:
        """What the manifest says of the array."""
        dtype = "str" if self.data.dtype.kind == "T" else self.data.dtype.name
        return ArrayInfo(list(self.data.shape), dtype, list(self.dims), self.unit)


def write_store(
    directory: Path | str,
    arrays: Mapping[str, Variable],
    *,
    stage: str,
    attrs: Mapping[str, Any],
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    model: Mapping[str, Any] | None = None,
    seed: int | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Write a store whole, or leave nothing.

    Parameters
    ----------
    directory : Path
        Target. It may exist if it is empty (a workflow engine makes the directories of its outputs beforehand).
    arrays : dict
        Name -> `Variable`.
    stage : str
        Name of the stage, such as ``"latents"``.
    attrs : dict
        JSON-able facts that a reader needs: stretch, preset, ids. A shard records `items` (global index of
        each row) and `n_shards`.
    settings : dict
        The part of the configuration that made the store.
    inputs : dict
        Path of each input store relative to the run -> its `manifest_hash`.
    model : dict, optional
        Name and SHA-256 of the network.
    seed : int, optional
        Seed of the random streams.
    overwrite : bool
        Whether to replace a store that is there.

    Returns
    -------
    Manifest
        What was written.

    Raises
    ------
    StoreError
        Something is in the way (ST06), or the disk is full or refuses (ST07).
    """
    directory = Path(directory)
    work = directory.with_name(f"{directory.name}{TEMPORARY}{os.getpid()}-{_host()}")
    try:
        _require_free_name(directory, overwrite)
        directory.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(directory)
        _require_space(directory, sum(variable.data.nbytes for variable in arrays.values()))
        _write_arrays(work / "new" / DATA, arrays, plain(attrs))
        infos = {name: variable.info for name, variable in arrays.items()}
        manifest = describe(stage, settings, inputs, model, seed, infos, work / "new")
        _write_durably(work / "new" / MANIFEST, manifest.to_json())
        _require_free_name(directory, overwrite)
        _publish(work, directory)
    except StoreError:
        raise
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise StoreError("ST07", directory, problem, "nothing was left there; free space or choose another disk") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())


def _require_free_name(directory: Path, overwrite: bool) -> None:
    if not directory.exists() and not directory.is_symlink():
        return
    names = {path.name for path in directory.iterdir()} if directory.is_dir() and not directory.is_symlink() else {""}
    if names - {DATA, MANIFEST, TIMESTAMP}:
        raise StoreError("ST06", directory, "in the way, and not a store", "move it away or choose another directory")
    if names - {TIMESTAMP} and not overwrite:
        raise StoreError("ST06", directory, "a store is there already", "delete it, or allow overwriting")


def _remove_leftovers(directory: Path) -> None:
    """Remove what killed writers of the same target left; pids of other hosts say nothing here."""
    pattern = re.compile(re.escape(f"{directory.name}{TEMPORARY}") + r"(\d+)-" + re.escape(_host()))
    for path in directory.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not is_alive(int(match[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _require_space(directory: Path, size: int) -> None:
    needed, free = int(HEADROOM * size), shutil.disk_usage(directory.parent).free
    if free < needed:
        problem = f"needs up to {needed / 1e6:.1f} MB, the disk has {free / 1e6:.1f} MB"
        raise StoreError("ST07", directory, problem, "free space or choose another disk")


def _write_arrays(path: Path, arrays: Mapping[str, Variable], attrs: dict[str, Any]) -> None:
    path.mkdir(parents=True)
    group = zarr.open_group(path, mode="w-", zarr_format=3, attributes=attrs)
    for name, variable in arrays.items():
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of an array")
        data = variable.data
        array = group.create_array(
            name,
            shape=data.shape,
            dtype=data.dtype,
            chunks=_chunks(data),
            compressors=[ZstdCodec(level=3, checksum=True)],
            # NaN shows a lost chunk to other readers; this one counts the chunks, so that all of them must be written.
            fill_value=np.nan if data.dtype.kind in "fc" else None,
            config={"write_empty_chunks": True},
            dimension_names=variable.dims,
            attributes={**plain(variable.attrs), "unit": variable.unit},
        )
        array[...] = data


def _chunks(data: NDArray[Any]) -> tuple[int, ...]:
    """As many whole items as fit into `CHUNK_BYTES`, at least one."""
    if data.ndim == 0:
        return ()
    item_bytes = max(1, data.nbytes // max(1, data.shape[0]))
    items = max(1, min(data.shape[0], CHUNK_BYTES // item_bytes))
    return (items, *(max(1, n) for n in data.shape[1:]))


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _publish(work: Path, directory: Path) -> None:
    """Give the finished store its name; what stood there waits in `work` until that has happened."""
    replaced = directory.is_dir() and any(directory.iterdir())
    if replaced:
        directory.rename(work / "old")
    try:
        os.replace(work / "new", directory)  # noqa: PTH105 - unlike Path.rename, the same on every platform
    except OSError:
        if replaced:
            (work / "old").rename(directory)
        raise
    parent = os.open(directory.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
