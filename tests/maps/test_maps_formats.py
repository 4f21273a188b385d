import h5py
import numpy as np
import pytest
import zarr
from maps_support import noise, refuses

from astro_ood.maps import collect, inspect, read_map


@pytest.fixture
def h5(tmp_path):
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as f:
        f["maps/dust"] = noise(6, 32, 32)
        f["maps/dust"].attrs["unit"] = np.bytes_("MJy/sr")
        f["axis"] = np.arange(6.0)
        f["name"] = "text"
    return path


def test_the_only_map_of_an_hdf5_file_is_found(h5):
    m = read_map(h5, slice=2)
    assert m.unit == "MJy / sr"
    assert m.source == f"{h5}[maps/dust]"
    assert np.array_equal(m.data[0], noise(6, 32, 32)[2])
    out = collect(h5, 32, axis0="maps")
    assert [m.region for m in out.maps] == [f"m:m{i:04d}" for i in range(6)]
    s = inspect(h5)
    assert (s.format, s.axis0, s.patch, s.stretch, s.alternatives) == (
        "hdf5",
        "maps",
        32,
        "linear",
        ["maps/dust (6, 32, 32) float32"],
    )


def test_attribute_units_and_big_endian(tmp_path):
    with h5py.File(tmp_path / "u.h5", "w") as f:
        f["a"] = noise(32, 32).astype(">f8")
        f["a"].attrs["units"] = "K_CMB"
    m = read_map(tmp_path / "u.h5")
    assert (m.unit, m.data.dtype) == ("K", np.float64)


def test_in14_several_data_sets_are_listed(h5):
    with h5py.File(h5, "a") as f:
        f["other"] = noise(20, 20)
    text = refuses("IN14", h5)
    assert "maps/dust (6, 32, 32)" in text
    assert "other (20, 20)" in text
    assert read_map(h5, dataset="/other").shape == (1, 20, 20)


def test_in33_nothing_outside_the_file_is_read(h5, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 4096)
    with h5py.File(tmp_path / "victim.h5", "w") as f:
        f["v"] = noise(32, 32)
    layout = h5py.VirtualLayout((32, 32), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "victim.h5", "v", (32, 32))
    with h5py.File(h5, "a") as f:
        f["ext"] = h5py.ExternalLink("victim.h5", "/v")
        f["group"] = h5py.ExternalLink("victim.h5", "/")
        f["soft"] = h5py.SoftLink("/group/v")
        f.create_dataset("storage", (32, 32), "f4", external=[(str(secret), 0, 4096)])
        f.create_virtual_dataset("virtual", layout)
    for name in ("ext", "group/v", "soft", "storage", "virtual"):
        refuses("IN33", h5, dataset=name)


def test_in34_missing_and_dangling(h5):
    with h5py.File(h5, "a") as f:
        f["dangling"] = h5py.SoftLink("/nowhere")
        f["loop"] = h5py.SoftLink("/loop")
        f["good"] = h5py.SoftLink("/maps/dust")
    for name in ("absent", "dangling", "loop", "maps", "maps/dust/x", "../m"):
        assert "maps/dust (6, 32, 32)" in refuses("IN34", h5, dataset=name)
    assert read_map(h5, dataset="good", slice=0).shape == (1, 32, 32)
    with h5py.File(h5, "w") as f:
        f["axis"] = np.arange(3.0)
    refuses("IN34", h5)


def test_in35_types_that_are_not_real(h5):
    with h5py.File(h5, "a") as f:
        f["complex"] = np.ones((32, 32), complex)
        f["compound"] = np.ones((32, 32), [("a", "f4"), ("b", "f4")])
    for name in ("name", "complex", "compound"):
        refuses("IN35", h5, dataset=name)


def test_in36_damaged_files_and_unknown_filters(h5, tmp_path):
    (tmp_path / "t.h5").write_bytes(h5.read_bytes()[:500])
    refuses("IN36", tmp_path / "t.h5")
    with h5py.File(tmp_path / "f.h5", "w") as f:
        f.create_dataset("a", data=noise(32, 32), chunks=(32, 32), compression="gzip")
        offset = f["a"].id.get_chunk_info(0).byte_offset
    content = bytearray((tmp_path / "f.h5").read_bytes())
    content[offset : offset + 500] = b"\xaa" * 500
    (tmp_path / "f.h5").write_bytes(content)
    refuses("IN36", tmp_path / "f.h5")


def test_in36_an_unavailable_filter_is_named(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((32, 32))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        h5py.h5d.create(f.id, b"a", h5py.h5t.NATIVE_FLOAT, h5py.h5s.create_simple((32, 32)), plist)
    assert "hdf5plugin" in refuses("IN36", tmp_path / "f.h5")


def test_in37_a_sparse_giant_is_refused(tmp_path):
    with h5py.File(tmp_path / "g.h5", "w") as f:
        f.create_dataset("a", (65536, 65536), "f4", chunks=(64, 64))
    assert (tmp_path / "g.h5").stat().st_size < 10_000
    assert "17179869184 bytes" in refuses("IN37", tmp_path / "g.h5")


def test_npy(tmp_path):
    data = noise(5, 32, 32)
    np.save(tmp_path / "a.npy", data)
    assert np.array_equal(read_map(tmp_path / "a.npy", slice=3, unit="K").data[0], data[3])
    refuses("IN12", tmp_path / "a.npy", hdu=1)
    refuses("IN10", tmp_path / "a.npy", slice=0, max_bytes=1000)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(whole[:1000])
    refuses("IN02", tmp_path / "t.npy")
    (tmp_path / "h.npy").write_bytes(whole[:30])
    refuses("IN03", tmp_path / "h.npy")
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    refuses("IN35", tmp_path / "o.npy")
    assert inspect(tmp_path / "a.npy").format == "npy"


def test_zarr(tmp_path):
    data = noise(32, 48)
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="w")
    array = group.create_array("x", shape=data.shape, chunks=(16, 16), dtype="f4", attributes={"unit": "K"})
    array[...] = data
    m = read_map(tmp_path / "s.zarr")
    assert m.unit == "K"
    assert np.array_equal(m.data[0], data)
    assert read_map(tmp_path / "s.zarr" / "x").shape == (1, 32, 48)
    refuses("IN34", tmp_path / "s.zarr", dataset="y")
    refuses("IN37", tmp_path / "s.zarr", max_bytes=100)
    chunk = next(p for p in (tmp_path / "s.zarr" / "x" / "c").rglob("*") if p.is_file())
    chunk.unlink()
    assert any(n.startswith("IN36") and "1 chunks are absent" in n for n in collect(tmp_path / "s.zarr", 32).notes)
    group.create_array("y", shape=(32, 32), dtype="f4")
    refuses("IN14", tmp_path / "s.zarr")
    (tmp_path / "s.zarr" / "zarr.json").write_text("{")
    refuses("IN36", tmp_path / "s.zarr")
