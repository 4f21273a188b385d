"""Exact circular apertures: the share of every pixel that lies within a circle, and curves of growth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from astro_ood.stats._arrays import BoolArray, FloatArray

_SIDES = np.array([[-0.5], [0.5]])


class Cutout(NamedTuple):
    """One map (H, W), 0 where missing, its observed pixels, and the pixel size (dy, dx)."""

    flux: FloatArray
    seen: BoolArray
    steps: tuple[float, float]

    def offsets(self, centre: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
        """Offsets (H, 1) and (1, W) of the pixels from a centre given in pixels, on the sky."""
        height, width = self.flux.shape
        y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
        return ((y - centre[0]) * self.steps[0])[:, None], ((x - centre[1]) * self.steps[1])[None, :]

    def reach(self, centre: tuple[float, float]) -> float:
        """Radius of the largest circle that fits into the map."""
        sides = zip(self.flux.shape, centre, self.steps, strict=True)
        return max(min(min(c + 0.5, n - 0.5 - c) * d for n, c, d in sides), min(self.steps))


class Growth:
    """Curve of growth of a map about a centre."""

    def __init__(self, cut: Cutout, centre: tuple[float, float]) -> None:
        y, x = np.broadcast_arrays(*cut.offsets(centre))
        flat = np.hypot(y, x).ravel()
        order = np.argsort(flat, kind="stable")
        self._distance, self._y, self._x = flat[order], y.ravel()[order], x.ravel()[order]
        self._steps, self._half = cut.steps, 0.5 * float(np.hypot(*cut.steps))
        self._light = np.stack([cut.flux.ravel()[order], cut.seen.ravel()[order].astype(np.float64)])
        self._inside = np.concatenate([np.zeros((2, 1)), np.cumsum(self._light, axis=1)], axis=1)

    def sums(self, radius: float) -> FloatArray:
        """Flux, and number of observed pixels, within a radius: (2,)."""
        low, high = np.searchsorted(self._distance, [radius - self._half, radius + self._half])
        part = overlap(self._y[low:high], self._x[low:high], radius, self._steps)
        return np.asarray(self._inside[:, low] + self._light[:, low:high] @ part)

    def radii(self, total: float, fractions: tuple[float, ...]) -> tuple[float, ...]:
        """Radii that hold fractions of the flux within `total`; 0 where that is not positive."""
        flux = float(self.sums(total)[0])
        if flux <= 0:
            return tuple(0.0 for _ in fractions)
        return tuple(float(brentq(lambda r, f=f: self.sums(r)[0] / flux - f, 0.0, total, xtol=1e-6 * total)) for f in fractions)


def disc(y: FloatArray, x: FloatArray, radius: float, steps: tuple[float, float]) -> FloatArray:
    """Share of the pixels of a rectangle, offsets (H, 1) and (1, W), that lies within a circle: (H, W)."""
    square, half = y * y + x * x, 0.5 * float(np.hypot(*steps))
    weight = (square < radius**2).astype(np.float64)
    edge = np.nonzero((square >= max(radius - half, 0.0) ** 2) & (square <= (radius + half) ** 2))
    weight[edge] = overlap(y[edge[0], 0], x[0, edge[1]], radius, steps)
    return weight


def overlap(y: FloatArray, x: FloatArray, radius: float, steps: tuple[float, float]) -> FloatArray:
    """Share of pixels (dy, dx) centred at (y, x), both (M,), that lies within a circle about the origin."""
    if radius <= 0:
        return np.zeros(y.shape)
    bottom, right = y + steps[0] * _SIDES, x + steps[1] * _SIDES
    height, width = np.minimum(np.abs(bottom), radius), np.minimum(np.abs(right), radius)
    # Area that the circle shares with the rectangle from its centre to each corner (2, 2, M): a rectangle up to where
    # the circle passes below its height, and the area under the circle from there on.
    reach = np.minimum(np.sqrt((radius - height) * (radius + height))[:, None], width)
    corner = reach * height[:, None] + _under(width, radius) - _under(reach, radius)
    corner *= np.sign(bottom)[:, None] * np.sign(right)
    return np.asarray((corner[1, 1] - corner[0, 1] - corner[1, 0] + corner[0, 0]) / (steps[0] * steps[1]))


def _under(t: FloatArray, radius: float) -> FloatArray:
    """Integral of sqrt(radius^2 - t^2) from 0 to t <= radius."""
    return np.asarray(0.5 * (t * np.sqrt((radius - t) * (radius + t)) + radius**2 * np.arcsin(t / radius)))
