"""Pieces that denoising networks share: the embedding of time, group norm in float32, attention between pixels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def time_embedding(t: Tensor, width: int, *, sine_first: bool = False) -> Tensor:
    """Sinusoidal embedding of diffusion time.

    Two conventions are in use, and weights of one mean nothing in the other: cosines first with frequencies
    10000^(-i/h), i = 0..h-1 (Dhariwal & Nichol 2021, arXiv:2105.05233), and sines first with 10000^(-i/(h-1))
    (Ho et al. 2020, arXiv:2006.11239); h is half the width.

    Parameters
    ----------
    t : Tensor, shape (N,)
        Times in the network's own steps; real values are allowed.
    width : int
        Number of features, even.
    sine_first : bool
        The convention of Ho et al.

    Returns
    -------
    Tensor, shape (N, width)
    """
    half = width // 2
    last = half - 1 if sine_first else half
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(half, device=t.device, dtype=torch.float32) / last)
    phase = t.float()[:, None] * frequency[None]
    waves = [phase.sin(), phase.cos()] if sine_first else [phase.cos(), phase.sin()]
    return torch.cat(waves, dim=1)


class GroupNorm(nn.GroupNorm):
    """Group norm computed in float32 whatever the precision of the network, which half precision needs."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == self.weight.dtype == torch.float32:
            return super().forward(x)
        return F.group_norm(x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps).to(x.dtype)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of every pixel to all others, softmax(q k^T / sqrt(c)) v, head by head.

    Channels come last, so that the fused kernels, which ask for that, can be used.

    Parameters
    ----------
    q, k, v : Tensor, shape (N, L, heads, c)
        Queries, keys and values of L pixels.

    Returns
    -------
    Tensor, shape (N, L, heads x c)
    """
    q, k, v = (a.transpose(1, 2) for a in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def pixels(x: Tensor) -> Tensor:
    """Map (N, C, H, W) as a list of pixels (N, H W, C)."""
    return x.flatten(2).transpose(1, 2)


def each_pixel(layer: nn.Conv1d | nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    """A linear layer, or a convolution with a kernel of one pixel, on pixels (N, L, C)."""
    return F.linear(x, layer.weight.flatten(1), layer.bias)
