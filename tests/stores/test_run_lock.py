"""One run at a time in a directory."""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import subprocess
import sys

import pytest

from astro_ood.errors import StoreError
from astro_ood.stores import RunLock
from astro_ood.stores.lock import LOCK

HOLD = """
import sys
from astro_ood.stores import RunLock
with RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(root):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    return process


def end(process):
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_and_told_who(tmp_path):
    process = hold(tmp_path)
    try:
        with pytest.raises(StoreError, match=f"AOD-ST10 .*{socket.gethostname()}, process {process.pid}"), RunLock(tmp_path):
            pytest.fail("two runs at once")
    finally:
        end(process)


def test_the_lock_of_a_dead_run_is_taken_over_and_released(tmp_path):
    end(hold(tmp_path))
    assert (tmp_path / LOCK).exists()
    with RunLock(tmp_path):
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
        with pytest.raises(StoreError, match="AOD-ST10"), RunLock(tmp_path):
            pytest.fail("two runs at once")
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("text", ["", "[]", '{"pid": 1}', json.dumps({"owner": "a", "host": "far-away", "pid": 999_999_999})])
def test_a_lock_that_cannot_be_judged_stays(tmp_path, text):
    (tmp_path / LOCK).write_text(text)
    with pytest.raises(StoreError, match=f"AOD-ST10 .*delete .*{LOCK}"), RunLock(tmp_path):
        pytest.fail("taken over")
    assert (tmp_path / LOCK).read_text() == text


def test_the_lock_is_released_after_an_error_and_the_directory_is_made(tmp_path):
    with pytest.raises(RuntimeError, match="boom"), RunLock(tmp_path / "a" / "b"):
        raise RuntimeError("boom")
    with RunLock(tmp_path / "a" / "b"):
        pass


def test_of_many_runs_that_find_a_stale_lock_one_wins(tmp_path):
    end(hold(tmp_path))
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]
    lines = []
    for process in processes:
        lines.append(process.stdout.readline())
    assert sorted(lines) == [b"", b"", b"", b"held\n"]
    for process in processes:
        end(process)


def test_stale_locks_are_judged_by_one_process_at_a_time(tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert select.select([process.stdout], [], [], 1.0)[0] == []
        os.close(handle)
        assert process.stdout.readline() == b"held\n"
    finally:
        end(process)
