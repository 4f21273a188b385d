"""Local `UNet2DModel` folders of the diffusers library, without its schedulers.

A folder holds what the network is (`config.json`), its weights and, beside them or in `scheduler/`, what it was trained with
(`scheduler_config.json`). Only properties of the network are read from the last: betas and what is predicted. The rest are habits
of a sampler, and two of diffusers' defaults, `clip_sample: true` and `timestep_spacing: leading`, break inversion silently. Nothing
is downloaded: names are paths. Weights are read and fitted as those of every other network, because `from_pretrained` leaves missing
ones at random values and only warns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from astro_ood.errors import ModelError

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")

# values that diffusers takes where a scheduler's configuration does not say
_DEFAULTS = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "prediction_type": "epsilon",
}
_PARAMETERISATIONS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
# schedulers that stand for a discrete variance-preserving process: x_t = alpha_t x_0 + sigma_t eps at whole t
_SCHEDULERS = {
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "DDIMInverseScheduler",
    "PNDMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
}
# names of attention weights before diffusers 0.15
_NEW_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_RENAMED = re.compile(rf"(?<=\.)({'|'.join(_NEW_NAMES)})(?=\.(weight|bias)$)")


class DiffusersUNet(nn.Module):
    """A `UNet2DModel` that answers as every other network here does.

    Parameters
    ----------
    **network
        Arguments of `diffusers.UNet2DModel`.

    Raises
    ------
    ModelError
        diffusers is not installed (MD58), arguments it does not know (MD51), or a network that needs more than a map and its time
        (MD53).
    """

    def __init__(self, **network: Any) -> None:
        super().__init__()
        _refuse_other_kinds(network)
        library = _library()
        try:
            self.unet = library.UNet2DModel(**network)
        except (TypeError, ValueError, KeyError) as error:
            raise ModelError("MD51", "config.json", f"diffusers cannot build this UNet2DModel ({error})", "check it") from None
        self.config = {key: list(v) if isinstance(v, tuple) else v for key, v in network.items()}
        self.channels = int(self.unet.config.in_channels)
        self.stride = 2 ** (len(self.unet.config.block_out_channels) - 1)
        # convolutions and attention without positions: any multiple of `stride` fits
        self.fixed_size = False

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's own output, (N, C, H, W) or (N, 2 C, H, W), for maps `x_t` (N, C, H, W) at times `t` (1,) or (N,)."""
        out: Tensor = self.unet(x_t, t, return_dict=False)[0]
        return out


def named(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Weights of any version of diffusers under the names of `DiffusersUNet`; what has these names is handed on as it is."""
    if any(key.startswith("unet.") for key in state):
        return state
    return {f"unet.{_RENAMED.sub(lambda old: _NEW_NAMES[old[0]], key)}": value for key, value in state.items()}


def folder_card(folder: str | Path, said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a folder says of its network, as a model card without a hash.

    Parameters
    ----------
    folder : str or Path
        Folder of the network, or of a pipeline that holds it in `unet/`.
    said : mapping, optional
        Entries of the card that are known better: they are kept, and not looked for in the folder.

    Returns
    -------
    dict
        `arch`, `network`, `schedule`, `parameterisation`, `range`, `shape`.

    Raises
    ------
    ModelError
        Missing or unreadable configuration (MD02, MD03), another kind of network or of noise (MD53).
    """
    home = _home(folder)
    network = _network(home)
    # a network that centres its input itself was trained on [0, 1]
    low = 0.0 if network.get("center_input_sample") else -1.0
    card = {"arch": "diffusers", "network": network, "range": [low, 1.0], **(said or {})}
    if "shape" not in card:
        card["shape"] = _shape(network, home / "config.json")
    if not card.keys() >= {"schedule", "parameterisation"}:
        scheduler = _scheduler_file(home)
        schedule, parameterisation = read_scheduler(_read_json(scheduler), scheduler)
        card = {"schedule": schedule, "parameterisation": parameterisation, **card}
    return card


def read_scheduler(settings: Mapping[str, Any], where: object) -> tuple[dict[str, Any], str]:
    """Schedule and parameterisation of a card from a scheduler's configuration.

    Parameters
    ----------
    settings : mapping
        Content of `scheduler_config.json`.
    where : object
        Its path, for messages.

    Returns
    -------
    schedule : dict
        `kind` linear, cosine or betas, with its arguments.
    parameterisation : str
        ``eps``, ``x0`` or ``v``.

    Raises
    ------
    ModelError
        MD53: noise or a prediction of another kind.
    """
    said = _DEFAULTS | {key: settings[key] for key in _DEFAULTS if settings.get(key) is not None}
    name = settings.get("_class_name", "DDPMScheduler")
    if name not in _SCHEDULERS:
        raise _unknown(where, f"scheduler {name} is not one of a discrete variance-preserving process")
    if settings.get("rescale_betas_zero_snr"):
        raise _unknown(where, "rescale_betas_zero_snr leaves no signal at the last step")
    if said["prediction_type"] not in _PARAMETERISATIONS:
        raise _unknown(where, f"prediction_type is {said['prediction_type']}, known are {', '.join(_PARAMETERISATIONS)}")
    return _schedule(said, settings.get("trained_betas"), where), _PARAMETERISATIONS[said["prediction_type"]]


def _schedule(said: Mapping[str, Any], trained: Any, where: object) -> dict[str, Any]:
    try:
        if trained is not None:
            return {"kind": "betas", "betas": [float(beta) for beta in trained]}
        n, first, last = int(said["num_train_timesteps"]), float(said["beta_start"]), float(said["beta_end"])
    except (TypeError, ValueError) as error:
        raise _unknown(where, f"the schedule is not made of numbers ({error})") from None
    if not (2 <= n <= 100_000 and 0 < first <= last < 1):
        raise _unknown(where, f"{n} steps with betas {first:g} to {last:g} are no schedule")
    if said["beta_schedule"] == "linear":
        return {"kind": "linear", "n": n, "beta_first": first, "beta_last": last}
    if said["beta_schedule"] == "squaredcos_cap_v2":
        return {"kind": "cosine", "n": n, "s": 0.008, "beta_clip": [0.0, 0.999]}
    if said["beta_schedule"] == "scaled_linear":
        return {"kind": "betas", "betas": (np.linspace(first**0.5, last**0.5, n) ** 2).tolist()}
    raise _unknown(where, f"beta_schedule is {said['beta_schedule']}, known are linear, scaled_linear, squaredcos_cap_v2")


def weights_file(folder: str | Path) -> Path:
    """File of the weights in a folder, safetensors before a pickle.

    Raises
    ------
    ModelError
        MD03: there is none.
    """
    home = _home(folder)
    for name in WEIGHTS:
        if (home / name).is_file():
            return home / name
    raise ModelError("MD03", home, f"no {WEIGHTS[0]} in the folder", "save the network unsharded, without a variant")


def _library() -> Any:
    try:
        return import_module("diffusers")
    except ImportError:
        remedy = "pip install 'astro-ood[diffusers]'"
        raise ModelError("MD58", "diffusers", "the package that knows UNet2DModel is not installed", remedy) from None


def _unknown(where: object, problem: str) -> ModelError:
    return ModelError("MD53", where, problem, "give `config:` with schedule and parameterisation, or take another network")


def _refuse_other_kinds(network: Mapping[str, Any]) -> None:
    """Networks that need more than a noised map and a real-valued time."""
    if network.get("class_embed_type") is not None or network.get("num_class_embeds") is not None:
        raise ModelError("MD53", "config.json", "the network wants the class of each map", "take an unconditional network")
    embedding = network.get("time_embedding_type", "positional")
    if embedding != "positional":
        problem = f"time_embedding_type is {embedding}, expected positional (real-valued steps)"
        raise ModelError("MD53", "config.json", problem, "take another network")
    c_in, c_out = network.get("in_channels", 3), network.get("out_channels", 3)
    if c_out not in (c_in, 2 * c_in):
        raise ModelError("MD53", "config.json", f"{c_in} channels in and {c_out} out", "take an unconditional network")


def _home(folder: str | Path) -> Path:
    """Folder of the network itself, which a pipeline keeps in `unet/`."""
    home = Path(folder)
    home = home / "unet" if (home / "unet" / "config.json").is_file() else home
    if not (home / "config.json").is_file():
        raise ModelError("MD03", home, "no config.json here", "give the local folder of a UNet2DModel; nothing is downloaded")
    return home


def _network(home: Path) -> dict[str, Any]:
    settings = _read_json(home / "config.json")
    kind = settings.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ModelError("MD53", home / "config.json", f"the network is a {kind}, expected UNet2DModel", "take another network")
    return {key: value for key, value in settings.items() if not key.startswith("_")}


def _shape(network: Mapping[str, Any], where: Path) -> list[int]:
    size = network.get("sample_size")
    if size is None:
        raise ModelError("MD02", where, "sample_size is not given", "add the side of the training maps in pixels")
    return [network.get("in_channels", 3), *(size if isinstance(size, list) else (size, size))]


def _scheduler_file(home: Path) -> Path:
    for place in (home, home / "scheduler", home.parent / "scheduler"):
        if (place / "scheduler_config.json").is_file():
            return place / "scheduler_config.json"
    remedy = "add it, or give `config:` with schedule and parameterisation"
    raise ModelError("MD02", home, "no scheduler_config.json says which noise it was trained with", remedy)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("MD02", path, f"not readable as JSON ({error})", "fetch the folder again") from None
    if not isinstance(settings, dict):
        raise ModelError("MD02", path, "expected a JSON object", "fetch the folder again")
    return settings
