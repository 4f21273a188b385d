"""The U-Net of a third-party DDPM of 64 x 64 drawn faces, written in Keras style.

It differs from DDPM in details that decide: group norms of 8 groups with eps 1e-3, and attention that adds its output to the
*normalised* input. Weights of another family cannot be told from these by their shapes alone, only by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astro_ood.diffusion.nets.blocks import GroupNorm, attend, pixels, time_embedding

C_TIME = 256


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(8, channels, eps=1e-3)


class FacesBlock(nn.Module):
    """Residual block that adds the embedding of time between its two convolutions."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.n1, self.n2 = _norm(c_in), _norm(c_out)
        self.c1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.c2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.t = nn.Linear(C_TIME, c_out)
        self.skip = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.c1(F.silu(self.n1(x))) + self.t(F.silu(emb))[:, :, None, None]
        return self.c2(F.silu(self.n2(h))) + self.skip(x)


class FacesAttention(nn.Module):
    """Self-attention with one head, added to the normalised input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.n = _norm(channels)
        self.q, self.k, self.v, self.p = (nn.Linear(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.n(x)
        h = pixels(x)
        q, k, v = (layer(h).unsqueeze(2) for layer in (self.q, self.k, self.v))
        return x + self.p(attend(q, k, v)).transpose(1, 2).reshape(x.shape)


class Group(nn.ModuleList):
    """A residual block, and attention where the level has it."""

    def __init__(self, c_in: int, c_out: int, attends: bool) -> None:
        super().__init__([FacesBlock(c_in, c_out), *([FacesAttention(c_out)] if attends else [])])

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, emb) if isinstance(layer, FacesBlock) else layer(x)
        return x


class Halve(nn.Module):
    """Half the resolution: a strided convolution of maps padded on the right and at the bottom."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Twice the resolution: nearest neighbours and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class FacesUNet(nn.Module):
    """U-Net of the third-party DDPM of drawn faces.

    Parameters
    ----------
    channels : int
        Channels of the maps.
    width : int
        Width of the first level.
    multipliers : sequence of int
        Width of each level in units of `width`; each further level halves the resolution.
    blocks : int
        Residual blocks per level on the way down (one more on the way up).
    attention : sequence of bool
        Whether attention follows the blocks of a level.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 4, 8),
        blocks: int = 2,
        attention: Sequence[bool] = (False, False, True, True),
    ) -> None:
        super().__init__()
        self.config = {
            "channels": channels,
            "width": width,
            "multipliers": list(multipliers),
            "blocks": blocks,
            "attention": [bool(a) for a in attention],
        }
        self.channels, self.fixed_size = channels, False
        self.stride = 2 ** (len(multipliers) - 1)
        self.t1, self.t2 = nn.Linear(C_TIME, C_TIME), nn.Linear(C_TIME, C_TIME)
        self.cin = nn.Conv2d(channels, width, 3, padding=1)
        levels = list(enumerate(zip((width * m for m in multipliers), attention, strict=True)))
        c, skips = width, [width]
        self.down = nn.ModuleList()
        for level, (w, attends) in levels:
            for _ in range(blocks):
                self.down.append(Group(c, w, attends))
                c = w
                skips.append(c)
            if level < len(levels) - 1:
                self.down.append(Halve(c))
                skips.append(c)
        self.m1, self.ma, self.m2 = FacesBlock(c, c), FacesAttention(c), FacesBlock(c, c)
        self.up = nn.ModuleList()
        for level, (w, attends) in reversed(levels):
            for _ in range(blocks + 1):
                self.up.append(Group(c + skips.pop(), w, attends))
                c = w
            if level > 0:
                self.up.append(Double(c))
        self.no = _norm(c)
        self.co = nn.Conv2d(c, channels, 3, padding=1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict `eps`.

        Parameters
        ----------
        x_t : Tensor, shape (N, C, H, W)
            Noised maps; H and W are multiples of `stride`.
        t : Tensor, shape (1,) or (N,)
            Times in the network's own steps; real values are allowed.

        Returns
        -------
        Tensor, shape (N, C, H, W)
        """
        emb = self.t2(F.silu(self.t1(time_embedding(t, C_TIME, sine_first=True))))
        h = self.cin(x_t)
        skips = [h]
        for layer in self.down:
            h = layer(h, emb) if isinstance(layer, Group) else layer(h)
            skips.append(h)
        h = self.m2(self.ma(self.m1(h, emb)), emb)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1), emb) if isinstance(layer, Group) else layer(h)
        return self.co(F.silu(self.no(h)))


def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a card would say, read off the weights; the levels are those of the published network."""
    width, channels = (int(n) for n in state["cin.weight"].shape[:2])
    return {"network": {"channels": channels, "width": width}, "shape": [channels, 64, 64]}
