"""What lies between maps in [-1, 1] and the arrays that a network takes: range of values, channels, size.

All of it happens at the edges of an inversion, never inside: the state and the latents have the network's channels, size and range.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser

Field = NDArray[np.float32]
BAND = (0.5, 2.0)
Channels = Literal["error", "replicate", "stack"]
Fit = Literal["error", "pad", "crop"]


@dataclass(frozen=True)
class Frame:
    """One way of bringing maps to a network and back.

    Attributes
    ----------
    shape : tuple of int
        (C, H, W) of the maps.
    network_shape : tuple of int
        (C, H, W) of the network's arrays.
    data_range : (float, float)
        Range of values that the network was trained on.
    """

    shape: tuple[int, int, int]
    network_shape: tuple[int, int, int]
    data_range: tuple[float, float] = (-1.0, 1.0)

    @classmethod
    def of(cls, denoiser: Denoiser, shape: tuple[int, ...], channels: Channels = "error", fit: Fit = "error") -> Frame:
        """Frame for maps of a shape (C, H, W).

        Parameters
        ----------
        denoiser : Denoiser
            Frozen network.
        shape : tuple of int
            (C, H, W) of the maps.
        channels : {"error", "replicate", "stack"}
            What one channel is to a network of several: refused, or the same values in each. Maps are stacked before they come here.
        fit : {"error", "pad", "crop"}
            What sides are that the network cannot take: refused, or filled up by reflection. Maps are cropped before they come here.

        Raises
        ------
        InputError
            IN31 sides, IN32 channels.
        """
        c, h, w = shape
        wanted = denoiser.shape[0]
        if c != wanted and not (channels == "replicate" and c == 1):
            remedy = (
                "set `channels: replicate` (the same map in each) or `stack` (three maps in one)"
                if c == 1
                else "take another network"
            )
            raise InputError("IN32", denoiser.name, f"maps have {c} channels, the network has {wanted}", remedy)
        sides = [_side(n, own, denoiser) for n, own in zip((h, w), denoiser.shape[1:], strict=True)]
        if sides != [h, w] and (fit != "pad" or 0 in sides):
            raise InputError(
                "IN31", denoiser.name, f"maps have {h} x {w} pixels, but {_sides(denoiser)}", "set `fit: pad`, or crop the maps"
            )
        return cls((c, h, w), (wanted, sides[0], sides[1]), denoiser.data_range)

    @property
    def trivial(self) -> bool:
        """Whether network and maps agree in channels and size."""
        return self.shape == self.network_shape

    @property
    def margins(self) -> list[tuple[int, int]]:
        """What the network's arrays have before and after the maps, along each of the four axes."""
        extra = [n - m for n, m in zip(self.network_shape[1:], self.shape[1:], strict=True)]
        return [(0, 0), (0, 0), *((e // 2, e - e // 2) for e in extra)]

    def to_network(self, x: Field) -> Field:
        """Arrays of the network, from maps (N, C, H, W) in [-1, 1]."""
        low, high = self.data_range
        x = np.pad(x, self.margins, mode="symmetric")
        x = np.repeat(x, self.network_shape[0] // self.shape[0], axis=1)
        return (low + (x + 1) * ((high - low) / 2)).astype(np.float32) if (low, high) != (-1, 1) else x

    def to_maps(self, y: Field) -> tuple[Field, NDArray[np.float64]]:
        """Maps (N, C, H, W), and how far repeated channels disagree: their standard deviation over that of the map, shape (N,)."""
        low, high = self.data_range
        y = (y - low) * (2 / (high - low)) - 1 if (low, high) != (-1, 1) else y
        (top, bottom), (left, right) = self.margins[2:]
        y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
        n, (c, h, w) = len(y), self.shape
        copies = y.reshape(n, c, -1, h, w)
        x = copies.mean(axis=2, dtype=np.float64)
        spread = np.sqrt(np.mean(copies.var(axis=2, dtype=np.float64), axis=(1, 2, 3)))
        scale = np.std(x, axis=(1, 2, 3))
        return x.astype(np.float32), np.divide(spread, scale, out=np.zeros(n), where=scale > 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for stores."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Frame:
        """Inverse of `to_dict`."""
        c, h, w = record["shape"]
        nc, nh, nw = record["network_shape"]
        low, high = record["data_range"]
        return cls((c, h, w), (nc, nh, nw), (low, high))


def usable_scale(scale: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether latents have the scale of noise, from their standard deviation over its expectation; NaN has not."""
    return np.asarray((scale > BAND[0]) & (scale < BAND[1]))


def _side(n: int, own: int, denoiser: Denoiser) -> int:
    """Next side that the network takes; 0 where there is none."""
    if denoiser.fixed_size:
        return own if n <= own else 0
    return -(-max(n, denoiser.smallest) // denoiser.stride) * denoiser.stride


def _sides(denoiser: Denoiser) -> str:
    if denoiser.fixed_size:
        return f"the network takes {denoiser.shape[1]} x {denoiser.shape[2]} only (larger ones by `window: {denoiser.shape[1]}`)"
    return f"the network needs sides of at least {denoiser.smallest} that are multiples of {denoiser.stride}"
