"""The score networks of galaxygrad 0.1.9: an MLP mixer trained on images of galaxies.

A patch of pixels is a token; two perceptrons mix in turn along the patches and along the features (Tolstikhin et al. 2021,
arXiv:2105.01601). The diffusion is a variance-preserving SDE with alpha_bar = exp(-t), t in (0, 10] (Song et al. 2021,
arXiv:2011.13456), and the output is the score, grad log p_t(x) = -eps / sqrt(1 - alpha_bar). The size is fixed: the mixer counts
the patches.

The published weights are equinox leaves, an unnamed sequence of arrays, whose order alone tells what they are. The transposed
convolution of equinox correlates with its kernel where torch's convolves, and orders its channels the other way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from astro_ood.errors import ModelError

HEAD, BLOCK, TAIL = 4, 12, 3


class MixerBlock(nn.Module):
    """Mixing along the patches, then along the features."""

    def __init__(self, patches: int, hidden: int, mix_patch: int, mix_hidden: int) -> None:
        super().__init__()
        self.patch_mixer = nn.Sequential(nn.Linear(patches, mix_patch), nn.ReLU(), nn.Linear(mix_patch, patches))
        self.hidden_mixer = nn.Sequential(nn.Linear(hidden, mix_hidden), nn.ReLU(), nn.Linear(mix_hidden, hidden))
        self.norm1 = nn.LayerNorm((hidden, patches))
        self.norm2 = nn.LayerNorm((patches, hidden))

    def forward(self, y: Tensor) -> Tensor:
        y = y + self.patch_mixer(self.norm1(y))
        y = y.transpose(1, 2)
        return (y + self.hidden_mixer(self.norm2(y))).transpose(1, 2)


class ScoreNet(nn.Module):
    """Mixer that predicts the score.

    Parameters
    ----------
    shape : sequence of int
        (C, H, W) of the maps; no other size can be used.
    patch : int
        Side of a patch in pixels.
    hidden : int
        Features of a patch.
    mix_patch, mix_hidden : int
        Widths of the two perceptrons.
    blocks : int
        Mixer blocks.
    last : float
        Time by which times are divided; replaced by that of the weights.
    """

    t1: Tensor

    def __init__(
        self,
        shape: Sequence[int] = (1, 64, 64),
        patch: int = 4,
        hidden: int = 64,
        mix_patch: int = 512,
        mix_hidden: int = 512,
        blocks: int = 4,
        last: float = 10.0,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        if height % patch or width % patch:
            raise ValueError(f"a map of {height} x {width} pixels is no whole number of patches of {patch} x {patch}")
        self.config = {
            "shape": list(shape),
            "patch": patch,
            "hidden": hidden,
            "mix_patch": mix_patch,
            "mix_hidden": mix_hidden,
            "blocks": blocks,
            "last": last,
        }
        self.channels, self.stride, self.fixed_size = channels, patch, True
        self.image_size = height if height == width else 0
        self.grid = height // patch, width // patch
        patches = math.prod(self.grid)
        self.conv_in = nn.Conv2d(channels + 1, hidden, patch, stride=patch)
        self.blocks = nn.ModuleList([MixerBlock(patches, hidden, mix_patch, mix_hidden) for _ in range(blocks)])
        self.norm = nn.LayerNorm((hidden, patches))
        self.conv_out = nn.ConvTranspose2d(hidden, channels, patch, stride=patch)
        self.register_buffer("t1", torch.tensor(float(last)))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict the score.

        Parameters
        ----------
        x_t : Tensor, shape (N, C, H, W)
            Noised maps of the size of the network.
        t : Tensor, shape (1,) or (N,)
            Times of the SDE, in (0, `last`].

        Returns
        -------
        Tensor, shape (N, C, H, W)
        """
        time = (t.float() / self.t1).to(x_t.dtype).view(-1, 1, 1, 1)
        y = self.conv_in(torch.cat([x_t, time.expand(len(x_t), 1, *x_t.shape[2:])], dim=1)).flatten(2)
        for block in self.blocks:
            y = block(y)
        return self.conv_out(self.norm(y).unflatten(2, self.grid))


def leaf_names(blocks: int) -> list[str]:
    """Names of the equinox leaves in the order of the file."""
    layers = ("patch_mixer.0", "patch_mixer.2", "hidden_mixer.0", "hidden_mixer.2", "norm1", "norm2")
    owners = chain(("conv_in", "conv_out"), (f"blocks.{i}.{layer}" for i in range(blocks) for layer in layers), ("norm",))
    return [f"{owner}.{kind}" for owner in owners for kind in ("weight", "bias")] + ["t1"]


def named(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Name unnamed equinox leaves and carry them to torch's conventions; any other state is handed on as it is.

    Parameters
    ----------
    state : mapping of Tensor
        Leaves ``leaf.0``, ``leaf.1`` and so on, as `read_state` gives them.
    """
    blocks, rest = divmod(len(state) - HEAD - TAIL, BLOCK)
    if rest or blocks < 0 or "leaf.0" not in state:
        return state
    leaves = dict(zip(leaf_names(blocks), (state[f"leaf.{i}"] for i in range(len(state))), strict=True))
    if leaves["conv_out.weight"].ndim != 4 or leaves["t1"].ndim:
        return state
    for bias in ("conv_in.bias", "conv_out.bias"):
        leaves[bias] = leaves[bias].flatten()
    leaves["conv_out.weight"] = leaves["conv_out.weight"].transpose(0, 1).flip(2, 3).contiguous()
    return leaves


def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a card would say, read off the weights; the maps are taken to be square.

    Raises
    ------
    ModelError
        MD02 where the number of patches is no square.
    """
    state = named(state)
    hidden, channels, patch, _ = state["conv_in.weight"].shape
    grid = math.isqrt(patches := state["norm.weight"].shape[1])
    if grid**2 != patches:
        raise ModelError(
            "MD02", "galaxygrad", f"the network has {patches} patches, which is no square", "give `network` and `shape`"
        )
    shape = [channels - 1, grid * patch, grid * patch]
    network = {
        "shape": shape,
        "patch": patch,
        "hidden": hidden,
        "mix_patch": state["blocks.0.patch_mixer.0.weight"].shape[0],
        "mix_hidden": state["blocks.0.hidden_mixer.0.weight"].shape[0],
        "blocks": sum(name.endswith(".norm1.weight") for name in state),
        "last": float(state["t1"]),
    }
    return {"network": network, "shape": shape}
