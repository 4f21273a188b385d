"""Any network that can be opened as a .safetensors file with a card: opened faster, checked by hash, and never a pickle again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from astro_ood.diffusion.hub import open_model
from astro_ood.errors import ModelError


def convert(
    source: str | Path,
    out: str | Path,
    arch: str | None = None,
    config: dict[str, Any] | str | Path | None = None,
    *,
    licence: str = "not stated",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write weights (float32) and card of a network.

    Parameters
    ----------
    source, arch, config
        As `open_model` takes them.
    out : str or Path
        Weights to write, ``.safetensors``; the card comes beside it.
    licence : str
        What the publisher of the weights says.
    overwrite : bool
        Whether to replace what is there.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ModelError
        MD61: `out` is in the way, or no ``.safetensors``; otherwise as `open_model`.
    """
    target = Path(out)
    card_path = target.with_suffix(".json")
    if target.suffix != ".safetensors":
        raise ModelError("MD61", target, f"the name ends in '{target.suffix}'", "give a name that ends in .safetensors")
    for path in (target, card_path):
        if path.exists() and not overwrite:
            raise ModelError("MD61", path, "there is a file already", "delete it, give another name, or --overwrite")
    model = open_model(source, arch, config, device="cpu")
    assert isinstance(model.net, torch.nn.Module)
    work = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in model.net.state_dict().items()}, work)
        with work.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        card = {
            "name": target.stem,
            **{key: model.card[key] for key in ("arch", "network", "schedule", "parameterisation", "range", "shape")},
            "parameters": sum(p.numel() for p in model.net.parameters()),
            "sha256": digest,
            "licence": licence,
            "converted_from": {"name": Path(source).name, "sha256": model.sha256},
        }
        work.replace(target)
        work.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        work.replace(card_path)
    finally:
        work.unlink(missing_ok=True)
    return card
