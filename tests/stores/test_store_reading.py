"""A store that is not exactly what was written is refused, on opening or when its bytes are used."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from stores_support import write, write_shard

from astro_ood.errors import StoreError
from astro_ood.stores import open_shards, open_store

CHUNK = Path("data.zarr/x/c/0/0/0/0")


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


@pytest.fixture
def store(tmp_path):
    write(tmp_path / "s")
    return tmp_path / "s"


def test_a_missing_chunk_is_named_on_opening(store):
    (store / CHUNK).unlink()
    with pytest.raises(StoreError, match=f"AOD-ST05 {store / CHUNK}: missing"):
        open_store(store)


def test_a_truncated_and_an_extra_file_are_named_on_opening(store):
    data = (store / CHUNK).read_bytes()
    (store / CHUNK).write_bytes(data[:-1])
    with pytest.raises(StoreError, match=r"AOD-ST05 .*x/c/0/0/0/0: .* were written"):
        open_store(store)
    (store / CHUNK).write_bytes(data)
    (store / "data.zarr" / "x" / "c" / "9").touch()
    with pytest.raises(StoreError, match=r"AOD-ST05 .*x/c/9: not part of the store"):
        open_store(store)


def test_every_flipped_bit_of_a_chunk_is_caught_when_read(store):
    size = (store / CHUNK).stat().st_size
    for position in range(size):
        flip(store / CHUNK, position, position % 8)
        opened = open_store(store)
        with pytest.raises(StoreError, match=f"AOD-ST05 {store / CHUNK}: content changed"):
            opened.load("x")
        assert not opened.load("mask").any()  # the other array is sound
        with pytest.raises(StoreError, match="AOD-ST05"):
            open_store(store, verify=True)
        flip(store / CHUNK, position, position % 8)


def test_a_flipped_bit_is_caught_by_lazy_computation(store):
    flip(store / CHUNK, 30)
    lazy = open_store(store)["x"]
    for scheduler in ("synchronous", "threads"):
        with pytest.raises(StoreError, match=f"AOD-ST05 {store / CHUNK}: content changed"):
            lazy.mean().compute(scheduler=scheduler)


def test_chunks_that_changed_places_are_caught(tmp_path, monkeypatch):
    monkeypatch.setattr("astro_ood.stores.writing.CHUNK_BYTES", 1)
    write(tmp_path / "s")
    first, second = (tmp_path / "s" / f"data.zarr/mask/c/{i}/0/0" for i in (0, 1))
    assert first.read_bytes() == second.read_bytes()  # equal chunks may change places
    first, second = (tmp_path / "s" / f"data.zarr/x/c/{i}/0/0/0" for i in (0, 1))
    one, two = first.read_bytes(), second.read_bytes()
    assert len(one) == len(two)
    first.write_bytes(two)
    second.write_bytes(one)
    with pytest.raises(StoreError, match="AOD-ST05"):
        open_store(tmp_path / "s").load("x")


def test_a_chunk_that_vanishes_after_opening_is_caught(store):
    opened = open_store(store)
    lazy = opened["x"]
    (store / CHUNK).unlink()
    for read in (lambda: opened.load("x"), lambda: lazy.compute()):
        with pytest.raises(StoreError, match="missing"):
            read()


def test_metadata_of_an_array_is_protected(store):
    meta = store / "data.zarr" / "x" / "zarr.json"
    meta.write_text(meta.read_text().replace("float32", "uint32 "))
    with pytest.raises(StoreError, match="AOD-ST05"):
        open_store(store).load("x")


def test_refusals_say_what_and_what_to_do(store, tmp_path):
    with pytest.raises(StoreError, match=r"AOD-ST01 .*nowhere: .*; run the stage"):
        open_store(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"AOD-ST04 .*'fields', 'latents' is needed"):
        open_store(store, stage="latents")
    with pytest.raises(StoreError, match=r"AOD-ST09 .*it holds x, mask|it holds mask, x"):
        open_store(store)["y"]
    shutil.rmtree(store / "data.zarr")
    with pytest.raises(StoreError, match=r"AOD-ST05 .* and .* more"):
        open_store(store)


def test_shards_join_in_the_order_of_their_items(tmp_path):
    parent = tmp_path / "latents"
    write_shard(parent, 0, [5, 0, 3])
    write_shard(parent, 1, [1, 4, 2])
    joined = open_shards(parent, "latents")
    expected = np.repeat(np.arange(6.0)[:, None], 4, axis=1)
    np.testing.assert_array_equal(joined["z"].compute(), expected)
    np.testing.assert_array_equal(joined.load("z"), expected)
    np.testing.assert_array_equal(joined.arrays["grid"].compute(), np.arange(6.0))
    np.testing.assert_array_equal(joined.load("grid"), np.arange(6.0))
    assert joined.attrs == {"items": list(range(6)), "ids": [f"map-{i}" for i in range(6)], "n_shards": 2, "preset": "fast"}
    assert (joined.dims("z"), joined.unit("z"), list(joined.items)) == (("item", "d"), "", list(range(6)))


def test_contiguous_shards_stay_lazy_and_whole(tmp_path):
    for shard in range(11):  # numerical order, not that of the letters
        write_shard(tmp_path / "latents", shard, [2 * shard, 2 * shard + 1], n_shards=11)
    joined = open_shards(tmp_path / "latents", "latents")
    assert joined["z"].shape == (22, 4)
    np.testing.assert_array_equal(joined["z"][7:9].compute()[:, 0], [7, 8])


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (None, "shards 0001 are missing"),
        ({"settings": {"patch": 5}}, "settings_hash differs"),
        ({"seed": 8}, "seed differs"),
        ({"model": {"name": "other", "sha256": "0"}}, "model differs"),
        ({"inputs": {"fields": "0"}}, "inputs differs"),
        ({"items": [0, 3]}, "an item is in two shards"),
        ({"items": []}, "records no items"),
    ],
)
def test_shards_that_do_not_belong_together_are_refused(tmp_path, second, problem):
    parent = tmp_path / "latents"
    write_shard(parent, 0, [0, 1])
    if second is not None:
        write_shard(parent, 1, **({"items": [2, 3]} | second))
    with pytest.raises(StoreError, match=f"AOD-ST08 .*{problem}"):
        open_shards(parent, "latents")


def test_no_shards_at_all(tmp_path):
    with pytest.raises(StoreError, match="AOD-ST01"):
        open_shards(tmp_path / "latents", "latents")
