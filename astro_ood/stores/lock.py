"""One run at a time in a directory."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from astro_ood.errors import StoreError

LOCK = ".astro-ood.lock"


class RunLock:
    """Hold a run directory while a run writes to it.

    The lock file says who holds it. One that a dead process of this host left behind is taken over; a process of another host
    cannot be asked, so its lock stays until a person removes it.

    Parameters
    ----------
    root : Path
        Directory of the run; made if it does not exist.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.path = self.root / LOCK
        self._holder = json.dumps({"owner": _owner(), "host": socket.gethostname(), "pid": os.getpid()})

    def __enter__(self) -> RunLock:
        """Take the lock.

        Raises
        ------
        StoreError
            Another run holds it (ST10).
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with _exclusive(self.root):
            self._require_free()
            try:
                with self.path.open("x", encoding="utf-8") as file:
                    file.write(self._holder)
            except FileExistsError as error:  # a run on another host was faster
                raise self._busy("another run") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.path.read_text(encoding="utf-8") == self._holder:
                self.path.unlink()

    def _require_free(self) -> None:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
            owner, host, pid = str(holder["owner"]), str(holder["host"]), int(holder["pid"])
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            raise self._busy("an unreadable lock") from error
        if host != socket.gethostname() or is_alive(pid):
            raise self._busy(f"{owner} on host {host}, process {pid}")
        self.path.unlink()

    def _busy(self, holder: str) -> StoreError:
        return StoreError("ST10", self.root, f"in use by {holder}", f"wait for it, or delete {self.path} if it no longer runs")


@contextlib.contextmanager
def _exclusive(directory: Path) -> Iterator[None]:
    """Let no other process of this host look for a stale lock at the same time: two could both take it over."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no such lock
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def is_alive(pid: int) -> bool:
    """Whether a process of this host has the number `pid`."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _owner() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
