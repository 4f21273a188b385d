"""A store filled row by row is the store written at once, needs little memory, and never appears with a row missing."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.storage import LocalStore

from astro_ood._pipeline import prefetch
from astro_ood.errors import StoreError
from astro_ood.stores import ArraySpec, StoreWriter, Variable, open_store, publishing, verify_run, write_store, writing

DIMS = ("item", "channel", "y", "x")
FACTS = {"stage": "latents", "settings": {"preset": "fast"}, "inputs": {"fields": "ab"}, "seed": 3}


def maps(n: int, side: int = 4) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, 1, side, side)).astype(np.float32)


def writer(directory: Path | str, n: int = 10, **changes) -> StoreWriter:
    return StoreWriter(directory, {"z": ArraySpec((n, 1, 4, 4), np.float32, DIMS, "K")}, **(FACTS | changes))


@st.composite
def blocks(draw) -> tuple[int, list[tuple[int, int]]]:
    """Rows 0 to n in blocks of any length and order."""
    n = draw(st.integers(0, 25))
    cuts = sorted({0, n, *draw(st.lists(st.integers(0, n), max_size=8))})
    return n, draw(st.permutations(list(itertools.pairwise(cuts))))


@given(blocks(), st.integers(100, 700))
@settings(max_examples=15, deadline=None)
def test_blocks_in_any_order_give_the_files_of_one_piece(plan, chunk_bytes):
    n, order = plan
    z, error, names = maps(n), np.arange(n) / 7, np.array([f"map-{i}" for i in range(n)], dtype="U9")
    arrays = {"z": Variable(z, DIMS, "K", {"note": "é"}), "error": Variable(error, ("item",)), "id": Variable(names, ("item",))}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "CHUNK_BYTES", chunk_bytes)
        whole = write_store(f"{folder}/whole", arrays, attrs={"b": 1, "a": [2]}, **FACTS)
        streamed = {name: arrays[name].spec for name in ("z", "id")}
        with StoreWriter(f"{folder}/rows", streamed, **FACTS) as w:
            for start, stop in order:
                w.write("z", start, z[start:stop].astype(">f4"))
                w.write("id", start, names[start:stop])
                w.write("z", (start + stop) // 2, z[:0])  # no row is no harm
            returned = w.finish({"error": arrays["error"]}, attrs={"b": 1, "a": [2]})
        assert returned == w.manifest == open_store(f"{folder}/rows", verify=True).manifest
        assert (returned.files, returned.arrays) == (whole.files, whole.arrays)
        np.testing.assert_array_equal(open_store(f"{folder}/rows").load("z"), z)


def test_every_chunk_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_BYTES", 5 * 64)  # 5 rows; the blocks have 3
    counted, put = Counter(), LocalStore.set

    async def count(self, key, value):
        counted[key] += 1
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", count)
    z = maps(23)
    with writer(tmp_path / "s", 23) as w:
        for start in range(0, 23, 3):
            w.write("z", start, z[start : start + 3])
            assert len(w._rows["z"]._waiting) <= 1
        w.finish(attrs={})
    assert [counted[f"z/c/{i}/0/0/0"] for i in range(6)] == [1, 1, 1, 1, 1, 0]


REFUSED = {
    "again": (lambda w: w.write("z", 3, maps(1)), ValueError, "rows 3 to 3 were written before"),
    "overlap": (lambda w: w.write("z", 4, maps(3)), ValueError, "rows 4 to 6 were written before"),
    "beyond": (lambda w: w.write("z", 9, maps(2)), ValueError, "do not fit"),
    "negative": (lambda w: w.write("z", -1, maps(1)), ValueError, "do not fit"),
    "shape": (lambda w: w.write("z", 6, maps(1, side=5)), ValueError, "do not fit"),
    "one row without its axis": (lambda w: w.write("z", 6, maps(1)[0]), ValueError, "do not fit"),
    "number": (lambda w: w.write("z", 6, np.float32(1)), ValueError, "do not fit"),
    "type": (lambda w: w.write("z", 6, maps(1).astype(float)), TypeError, "float64 rows, float32"),
    "objects": (lambda w: w.write("z", 6, np.array([object()])), TypeError, "object"),
    "undeclared": (lambda w: w.write("y", 0, maps(1)), ValueError, "'y' was declared"),
    "unfinished": (lambda w: None, ValueError, "left before finish"),
    "missing": (lambda w: w.finish(attrs={}), ValueError, "4 of 10 rows were not written, the first is 0"),
    "declared twice": (lambda w: w.finish({"z": Variable(maps(1), DIMS)}, attrs={}), ValueError, "z were declared"),
    "attributes": (lambda w: w.finish(attrs={"a": float("nan")}), ValueError, "JSON"),
    "error": (lambda w: 1 / 0, ZeroDivisionError, "division"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("before", [False, True])
def test_what_is_wrong_leaves_what_was_there(tmp_path, case, before):
    if before:
        write_store(tmp_path / "s", {}, attrs={}, **(FACTS | {"seed": 1}))
    act, kind, words = REFUSED[case]
    with pytest.raises(kind, match=words), writer(tmp_path / "s", overwrite=True) as w:  # noqa: PT012
        w.write("z", 2, maps(4))
        w.write("z", 8, maps(2))
        act(w)
    assert [path.name for path in tmp_path.iterdir()] == ["s"] * before
    if before:
        assert open_store(tmp_path / "s", verify=True).manifest.seed == 1


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": lambda: ArraySpec((2, 3), float, ("item",))}, "dimension names"),
        ({"z": lambda: ArraySpec((2,), object, ("item",))}, "object"),
        ({"z": lambda: ArraySpec((), float, ())}, "z has no rows"),
        ({"a/b": lambda: ArraySpec((2,), float, ("item",))}, "no name of an array"),
    ],
)
def test_a_declaration_that_no_store_holds_is_refused_at_once(tmp_path, arrays, words):
    with pytest.raises((ValueError, TypeError), match=words):
        StoreWriter(tmp_path / "s", {name: make() for name, make in arrays.items()}, **FACTS).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["settings", "inputs", "model"])
def test_facts_outside_json_are_refused_before_hours_are_spent(tmp_path, key):
    with pytest.raises(ValueError, match="JSON"):
        writer(tmp_path / "s", **{key: {"a": float("inf")}})


def test_a_writer_takes_rows_only_inside_its_block(tmp_path):
    w = writer(tmp_path / "s")
    with pytest.raises(ValueError, match="not open"):
        w.write("z", 0, maps(10))
    with w:
        w.write("z", 0, maps(10))
        w.finish(attrs={})
        for late in (lambda: w.write("z", 0, maps(10)), lambda: w.finish(attrs={})):
            with pytest.raises(ValueError, match="not open"):
                late()
    with pytest.raises(ValueError, match="not open"):
        w.write("z", 0, maps(10))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_name_that_is_taken_is_refused_before_the_first_row(tmp_path):
    write_store(tmp_path / "s", {}, attrs={}, **FACTS)
    with pytest.raises(StoreError, match="AOD-ST06"), writer(tmp_path / "s"):
        pytest.fail("hours for nothing")


def test_two_writers_of_one_store_in_one_process_are_kept_apart(tmp_path, monkeypatch):
    z = maps(10)
    with writer(tmp_path / "s") as first:
        first.write("z", 0, z[:5])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(StoreError, match=r"AOD-ST06 .*another thread"), writer("s"):
            pytest.fail("two writers")
        with writer(tmp_path / "t") as other:
            first.write("z", 5, z[5:])
            other.write("z", 0, -z)
            other.finish(attrs={})
        first.finish(attrs={})
    np.testing.assert_array_equal(open_store(tmp_path / "s").load("z"), z)
    np.testing.assert_array_equal(open_store(tmp_path / "t").load("z"), -z)
    with writer(tmp_path / "s", overwrite=True) as again:
        again.write("z", 0, z)
        again.finish(attrs={})


def test_a_full_disk_is_seen_before_the_first_row(tmp_path, monkeypatch):
    usage = publishing.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(publishing.shutil, "disk_usage", lambda _: usage._replace(free=int(1.2 * 640) - 1))
    with pytest.raises(StoreError, match=r"AOD-ST07.*free space"), writer(tmp_path / "s"):
        pytest.fail("hours for nothing")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_once_makes_the_store_impossible_even_if_the_error_is_swallowed(tmp_path, monkeypatch):
    put = LocalStore.set

    async def fail(self, key, value):
        if key.startswith("z/c/"):
            monkeypatch.setattr(LocalStore, "set", put)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", fail)
    with pytest.raises(StoreError, match=r"AOD-ST07 .*No space left"), writer(tmp_path / "s") as w:  # noqa: PT012
        with contextlib.suppress(StoreError):
            w.write("z", 0, maps(10))
        w.finish(attrs={})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_ends_the_computation_and_not_only_the_store(tmp_path, monkeypatch):
    async def fail(self, key, value):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing, "CHUNK_BYTES", 1)
    with pytest.raises(StoreError, match=r"AOD-ST07 .*No space left"), writer(tmp_path / "s", 10) as w:  # noqa: PT012
        monkeypatch.setattr(LocalStore, "set", fail)
        for row in range(9):
            w.write("z", row, maps(1))
        pytest.fail("computed on for nothing")
    assert list(tmp_path.iterdir()) == []


def test_rows_may_change_after_they_were_written(tmp_path, monkeypatch):
    gate, put = threading.Event(), LocalStore.set

    async def wait(self, key, value):
        gate.wait(10)
        await put(self, key, value)

    z = maps(10)
    with writer(tmp_path / "s") as w:
        monkeypatch.setattr(LocalStore, "set", wait)
        given = z.copy()
        w.write("z", 0, given)  # returns while the disk waits
        given[:] = 0
        gate.set()
        w.finish(attrs={})
    np.testing.assert_array_equal(open_store(tmp_path / "s").load("z"), z)


def test_an_interrupted_write_spoils_the_store_even_if_it_is_swallowed(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="failed before"), writer(tmp_path / "s") as w:  # noqa: PT012
        monkeypatch.setattr(w._behind, "submit", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            w.write("z", 0, maps(10))
        w.finish(attrs={})
    assert list(tmp_path.iterdir()) == []


def test_another_error_of_the_block_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="map"), writer(tmp_path / "s"):
        raise FileNotFoundError("map")


KILLED = """
import sys
import numpy as np
from astro_ood.stores import ArraySpec, StoreWriter, writing
writing.CHUNK_BYTES = 1
with StoreWriter(sys.argv[1], {"z": ArraySpec((100_000, 4), np.float32, ("item", "d"))}, stage="x", settings={}, inputs={}) as w:
    for row in range(100_000):
        w.write("z", row, np.ones((1, 4), np.float32))
"""


@pytest.mark.parametrize(("sent", "left"), [(signal.SIGKILL, 1), (signal.SIGINT, 0)])
def test_a_writer_that_is_stopped_publishes_nothing(tmp_path, sent, left):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "s")], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while sum(1 for _ in tmp_path.rglob("*")) < 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(sent)
    process.communicate()
    assert process.returncode == -sent
    assert len(list(tmp_path.iterdir())) == left
    assert verify_run(tmp_path) != []
    with writer(tmp_path / "s", 1) as w:
        w.write("z", 0, maps(1))
        w.finish(attrs={})
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def peak(call) -> float:
    """Largest memory of a call, in MB."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_maps(tmp_path):
    n, size, total = 4000, 24, 4000 * 64 * 64 * 4 / 1e6  # 65.5 MB
    block = np.random.default_rng(1).standard_normal((size, 1, 64, 64)).astype(np.float32)

    def write() -> None:
        with StoreWriter(tmp_path / "s", {"z": ArraySpec((n, 1, 64, 64), np.float32, DIMS)}, **FACTS) as w:
            for start in range(0, n, size):
                w.write("z", start, block[: n - start] + np.float32(start))
            w.finish(attrs={})

    def read() -> None:
        store = open_store(tmp_path / "s")
        blocks = prefetch(store.load("z", slice(start, start + size)) for start in range(0, n, size))
        for start, rows in zip(range(0, n, size), blocks, strict=True):
            np.testing.assert_array_equal(rows, block[: n - start] + np.float32(start))

    assert peak(write) < total / 6
    assert peak(read) < total / 6
    assert peak(lambda: open_store(tmp_path / "s").load("z")) > total  # what the bound is worth


def test_no_thread_is_left(tmp_path):
    for fail in (False, True):
        with contextlib.suppress(ZeroDivisionError), writer(tmp_path / f"{fail}") as w:
            w.write("z", 0, maps(10))
            w.finish(attrs={"x": 1 / (1 - fail)})
        assert not [t for t in threading.enumerate() if t.name.startswith("write-behind")]
    assert [path.name for path in tmp_path.iterdir()] == ["False"]


@pytest.mark.parametrize("kept", [0, 5, 64, 100, 130])
def test_fewer_rows_than_declared(tmp_path, kept):
    """Items that were left out on the way: the store holds what came, in whole chunks again."""
    values = np.random.default_rng(0).standard_normal((kept, 64, 64)).astype(np.float32)
    spec = ArraySpec((130, 64, 64), np.float32, ("item", "y", "x"))
    with StoreWriter(tmp_path / "s", {"z": spec}, stage="latents", settings={}, inputs={}) as writer:
        for start in range(0, kept, 7):
            writer.write("z", start, values[start : start + 7])
        writer.finish(attrs={}, rows=kept)
    store = open_store(tmp_path / "s", verify=True)
    assert np.array_equal(store.load("z"), values)
    assert store.manifest.arrays["z"].shape == [kept, 64, 64]


def test_rows_beyond_the_number_given_are_refused(tmp_path):
    spec = ArraySpec((10, 4), np.float32, ("item", "x"))
    for kept, problem in ((3, "beyond 3"), (8, "not written")):
        writer = StoreWriter(tmp_path / "s", {"z": spec}, stage="latents", settings={}, inputs={})

        def fill(writer=writer, kept=kept):
            with writer:
                writer.write("z", 0, np.zeros((5, 4), np.float32))
                writer.finish(attrs={}, rows=kept)

        with pytest.raises(ValueError, match=problem):
            fill()
    assert list(tmp_path.iterdir()) == []
