"""Frozen networks, from what a user or a configuration says about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from astro_ood._yaml import read_mapping
from astro_ood.config import Model
from astro_ood.diffusion import hub
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution


def open_model(
    name_or_path: hub.Source = "default",
    arch: str | None = None,
    config: dict[str, Any] | str | Path | None = None,
    **options: Any,
) -> Denoiser:
    """Open a frozen network; as `astro_ood.diffusion.hub.open_model`, but `config` may also be a YAML file."""
    return hub.open_model(name_or_path, arch, read_card(config), **options)


def read_card(config: dict[str, Any] | str | Path | None) -> dict[str, Any] | str | Path | None:
    """A card, or the arguments of a network: content of a YAML file, everything else as it is."""
    return read_mapping(Path(config)) if isinstance(config, str | Path) and Path(config).suffix in {".yml", ".yaml"} else config


def open_configured(model: Model) -> Denoiser:
    """The network of a configuration, ready on its device; this process takes as many threads as it says."""
    torch.set_num_threads(model.threads)
    execution = Execution(model.precision, model.channels_last, model.compiled, model.graphs, model.onnx)
    return open_model(model.name, model.arch, model.card, device=model.device, execution=execution, window=model.window)
