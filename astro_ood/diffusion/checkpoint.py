"""What trainers save with `torch.save`, and the table of weights inside.

An archive holds a pickle and raw numbers. The pickle is interpreted by torch's reader of tensors alone, `weights_only`; what it builds
can still be anything that trainers put together: weights beside an optimiser, averaged weights (EMA) beside the last ones, names with
the prefixes of wrappers. Samples are made with the averaged weights, so these come first.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from astro_ood.errors import ModelError

Table = Mapping[str, Tensor]

AVERAGED = "averaged (EMA) weights"
SAVE_AGAIN = "save the network with torch.save(net.state_dict(), ...)"
MAX_DEPTH = 3
_EMA = ("ema", "ema_state_dict", "model_ema", "ema_model", "ema_state")
_TABLES = ("state_dict", "model_state_dict", "model_state", "model", "net", "unet", "params", "weights")
_EMA_PREFIX = "ema_model."
_PREFIXES = ("module.", "_orig_mod.", _EMA_PREFIX, "model.", "diffusion_model.")
# numbers that some trainers keep beside the network
_SCHEDULE = re.compile(r"(alphas|betas|sqrt_|log_one|posterior_|p2_|loss_)\w*")


def read_checkpoint(path: Path) -> tuple[Table, str]:
    """Table of weights in a file of `torch.save`, and which part of the file it was.

    Raises
    ------
    ModelError
        MD49 where there is none or the file is damaged, MD50 where it asks for code.
    """
    archive = zipfile.is_zipfile(path)
    if archive:
        _check_archive(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # of old formats; what cannot be read is an error
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error)) from None
    found = _find_table(content)
    if found is None:
        keys = f" (it has {', '.join(map(shown, list(content)[:10]))})" if isinstance(content, Mapping) else ""
        raise ModelError("MD49", path, f"holds no table of named tensors{keys}", SAVE_AGAIN)
    return found


def shown(name: object) -> str:
    """A name that others chose, safe to print."""
    return str(name)[:80].encode("unicode_escape").decode()


def unwrapped(table: Table) -> tuple[Table, str]:
    """Weights without the prefixes that wrappers put before every name, nor what lies beside the network then; and which they were."""
    averaged = {name: tensor for name, tensor in table.items() if name.startswith(_EMA_PREFIX)}
    inner = {name: tensor for name, tensor in (averaged or table).items() if not _SCHEDULE.fullmatch(name)}
    for prefix in _PREFIXES:
        if inner and all(name.startswith(prefix) for name in inner):
            bare, note = unwrapped({name.removeprefix(prefix): tensor for name, tensor in inner.items()})
            return bare, AVERAGED if averaged else note
    return table, ""


def _check_archive(path: Path) -> None:
    """Refuse programs, and archives that would unpack to more than they are."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    if any("/code/" in record.filename for record in records):
        raise ModelError("MD50", path, "holds a program (TorchScript), which would have to be run", SAVE_AGAIN)
    stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
    if not stored or sum(record.file_size for record in records) > path.stat().st_size:
        raise ModelError("MD49", path, "is compressed, which torch.save never does", "fetch the weights again, or save them again")


def _refusal(path: Path, message: str) -> ModelError:
    """What to say of a pickle that torch's reader of tensors would not read."""
    asked = re.search(r"GLOBAL\s+([\w.]+)", message)
    with path.open("rb") as file:
        is_pickle = file.read(2) in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
    if asked is None and not ("Unsupported" in message and is_pickle):
        return ModelError("MD49", path, "no file of torch.save, or a damaged one", "fetch the weights again")
    what = f"`{asked[1][:80]}`" if asked else "more than tensors"
    problem = f"a pickle can run code when it is opened, and this one asks for {what}"
    return ModelError("MD50", path, problem, f"convert it on a machine that you would trust with it: {SAVE_AGAIN}")


def _find_table(content: Any, depth: int = 0) -> tuple[Table, str] | None:
    """Named tensors inside what trainers save, averaged weights before others, and which they were."""
    if isinstance(content, list | tuple) and depth < MAX_DEPTH:
        return _averaged([found for item in content if (found := _find_table(item, depth + 1))])
    if not isinstance(content, Mapping) or depth > MAX_DEPTH:
        return None
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors or any(isinstance(value, Mapping | list | tuple) for value in content.values()):
        for key in (*_EMA, *_TABLES):
            if found := _find_table(content.get(key), depth + 1):
                return found[0], AVERAGED if key in _EMA else found[1]
    return (tensors, "") if tensors else None


def _averaged(tables: list[tuple[Table, str]]) -> tuple[Table, str] | None:
    """Of [network, ..., average], as DDPM's trainer saves them, the average."""
    if len(tables) < 2:
        return tables[0] if tables else None
    first, last = tables[0][0], tables[-1][0]
    return (last, AVERAGED) if unwrapped(first)[0].keys() >= unwrapped(last)[0].keys() else tables[0]
