"""The project's own denoising network: a small, fully convolutional U-Net.

It has neither attention nor a fixed size: a network trained on 32 x 32 crops runs on any map whose sides are multiples of
`SmallUNet.stride`. Residual blocks modulated by the time embedding follow Ho et al. (2020, arXiv:2006.11239) and Dhariwal &
Nichol (2021, arXiv:2105.05233).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astro_ood.diffusion.nets.blocks import time_embedding


def _silence(layer: nn.Conv2d) -> None:
    """Start a layer at zero: the block begins as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions, scaled and shifted by the time embedding, around a skip connection."""

    def __init__(self, c_in: int, c_out: int, c_time: int, groups: int = 8) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups, c_in)
        self.conv_1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time = nn.Linear(c_time, 2 * c_out)
        self.norm_2 = nn.GroupNorm(groups, c_out)
        self.conv_2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        _silence(self.conv_2)
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv_1(F.silu(self.norm_1(x)))
        scale, shift = self.time(emb)[:, :, None, None].chunk(2, dim=1)
        h = self.norm_2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv_2(F.silu(h))


class SmallUNet(nn.Module):
    """U-Net that predicts the noise `eps` in `x_t`.

    Parameters
    ----------
    channels : int
        Channels of the maps.
    width : int
        Channels of the first level.
    multipliers : sequence of int
        Width of each level in units of `width`; each further level halves the resolution.
    blocks : int
        Residual blocks per level on the way down (one more on the way up).
    """

    def __init__(self, channels: int = 1, width: int = 32, multipliers: tuple[int, ...] = (1, 2, 3), blocks: int = 2) -> None:
        super().__init__()
        self.config = {"channels": channels, "width": width, "multipliers": list(multipliers), "blocks": blocks}
        self.stride = 2 ** (len(multipliers) - 1)
        self.channels, self.width, self.fixed_size = channels, width, False
        c_time = 4 * width
        self.time = nn.Sequential(nn.Linear(width, c_time), nn.SiLU(), nn.Linear(c_time, c_time), nn.SiLU())
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        widths = [width * m for m in multipliers]
        skips, c = [width], width
        self.down = nn.ModuleList()
        for level, w in enumerate(widths):
            for _ in range(blocks):
                self.down.append(ResidualBlock(c, w, c_time))
                c = w
                skips.append(c)
            if level < len(widths) - 1:
                self.down.append(nn.Conv2d(c, c, 3, stride=2, padding=1))
                skips.append(c)
        self.middle = nn.ModuleList([ResidualBlock(c, c, c_time), ResidualBlock(c, c, c_time)])
        self.up = nn.ModuleList()
        for level, w in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(ResidualBlock(c + skips.pop(), w, c_time))
                c = w
            if level > 0:
                self.up.append(nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(c, c, 3, padding=1)))
        self.norm = nn.GroupNorm(8, c)
        self.tail = nn.Conv2d(c, channels, 3, padding=1)
        _silence(self.tail)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict `eps`.

        Parameters
        ----------
        x_t : Tensor, shape (N, C, H, W)
            Noised maps; H and W are multiples of `stride`.
        t : Tensor, shape (N,)
            Times in the network's own steps.

        Returns
        -------
        Tensor, shape (N, C, H, W)
        """
        emb = self.time(time_embedding(t, self.width))
        h = self.head(x_t)
        skips = [h]
        for layer in self.down:
            h = layer(h, emb) if isinstance(layer, ResidualBlock) else layer(h)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, emb)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1), emb) if isinstance(layer, ResidualBlock) else layer(h)
        return self.tail(F.silu(self.norm(h)))
