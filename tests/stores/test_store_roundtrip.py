"""What is written is what is read, in every type and shape, lazily and in memory."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from stores_support import write

from astro_ood.stores import Variable, open_store, write_store

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(sizes=(64, 128)),
)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
TEXT = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6), max_size=5).map(
    lambda t: np.array(t, dtype="U8")
)


def roundtrip(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        dims = tuple(f"d{axis}" for axis in range(data.ndim))
        write_store(f"{folder}/s", {"a": Variable(data, dims, "K")}, stage="fields", attrs={}, settings={}, inputs={})
        store = open_store(f"{folder}/s", stage="fields", verify=True)
        assert store.dims("a") == dims
        assert store.unit("a") == "K"
        return store.load("a"), np.asarray(store["a"].compute(scheduler="synchronous"))


@given(ARRAYS)
@settings(max_examples=80, deadline=None)
def test_numbers_return_bit_for_bit(data):
    for back in roundtrip(data):
        assert back.dtype == data.dtype.newbyteorder("=")
        assert back.shape == data.shape
        assert back.tobytes() == data.astype(back.dtype).tobytes()


@given(TEXT)
@settings(max_examples=25, deadline=None)
def test_strings_return(data):
    for back in roundtrip(data):
        assert back.tolist() == data.tolist()


def test_chunks_hold_whole_items_and_all_is_labelled(tmp_path):
    data = np.zeros((5, 3, 256, 512), dtype=np.float32)  # 1.5 MiB an item
    small = np.zeros((5, 2), dtype=np.float32)
    arrays = {"z": Variable(data, ("item", "channel", "y", "x"), "K km s-1"), "s": Variable(small, ("item", "k"))}
    write_store(tmp_path / "s", arrays, stage="latents", attrs={}, settings={}, inputs={})
    group = zarr.open_group(tmp_path / "s" / "data.zarr", mode="r")
    assert group["z"].chunks == (1, 3, 256, 512)
    assert group["s"].chunks == (5, 2)
    meta = json.loads((tmp_path / "s" / "data.zarr" / "z" / "zarr.json").read_text())
    assert meta["zarr_format"] == 3
    assert meta["dimension_names"] == ["item", "channel", "y", "x"]
    assert meta["attributes"]["unit"] == "K km s-1"
    assert {"name": "zstd", "configuration": {"level": 3, "checksum": True}} in meta["codecs"]
    assert open_store(tmp_path / "s")["z"].chunksize == (1, 3, 256, 512)


def test_attributes_return_as_json(tmp_path):
    attrs = {"mean": np.float32(0.5), "bands": np.arange(3), "split": (1, 2), "stretch": {"kind": "log10", "lo": 1e-4}}
    write(tmp_path / "s", attrs=attrs)
    assert open_store(tmp_path / "s").attrs == {
        "mean": 0.5,
        "bands": [0, 1, 2],
        "split": [1, 2],
        "stretch": {"kind": "log10", "lo": 1e-4},
    }


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": object()}])
def test_attributes_outside_json_are_refused_and_leave_nothing(tmp_path, bad):
    with pytest.raises((TypeError, ValueError)):
        write(tmp_path / "s", attrs=bad)
    assert list(tmp_path.iterdir()) == []


def test_lazy_arrays_compute_what_numpy_computes_and_travel_to_other_processes(tmp_path):
    write(tmp_path / "s")
    store = open_store(tmp_path / "s")
    lazy, eager = store.arrays["x"], store.load("x")
    np.testing.assert_allclose(lazy.std(axis=0).compute(), eager.std(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).compute(), eager)
    assert set(store.arrays) == {"x", "mask"}


def test_a_variable_must_be_labelled_and_storable():
    with pytest.raises(ValueError, match="dimension names"):
        Variable(np.zeros((2, 2)), ("item",))
    with pytest.raises(TypeError, match="object"):
        Variable(np.array([object()]), ("item",))


def test_importing_the_package_is_light():
    code = "import sys, astro_ood.stores; print({'zarr', 'dask', 'torch', 'numcodecs'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
    code = "import sys, astro_ood.stores.verify, astro_ood.stores.provenance; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
