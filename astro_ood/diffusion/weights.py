"""Reading weights of other people without trusting them.

Three kinds of file hold weights: safetensors (a table and raw numbers), archives of `torch.save` (a pickle and raw numbers) and equinox
leaves (.npy records one after the other). A pickle is a program, so only the subset that builds tensors is ever interpreted, and
nothing offers more. Sizes are compared with a budget before memory is asked for, because a file of a few kB can declare terabytes.
Whatever is wrong ends in one line that says what to do.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from astro_ood.diffusion.checkpoint import SAVE_AGAIN, Table, read_checkpoint, shown, unwrapped
from astro_ood.diffusion.nets import ARCHITECTURES
from astro_ood.errors import ModelError

MAX_BYTES = 8 << 30
MAX_HEADER = 16 << 20
MAX_RECORDS = 100_000
FETCH_AGAIN = "fetch the weights again"

# first bytes of each kind of file, its usual suffix, and of what is taken for weights by mistake
_KINDS = (
    (re.compile(rb".{8}\{", re.S), ".safetensors", "a safetensors file"),
    (re.compile(rb"PK\x03\x04|\x80[\x02-\x05]"), ".pt", "an archive or pickle of torch.save"),
    (re.compile(rb"\x93NUMPY"), ".eqx", "numpy records"),
)
_MISTAKEN = (
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.I), "a web page, not weights", FETCH_AGAIN),
    (re.compile(rb"\x89HDF"), "an HDF5 file, as Keras writes them", "convert it to .safetensors"),
)


class State(dict[str, Tensor]):
    """Named tensors of a network; `note` says which part of the file they were, where it held more."""

    note: str = ""


def read_state(path: str | Path, *, max_bytes: int = MAX_BYTES) -> State:
    """Read named float32 tensors from a file of weights.

    Parameters
    ----------
    path : str or Path
        A .safetensors file (also with tensors quantised to uint8, whose metadata give ``[minimum, scale]``), an archive of
        `torch.save` (.pt, .pth, .ckpt), or equinox leaves (.eqx), which are named ``leaf.0``, ``leaf.1`` and so on.
    max_bytes : int
        Largest size of the file, and of its tensors in float32.

    Returns
    -------
    State
        The averaged (EMA) weights where a file holds both, without the prefixes of wrappers.

    Raises
    ------
    ModelError
        MD49 not readable or too large, MD50 a pickle that asks for code, MD52 NaN or infinity.
    """
    path = Path(path)
    try:
        _check_kind(path, max_bytes)
        if path.suffix == ".safetensors":
            table, note = _read_safetensors(path, max_bytes), ""
        elif path.suffix == ".eqx":
            table, note = _read_leaves(path, max_bytes), ""
        else:
            table, note = read_checkpoint(path)
        table, wrapped = unwrapped(table)
        _check_plain(path, table, max_bytes)
        state = State({name: t.detach().float() if t.is_floating_point() else t.detach() for name, t in table.items()})
    except ModelError:
        raise
    except Exception as error:  # a damaged or hostile file can raise anything
        said = str(error).partition("\n")[0][:160]
        raise ModelError("MD49", path, f"weights cannot be read ({type(error).__name__}: {said})", FETCH_AGAIN) from None
    bad = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ModelError("MD52", path, f"{len(bad)} tensors hold NaN or infinity, first {shown(bad[0])}", FETCH_AGAIN)
    state.note = note or wrapped
    return state


def guess_architecture(state: Table) -> str | None:
    """Name of the architecture whose parameters these are, by their names."""
    return next((arch for arch, kind in ARCHITECTURES.items() if kind.translate(state).keys() >= set(kind.signature)), None)


def advice(state: Table, arch: str | None = None) -> str:
    """What to do with weights that do not fit architecture `arch`."""
    if "label_emb.weight" in state:
        return "this is a class-conditional network, which needs labels that maps have not: take the unconditional one"
    guess = guess_architecture(state)
    if guess is None:
        return f"this looks like none of {', '.join(ARCHITECTURES)}"
    if guess == arch:
        return "check the arguments of the network"
    if guess == "diffusers":
        return "this looks like a diffusers UNet2DModel: give the folder that holds its config.json"
    return f"this looks like {guess}; try arch: {guess}"


def fit_state(net: nn.Module, state: Table, where: object, arch: str) -> None:
    """Load weights strictly: every parameter, no other, each of its shape.

    Parameters
    ----------
    net : nn.Module
        Network of architecture `arch`; it may have been built on the meta device, which costs no time and no memory.
    state : mapping of Tensor
        Weights as `read_state` gives them.
    where : object
        File, for the message.
    arch : str
        Name of the architecture.

    Raises
    ------
    ModelError
        MD51 where names or shapes differ; at most ten are named.
    """
    if arch in ARCHITECTURES:
        state = ARCHITECTURES[arch].translate(state)
    expected = net.state_dict()
    wrong = [f"{name} missing" for name in expected if name not in state]
    wrong += [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    wrong += [f"{shown(name)} unknown" for name in state if name not in expected]
    if wrong:
        named = ", ".join(wrong[:10]) + (" ..." if len(wrong) > 10 else "")
        raise ModelError("MD51", where, f"{len(wrong)} parameters do not fit architecture {arch}: {named}", advice(state, arch))
    if any(tensor.is_meta for tensor in expected.values()):
        net.load_state_dict({name: tensor.clone() for name, tensor in state.items()}, assign=True)
    else:
        net.load_state_dict(dict(state))


def _check_kind(path: Path, max_bytes: int) -> None:
    """Refuse, by size and first bytes, what only bears the name of weights."""
    if not path.is_file():
        raise ModelError("MD49", path, "not a regular file", "give the file of the weights")
    _check_budget(path, path.stat().st_size, max_bytes)
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ModelError("MD49", path, "the file is empty", FETCH_AGAIN)
    wanted = path.suffix if path.suffix in {".safetensors", ".eqx"} else ".pt"
    for start, suffix, kind in _KINDS:
        if start.match(head):
            if suffix != wanted:
                raise ModelError("MD49", path, f"holds {kind} under the name of another", f"rename it to {suffix} if that is right")
            return
    for start, problem, remedy in _MISTAKEN:
        if start.match(head):
            raise ModelError("MD49", path, problem, remedy)


def _check_budget(path: Path, size: int, max_bytes: int) -> None:
    if size > max_bytes:
        problem = f"needs {size / 1e9:.1f} GB, more than the {max_bytes / 1e9:.1f} GB allowed"
        raise ModelError("MD49", path, problem, "check that it is the right file")


def _check_plain(path: Path, table: Table, max_bytes: int) -> None:
    """Real numbers in memory, no more of them than the budget allows: a tensor can repeat a few numbers without end."""
    for name, tensor in table.items():
        if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
            raise ModelError("MD49", path, f"{shown(name)} is no plain real tensor", SAVE_AGAIN)
    _check_budget(path, 4 * sum(tensor.numel() for tensor in table.values()), max_bytes)


def _read_safetensors(path: Path, max_bytes: int) -> Table:
    with path.open("rb") as raw:
        header = int.from_bytes(raw.read(8), "little")
    if header > MAX_HEADER:
        raise ModelError("MD49", path, f"no safetensors file: its header would have {header} bytes", FETCH_AGAIN)
    with safe_open(path, "pt") as file:
        names, scales = list(file.keys()), file.metadata() or {}
        _check_budget(path, 4 * sum(math.prod(file.get_slice(name).get_shape()) for name in names), max_bytes)
        return {name: _dequantised(path, name, file.get_tensor(name), scales) for name in names}


def _dequantised(path: Path, name: str, tensor: Tensor, scales: Mapping[str, str]) -> Tensor:
    """Tensor as it was before it was quantised, if it was: x = q scale + minimum."""
    if tensor.dtype is not torch.uint8:
        return tensor
    if name not in scales:
        raise ModelError("MD49", path, f"{shown(name)} is uint8 without its [minimum, scale] in the metadata", "take float weights")
    low, scale = (float(number) for number in json.loads(scales[name]))
    return tensor.float() * scale + low


def _read_leaves(path: Path, max_bytes: int) -> Table:
    """Concatenated .npy records, each looked at before it is read."""
    leaves: dict[str, Tensor] = {}
    size, total = path.stat().st_size, 0
    with path.open("rb") as file:
        while (start := file.tell()) < size:
            count, dtype = _leaf_header(file)
            if dtype.hasobject:
                raise ModelError("MD50", path, "an array of objects is a pickle, which can run code", "take other weights")
            total += 4 * count
            _check_budget(path, total, max_bytes)
            if dtype.kind not in "fiub" or count * dtype.itemsize > size - file.tell() or len(leaves) >= MAX_RECORDS:
                raise ModelError("MD49", path, f"record {len(leaves)} is cut off or holds no numbers", FETCH_AGAIN)
            file.seek(start)
            record = np.lib.format.read_array(file, allow_pickle=False)
            leaves[f"leaf.{len(leaves)}"] = torch.from_numpy(np.array(record, np.float32))
    return leaves


def _leaf_header(file: BinaryIO) -> tuple[int, np.dtype[Any]]:
    """Number of values and their type."""
    major, _ = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return math.prod(shape), dtype
