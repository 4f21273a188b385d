"""The manifest of a store: what it holds, what made it, and the SHA-256 of every file.

It is the last file written, so its presence says that the rest is complete. It carries a digest of its own content, and only the
exact text that `Manifest.to_json` gives is read back: no flipped bit, not even one that JSON would ignore, goes unseen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from astro_ood._version import __version__
from astro_ood.errors import StoreError
from astro_ood.stores.layout import LAYOUT_VERSION, MANIFEST, TIMESTAMP

PACKAGES = ("numpy", "zarr", "torch")


class Problem(NamedTuple):
    """One thing that is wrong on disk: the path, and what was found there."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class ArrayInfo:
    """Shape, type, dimension names and unit of one array."""

    shape: list[int]
    dtype: str
    dims: list[str]
    unit: str


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and SHA-256 of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a store holds and what made it.

    Parameters
    ----------
    layout : int
        Version of the layout on disk.
    stage : str
        Stage that wrote the store.
    created : str
        Time of writing, ISO 8601 in UTC.
    command : list of str
        Command line of the writing process.
    versions : dict
        Python and the packages that numbers depend on.
    settings, settings_hash : dict, str
        The part of the configuration that made the store, and the SHA-256 of its canonical JSON.
    inputs : dict
        Name of each store it was made from -> `manifest_hash` of that store.
    model : dict or None
        Name and SHA-256 of the network.
    seed : int or None
        Seed of the random streams.
    arrays, files : dict
        Name -> `ArrayInfo`; path relative to the store -> `FileInfo`.
    """

    layout: int
    stage: str
    created: str
    command: list[str]
    versions: dict[str, str]
    settings: dict[str, Any]
    settings_hash: str
    inputs: dict[str, str]
    model: dict[str, Any] | None
    seed: int | None
    arrays: dict[str, ArrayInfo]
    files: dict[str, FileInfo]

    def to_json(self) -> str:
        """Text of `manifest.json`."""
        # not `asdict`, whose deep copies take most of the time in which many shards open
        content = {
            **vars(self),
            **{key: {name: vars(info) for name, info in getattr(self, key).items()} for key in ("arrays", "files")},
        }
        return json.dumps({**content, "sha256": json_hash(content)}, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: object = MANIFEST) -> Manifest:
        """Read the text that `to_json` gave.

        Raises
        ------
        StoreError
            The layout is unknown (ST03), or the text is anything else than an unchanged manifest (ST02).
        """
        try:
            content = json.loads(text)
            layout = content["layout"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(where, "not a manifest") from error
        if type(layout) is not int or layout != LAYOUT_VERSION:
            problem = f"layout {layout!r} is unknown, this version reads layout {LAYOUT_VERSION}"
            raise StoreError("ST03", where, problem, "use the version of astro_ood that wrote it, or run the stage again")
        try:
            manifest = cls._from_content(content)
            same = manifest.to_json() == text
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(where, "malformed manifest") from error
        if not same:
            raise _damaged(where, "changed since it was written")
        return manifest

    @classmethod
    def _from_content(cls, content: dict[str, Any]) -> Manifest:
        values = {field.name: content[field.name] for field in fields(cls)}
        kinds = {"stage": str, "created": str, "command": list, "versions": dict, "settings": dict, "inputs": dict}
        if not all(isinstance(values[name], kind) for name, kind in kinds.items()):
            raise TypeError("wrong type")
        values["arrays"] = {name: ArrayInfo(**info) for name, info in values["arrays"].items()}
        values["files"] = {name: FileInfo(**info) for name, info in values["files"].items()}
        if values["settings_hash"] != json_hash(values["settings"]):
            raise ValueError("settings do not match their hash")
        return cls(**values)


def _damaged(where: object, problem: str) -> StoreError:
    return StoreError("ST02", where, problem, "delete this store and run its stage again")


def plain(value: object) -> Any:
    """Return `value` as JSON gives it back: NumPy scalars and arrays, tuples and paths become numbers, lists and strings.

    Raises
    ------
    TypeError, ValueError
        JSON cannot hold the value; NaN and infinity count as such.
    """
    return json.loads(json.dumps(value, default=_plain, allow_nan=False))


def _plain(value: object) -> object:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def json_hash(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()).hexdigest()


def describe(
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    model: Mapping[str, Any] | None,
    seed: int | None,
    arrays: dict[str, ArrayInfo],
    directory: Path,
) -> Manifest:
    """Manifest of the files that lie in `directory` now."""
    return Manifest(
        layout=LAYOUT_VERSION,
        stage=stage,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        versions=versions(),
        settings=plain(settings),
        settings_hash=json_hash(plain(settings)),
        inputs=plain(inputs),
        model=plain(model),
        seed=plain(seed),
        arrays=arrays,
        files={
            name: FileInfo((directory / name).stat().st_size, file_hash(directory / name)) for name in sorted(_listing(directory))
        },
    )


def made_by(settings: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """Settings with their hash, seed and versions: what is recorded of a result that is no store."""
    values = plain(settings)
    return {
        "settings": values,
        "settings_hash": json_hash(values),
        "seed": plain(seed),
        "versions": dict(sorted(versions().items())),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`, read from their metadata: nothing is imported."""
    found = {"python": platform.python_version(), "astro-ood": __version__}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_hash(directory: Path) -> str:
    """SHA-256 of the manifest of a store, which stands for all its content and is recorded by what is made from it."""
    read_manifest(directory)
    return file_hash(Path(directory) / MANIFEST)


def read_manifest(directory: Path) -> Manifest:
    """Manifest of the store in `directory`.

    Raises
    ------
    StoreError
        There is none (ST01), it is damaged (ST02), or its layout is unknown (ST03).
    """
    path = Path(directory) / MANIFEST
    try:
        text = path.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StoreError("ST01", directory, f"no store here: {MANIFEST} is missing", "run the stage that writes it") from error
    except OSError as error:
        raise StoreError("ST01", path, f"cannot be read: {error.strerror}", "check permissions and the file system") from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "not text") from error
    return Manifest.from_json(text, path)


def compare_files(directory: Path, manifest: Manifest, content: bool) -> Iterator[Problem]:
    """Yield what differs between the files on disk and the manifest.

    Parameters
    ----------
    directory : Path
        The store.
    manifest : Manifest
        What was written.
    content : bool
        Whether to read every file; otherwise names and sizes only.
    """
    present = set(_listing(directory))
    for name, info in manifest.files.items():
        path = directory / name
        try:
            if name not in present:
                yield Problem(path, "missing")
            elif (size := path.stat().st_size) != info.size:
                yield Problem(path, f"{size} bytes, {info.size} were written")
            elif content and file_hash(path) != info.sha256:
                yield Problem(path, "content changed since it was written")
        except OSError as error:
            yield Problem(path, f"cannot be read: {error.strerror}")
    for name in sorted(present - set(manifest.files)):
        yield Problem(directory / name, "not part of the store")


def _listing(directory: Path) -> Iterator[str]:
    """Names of all files below `directory`, relative to it, in any order.

    Directory entries know what they are, so that no file needs to be asked: network file systems take their time to answer.
    """
    folders = [""]
    while folders:
        folder = folders.pop()
        with contextlib.suppress(OSError), os.scandir(f"{directory}/{folder}") as entries:
            for entry in entries:
                name = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{name}/")
                elif name not in (MANIFEST, TIMESTAMP) and (entry.is_file() or entry.is_symlink()):
                    yield name
