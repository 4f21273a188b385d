"""Arrays in ``.npy`` files and zarr stores."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps.files import check_budget
from astro_ood.maps.planes import Planes, chunk_of, take
from astro_ood.maps.raw import Entry, RawArray, listing
from astro_ood.maps.units import parse_unit


def read_npy(path: Path, where: str, *, max_bytes: int) -> RawArray:
    """Array of a ``.npy`` file; pickled objects are refused (IN35), and its length is checked first (IN02)."""
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
            start = file.tell()
    except Exception as error:  # the header is a Python literal: parsing fails in many ways
        raise InputError("IN03", where, f"damaged .npy header ({' '.join(str(error).split())[:120]})", "write it again") from None
    if dtype.kind not in "fiu":
        raise InputError("IN35", where, f"values of type {dtype}", "maps need real numbers")
    promised, found = math.prod(shape) * dtype.itemsize, path.stat().st_size - start
    if found < promised:
        raise InputError("IN02", where, f"truncated: header promises {promised} bytes of data, file has {found}", "write it again")
    check_budget(promised, max_bytes, where, "IN10")
    planes = Planes(shape, dtype, partial(_read_npy, path, where))
    return RawArray(planes, "", "", {}, (Entry("", "image", shape, str(dtype)),))


def _read_npy(path: Path, where: str, start: int, stop: int) -> NDArray[Any]:
    """Some planes; the file is mapped for a moment only, because pages of a mapped file count as memory."""
    try:
        return np.array(take(np.load(path, mmap_mode="r", allow_pickle=False), start, stop))
    except (OSError, ValueError, IndexError) as error:
        raise InputError("IN02", where, f"cannot be read ({' '.join(str(error).split())[:120]})", "write it again") from None


def read_zarr(path: Path, where: str, dataset: str | None, *, max_bytes: int, notes: list[str]) -> RawArray:
    """Array of a zarr store; the unit is its attribute ``unit``.

    A chunk that is absent reads as the fill value without an error, so the number of chunks is compared and noted (IN36).
    """
    import zarr

    try:
        node: Any = zarr.open(str(path), mode="r")
    except Exception as error:
        raise InputError("IN36", where, f"damaged zarr store ({type(error).__name__})", "write it again") from None
    entries = _entries(node)
    name = dataset.strip("/") if dataset is not None else _only(node, entries, where)
    if name:
        if isinstance(node, zarr.Array) or name not in node or not isinstance(node[name], zarr.Array):
            raise InputError("IN34", where, f"no array {name!r}; it has {listing(entries)}", "correct dataset")
        node = node[name]
    label = f"{where}[{name}]"
    if node.dtype.kind not in "fiu":
        raise InputError("IN35", label, f"values of type {node.dtype}", "maps need real numbers")
    check_budget(math.prod(node.shape) * node.dtype.itemsize, max_bytes, label, "IN37")
    if node.nchunks_initialized < node.nchunks:
        notes.append(f"IN36 {label}: {node.nchunks - node.nchunks_initialized} chunks are absent and read as {node.fill_value}")
    unit = next((parse_unit(node.attrs[key]) for key in ("unit", "units", "UNIT") if key in node.attrs), "")
    planes = Planes(node.shape, node.dtype, partial(_read_zarr, node, label), chunk_of(node))
    return RawArray(planes, name, unit, {}, entries)


def _read_zarr(node: Any, label: str, start: int, stop: int) -> NDArray[Any]:
    try:
        return take(node, start, stop)
    except Exception as error:
        raise InputError("IN36", label, f"cannot be read ({type(error).__name__})", "write it again") from None


def _entries(node: Any) -> tuple[Entry, ...]:
    import zarr

    arrays = (
        [("", node)]
        if isinstance(node, zarr.Array)
        else [(n, a) for n, a in node.members(max_depth=None) if isinstance(a, zarr.Array)]
    )
    return tuple(Entry(name, "image", a.shape, str(a.dtype)) for name, a in arrays if a.dtype.kind in "fiu" and a.ndim >= 2)


def _only(node: Any, entries: tuple[Entry, ...], where: str) -> str:
    import zarr

    if isinstance(node, zarr.Array):
        return ""
    if len(entries) == 1:
        return entries[0].label
    if not entries:
        raise InputError("IN34", where, "no numeric array of two or more axes", "give another store")
    raise InputError("IN14", where, f"several arrays: {listing(entries)}", "choose one with dataset")
