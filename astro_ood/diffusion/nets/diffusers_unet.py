"""Local `UNet2DModel` folders of the diffusers library, without its schedulers.

A folder holds what the network is (`config.json`), its weights and, beside them or in `scheduler/`, what it was trained with
(`scheduler_config.json`). Only properties of the network are read from the last: betas and what is predicted. The rest are habits
of a sampler, and two of diffusers' defaults, `clip_sample: true` and `timestep_spacing: leading`, break inversion silently. Nothing
is downloaded: names are paths. Weights are loaded strictly here, because `from_pretrained` leaves missing ones at random values and
only warns.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
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
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


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
        try:
            self.unet = _library().UNet2DModel(**network)
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


def open_folder(folder: str | Path) -> DiffusersUNet:
    """Build the network of a local folder and load its weights strictly.

    Parameters
    ----------
    folder : str or Path
        Folder of the network, or of a pipeline that holds it in `unet/`.

    Returns
    -------
    DiffusersUNet
        In evaluation mode, float32, without gradients.

    Raises
    ------
    ModelError
        Missing, damaged, unexpected or non-finite weights; see also :func:`folder_card`.
    """
    path = weights_file(folder)
    net = DiffusersUNet(**_network(_home(folder)))
    state = {f"unet.{_new_name(key)}": value.float() for key, value in _read_weights(path).items()}
    expected = {key: value.shape for key, value in net.state_dict().items()}
    wrong = sorted(k for k in expected.keys() | state.keys() if k not in state or expected.get(k) != state[k].shape)
    if wrong:
        shown = ", ".join(wrong[:10]) + (" ..." if len(wrong) > 10 else "")
        raise ModelError("MD51", path, f"{len(wrong)} parameters do not fit config.json: {shown}", "fetch the whole folder again")
    bad = sorted(key for key, value in state.items() if not torch.isfinite(value).all())
    if bad:
        raise ModelError("MD52", path, f"{len(bad)} tensors hold NaN or infinity, first {bad[0]}", "fetch the weights again")
    net.load_state_dict(state)
    return net.eval().requires_grad_(requires_grad=False)


def folder_card(folder: str | Path) -> dict[str, Any]:
    """What a folder says of its network, as a model card without a hash.

    Parameters
    ----------
    folder : str or Path
        Folder of the network, or of a pipeline that holds it in `unet/`.

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
    size = network.get("sample_size")
    if size is None:
        raise ModelError("MD02", home / "config.json", "sample_size is not given", "add the side of the training maps in pixels")
    height, width = (size, size) if isinstance(size, int) else (int(side) for side in size)
    scheduler = _scheduler_file(home)
    schedule, parameterisation = read_scheduler(_read_json(scheduler), scheduler)
    return {
        "arch": "diffusers_unet",
        "network": network,
        "schedule": schedule,
        "parameterisation": parameterisation,
        # a network that centres its input itself was trained on [0, 1]
        "range": [0.0, 1.0] if network.get("center_input_sample") else [-1.0, 1.0],
        "shape": [int(network.get("in_channels", 3)), height, width],
    }


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


def _scheduler_file(home: Path) -> Path:
    for place in (home, home / "scheduler", home.parent / "scheduler"):
        if (place / "scheduler_config.json").is_file():
            return place / "scheduler_config.json"
    raise ModelError("MD02", home, "no scheduler_config.json says which noise it was trained with", "add it or give `config:`")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError("MD02", path, f"not readable as JSON ({error})", "fetch the folder again") from None
    if not isinstance(settings, dict):
        raise ModelError("MD02", path, "expected a JSON object", "fetch the folder again")
    return settings


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError("MD50", path, "a pickle that holds more than weights", "save it as .safetensors") from None
    except (SafetensorError, OSError, RuntimeError, EOFError) as error:
        raise ModelError("MD49", path, f"weights cannot be read ({error})", "fetch them again") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError("MD49", path, "expected a dictionary of tensors", "save it as .safetensors")
    return state


def _new_name(key: str) -> str:
    """Name of a parameter today; attention was renamed."""
    *path, layer, kind = key.split(".")
    return ".".join([*path, _OLD_NAMES[layer], kind]) if "attentions" in path and layer in _OLD_NAMES else key
