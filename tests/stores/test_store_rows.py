"""Rows read alone are the rows of the whole array, and touch, and check, only the files that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores_support import write, write_shard

from astro_ood.errors import StoreError
from astro_ood.stores import Store, Variable, open_shards, open_store, writing

N = 11
ROWS = st.one_of(
    st.slices(N),
    st.lists(st.integers(-N, N - 1), max_size=15),
    st.lists(st.integers(-N, N - 1), max_size=15).map(lambda rows: np.array(rows, dtype=np.int32)),
    st.lists(st.booleans(), min_size=N, max_size=N).map(np.array),
)


def numpy_rows(data: np.ndarray, rows: object) -> np.ndarray:
    return data[np.array(rows, dtype=int) if isinstance(rows, list) else rows]


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> tuple[Store, dict[str, np.ndarray]]:
    folder = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(2)
    arrays = {
        "z": Variable(rng.standard_normal((N, 2, 3)).astype(np.float32), ("item", "y", "x")),
        "id": Variable(np.array([f"map-{i}" for i in range(N)]), ("item",)),
        "empty": Variable(np.zeros((N, 0)), ("item", "k")),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "CHUNK_BYTES", 4 * 24)  # 4 rows of z
        write(folder / "s", arrays=arrays)
    return open_store(folder / "s"), {name: variable.data for name, variable in arrays.items()}


@given(rows=ROWS)
@settings(max_examples=120, deadline=None)
@pytest.mark.parametrize("name", ["z", "id", "empty"])
def test_rows_follow_the_rules_of_numpy(stores, name, rows):
    store, data = stores
    expected = numpy_rows(data[name], rows)
    found = store.load(name, rows)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.tolist() == expected.tolist()


@given(rows=ROWS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rows_of_shards_are_in_the_order_of_their_items(shards, rows):
    expected = np.repeat(np.arange(float(N))[:, None], 4, axis=1)
    np.testing.assert_array_equal(shards.load("z", rows), numpy_rows(expected, rows))


@pytest.fixture
def shards(tmp_path):
    if not (tmp_path / "latents").exists():
        for shard, items in enumerate([[5, 0, 3, 10], [7], [1, 4, 2, 6, 9, 8]]):
            write_shard(tmp_path / "latents", shard, items, n_shards=3)
    return open_shards(tmp_path / "latents", "latents")


def test_an_array_that_all_shards_share_gives_its_own_rows(shards):
    np.testing.assert_array_equal(shards.load("grid", slice(4, None)), [4.0, 5.0])


@pytest.mark.parametrize("rows", [[N], [-N - 1], np.array([0, N])])
def test_rows_that_are_not_there(stores, shards, rows):
    for load in (stores[0].load, shards.load):
        with pytest.raises(IndexError):
            load("z", rows)


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_only_chunks_that_are_touched_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_BYTES", 4 * 24)
    z = np.random.default_rng(2).standard_normal((N, 2, 3)).astype(np.float32)
    write(tmp_path / "s", arrays={"z": Variable(z, ("item", "y", "x"))})
    spoil(tmp_path / "s/data.zarr/z/c/1/0/0")  # rows 4 to 7
    store = open_store(tmp_path / "s")
    for rows in (slice(0, 4), slice(8, None), [10, 0], slice(0, 0)):
        np.testing.assert_array_equal(store.load("z", rows), numpy_rows(z, rows))
    for rows in (slice(3, 5), [7], [10, 4, 0], slice(None, None, 7), None):
        with pytest.raises(StoreError, match=r"AOD-ST05 .*z/c/1/0/0: content changed"):
            store.load("z", rows)


def test_only_shards_that_are_touched_are_read(shards):
    spoil(shards.shards[2].directory / "data.zarr/z/c/0/0")
    assert shards.load("z", [7, 10, 0])[:, 0].tolist() == [7, 10, 0]
    with pytest.raises(StoreError, match="AOD-ST05"):
        shards.load("z", [7, 8])


def test_a_shard_with_another_number_of_rows_than_items_is_refused(tmp_path):
    write_shard(tmp_path / "latents", 0, [0, 1])
    attrs = {"items": [2, 3], "n_shards": 2}
    arrays = {"z": Variable(np.zeros((3, 4)), ("item", "d")), "grid": Variable(np.arange(6.0), ("t",))}
    write_shard(tmp_path / "latents", 1, [2, 3], attrs=attrs, arrays=arrays)
    with pytest.raises(StoreError, match=r"AOD-ST08 .*0001: z has 3 rows for 2 items"):
        open_shards(tmp_path / "latents", "latents")
