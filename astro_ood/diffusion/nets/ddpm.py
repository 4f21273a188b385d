"""The U-Net of DDPM (Ho et al. 2020, arXiv:2006.11239), with the parameter names of its PyTorch ports.

This is the layout of the LSUN and CelebA-HQ checkpoints: time is added, not scaled and shifted; attention has one head; the
strided convolution pads on the right and at the bottom only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astro_ood.diffusion.nets.blocks import GroupNorm, attend, each_pixel, pixels, time_embedding


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(32, channels, eps=1e-6)


class DDPMBlock(nn.Module):
    """Residual block that adds the embedding of time between its two convolutions."""

    def __init__(self, c_in: int, c_out: int, c_time: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(c_in), _norm(c_out)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.temb_proj = nn.Linear(c_time, c_out)
        self.nin_shortcut = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(emb))[:, :, None, None]
        return self.nin_shortcut(x) + self.conv2(F.silu(self.norm2(h)))


class DDPMAttention(nn.Module):
    """Self-attention with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = pixels(self.norm(x))
        q, k, v = (each_pixel(layer, h).unsqueeze(2) for layer in (self.q, self.k, self.v))
        return x + each_pixel(self.proj_out, attend(q, k, v)).transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):
    """Half the resolution, by a strided convolution or by means."""

    def __init__(self, channels: int, *, learned: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2) if learned else None

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2) if self.conv is None else self.conv(F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Twice the resolution: nearest neighbours, and a convolution where `learned`."""

    def __init__(self, channels: int, *, learned: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1) if learned else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Blocks of one resolution, each followed by attention where the level has it."""

    def __init__(self, c_in: list[int], c_out: int, c_time: int, *, attends: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList([DDPMBlock(c, c_out, c_time) for c in c_in])
        self.attn = nn.ModuleList([DDPMAttention(c_out) for _ in c_in if attends])

    def _run(self, i: int, x: Tensor, emb: Tensor) -> Tensor:
        h = self.block[i](x, emb)
        return self.attn[i](h) if len(self.attn) else h


class Down(Level):
    """Level on the way down: each result is also a skip connection."""

    def __init__(self, c_in: list[int], c_out: int, c_time: int, onward: Downsample | None, *, attends: bool) -> None:
        super().__init__(c_in, c_out, c_time, attends=attends)
        self.downsample = onward

    def forward(self, h: Tensor, skips: list[Tensor], emb: Tensor) -> Tensor:
        for i in range(len(self.block)):
            h = self._run(i, h, emb)
            skips.append(h)
        if self.downsample is not None:
            h = self.downsample(h)
            skips.append(h)
        return h


class Up(Level):
    """Level on the way up: each block takes up a skip connection."""

    def __init__(self, c_in: list[int], c_out: int, c_time: int, onward: Upsample | None, *, attends: bool) -> None:
        super().__init__(c_in, c_out, c_time, attends=attends)
        self.upsample = onward

    def forward(self, h: Tensor, skips: list[Tensor], emb: Tensor) -> Tensor:
        for i in range(len(self.block)):
            h = self._run(i, torch.cat([h, skips.pop()], dim=1), emb)
        return h if self.upsample is None else self.upsample(h)


class TimeEmbedding(nn.Module):
    """Two layers on the sinusoids of time."""

    def __init__(self, c_in: int, c_time: int) -> None:
        super().__init__()
        self.dense = nn.ModuleList([nn.Linear(c_in, c_time), nn.Linear(c_time, c_time)])

    def forward(self, waves: Tensor) -> Tensor:
        return self.dense[1](F.silu(self.dense[0](waves)))


class Middle(nn.Module):
    """Block, attention, block at the lowest resolution."""

    def __init__(self, channels: int, c_time: int) -> None:
        super().__init__()
        self.block_1 = DDPMBlock(channels, channels, c_time)
        self.attn_1 = DDPMAttention(channels)
        self.block_2 = DDPMBlock(channels, channels, c_time)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x, emb)), emb)


class DDPMUNet(nn.Module):
    """U-Net of DDPM; the arguments are the model section of the published YAML files, and the defaults those of 256 x 256.

    Parameters
    ----------
    resolution : int
        Side of the maps it was trained on (`data.image_size` there).
    in_channels, out_ch : int
        Channels of the maps and of the output.
    ch : int
        Width of the first level.
    ch_mult : sequence of int
        Width of each level in units of `ch`.
    num_res_blocks : int
        Residual blocks per level on the way down (one more on the way up).
    attn_resolutions : sequence of int
        Sides at which there is attention.
    resamp_with_conv : bool
        Whether a convolution goes with each change of resolution.
    training
        Keys that only training reads (`type`, `dropout`, `var_type`, `ema`, `ema_rate`); accepted and not used.

    Raises
    ------
    TypeError
        For any other key.
    """

    def __init__(
        self,
        resolution: int = 256,
        in_channels: int = 3,
        out_ch: int = 3,
        ch: int = 128,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 4, 4),
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (16,),
        resamp_with_conv: bool = True,
        **training: Any,
    ) -> None:
        super().__init__()
        if unknown := set(training) - {"type", "dropout", "var_type", "ema", "ema_rate"}:
            named = ", ".join(sorted(unknown)[:10]) + (" ..." if len(unknown) > 10 else "")
            raise TypeError(f"{len(unknown)} unknown arguments {named}")
        self.config = {
            "resolution": resolution,
            "in_channels": in_channels,
            "out_ch": out_ch,
            "ch": ch,
            "ch_mult": list(ch_mult),
            "num_res_blocks": num_res_blocks,
            "attn_resolutions": list(attn_resolutions),
            "resamp_with_conv": resamp_with_conv,
        }
        self.channels, self.width, self.image_size, self.fixed_size = in_channels, ch, resolution, False
        self.stride = 2 ** (len(ch_mult) - 1)
        c_time, widths = 4 * ch, [ch * m for m in ch_mult]
        attention = [resolution // 2**level in attn_resolutions for level in range(len(widths))]

        self.temb = TimeEmbedding(ch, c_time)
        self.conv_in = nn.Conv2d(in_channels, ch, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        c, skips = ch, [ch]
        for level, w in enumerate(widths):
            onward = Downsample(w, learned=resamp_with_conv) if level < len(widths) - 1 else None
            c_in = [w if i else c for i in range(num_res_blocks)]
            self.down.append(Down(c_in, w, c_time, onward, attends=attention[level]))
            skips += [w] * (num_res_blocks + (onward is not None))
            c = w
        self.mid = Middle(c, c_time)
        for level, w in reversed(list(enumerate(widths))):
            back = Upsample(w, learned=resamp_with_conv) if level > 0 else None
            c_in = [(w if i else c) + skips.pop() for i in range(num_res_blocks + 1)]
            self.up.insert(0, Up(c_in, w, c_time, back, attends=attention[level]))
            c = w
        self.norm_out = _norm(c)
        self.conv_out = nn.Conv2d(c, out_ch, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Raw output of the network.

        Parameters
        ----------
        x_t : Tensor, shape (N, C, H, W)
            Noised maps; H and W are multiples of `stride`.
        t : Tensor, shape (1,) or (N,)
            Times in the network's own steps; real values are allowed.

        Returns
        -------
        Tensor, shape (N, out_ch, H, W)
        """
        emb = self.temb(time_embedding(t, self.width, sine_first=True))
        h = self.conv_in(x_t)
        skips = [h]
        for level in self.down:
            h = level(h, skips, emb)
        h = self.mid(h, emb)
        for level in reversed(self.up):
            h = level(h, skips, emb)
        return self.conv_out(F.silu(self.norm_out(h)))
