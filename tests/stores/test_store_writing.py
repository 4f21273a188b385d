"""A store appears whole or not at all, whatever happens to its writer."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from stores_support import write

from astro_ood.errors import StoreError
from astro_ood.stores import complete_shards, open_shards, open_store, publishing, verify_run, writing

WRITER = """
import sys
import numpy as np
from astro_ood.stores import Variable, write_store, writing
writing.CHUNK_BYTES = 1
shard, n = int(sys.argv[2]), int(sys.argv[3])
items = list(range(shard, 2 * n, 2))
z = np.repeat(np.asarray(items, dtype=float)[:, None], 8, axis=1)
write_store(f"{sys.argv[1]}/latents/{shard:04d}", {"z": Variable(z, ("item", "d"))}, stage="latents",
            attrs={"items": items, "n_shards": 2}, settings={}, inputs={})
"""


def writer(root: Path, shard: int, n: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(root), str(shard), str(n)])


@pytest.mark.parametrize("files", [3, 200, 600])
def test_a_killed_writer_leaves_nothing_that_opens(tmp_path, files):
    process = writer(tmp_path, 0, 20_000)
    deadline = time.monotonic() + 60
    while sum(len(names) for _, _, names in os.walk(tmp_path)) < files and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = list((tmp_path / "latents").iterdir())
    assert len(left) == 1
    assert ".tmp-" in left[0].name
    for directory in (tmp_path / "latents" / "0000", left[0], left[0] / "new"):
        with pytest.raises(StoreError, match="AOD-ST01"):
            open_store(directory)
    assert complete_shards(tmp_path / "latents") == []
    assert verify_run(tmp_path)[0].path == left[0]
    write(tmp_path / "latents" / "0000", "latents")
    assert [path.name for path in (tmp_path / "latents").iterdir()] == ["0000"]


def test_two_processes_write_two_shards(tmp_path):
    processes = [writer(tmp_path, shard, 150) for shard in (0, 1)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    z = open_shards(tmp_path / "latents", "latents").load("z")
    np.testing.assert_array_equal(z, np.repeat(np.arange(300.0)[:, None], 8, axis=1))


def test_directories_that_a_workflow_made_beforehand_are_used(tmp_path):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".snakemake_timestamp").touch()
    write(tmp_path / "b")
    (tmp_path / "a" / ".snakemake_timestamp").touch()  # set when the rule is done
    for name in "ab":
        open_store(tmp_path / name, verify=True)
    assert verify_run(tmp_path) == []


def test_a_store_is_replaced_only_on_demand(tmp_path):
    write(tmp_path / "s", seed=1)
    with pytest.raises(StoreError, match="AOD-ST06"):
        write(tmp_path / "s", seed=2)
    assert open_store(tmp_path / "s", verify=True).manifest.seed == 1
    write(tmp_path / "s", seed=2, overwrite=True)
    assert open_store(tmp_path / "s", verify=True).manifest.seed == 2
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_what_is_no_store_is_never_replaced(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("s", "file", "link"):
        with pytest.raises(StoreError, match="AOD-ST06"):
            write(tmp_path / name, overwrite=True)
    assert (tmp_path / "s" / "thesis.tex").exists()
    with pytest.raises(StoreError, match="AOD-ST07"):
        write(tmp_path / "file" / "s")


def test_a_full_disk_is_seen_beforehand(tmp_path, monkeypatch):
    size = 3 * 4 * 5 * 5  # bytes of x and mask
    usage = publishing.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(publishing.shutil, "disk_usage", lambda _: usage._replace(free=int(1.2 * size) - 1))
    with pytest.raises(StoreError, match=r"AOD-ST07.*free space"):
        write(tmp_path / "s")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(publishing.shutil, "disk_usage", lambda _: usage._replace(free=int(1.2 * size) + 1))
    write(tmp_path / "s")


@pytest.mark.parametrize("step", ["_create", "describe", "write_durably", "publish"])
def test_a_failing_disk_leaves_the_old_store(tmp_path, monkeypatch, step):
    write(tmp_path / "s", seed=1)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, step, fail)
    for name in "st":
        with pytest.raises(StoreError, match=r"AOD-ST07.*No space left") as caught:
            write(tmp_path / name, seed=2, overwrite=True)
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["s"]
    assert open_store(tmp_path / "s", verify=True).manifest.seed == 1


def test_a_failing_rename_brings_the_old_store_back(tmp_path, monkeypatch):
    write(tmp_path / "s", seed=1)
    replace, failed = os.replace, []

    def fail(source: Path, target: Path) -> None:
        if Path(source).name != "new":  # zarr renames its chunks too
            replace(source, target)
            return
        failed.append(target)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(publishing.os, "replace", fail)
    with pytest.raises(StoreError, match="AOD-ST07"):
        write(tmp_path / "s", seed=2, overwrite=True)
    assert failed == [tmp_path / "s"]
    assert open_store(tmp_path / "s", verify=True).manifest.seed == 1


def test_leftovers_of_living_writers_and_other_hosts_stay(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = publishing.host()
    names = [f"s.tmp-{os.getppid()}-{host}", f"s.tmp-{dead.pid}-elsewhere", f"other.tmp-{dead.pid}-{host}"]
    for name in [*names, f"s.tmp-{dead.pid}-{host}", f"s.tmp-{os.getpid()}-{host}"]:
        (tmp_path / name / "new").mkdir(parents=True)
    write(tmp_path / "s")
    assert {path.name for path in tmp_path.iterdir()} == {"s", *names}
