"""Stores of named arrays in zarr format 3, read lazily and checked on the way.

Every file is compared with the manifest: by name and size when the store is opened, by SHA-256 when its bytes are used. zarr by
itself would give fill values for a missing chunk and would not notice two chunks that changed places. The chunks also carry zstd's
own checksum, which serves readers other than this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from astro_ood.errors import StoreError
from astro_ood.stores.layout import DATA, complete_shards
from astro_ood.stores.manifest import ArrayInfo, FileInfo, Manifest, compare_files, read_manifest
from astro_ood.stores.variable import ArraySpec, Variable
from astro_ood.stores.writing import StoreWriter, write_store

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["ArraySpec", "ShardedStore", "Store", "StoreWriter", "Variable", "open_shards", "open_store", "write_store"]

ITEM = "item"
PER_ITEM = ("items", "ids")

Rows = slice | Sequence[int] | NDArray[np.integer[Any]] | NDArray[np.bool_]


class _CheckedStore(LocalStore):  # type: ignore[misc]  # zarr's types are not followed
    """Files of a zarr group, each compared with the manifest before its bytes are used."""

    def __init__(self, root: Path, files: Mapping[str, FileInfo]) -> None:
        super().__init__(root, read_only=True)
        self.files = files

    def with_read_only(self, read_only: bool = False) -> _CheckedStore:
        return _CheckedStore(self.root, self.files)

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        return self._checked(key, await super().get(key, prototype, byte_range), byte_range)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        return self._checked(key, super().get_sync(key, prototype=prototype, byte_range=byte_range), byte_range)

    def _checked(self, key: str, value: Any, byte_range: Any) -> Any:
        info = self.files.get(f"{DATA}/{key}")
        if value is None or info is None:
            problem = "missing"
        elif byte_range is None and hashlib.sha256(value.to_bytes()).hexdigest() != info.sha256:
            problem = "content changed since it was written"
        else:
            return value
        raise StoreError("ST05", self.root / key, problem, "delete this store and run its stage again")


class Store:
    """A store that was opened: arrays are read when they are used.

    Parameters
    ----------
    directory : Path
        Where it lies.
    manifest : Manifest
        What was written there.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory, self.manifest = directory, manifest
        self._arrays: dict[str, Any] = {}

    @cached_property
    def _group(self) -> Any:
        return zarr.open_group(_CheckedStore(self.directory / DATA, self.manifest.files), mode="r", zarr_format=3)

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Attributes that were written with the arrays."""
        return dict(self._group.attrs)

    @property
    def arrays(self) -> dict[str, da.Array]:
        """All arrays, lazily."""
        return {name: self[name] for name in self}

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifest.arrays)

    def __getitem__(self, name: str) -> da.Array:
        """Array `name`, lazily; computing it checks every file that it reads."""
        from dask.array import from_array

        array = self._zarr(name)
        token = hashlib.sha256(f"{self.directory.resolve()} {name} {self.manifest.to_json()}".encode()).hexdigest()
        return from_array(array, chunks=array.chunks, name=f"{name}-{token}", asarray=True)

    def load(self, name: str, rows: Rows | None = None) -> NDArray[Any]:
        """Array `name` in memory, or rows of it.

        Parameters
        ----------
        name : str
            Array.
        rows : slice, sequence of int, or ndarray of int or bool, optional
            Rows, in the order wanted, by the rules of NumPy. Only the chunks that hold them are read, and checked.

        Raises
        ------
        StoreError
            A file that is read is damaged (ST05), or there is no such array (ST09).
        IndexError
            There is no such row.
        """
        array = self._zarr(name)
        if rows is None:
            return np.asarray(array[...], dtype=array.dtype)
        wanted = _numbers(rows, array.shape[0])
        contiguous = len(wanted) > 0 and (np.diff(wanted) == 1).all()
        values = array[wanted[0] : wanted[-1] + 1] if contiguous else array.oindex[wanted]
        return np.asarray(values, dtype=array.dtype)

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimension names of array `name`."""
        return tuple(self._info(name).dims)

    def unit(self, name: str) -> str:
        """Unit of array `name`."""
        return self._info(name).unit

    def _info(self, name: str) -> ArrayInfo:
        if name not in self.manifest.arrays:
            raise StoreError("ST09", self.directory, f"no array {name!r}", f"it holds {', '.join(self.manifest.arrays)}")
        return self.manifest.arrays[name]

    def _zarr(self, name: str) -> Any:
        self._info(name)
        if name not in self._arrays:
            self._arrays[name] = self._group[name]
        return self._arrays[name]


def _numbers(rows: Rows, n: int) -> NDArray[np.int64]:
    """Numbers of the rows that `rows` picks out of `n`."""
    if not isinstance(rows, slice):
        rows = np.asarray(rows, dtype=None if len(rows) else np.int64)
    return np.arange(n)[rows]


def open_store(directory: Path | str, *, stage: str | None = None, verify: bool = False) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    directory : Path
        Where it lies.
    stage : str, optional
        The stage that must have written it.
    verify : bool
        Whether to read and compare all files now, rather than each one when it is used.

    Raises
    ------
    StoreError
        No store (ST01), damaged (ST02, ST05), of an unknown layout (ST03) or of another stage (ST04).
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if stage is not None and manifest.stage != stage:
        problem = f"written by stage {manifest.stage!r}, {stage!r} is needed"
        raise StoreError("ST04", directory, problem, "give the directory of that stage")
    problems = list(compare_files(directory, manifest, content=verify))
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        remedy = "list all with `astro-ood verify`, delete the store and run its stage again"
        raise StoreError("ST05", problems[0].path, problems[0].what + more, remedy)
    return Store(directory, manifest)


class ShardedStore:
    """The shards of one stage as one store, rows in the order of their global index.

    Parameters
    ----------
    shards : list of Store
        All shards; each records `items`.
    """

    def __init__(self, shards: list[Store]) -> None:
        self.shards = shards
        parts = [np.asarray(shard.attrs["items"], dtype=np.int64) for shard in shards]
        self._ends = np.cumsum([len(part) for part in parts])
        items = np.concatenate(parts)
        self._order = np.argsort(items, kind="stable")
        self.items = items[self._order]

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Attributes on which all shards agree, and the joined `items` and `ids`."""
        every = [shard.attrs for shard in self.shards]
        same = {key: value for key, value in every[0].items() if all(key in one and one[key] == value for one in every)}
        joined = {key: [entry for one in every for entry in one[key]] for key in PER_ITEM if all(key in one for one in every)}
        return same | {key: [values[i] for i in self._order] for key, values in joined.items()}

    @property
    def arrays(self) -> dict[str, da.Array]:
        """All arrays, lazily."""
        return {name: self[name] for name in self}

    def __iter__(self) -> Iterator[str]:
        return iter(self.shards[0])

    def __getitem__(self, name: str) -> da.Array:
        """Array `name` of all shards, lazily; one without the dimension `item` is the same in each."""
        from dask.array import concatenate

        if self.dims(name)[:1] != (ITEM,):
            self._require_same(name)
            return self.shards[0][name]
        joined = concatenate([shard[name] for shard in self.shards])
        return joined if (np.diff(self._order) == 1).all() else joined[self._order]

    def load(self, name: str, rows: Rows | None = None) -> NDArray[Any]:
        """Array `name` in memory, or rows of it, as `Store.load`; only the shards that hold them are read."""
        if self.dims(name)[:1] != (ITEM,):
            self._require_same(name)
            return self.shards[0].load(name, rows)
        wanted = self._order[_numbers(slice(None) if rows is None else rows, len(self.items))]
        shard_of = np.searchsorted(self._ends, wanted, side="right")
        starts = np.concatenate([[0], self._ends])
        values = self.shards[0].load(name, [])
        values = np.empty((len(wanted), *values.shape[1:]), values.dtype)
        for shard in np.unique(shard_of):
            here = shard_of == shard
            values[here] = self.shards[shard].load(name, wanted[here] - starts[shard])
        return values

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimension names of array `name`."""
        return self.shards[0].dims(name)

    def unit(self, name: str) -> str:
        """Unit of array `name`."""
        return self.shards[0].unit(name)

    def _require_same(self, name: str) -> None:
        prefix = f"{DATA}/{name}/"
        contents = [{key: info for key, info in shard.manifest.files.items() if key.startswith(prefix)} for shard in self.shards]
        for shard, content in zip(self.shards, contents, strict=True):
            if content != contents[0]:
                raise StoreError("ST08", shard.directory, f"{name} differs from the first shard", "run the stage again")


def open_shards(parent: Path | str, stage: str) -> ShardedStore:
    """Open all shards below `parent` as one store.

    Parameters
    ----------
    parent : Path
        Directory of the stage, which holds ``0000``, ``0001``, ...
    stage : str
        The stage that must have written them.

    Raises
    ------
    StoreError
        As `open_store`; or shards are missing, or were not made by the same settings from the same inputs (ST08).
    """
    parent = Path(parent)
    directories = complete_shards(parent)
    if not directories:
        raise StoreError("ST01", parent, "holds no shard", f"run stage {stage!r}")
    shards = [open_store(directory, stage=stage) for directory in directories]
    first = shards[0]
    expected = {f"{index:04d}" for index in range(first.attrs.get("n_shards", 0))}
    missing = sorted(expected - {directory.name for directory in directories})
    if missing:
        raise StoreError("ST08", parent, f"shards {', '.join(missing)} are missing", f"run stage {stage!r} for them")
    for shard in shards:
        for what in ("settings_hash", "inputs", "model", "seed", "arrays"):
            if _signature(shard, what) != _signature(first, what):
                problem = f"{what} differs from {first.directory.name}"
                raise StoreError("ST08", shard.directory, problem, f"run stage {stage!r} again")
        n = len(shard.attrs.get("items", ()))
        if n == 0:
            raise StoreError("ST08", shard.directory, "records no items", f"run stage {stage!r} again")
        for name, info in shard.manifest.arrays.items():
            if info.dims[:1] == [ITEM] and info.shape[0] != n:
                raise StoreError(
                    "ST08", shard.directory, f"{name} has {info.shape[0]} rows for {n} items", f"run stage {stage!r} again"
                )
    joined = ShardedStore(shards)
    if len(np.unique(joined.items)) != len(joined.items):
        raise StoreError("ST08", parent, "an item is in two shards", f"delete all shards and run stage {stage!r} again")
    return joined


def _signature(shard: Store, what: str) -> object:
    if what == "arrays":
        return {name: (info.shape[1:], info.dtype, info.dims, info.unit) for name, info in shard.manifest.arrays.items()}
    return getattr(shard.manifest, what)
