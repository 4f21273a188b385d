"""Where a map lies and what kind of file it is, decided from its first bytes and never from its name.

A name says nothing: archives hand out HTML error pages called ``.fits`` and gzip streams without a suffix. Only regular files are
opened, because a FIFO or a device blocks or never ends, and nothing is read before its size was compared with a budget.
"""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import os
import stat
import zlib
from pathlib import Path
from typing import IO, cast

from astro_ood.errors import InputError

MAX_BYTES = 2**31
"""Default budget in bytes for one array in memory."""

PathLike = str | Path

_SIGNATURES = (
    (b"SIMPLE  ", "fits"),
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"\x93NUMPY", "npy"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\x89PNG", "PNG picture"),
    (b"\xff\xd8\xff", "JPEG picture"),
    (b"GIF8", "GIF picture"),
    (b"II*\x00", "TIFF picture"),
    (b"MM\x00*", "TIFF picture"),
    (b"%PDF", "PDF document"),
    (b"PK\x03\x04", "ZIP archive or .npz"),
    (b"\x80\x04", "Python pickle"),
    (b"\x80\x02", "Python pickle"),
)
_SUFFIXES = {".fits", ".fit", ".fts", ".fz", ".gz", ".bz2", ".h5", ".hdf5", ".he5", ".hdf", ".npy", ".zarr"}
_ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")


def resolve(path: PathLike) -> Path:
    """Path of a file; ``package:NAME/inner/path`` is a file of an installed package, found without importing it.

    Raises
    ------
    InputError
        IN38 where the package or the file is absent.
    """
    text = str(path)
    if "\0" in text or not text:
        raise InputError("IN38", repr(text), "not a file name", "give the path of a file")
    if not text.startswith("package:"):
        return Path(text).expanduser() if text.startswith("~") else Path(text)
    package, _, inner = text.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError("IN38", text, f"package {package!r} is not installed", f"pip install {package}")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    target = (root / inner).resolve()
    if not inner or not target.is_relative_to(root):
        raise InputError("IN38", text, "does not name a file inside the package", "write package:NAME/path/of/file")
    return target


def stem_of(path: PathLike) -> str:
    """Name of a file without its suffixes."""
    file = Path(str(path).rpartition(":")[2] if str(path).startswith("package:") else path)
    while file.suffix.lower() in _SUFFIXES:
        file = file.with_suffix("")
    return file.name


def check_regular(path: Path, where: str) -> int:
    """Size in bytes of a readable, regular, non-empty file (IN38, IN01 otherwise)."""
    try:
        info = path.stat()
    except FileNotFoundError:
        raise InputError("IN38", where, "no such file", "check the path") from None
    except OSError as error:
        raise InputError("IN38", where, f"cannot be opened ({error.strerror})", "check links and permissions") from None
    if not stat.S_ISREG(info.st_mode):
        what = "a directory" if stat.S_ISDIR(info.st_mode) else "a pipe or a device"
        raise InputError("IN38", where, f"{what}, not a regular file", "give a FITS, HDF5 or .npy file, or a zarr array")
    if info.st_size == 0:
        raise InputError("IN01", where, "empty file (0 bytes)", "download it again")
    return info.st_size


def sniff(path: Path, where: str) -> str:
    """Format of a file: ``"fits"``, ``"hdf5"``, ``"npy"`` or ``"zarr"``.

    Raises
    ------
    InputError
        IN01 empty, IN04 another kind of file, IN38 not a regular file.
    """
    if os.path.isdir(path) and any(  # noqa: PTH112 - Path.is_dir raises for names that are too long
        (path / mark).is_file() for mark in _ZARR_MARKS
    ):
        return "zarr"
    check_regular(path, where)
    kind = _kind(_head(path, where))
    if kind in ("gzip", "bzip2"):
        with open_stream(path, kind) as stream:
            try:
                inner = _kind(stream.read(64))
            except (OSError, EOFError, zlib.error) as error:
                raise InputError("IN02", where, f"damaged {kind} stream ({error})", "download it again") from None
        if inner == "fits":
            return "fits"
        raise InputError("IN04", where, f"not FITS (a {kind} stream of {inner})", "unpack it first")
    if kind in ("fits", "hdf5", "npy"):
        return kind
    raise InputError("IN04", where, f"not FITS, HDF5, .npy or zarr (looks like {kind})", "check what was downloaded")


def compression(path: Path) -> str:
    """``"gzip"``, ``"bzip2"`` or ``""``."""
    kind = _kind(_head(path, str(path)))
    return kind if kind in ("gzip", "bzip2") else ""


def open_stream(path: Path, packed: str) -> IO[bytes]:
    """Seekable binary stream of the unpacked content."""
    if packed == "gzip":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return cast("IO[bytes]", bz2.open(path, "rb")) if packed == "bzip2" else path.open("rb")


def check_budget(n_bytes: int, max_bytes: int, where: str, code: str) -> None:
    """Refuse an array that is larger than the budget, before it is allocated."""
    if n_bytes > max_bytes:
        raise InputError(code, where, f"needs {n_bytes} bytes, budget is {max_bytes}", "raise max_bytes if this is intended")


def _head(path: Path, where: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise InputError("IN38", where, f"cannot be read ({error.strerror})", "check the permissions") from None


def _kind(head: bytes) -> str:
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "an HTML or XML page, often an error page of a server"
    return "plain text" if head.isascii() and head.decode("ascii").isprintable() else "an unknown binary file"
