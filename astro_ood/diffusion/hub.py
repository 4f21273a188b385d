"""Opening frozen networks: weights and what is known of them, checked before they are trusted.

What the weights are (architecture and its arguments, schedule, parameterisation, training range, data, licence) stands in a JSON card
with their SHA-256, in the arguments that their publisher gives, or is read off the weights where that is certain. Nothing is ever
unpickled into code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from astro_ood._resources import resource
from astro_ood.diffusion import weights
from astro_ood.diffusion.denoiser import Denoiser, Network
from astro_ood.diffusion.execution import Execution, pick_device
from astro_ood.diffusion.nets import ARCHITECTURES
from astro_ood.diffusion.nets.diffusers_unet import folder_card, weights_file
from astro_ood.diffusion.schedule import make_schedule
from astro_ood.diffusion.windows import Windowed
from astro_ood.errors import ModelError

DEFAULT = "photos32"
CALLABLE, FOLDER = "callable", "diffusers"
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".eqx")
CARD_KEYS = ("arch", "network", "schedule", "parameterisation", "range", "shape", "sha256")

Source = str | Path | Callable[..., torch.Tensor]


def list_models() -> dict[str, dict[str, Any]]:
    """Cards of the networks that come with astro_ood, by name."""
    return {card.stem: read_card(card) for card in sorted(resource("data/models").glob("*.json"))}


def read_card(path: Path) -> dict[str, Any]:
    """Read a model card, or the arguments of a network.

    Raises
    ------
    ModelError
        Where it is missing, is no JSON object, or is a card without the hash of its weights.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError("MD02", path, "cannot be read", "give `config:` with arch, network and schedule") from None
    except ValueError as error:
        raise ModelError("MD02", path, f"the model card is not JSON ({error})", "repair it") from None
    if not isinstance(card, dict) or not card:
        raise ModelError("MD02", path, "the model card is not a JSON object with keys", "repair it")
    if "network" in card and not card.get("sha256"):
        raise ModelError("MD02", path, "the model card has no sha256 of the weights", "add it, from a source that you trust")
    return card


def open_model(
    name_or_path: Source = "default",
    arch: str | None = None,
    config: dict[str, Any] | str | Path | None = None,
    *,
    device: str = "auto",
    execution: Execution | None = None,
    window: int | None = None,
) -> Denoiser:
    """Open a frozen network.

    Parameters
    ----------
    name_or_path : str, Path or callable
        ``"default"``, the name of a network that comes with astro_ood, the path of a .safetensors, .pt, .ckpt or .eqx file, the
        folder of a diffusers ``UNet2DModel``, or ``f(x_t, t)`` itself, for which `config` gives schedule and shape.
    arch : str, optional
        Architecture, where no card says it and the weights do not show it.
    config : dict or path, optional
        Card as a dict or a JSON file, instead of the file beside the weights; or the arguments of the network alone.
    device : str
        ``auto``, ``cpu``, ``cuda``.
    execution : Execution, optional
        Arithmetic, memory layout, compilation; plain float32 by default.
    window : int, optional
        Side of overlapping windows, for maps larger than the network.

    Returns
    -------
    Denoiser

    Raises
    ------
    ModelError
        Missing, damaged or unexpected weights; a hash other than the card's; weights that are not finite; a card that says what
        this version does not know.
    """
    given = read_card(Path(config)) if isinstance(config, str | Path) else config
    where: object = config if isinstance(config, str | Path) else "config"
    net: Network
    if callable(name_or_path):
        card = _complete({"arch": CALLABLE, "network": {}, **(given or {})}, where)
        net, name, sha256 = name_or_path, getattr(name_or_path, "__name__", CALLABLE), ""
    else:
        path = _locate(str(name_or_path))
        beside = path.with_suffix(".json")
        if given is None:
            given, where = (read_card(beside), beside) if path.is_file() and beside.is_file() else ({}, path)
        net, card, sha256 = _open_file(path, arch, given, where)
        name = path.stem
    opened = _denoiser(net, card, where, name, sha256)
    opened.to(pick_device(device), execution)
    return opened if window is None else Windowed(opened, window)


def _denoiser(net: Network, card: dict[str, Any], where: object, name: str, sha256: str) -> Denoiser:
    if isinstance(net, torch.nn.Module):
        net.eval().requires_grad_(requires_grad=False)
    schedule = make_schedule(card["schedule"], where)
    try:
        c, h, w = (int(n) for n in card["shape"])
        low, high = (float(v) for v in card["range"])
    except (TypeError, ValueError) as error:
        raise ModelError("MD02", where, f"shape or range cannot be used ({error})", "correct the card") from None
    return Denoiser(
        net,
        schedule,
        (c, h, w),
        parameterisation=card["parameterisation"],
        data_range=(low, high),
        stride=getattr(net, "stride", 1),
        fixed_size=getattr(net, "fixed_size", False),
        name=name,
        sha256=sha256,
        card=card,
    )


def _open_file(path: Path, arch: str | None, given: dict[str, Any], where: object) -> tuple[Network, dict[str, Any], str]:
    """Network, completed card and hash of one file of weights, which a folder names."""
    card: dict[str, Any] = given if _is_card(given) or not given else {"network": given}
    if path.is_dir():
        if (arch or card.get("arch") or FOLDER) != FOLDER:
            raise ModelError("MD51", path, "a folder is a diffusers network, no other", f"leave arch out, or say {FOLDER}")
        path, card = weights_file(path), folder_card(path, card)
    sha256 = _check_hash(path, card.get("sha256"))
    state = weights.read_state(path)
    named = arch or card.get("arch")
    arch = str(named) if named else weights.guess_architecture(state)
    if arch is None:
        raise ModelError("MD51", path, "the names of its tensors fit no architecture", weights.advice(state))
    if arch not in ARCHITECTURES:
        raise ModelError("MD51", path, f"unknown architecture '{arch}'", f"expected one of {', '.join(ARCHITECTURES)}")
    kind = ARCHITECTURES[arch]
    if "network" not in card:
        if kind.arguments_from is None:
            remedy = "give `config:`, a card or arguments; of a diffusers network, give the folder"
            raise ModelError("MD02", path, f"no card says the arguments of this {arch} network", remedy)
        card = {**kind.arguments_from(state), **card}
    try:
        with torch.device("meta"):  # the weights bring their own memory
            net = kind.build(card["network"])
    except ModelError:
        raise
    except (TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError, LookupError) as error:
        if weights.guess_architecture(state) != arch:  # then its arguments are not to blame
            raise ModelError(
                "MD51", path, f"no {arch} network: its tensors have other names", weights.advice(state, arch)
            ) from None
        raise ModelError("MD02", where, f"no {arch} network can be built ({error})", "repair its arguments") from None
    weights.fit_state(net, state, where=path, arch=arch)
    c = net.channels
    own = {"shape": [c, net.image_size, net.image_size]} if getattr(net, "image_size", None) else {}
    return net, _complete({**own, **card, "arch": arch, "network": net.config}, where), sha256


def _is_card(given: Mapping[str, Any]) -> bool:
    return any(key in given for key in CARD_KEYS)


def _complete(card: dict[str, Any], where: object) -> dict[str, Any]:
    """A card with what its architecture says unless it says otherwise; whole, or refused."""
    kind = ARCHITECTURES.get(card["arch"])
    usual: Mapping[str, Any] = kind.defaults if kind else {}
    whole: dict[str, Any] = {"parameterisation": "eps", "range": [-1.0, 1.0]}
    whole |= {**usual, **card}
    missing = sorted({"network", "schedule", "shape"} - set(whole))
    if missing:
        raise ModelError("MD02", where, f"the model card lacks {', '.join(missing)}", "complete it")
    return whole


def _locate(name: str) -> Path:
    path = Path(name)
    if path.suffix in SUFFIXES or path.is_dir():
        if not path.exists():
            raise ModelError("MD03", path, "no such file", "check the path of the weights")
        return path
    if path.is_file():
        raise ModelError("MD49", path, f"not a file of weights that is known ({', '.join(SUFFIXES)})", "convert it, or rename it")
    embedded = resource("data/models") / f"{DEFAULT if name == 'default' else name}.safetensors"
    if not embedded.is_file():
        known = ", ".join(["default", *list_models()])
        raise ModelError(
            "MD03", name, "no such network", f"give a file ({', '.join(SUFFIXES)}), a diffusers folder, or one of: {known}"
        )
    return embedded


def _check_hash(path: Path, expected: str | None) -> str:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        raise ModelError("MD54", path, f"sha256 is {found}, its card says {expected}", "fetch the weights again")
    return found
