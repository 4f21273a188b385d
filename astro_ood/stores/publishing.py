"""A place beside a store's name in which it is made, and the rename that publishes it.

A killed writer leaves a temporary directory that no reader opens and that the next writer of the same target removes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from astro_ood.errors import StoreError
from astro_ood.stores.layout import DATA, MANIFEST, TEMPORARY, TIMESTAMP
from astro_ood.stores.lock import is_alive

HEADROOM = 1.2

_in_use: set[Path] = set()


@contextlib.contextmanager
def workplace(directory: Path, overwrite: bool) -> Iterator[Path]:
    """Directory in which to make the store `directory`; removed afterwards, with all that was not published.

    Raises
    ------
    StoreError
        Something is in the way (ST06).
    """
    require_free_name(directory, overwrite)
    directory.parent.mkdir(parents=True, exist_ok=True)
    work = directory.parent.resolve() / f"{directory.name}{TEMPORARY}{os.getpid()}-{host()}"
    if work in _in_use:
        raise StoreError("ST06", directory, "another thread writes it", "let each store have one writer")
    _remove_leftovers(directory)
    _in_use.add(work)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        _in_use.discard(work)


def host() -> str:
    """Name of this host, as part of a file name."""
    return re.sub(r"[^\w.]", "_", socket.gethostname())


def require_free_name(directory: Path, overwrite: bool) -> None:
    """Refuse a name that is taken (ST06), unless by a store that may be replaced."""
    if not directory.exists() and not directory.is_symlink():
        return
    names = {path.name for path in directory.iterdir()} if directory.is_dir() and not directory.is_symlink() else {""}
    if names - {DATA, MANIFEST, TIMESTAMP}:
        raise StoreError("ST06", directory, "in the way, and not a store", "move it away or choose another directory")
    if names - {TIMESTAMP} and not overwrite:
        raise StoreError("ST06", directory, "a store is there already", "delete it, or allow overwriting")


def _remove_leftovers(directory: Path) -> None:
    """Remove what killed writers of the same target left; pids of other hosts say nothing here."""
    pattern = re.compile(re.escape(f"{directory.name}{TEMPORARY}") + r"(\d+)-" + re.escape(host()))
    for path in directory.parent.iterdir():
        match = pattern.fullmatch(path.name)
        if match and (int(match[1]) == os.getpid() or not is_alive(int(match[1]))):
            shutil.rmtree(path, ignore_errors=True)


def require_space(directory: Path, size: int) -> None:
    """Refuse to begin (ST07) what the disk of `directory` cannot hold; `size` in bytes."""
    needed, free = int(HEADROOM * size), shutil.disk_usage(directory.parent).free
    if free < needed:
        problem = f"needs up to {needed / 1e6:.1f} MB, the disk has {free / 1e6:.1f} MB"
        raise StoreError("ST07", directory, problem, "free space or choose another disk")


def write_durably(path: Path, text: str) -> None:
    """Write a text and wait until the disk has it."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def publish(work: Path, directory: Path) -> None:
    """Give the finished store ``work/new`` its name; what stood there waits in `work` until that has happened."""
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
