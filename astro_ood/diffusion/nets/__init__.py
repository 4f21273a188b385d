"""Architectures of denoising networks, one module each, and the table by which a card names them.

A further architecture is one module and one line of `ARCHITECTURES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from astro_ood.diffusion.nets import anime, diffusers_unet, galaxygrad
from astro_ood.diffusion.nets.adm import ADMUNet
from astro_ood.diffusion.nets.anime import FacesUNet
from astro_ood.diffusion.nets.blocks import time_embedding
from astro_ood.diffusion.nets.ddpm import DDPMUNet
from astro_ood.diffusion.nets.galaxygrad import ScoreNet
from astro_ood.diffusion.nets.small import SmallUNet

__all__ = ["ARCHITECTURES", "ADMUNet", "Architecture", "DDPMUNet", "FacesUNet", "ScoreNet", "SmallUNet", "time_embedding"]

State = Mapping[str, Tensor]


def _as_it_is(state: State) -> State:
    return state


@dataclass(frozen=True)
class Architecture:
    """What is known of an architecture before its weights are.

    Attributes
    ----------
    summary : str
        What it is, in a line.
    build : callable
        Network of the arguments that a card gives under `network`.
    defaults : mapping
        What a card of this architecture says unless it says otherwise: schedule, parameterisation, range.
    signature : tuple of str
        Names of parameters by which weights of this architecture are known.
    translate : callable
        Foreign names and conventions of weights to those of the network; translated weights stay as they are.
    arguments_from : callable, optional
        `network` and `shape` of a card, read off weights, where that is certain.
    """

    summary: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    defaults: Mapping[str, Any]
    signature: tuple[str, ...]
    translate: Callable[[State], State] = _as_it_is
    arguments_from: Callable[[State], dict[str, Any]] | None = None


def _ddpm(network: Mapping[str, Any]) -> DDPMUNet:
    """From flat arguments, or from the sections `data` and `model` of a published configuration."""
    if "model" in network:
        side = network.get("data", {}).get("image_size")
        network = {**({"resolution": side} if side else {}), **network["model"]}
    return DDPMUNet(**network)


def _diffusers(network: Mapping[str, Any]) -> nn.Module:
    """Never on the meta device: kernels of some of its layers are in no file of weights."""
    with torch.device("cpu"):
        return diffusers_unet.DiffusersUNet(**network)


def _card(schedule: dict[str, Any], parameterisation: str = "eps", **more: Any) -> dict[str, Any]:
    return {"schedule": schedule, "parameterisation": parameterisation, "range": [-1.0, 1.0]} | more


_LINEAR = {"kind": "linear", "n": 1000, "beta_first": 1e-4, "beta_last": 0.02}
_COSINE = {"kind": "cosine", "n": 300, "s": 0.008, "beta_clip": [1e-4, 0.9999]}
_VP = {"kind": "vp", "linear": 1.0, "quadratic": 0.0, "last": 10.0}

ARCHITECTURES: dict[str, Architecture] = {
    "small_unet": Architecture(
        "this project's own small, fully convolutional U-Net",
        build=lambda network: SmallUNet(**network),
        defaults=_card(_LINEAR),
        signature=("head.weight", "middle.0.norm_1.weight"),
    ),
    "iddpm": Architecture(
        "iDDPM and ADM, names and arguments of guided-diffusion (.pt)",
        build=lambda network: ADMUNet(**network),
        defaults=_card(_LINEAR),
        signature=("time_embed.0.weight", "input_blocks.0.0.weight"),
    ),
    "ddpm": Architecture(
        "DDPM for LSUN, CelebA-HQ and CIFAR-10 in its PyTorch ports (.ckpt)",
        build=_ddpm,
        defaults=_card(_LINEAR),
        signature=("temb.dense.0.weight", "conv_in.weight"),
    ),
    "anime": Architecture(
        "64 x 64 faces with attention, as quantised .safetensors",
        build=lambda network: FacesUNet(**network),
        defaults=_card(_COSINE, shape=[3, 64, 64]),
        signature=("cin.weight", "ma.p.weight"),
        arguments_from=anime.arguments_from,
    ),
    "galaxygrad": Architecture(
        "score networks of galaxygrad 0.1.9 on galaxies, continuous time (.eqx)",
        build=lambda network: ScoreNet(**network),
        # in samples of its networks the sky is 0 and the brightest hundredth of the pixels lies above 1 to 4; the LSST and the
        # LogNet weights have another range, [6.7, 11] and [-3.8, 0], for a card to say
        defaults=_card(_VP, "score", range=[0.0, 3.0]),
        signature=("conv_in.weight", "blocks.0.patch_mixer.0.weight"),
        translate=galaxygrad.named,
        arguments_from=galaxygrad.arguments_from,
    ),
    "diffusers": Architecture(
        "UNet2DModel of the library diffusers (a folder; its weights alone need a card)",
        build=_diffusers,
        defaults=_card(_LINEAR),
        signature=("unet.down_blocks.0.resnets.0.norm1.weight",),
        translate=diffusers_unet.named,
    ),
}
