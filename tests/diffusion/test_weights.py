"""Weights in every wrapping that trainers give them, and files that are none."""

import io
import os
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from astro_ood.diffusion.nets import ARCHITECTURES, ADMUNet, DDPMUNet, FacesUNet, ScoreNet, SmallUNet
from astro_ood.diffusion.weights import advice, fit_state, guess_architecture, read_state
from astro_ood.errors import ModelError

TABLE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([0.5, -0.5])}
OTHER = {name: tensor + 1 for name, tensor in TABLE.items()}
OPTIMISER = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]}


def prefixed(prefix, table):
    return {prefix + name: tensor for name, tensor in table.items()}


def saved(tmp_path, content, name="net.pt", **options):
    torch.save(content, tmp_path / name, **options)
    return tmp_path / name


def assert_is(state, table):
    assert state.keys() == table.keys()
    for name, tensor in table.items():
        assert state[name].dtype is torch.float32
        torch.testing.assert_close(state[name], tensor.float())


def refusal(path, **options):
    with pytest.raises(ModelError) as caught:
        read_state(path, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_precision_becomes_single(tmp_path, dtype, suffix):
    table = {name: tensor.to(dtype) for name, tensor in TABLE.items()}
    path = tmp_path / f"net.{suffix}"
    save_file(table, path) if suffix == "safetensors" else torch.save(table, path)
    assert_is(read_state(path), TABLE)


def test_quantised_tensors_are_restored(tmp_path):
    path = tmp_path / "net.safetensors"
    q = torch.tensor([[0, 128, 255]], dtype=torch.uint8)
    save_file({"a": q}, path, metadata={"a": "[-1.5, 0.25]", "licence": "MIT"})
    torch.testing.assert_close(read_state(path)["a"], torch.tensor([[-1.5, 30.5, 62.25]]))
    save_file({"a": q}, path)
    assert "AOD-MD49" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        {name: torch.nn.Parameter(tensor) for name, tensor in TABLE.items()},
        {"state_dict": TABLE, "epoch": 3, "optimizer": OPTIMISER},
        {"model": prefixed("module.", TABLE), "step": 3},
        {"state_dict": prefixed("model.diffusion_model.", TABLE) | {"betas": torch.ones(4), "alphas_cumprod": torch.ones(4)}},
        prefixed("module._orig_mod.", TABLE),
        [TABLE, OPTIMISER, 7, 1000],
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_wrappings(tmp_path, content, zipped):
    state = read_state(saved(tmp_path, content, _use_new_zipfile_serialization=zipped))
    assert_is(state, TABLE)
    assert state.note == ""


@pytest.mark.parametrize(
    "content",
    [
        {"model": OTHER, "ema": TABLE},
        {"ema": {"initted": torch.tensor(True), **prefixed("online_model.", OTHER), **prefixed("ema_model.model.", TABLE)}},
        prefixed("model.", OTHER) | prefixed("ema_model.", TABLE),
        [prefixed("module.", OTHER), OPTIMISER, 7, 1000, TABLE],
        {"state_dict": OTHER, "ema_state_dict": {"state_dict": prefixed("module.", TABLE)}},
    ],
)
def test_averaged_weights_come_first(tmp_path, content):
    state = read_state(saved(tmp_path, content, "net.ckpt"))
    assert_is(state, TABLE)
    assert state.note == "averaged (EMA) weights"


def test_leaves_are_numbered(tmp_path):
    path = tmp_path / "net.eqx"
    with path.open("wb") as file:
        for leaf in (np.ones((2, 3), ">f8"), np.array(4.0), np.arange(3, dtype=np.int16)):
            np.save(file, leaf)
    state = read_state(path)
    assert_is(state, {"leaf.0": torch.ones(2, 3), "leaf.1": torch.tensor(4.0), "leaf.2": torch.arange(3.0)})


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), torch.float16), (1e300, torch.float64)])
def test_weights_must_be_finite(tmp_path, value, dtype):
    path = saved(tmp_path, {"a": torch.ones(3), "b": torch.tensor([1.0, value], dtype=dtype)})
    assert "AOD-MD52" in (line := refusal(path))
    assert "first b" in line


class Malicious:
    """Runs a command where it is unpickled as Python does."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


@pytest.mark.parametrize("wrapping", ["archive", "legacy", "pickle", "text pickle"])
def test_no_code_is_run(tmp_path, wrapping):
    path, trace = tmp_path / "net.pt", tmp_path / "trace"
    evil = {"a": TABLE["a.bias"], "b": Malicious(trace)}
    if wrapping == "pickle":
        path.write_bytes(pickle.dumps(Malicious(trace)))
    elif wrapping == "text pickle":
        path.write_bytes(f"cos\nsystem\n(S'touch {trace}'\ntR.".encode())
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=wrapping == "archive")
    assert "AOD-MD50" in (line := refusal(path))
    assert "weights_only" not in line
    assert not trace.exists()


def test_other_classes_are_named(tmp_path):
    assert "`argparse.Namespace`" in refusal(saved(tmp_path, {"args": __import__("argparse").Namespace(a=1), "model": TABLE}))


def test_programs_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/code/__torch__.py", "class Net: ...")
    assert "TorchScript" in refusal(tmp_path / "net.pt")


def test_archives_that_unpack_to_more_are_refused(tmp_path):
    path = tmp_path / "net.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", b"\0" * 20_000_000)
    assert path.stat().st_size < 100_000
    assert "AOD-MD49" in (line := refusal(path))
    assert "compressed" in line


@pytest.mark.parametrize("size", [(100_000, 100_000), (3_000_000_000,)])
def test_tensors_that_repeat_one_number_are_measured_first(tmp_path, size):
    assert "GB" in refusal(saved(tmp_path, {"a": torch.zeros(1).expand(*size)}))


def test_budget(tmp_path):
    save_file({"a": torch.zeros(1000, dtype=torch.uint8)}, tmp_path / "a.safetensors", metadata={"a": "[0, 1]"})
    assert len(read_state(tmp_path / "a.safetensors", max_bytes=4000)) == 1
    assert "GB" in refusal(tmp_path / "a.safetensors", max_bytes=3999)
    assert "GB" in refusal(saved(tmp_path, TABLE), max_bytes=100)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "a.eqx").write_bytes(header.getvalue())
    assert "GB" in refusal(tmp_path / "a.eqx")


@pytest.mark.parametrize("tensor", [torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.empty(2, device="meta")])
def test_tensors_of_other_kinds_are_refused(tmp_path, tensor):
    assert "AOD-MD49" in refusal(saved(tmp_path, {"a": tensor}))


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "a.npy").rename(tmp_path / "a.eqx")
    assert "AOD-MD50" in refusal(tmp_path / "a.eqx")


def test_disguises(tmp_path):
    path = saved(tmp_path, TABLE, "net.safetensors")
    assert "rename it to .pt" in refusal(path)
    save_file(TABLE, path)
    path.rename(tmp_path / "net.pt")
    assert "rename it to .safetensors" in refusal(tmp_path / "net.pt")


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "eqx"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><p>404", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (bytes(range(200)), "fetch the weights again"),
    ],
)
def test_what_is_no_weights(tmp_path, suffix, content, said):
    path = tmp_path / f"net.{suffix}"
    path.write_bytes(content)
    assert said in refusal(path)


def test_huge_header(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(struct.pack("<Q", 200_000_000) + b"{" + b" " * 100)
    assert "200000000 bytes" in refusal(path)


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "eqx", "legacy.pt"])
def test_truncated(tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    big = {"a": torch.randn(50, 50), "b": torch.randn(50, 50)}
    if suffix == "safetensors":
        save_file(big, path)
    elif suffix == "eqx":
        with path.open("wb") as file:
            np.save(file, big["a"].numpy())
    else:
        torch.save(big, path, _use_new_zipfile_serialization=suffix == "pt")
    whole = path.read_bytes()
    for share in (0.05, 0.5, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        assert refusal(path).startswith(("AOD-MD49", "AOD-MD50"))


def test_not_a_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    start = time.monotonic()
    for path in (tmp_path, tmp_path / "pipe.pt", tmp_path / "absent.pt"):
        assert "not a regular file" in refusal(path)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3, "args": {}}, torch.ones(3), {"a": {"b": {"c": {"d": {"model": TABLE}}}}}])
def test_files_without_a_table_of_weights(tmp_path, content):
    assert "no table of named tensors" in refusal(saved(tmp_path, content))


def networks():
    return {
        "small_unet": SmallUNet(width=8, multipliers=(1, 2), blocks=1),
        "iddpm": ADMUNet(16, 32, 1, channel_mult="1,2"),
        "ddpm": DDPMUNet(16, ch=32, ch_mult=[1, 2], num_res_blocks=1),
        "anime": FacesUNet(1, 8, [1, 2], 1, [False, True]),
        "galaxygrad": ScoreNet((1, 8, 8), hidden=4, mix_patch=4, mix_hidden=4, blocks=1),
    }


def test_every_architecture_is_known_by_its_names():
    nets = networks()
    # networks of diffusers need its library: test_nets_diffusers.py, test_convert.py
    assert nets.keys() == ARCHITECTURES.keys() - {"diffusers"}
    for arch, net in nets.items():
        assert guess_architecture(net.state_dict()) == arch
    assert guess_architecture(TABLE) is None


@pytest.mark.parametrize("arch", networks())
def test_other_architecture_is_named(arch):
    state = networks()[arch].state_dict()
    for other, net in networks().items():
        if other == arch:
            fit_state(net, state, "net.pt", arch)
            continue
        with pytest.raises(ModelError) as caught:
            fit_state(net, state, "net.pt", other)
        line = str(caught.value)
        assert line.startswith("AOD-MD51 net.pt")
        assert line.endswith(f"this looks like {arch}; try arch: {arch}")
        assert sum(line.count(word) for word in (" missing", " instead of ", " unknown")) == 10


def test_other_arguments_are_shown():
    state = ADMUNet(16, 32, 1, channel_mult="1,2", learn_sigma=True).state_dict()
    with pytest.raises(ModelError, match=r"out\.2\.weight \(6, 32, 3, 3\) instead of \(3, 32, 3, 3\).*check the arguments"):
        fit_state(networks()["iddpm"], state, "net.pt", "iddpm")


def test_networks_of_other_kinds_are_named():
    assert "labels" in advice({"label_emb.weight": torch.ones(1)})
    assert "config.json" in advice({"down_blocks.0.resnets.0.norm1.weight": torch.ones(1)})
    assert "none of small_unet" in advice(TABLE)


def test_names_are_safe_to_print(tmp_path):
    net, state = torch.nn.Linear(1, 1), {"\x1b[2J\n" + "x" * 500: torch.ones(1)}
    with pytest.raises(ModelError) as caught:
        fit_state(net, state, "net.pt", "ddpm")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_network_on_the_meta_device_gets_its_own_weights(tmp_path):
    net = SmallUNet(width=8, multipliers=(1, 2), blocks=1)
    path = saved(tmp_path, net.state_dict())
    with torch.device("meta"):
        empty = SmallUNet(**net.config)
    fit_state(empty, read_state(path), path, "small_unet")
    assert_is(empty.state_dict(), net.state_dict())
    # the file may change afterwards: nothing is mapped from it any more
    path.write_bytes(b"\0" * path.stat().st_size)
    assert_is(empty.state_dict(), net.state_dict())
