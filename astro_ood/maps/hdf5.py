"""HDF5 data sets.

HDF5 files can point outside themselves (external links, external storage, virtual data sets) and then return the bytes of any readable
file: all three are refused. A data set can be far larger than its file, so its logical size is compared with the budget first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
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

_MAX_ITEMS = 10_000
_MAX_LINKS = 16


def read_hdf5(path: Path, where: str, dataset: str | None, *, max_bytes: int) -> RawArray:
    """One data set of a file.

    Raises
    ------
    InputError
        IN14 several data sets, IN33 links out of the file, IN34 no such data set, IN35 not real, IN36 damaged or unknown filter, IN37 over
        budget.
    """
    with _opened(path, where) as file:
        entries = _entries(file)
        name = dataset if dataset is not None else _only(entries, where)
        node = _node(file, name, where, entries, max_bytes)
        unit = next((parse_unit(_text(node.attrs[key])) for key in ("unit", "units", "UNIT", "BUNIT") if key in node.attrs), "")
        # opened anew for each block: nothing has to be closed by whoever walks over the planes
        planes = Planes(node.shape, node.dtype, partial(_read, path, where, name, max_bytes), chunk_of(node))
    return RawArray(planes, name.strip("/"), unit, {}, entries)


def _read(path: Path, where: str, name: str, max_bytes: int, start: int, stop: int) -> NDArray[Any]:
    with _opened(path, where) as file:
        node = _node(file, name, where, (), max_bytes)
        try:
            return take(node, start, stop)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError("IN36", f"{where}[{name}]", f"cannot be read ({_short(error)})", "download it again") from None


@contextmanager
def _opened(path: Path, where: str) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # a damaged file fails in any call
        raise InputError("IN36", where, f"damaged HDF5 file ({_short(error)})", "download it again") from None


def _node(file: Any, name: str, where: str, entries: tuple[Entry, ...], max_bytes: int) -> Any:
    node = _open(file, name, where, entries)
    _check(node, f"{where}[{name}]", max_bytes)
    return node


def _text(value: Any) -> Any:
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120]


def _entries(file: Any) -> tuple[Entry, ...]:
    """Numeric data sets of two or more axes inside the file; links out of it are not followed."""
    found: list[Entry] = []

    def visit(name: str, node: Any) -> bool | None:
        if hasattr(node, "dtype") and node.dtype.kind in "fiu" and len(node.shape or ()) >= 2:
            found.append(Entry(name, "image", node.shape, str(node.dtype)))
        return True if len(found) >= _MAX_ITEMS else None

    file.visititems(visit)
    return tuple(found)


def _only(entries: tuple[Entry, ...], where: str) -> str:
    if len(entries) == 1:
        return entries[0].label
    if not entries:
        raise InputError("IN34", where, "no numeric data set of two or more axes", "give another file")
    raise InputError("IN14", where, f"several data sets: {listing(entries)}", "choose one with dataset")


def _open(file: Any, name: str, where: str, entries: tuple[Entry, ...]) -> Any:
    """Data set of a path, whose links were checked one by one before they are followed."""
    import h5py

    ahead, done, hops = [p for p in name.split("/") if p], "", 0
    while ahead:
        part = ahead.pop(0)
        parent = file[done] if done else file
        link = parent.get(part, getlink=True) if isinstance(parent, h5py.Group) and part not in (".", "..") else None
        if isinstance(link, h5py.ExternalLink):
            raise InputError(
                "IN33", f"{where}[{name}]", f"external link to {link.filename!r}", "links out of the file are not followed"
            )
        hops += isinstance(link, h5py.SoftLink)
        if link is None or hops > _MAX_LINKS:
            raise InputError("IN34", where, f"no data set {name!r}; it has {listing(entries)}", "correct dataset")
        if isinstance(link, h5py.SoftLink):
            done = "" if link.path.startswith("/") else done
            ahead = [p for p in link.path.split("/") if p] + ahead
        else:
            done = f"{done}/{part}"
    node = file[done] if done else file
    if not isinstance(node, h5py.Dataset):
        raise InputError("IN34", where, f"{name!r} is a group; data sets are {listing(entries)}", "correct dataset")
    return node


def _check(node: Any, where: str, max_bytes: int) -> None:
    import h5py

    if node.is_virtual or node.external:
        kind = "virtual data set" if node.is_virtual else "external storage"
        raise InputError("IN33", where, f"{kind}: its values lie in other files", "copy the values into the file (h5repack)")
    if node.dtype.kind not in "fiu":
        raise InputError("IN35", where, f"values of type {node.dtype}", "maps need real numbers")
    if node.shape is None:
        raise InputError("IN16", where, "an empty data set", "choose another one")
    check_budget(math.prod(node.shape) * node.dtype.itemsize, max_bytes, where, "IN37")
    plist = node.id.get_create_plist()
    for code, _, _, label in (plist.get_filter(i) for i in range(plist.get_nfilters())):
        if not h5py.h5z.filter_avail(code):
            raise InputError(
                "IN36", where, f"unknown filter {code} {label.decode(errors='replace')}", "pip install hdf5plugin and import it"
            )
