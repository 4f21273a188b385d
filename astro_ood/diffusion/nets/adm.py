"""The U-Net of iDDPM and ADM, with the parameter names of guided-diffusion.

Nichol & Dhariwal (2021, arXiv:2102.09672) and Dhariwal & Nichol (2021, arXiv:2105.05233): residual blocks modulated by time,
attention at some resolutions, and optionally twice the output channels, of which the second half is the learned variance.
The arguments are those of the published `create_model`, so that a training script's flags are a network's description.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astro_ood.diffusion.nets.blocks import GroupNorm, attend, each_pixel, pixels, time_embedding

GROUPS = 32
# widths of the levels where the arguments name none, by size of map
MULTIPLIERS: dict[int, tuple[float, ...]] = {
    512: (0.5, 1, 1, 2, 2, 4, 4),
    256: (1, 1, 2, 2, 4, 4),
    128: (1, 1, 2, 3, 4),
    64: (1, 2, 3, 4),
    32: (1, 2, 2, 2),
}


def _silenced(conv: nn.Conv1d | nn.Conv2d) -> nn.Conv1d | nn.Conv2d:
    """A layer that starts at zero, so that its block begins as the identity."""
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


class ADMBlock(nn.Module):
    """Residual block; with `resample` it also halves ("down") or doubles ("up") the resolution."""

    def __init__(self, c_in: int, c_out: int, c_time: int, *, scale_shift: bool, resample: str = "") -> None:
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.Sequential(GroupNorm(GROUPS, c_in), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(c_time, 2 * c_out if scale_shift else c_out))
        # the identity stands where training had its dropout, so that names agree
        conv = _silenced(nn.Conv2d(c_out, c_out, 3, padding=1))
        self.out_layers = nn.Sequential(GroupNorm(GROUPS, c_out), nn.SiLU(), nn.Identity(), conv)
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        norm, silu, conv = self.in_layers
        h = conv(self._resized(silu(norm(x))))
        modulation = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = modulation.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
            h = self.out_layers[1:](h)
        else:
            h = self.out_layers(h + modulation)
        return self.skip_connection(self._resized(x)) + h

    def _resized(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2.0, mode="nearest") if self.resample == "up" else x


class ADMAttention(nn.Module):
    """Self-attention; the old order of `qkv` holds q, k, v head by head, the new one all q, then all k, then all v."""

    def __init__(self, channels: int, heads: int, *, new_order: bool) -> None:
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _silenced(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = each_pixel(self.qkv, pixels(self.norm(x)))
        n, length, _ = qkv.shape
        if self.new_order:
            q, k, v = qkv.view(n, length, 3, self.heads, -1).unbind(2)
        else:
            q, k, v = qkv.view(n, length, self.heads, 3, -1).unbind(3)
        return x + each_pixel(self.proj_out, attend(q, k, v)).transpose(1, 2).reshape(x.shape)


class Downsample(nn.Module):
    """Half the resolution by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Twice the resolution: nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Stage(nn.ModuleList):
    """Layers of which the residual blocks also see the time."""

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, emb) if isinstance(layer, ADMBlock) else layer(x)
        return x


class ADMUNet(nn.Module):
    """U-Net of iDDPM and ADM.

    Parameters
    ----------
    image_size : int
        Side of the maps it was trained on.
    num_channels : int
        Width of the first level.
    num_res_blocks : int
        Residual blocks per level on the way down (one more on the way up).
    channel_mult : str or sequence of number
        Width of each level in units of `num_channels`; empty: by `image_size`.
    learn_sigma : bool
        Whether the output has a second half, the learned variance.
    attention_resolutions : str or sequence of int
        Sides at which there is attention.
    num_heads, num_head_channels, num_heads_upsample : int
        Heads of the attention, or channels a head (-1: by heads); heads on the way up (-1: as on the way down).
    use_scale_shift_norm, resblock_updown, use_new_attention_order : bool
        Variants of the residual blocks, of the change of resolution and of the order of `qkv`.
    in_channels : int
        Channels of the maps.
    class_cond : bool
        Refused: labels mean nothing for maps.
    dropout, use_checkpoint, use_fp16
        Of training only; accepted and not used.

    Raises
    ------
    ValueError
        For a class-conditional network, and where no table names the levels of `image_size`.
    """

    def __init__(
        self,
        image_size: int,
        num_channels: int,
        num_res_blocks: int,
        channel_mult: str | Sequence[float] = "",
        learn_sigma: bool = False,
        class_cond: bool = False,
        attention_resolutions: str | Sequence[int] = "16",
        num_heads: int = 1,
        num_head_channels: int = -1,
        num_heads_upsample: int = -1,
        use_scale_shift_norm: bool = False,
        resblock_updown: bool = False,
        use_new_attention_order: bool = False,
        in_channels: int = 3,
        dropout: float = 0.0,
        use_checkpoint: bool = False,
        use_fp16: bool = False,
    ) -> None:
        super().__init__()
        if class_cond:
            raise ValueError("class_cond is true, but a map has no class label: take the unconditional network")
        multipliers = _numbers(channel_mult) or MULTIPLIERS.get(image_size)
        if not multipliers:
            raise ValueError(f"channel_mult is empty and no table names the levels of size {image_size}")
        self.config = {
            "image_size": image_size,
            "num_channels": num_channels,
            "num_res_blocks": num_res_blocks,
            "channel_mult": list(multipliers),
            "learn_sigma": learn_sigma,
            "attention_resolutions": list(_numbers(attention_resolutions)),
            "num_heads": num_heads,
            "num_head_channels": num_head_channels,
            "num_heads_upsample": num_heads_upsample,
            "use_scale_shift_norm": use_scale_shift_norm,
            "resblock_updown": resblock_updown,
            "use_new_attention_order": use_new_attention_order,
            "in_channels": in_channels,
        }
        self.channels, self.width, self.image_size, self.fixed_size = in_channels, num_channels, image_size, False
        self.stride = 2 ** (len(multipliers) - 1)
        self._scale_shift, self._updown, self._new_order = use_scale_shift_norm, resblock_updown, use_new_attention_order
        self._head_channels, self._c_time = num_head_channels, 4 * num_channels
        widths = [int(m * num_channels) for m in multipliers]
        sides = {int(side) for side in _numbers(attention_resolutions)}
        attention = [image_size // 2**level in sides for level in range(len(widths))]

        self.time_embed = nn.Sequential(nn.Linear(num_channels, self._c_time), nn.SiLU(), nn.Linear(self._c_time, self._c_time))
        skips = self._build_down(widths, attention, num_res_blocks, num_heads)
        c = widths[-1]
        self.middle_block = Stage([*self._stage(c, c, num_heads), self._block(c, c)])
        heads_up = num_heads if num_heads_upsample == -1 else num_heads_upsample
        self._build_up(widths, attention, num_res_blocks, heads_up, skips)
        tail = nn.Conv2d(widths[0], in_channels * (2 if learn_sigma else 1), 3, padding=1)
        self.out = nn.Sequential(GroupNorm(GROUPS, widths[0]), nn.SiLU(), _silenced(tail))

    def _block(self, c_in: int, c_out: int, resample: str = "") -> ADMBlock:
        return ADMBlock(c_in, c_out, self._c_time, scale_shift=self._scale_shift, resample=resample)

    def _stage(self, c_in: int, c_out: int, heads: int) -> Stage:
        """A residual block, and attention where there are heads."""
        stage = Stage([self._block(c_in, c_out)])
        if heads:
            heads = heads if self._head_channels == -1 else c_out // self._head_channels
            stage.append(ADMAttention(c_out, heads, new_order=self._new_order))
        return stage

    def _build_down(self, widths: list[int], attention: list[bool], blocks: int, heads: int) -> list[int]:
        """Way down; the widths of the skip connections that it leaves."""
        c = widths[0]
        self.input_blocks = nn.ModuleList([Stage([nn.Conv2d(self.channels, c, 3, padding=1)])])
        skips = [c]
        for level, w in enumerate(widths):
            for _ in range(blocks):
                self.input_blocks.append(self._stage(c, w, heads if attention[level] else 0))
                c = w
                skips.append(c)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage([self._block(c, c, "down") if self._updown else Downsample(c)]))
                skips.append(c)
        return skips

    def _build_up(self, widths: list[int], attention: list[bool], blocks: int, heads: int, skips: list[int]) -> None:
        c = widths[-1]
        self.output_blocks = nn.ModuleList()
        for level, w in reversed(list(enumerate(widths))):
            for i in range(blocks + 1):
                stage = self._stage(c + skips.pop(), w, heads if attention[level] else 0)
                c = w
                if level > 0 and i == blocks:
                    stage.append(self._block(c, c, "up") if self._updown else Upsample(c))
                self.output_blocks.append(stage)

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
        Tensor, shape (N, C, H, W) or (N, 2C, H, W)
            The noise, and after it the learned variance where there is one.
        """
        emb = self.time_embed(time_embedding(t, self.width))
        h, skips = x_t, []
        for stage in self.input_blocks:
            h = stage(h, emb)
            skips.append(h)
        h = self.middle_block(h, emb)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), emb)
        return self.out(h)


def _numbers(value: str | Sequence[float]) -> tuple[float, ...]:
    """The numbers of a flag such as ``"32,16,8"``."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(int(part) if float(part).is_integer() else float(part) for part in parts if str(part).strip())
