"""Opening frozen networks: safetensors weights beside a JSON card, checked before they are trusted.

A card says what the weights are (architecture and its arguments, schedule, parameterisation, training range, data, licence) and
their SHA-256. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from astro_ood._resources import resource
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.engine import pick_device
from astro_ood.diffusion.nets import SmallUNet
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.errors import ModelError

DEFAULT = "photos32"
ARCHITECTURES = ("small_unet",)


def list_models() -> dict[str, dict[str, Any]]:
    """Cards of the networks that come with astro_ood, by name."""
    return {card.stem: read_card(card) for card in sorted(resource("data/models").glob("*.json"))}


def read_card(path: Path) -> dict[str, Any]:
    """Read a model card.

    Raises
    ------
    ModelError
        Where the card is missing or is no JSON object with the keys of a card.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(
            "MD02", path, "there is no model card beside the weights", "give `config:` with arch, network and schedule"
        ) from None
    except ValueError as error:
        raise ModelError("MD02", path, f"the model card is not JSON ({error})", "repair it") from None
    if isinstance(card, dict) and not card.get("sha256"):
        raise ModelError("MD02", path, "the model card has no sha256 of the weights", "add it, from a source that you trust")
    return _check_card(card, path)


def open_model(
    name_or_path: str | Path = "default",
    arch: str | None = None,
    config: dict[str, Any] | str | Path | None = None,
    *,
    device: str = "auto",
) -> Denoiser:
    """Open a frozen network.

    Parameters
    ----------
    name_or_path : str or Path
        ``"default"``, the name of a network that comes with astro_ood, or the path of a .safetensors file.
    arch : str, optional
        Architecture, where the card does not say it.
    config : dict or path, optional
        Card as a dict or a JSON file, instead of the file beside the weights.
    device : str
        ``auto``, ``cpu``, ``cuda``.

    Returns
    -------
    Denoiser

    Raises
    ------
    ModelError
        Missing, damaged or unexpected weights; a hash other than the card's; weights that are not finite.
    """
    weights = _locate(str(name_or_path))
    if isinstance(config, dict):
        where, card = "config", _check_card(config, "config")
    else:
        where = str(Path(config) if config else weights.with_suffix(".json"))
        card = read_card(Path(where))
    arch = arch or card["arch"]
    if arch not in ARCHITECTURES:
        raise ModelError("MD51", weights, f"unknown architecture '{arch}'", f"expected one of {', '.join(ARCHITECTURES)}")
    sha256 = _check_hash(weights, card.get("sha256"))
    try:
        network: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in card["network"].items()}
        net = SmallUNet(**network)
        schedule = NoiseSchedule.linear(**{k: v for k, v in card["schedule"].items() if k != "kind"})
        c, h, w = (int(n) for n in card["shape"])
    except (TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError("MD02", where, f"network, schedule or shape cannot be used ({error})", "repair the card") from None
    _load_strictly(net, weights, arch)
    target = pick_device(device)
    net.eval().requires_grad_(requires_grad=False).to(target)
    return Denoiser(net, schedule, (c, h, w), stride=net.stride, name=weights.stem, sha256=sha256, card=card, device=target)


def _check_card(card: Any, where: object) -> dict[str, Any]:
    """A card that says all that is needed, and nothing that this version would misread."""
    missing = {"arch", "network", "schedule", "shape"} - set(card if isinstance(card, dict) else {})
    if missing:
        raise ModelError("MD02", where, f"the model card lacks {', '.join(sorted(missing))}", "complete it")
    kind = card["schedule"].get("kind", "linear") if isinstance(card["schedule"], dict) else card["schedule"]
    said = {"schedule": kind, "parameterisation": card.get("parameterisation", "eps"), "range": card.get("range", [-1, 1])}
    for key, known in {"schedule": "linear", "parameterisation": "eps", "range": [-1, 1]}.items():
        if said[key] != known:
            raise ModelError("MD53", where, f"{key} is {said[key]}, this version knows {known} only", "take another network")
    return dict(card)


def _locate(name: str) -> Path:
    path = Path(name)
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise ModelError("MD03", path, "no such file", "check the path of the weights")
        return path
    if path.suffix in {".pt", ".ckpt", ".pth", ".pkl"}:
        raise ModelError("MD50", path, "a pickle can run code when it is opened", "convert the weights to .safetensors first")
    weights = resource("data/models") / f"{DEFAULT if name == 'default' else name}.safetensors"
    if not weights.is_file():
        known = ", ".join(["default", *list_models()])
        raise ModelError("MD03", name, "no such network", f"give the path of a .safetensors file or one of: {known}")
    return weights


def _check_hash(weights: Path, expected: str | None) -> str:
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        raise ModelError("MD54", weights, f"sha256 is {found}, its card says {expected}", "fetch the weights again")
    return found


def _load_strictly(net: torch.nn.Module, weights: Path, arch: str) -> None:
    try:
        state = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise ModelError("MD49", weights, f"not a readable safetensors file ({error})", "fetch the weights again") from None
    expected = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    wrong = sorted(k for k in expected.keys() | state.keys() if k not in state or expected.get(k) != tuple(state[k].shape))
    if wrong:
        shown = ", ".join(wrong[:10]) + (" ..." if len(wrong) > 10 else "")
        raise ModelError(
            "MD51", weights, f"{len(wrong)} parameters do not fit architecture {arch}: {shown}", "check `arch` and the card"
        )
    bad = sorted(k for k, v in state.items() if not torch.isfinite(v).all())
    if bad:
        raise ModelError("MD52", weights, f"{len(bad)} tensors hold NaN or infinity, first {bad[0]}", "fetch the weights again")
    net.load_state_dict({k: v.float() for k, v in state.items()})
