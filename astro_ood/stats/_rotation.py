"""The centre of rotation of an object: where a map and itself turned by 180 degrees differ least."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from astro_ood.stats._apertures import Cutout, disc
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray

_FINEST = 1.0 / 1024


class Turn:
    """A map and itself turned by 180 degrees.

    `noise` is what the sky adds to the difference of two pixels, in the mean.
    """

    def __init__(self, cut: Cutout) -> None:
        self._cut = cut
        # Zeros around stand for everything outside of the map.
        self._flux, self._seen = np.pad(cut.flux, 1), np.pad(cut.seen.astype(np.float64), 1)

    def twin(self, centre: tuple[float, float], rows: slice, columns: slice) -> tuple[FloatArray, BoolArray]:
        """The turned map on a rectangle, by bilinear interpolation, and where all that enters was observed."""
        (top, bottom, f), (left, right, g) = (
            _opposite(c, part, n) for c, part, n in zip(centre, (rows, columns), self._cut.flux.shape, strict=True)
        )
        turned = []
        for plane in (self._flux, self._seen):
            lines = plane[top] if f == 0 else (1 - f) * plane[top] + f * plane[bottom]
            turned.append(lines[:, left] if g == 0 else (1 - g) * lines[:, left] + g * lines[:, right])
        return turned[0], turned[1] > 1 - 1e-9

    def asymmetry(self, centre: tuple[float, float], radius: float, noise: float) -> float:
        """Asymmetry within a circle, less that of the sky; 0 without light."""
        rows, columns, weight = self._aperture(centre, radius)
        image = self._cut.flux[rows, columns]
        twin, both = self.twin(centre, rows, columns)
        weight = weight * both
        light = float(np.sum(weight * np.abs(image)))
        return float(np.sum(weight * np.abs(image - twin)) - noise * weight.sum()) / light if light > 0 else 0.0

    def best(self, start: tuple[float, float], radius: float, noise: float) -> tuple[float, float]:
        """Centre of least asymmetry: a pattern search by whole half pixels, which need no interpolation, and then below them."""
        coarse = 0.5 * 2.0 ** max(0, int(np.log2(max(radius / (4 * max(self._cut.steps)), 1.0))))
        lattice = (round(2 * start[0]) / 2, round(2 * start[1]) / 2)
        lattice = self._search(lattice, coarse, 0.5, lambda c: self.asymmetry(c, radius, noise))
        return self._search(lattice, 0.25, _FINEST, self._interpolated(lattice, radius, noise))

    def _search(
        self, centre: tuple[float, float], step: float, finest: float, value: Callable[[tuple[float, float]], float]
    ) -> tuple[float, float]:
        known = {centre: value(centre)}
        while step >= finest:
            near = [(centre[0] + step * i, centre[1] + step * j) for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1))]
            near = [p for p in near if all(0 <= c <= n - 1 for c, n in zip(p, self._cut.flux.shape, strict=True))]
            known |= {p: value(p) for p in near if p not in known}
            best = min(near, key=known.__getitem__, default=centre)
            if known[best] < known[centre]:
                centre = best
            else:
                step /= 2
        return centre

    def _interpolated(self, lattice: tuple[float, float], radius: float, noise: float) -> Callable[[tuple[float, float]], float]:
        """The asymmetry about centres near one of whole half pixels, within the circle about that one.

        A map turned about a centre between four of whole half pixels is the bilinear mean of those turned about the four.
        """
        rows, columns, weight = self._aperture(lattice, radius)
        inside = weight > 0
        image, weight = self._cut.flux[rows, columns][inside], weight[inside]

        @cache
        def change(i: int, j: int) -> tuple[FloatArray, FloatArray]:
            twin, both = self.twin((i / 2, j / 2), rows, columns)
            return image - twin[inside], both[inside].astype(np.float64)

        def value(centre: tuple[float, float]) -> float:
            (i, f), (j, g) = (divmod(2 * c, 1.0) for c in centre)
            corners = ((0, 0, (1 - f) * (1 - g)), (1, 0, f * (1 - g)), (0, 1, (1 - f) * g), (1, 1, f * g))
            parts = [(part, *change(int(i) + a, int(j) + b)) for a, b, part in corners if part > 0]
            both = weight * np.prod([seen for _, _, seen in parts], axis=0)
            light = float(both @ np.abs(image))
            difference = np.abs(sum(part * d for part, d, _ in parts))
            return float(both @ difference - noise * both.sum()) / light if light > 0 else 0.0

        return value

    def _aperture(self, centre: tuple[float, float], radius: float) -> tuple[slice, slice, FloatArray]:
        """Rectangle around a circle, and the shares of its observed pixels in the circle."""
        rows, columns = (
            slice(max(0, int(c - radius / d) - 1), min(n, int(c + radius / d) + 3))
            for c, d, n in zip(centre, self._cut.steps, self._cut.flux.shape, strict=True)
        )
        y, x = self._cut.offsets(centre)
        return rows, columns, disc(y[rows], x[:, columns], radius, self._cut.steps) * self._cut.seen[rows, columns]

    def filled(self, centre: tuple[float, float]) -> Cutout:
        """The map with missing pixels taken from their twins."""
        if self._cut.seen.all():
            return self._cut
        twin, both = self.twin(centre, *(slice(0, n) for n in self._cut.flux.shape))
        seen = self._cut.seen
        return Cutout(np.where(seen, self._cut.flux, np.where(both, twin, 0.0)), seen | both, self._cut.steps)


def _opposite(centre: float, part: slice, n: int) -> tuple[IntArray, IntArray, float]:
    """Padded indices of the two pixels between which the points opposite to those of `part` lie, and the weight of the second."""
    first = np.floor(2 * centre)
    low = int(first) - np.arange(part.start, part.stop)
    padded = np.minimum(np.maximum(low, -1), n) + 1
    return padded, np.minimum(np.maximum(low + 2, 0), n + 1), float(2 * centre - first)
