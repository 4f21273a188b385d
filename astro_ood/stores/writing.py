"""Writing a store: beside its name, row by row or at once, checked, and published by one rename.

A long computation hands over its rows as they come and keeps none of them: a few chunks wait in memory. Every chunk is written once,
when all its rows are there, and writers of different targets never touch the same file: zarr loses values in any other arrangement.

All that touches the disk happens in a background thread. The computation does not wait for it; and Ctrl-C, which reaches the main
thread only, never leaves a half-done call of zarr behind that would write on while its files are removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import ZstdCodec

from astro_ood._pipeline import WriteBehind
from astro_ood.errors import StoreError
from astro_ood.stores.layout import DATA, MANIFEST
from astro_ood.stores.manifest import Manifest, describe, plain
from astro_ood.stores.publishing import publish, require_free_name, require_space, workplace, write_durably
from astro_ood.stores.rows import RowBuffer
from astro_ood.stores.variable import ArraySpec, Variable

CHUNK_BYTES = 2**20


class StoreWriter:
    """A store that is filled row by row, and that appears whole or not at all.

    Used as a context: rows go in by `write`, `finish` publishes, and leaving the block without it leaves nothing on disk. One thread at
    a time may use it.

    Parameters
    ----------
    directory : Path
        Target. It may exist if it is empty (a workflow engine makes the directories of its outputs beforehand).
    arrays : dict
        Name -> `ArraySpec` of each array that is filled row by row.
    stage : str
        Name of the stage, such as ``"latents"``.
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

    Attributes
    ----------
    manifest : Manifest or None
        What was written; None before `finish`.
    """

    def __init__(
        self,
        directory: Path | str,
        arrays: Mapping[str, ArraySpec],
        *,
        stage: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        model: Mapping[str, Any] | None = None,
        seed: int | None = None,
        overwrite: bool = False,
    ) -> None:
        self.directory, self.specs, self.overwrite = Path(directory), dict(arrays), overwrite
        if scalars := [name for name, spec in self.specs.items() if not spec.shape]:
            raise ValueError(f"{', '.join(scalars)} has no rows; give it to finish()")
        # now, because a setting that JSON cannot hold should not be found after hours
        self._facts = stage, plain(settings), plain(inputs), plain(model), plain(seed)
        self._open = False
        self.manifest: Manifest | None = None

    def __enter__(self) -> StoreWriter:
        """Prepare the disk.

        Raises
        ------
        StoreError
            Something is in the way (ST06), or the disk is full or refuses (ST07).
        """
        with contextlib.ExitStack() as stack:
            with self._disk():
                self._work = stack.enter_context(workplace(self.directory, self.overwrite))
            self._behind = stack.enter_context(WriteBehind())
            self._behind.submit(self._prepare)
            self._behind.flush()
            self._cleanup = stack.pop_all()
        self._open = True
        return self

    def _prepare(self) -> None:
        with self._disk():
            require_space(self.directory, sum(spec.nbytes for spec in self.specs.values()))
            path = self._work / "new" / DATA
            path.mkdir(parents=True)
            self._group = zarr.open_group(path, mode="w-", zarr_format=3)
            self._arrays = {name: _create(self._group, name, spec) for name, spec in self.specs.items()}
            self._rows = {name: RowBuffer(name, spec, self._arrays[name].chunks[0]) for name, spec in self.specs.items()}

    def write(self, name: str, start: int, values: ArrayLike) -> None:
        """Write rows of one array, in any order and in blocks of any length.

        Parameters
        ----------
        name : str
            A declared array.
        start : int
            First row.
        values : array_like, shape (rows, ...)
            Of the declared type; copied when this returns.

        Raises
        ------
        ValueError, TypeError
            The rows do not fit the array, or some of them are there already.
        StoreError
            The disk was full or refused, now or earlier (ST07).
        """
        self._require_open()
        if name not in self._rows:
            raise ValueError(f"{self.directory}: no array {name!r} was declared")
        rows, values = self._rows[name], np.asarray(values)
        rows.check(start, values)
        self._open = False  # and so it stays if this is interrupted, because a chunk may be lost
        for first, chunk in rows.take(start, values):
            self._behind.submit(self._put, self._arrays[name], first, chunk)
        self._open = True

    def _put(self, array: Any, first: int, chunk: NDArray[Any]) -> None:
        with self._disk():
            array[first : first + len(chunk)] = chunk

    def finish(
        self, arrays: Mapping[str, Variable] | None = None, *, attrs: Mapping[str, Any], rows: int | None = None
    ) -> Manifest:
        """Write what is known only at the end, and publish the store.

        Parameters
        ----------
        arrays : dict, optional
            Name -> `Variable` of further arrays, whole.
        attrs : dict
            JSON-able facts that a reader needs: stretch, preset, ids. A shard records `items` (global index of each row) and
            `n_shards`.
        rows : int, optional
            Number of rows of every declared array, where it is less than was declared.

        Returns
        -------
        Manifest
            What was written.

        Raises
        ------
        ValueError
            Rows are missing, or an array is given twice.
        StoreError
            Something is in the way (ST06), or the disk is full or refuses (ST07).
        """
        self._require_open()
        arrays, attrs = dict(arrays or {}), plain(attrs)
        if twice := set(arrays) & set(self.specs):
            raise ValueError(f"{self.directory}: {', '.join(sorted(twice))} were declared already")
        self._open = False
        for name, buffer in self._rows.items():
            if rows is not None and rows < self.specs[name].shape[0]:
                for first, chunk in buffer.cut(rows):
                    self._behind.submit(self._put, self._arrays[name], first, chunk)
                self.specs[name] = replace(self.specs[name], shape=(rows, *self.specs[name].shape[1:]))
            buffer.require_complete()
        self._behind.submit(self._complete, arrays, attrs)
        self._behind.flush()
        assert self.manifest is not None
        return self.manifest

    def _complete(self, arrays: Mapping[str, Variable], attrs: Mapping[str, Any]) -> None:
        with self._disk():
            require_space(self.directory, sum(variable.spec.nbytes for variable in arrays.values()))
            for name, array in self._arrays.items():
                if array.shape != self.specs[name].shape:
                    array.resize(self.specs[name].shape)
            for name, variable in arrays.items():
                _create(self._group, name, variable.spec)[...] = variable.data
            self._group.update_attributes(attrs)
            specs = self.specs | {name: variable.spec for name, variable in arrays.items()}
            manifest = describe(*self._facts, {name: spec.info for name, spec in specs.items()}, self._work / "new")
            write_durably(self._work / "new" / MANIFEST, manifest.to_json())
            require_free_name(self.directory, self.overwrite)
            publish(self._work, self.directory)
        self.manifest = manifest

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        self._cleanup.__exit__(kind, error, trace)
        if kind is None and self.manifest is None:
            raise ValueError(f"{self.directory}: the writer was left before finish(), nothing was written")

    def _require_open(self) -> None:
        if not self._open:
            raise ValueError(f"{self.directory}: the writer is not open, or failed before")

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Name what the disk refuses."""
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            problem = f"cannot be written: {error.strerror or error}"
            raise StoreError(
                "ST07", self.directory, problem, "nothing was left there; free space or choose another disk"
            ) from error


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
    """Write arrays that are in memory as a store, whole, or leave nothing.

    Parameters
    ----------
    directory, stage, settings, inputs, model, seed, overwrite
        As for `StoreWriter`.
    arrays : dict
        Name -> `Variable`.
    attrs : dict
        As for `StoreWriter.finish`.

    Returns
    -------
    Manifest
        What was written.

    Raises
    ------
    StoreError
        Something is in the way (ST06), or the disk is full or refuses (ST07).
    """
    facts: dict[str, Any] = {"stage": stage, "settings": settings, "inputs": inputs, "model": model, "seed": seed}
    with StoreWriter(directory, {}, **facts, overwrite=overwrite) as writer:
        return writer.finish(arrays, attrs=attrs)


def _create(group: Any, name: str, spec: ArraySpec) -> Any:
    if not name.isidentifier():
        raise ValueError(f"{name!r} is no name of an array")
    return group.create_array(
        name,
        shape=spec.shape,
        dtype=spec.dtype,
        chunks=_chunks(spec),
        compressors=[ZstdCodec(level=3, checksum=True)],
        # NaN shows a lost chunk to other readers; this one counts the chunks, so that all of them must be written.
        fill_value=np.nan if np.dtype(spec.dtype).kind in "fc" else None,
        config={"write_empty_chunks": True},
        dimension_names=spec.dims,
        attributes={**plain(spec.attrs), "unit": spec.unit},
    )


def _chunks(spec: ArraySpec) -> tuple[int, ...]:
    """As many whole rows as fit into `CHUNK_BYTES`, at least one."""
    if not spec.shape:
        return ()
    row_bytes = max(1, spec.nbytes // max(1, spec.shape[0]))
    rows = max(1, min(spec.shape[0], CHUNK_BYTES // row_bytes))
    return (rows, *(max(1, n) for n in spec.shape[1:]))
