"""Invertible stretch between physical values and the range [-1, 1] of a network.

y = 2 (f(x) - low) / (high - low) - 1, with f the identity, log10, or asinh(x / scale). Intensities of the interstellar medium are close to
lognormal, so their logarithm is close to what a network trained on pictures expects; maps with noise about zero need asinh (Lupton, Gunn &
Szalay 1999, AJ 118, 1406), which is linear below `scale` and logarithmic above. `forward` does not clip: values outside the range of the
fitted maps stay, and come back exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood.errors import InputError
from astro_ood.maps.consistency import require_positive, same_unit
from astro_ood.maps.core import Map

Kind = Literal["linear", "log10", "asinh"]
# far from underflow and overflow of float32
_FLOAT32 = (1e-30, 1e30)
MOST_VALUES = 2**23
"""Pixels that the scale of asinh is computed from."""

KINDS: tuple[Kind, ...] = ("linear", "log10", "asinh")


@dataclass(frozen=True)
class Stretch:
    """Monotone map between physical values and [-1, 1].

    Parameters
    ----------
    kind : {"linear", "log10", "asinh"}
    low, high : float
        Stretched values f(x) that become -1 and 1.
    scale : float
        Physical value at which asinh turns from linear to logarithmic; unused otherwise.
    """

    kind: Kind
    low: float
    high: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError("IN19", "stretch", f"unknown kind {self.kind!r}", f"choose among {', '.join(KINDS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high and 0 < self.scale < math.inf):
            raise InputError(
                "IN18", "stretch", f"range {self.low} to {self.high}, scale {self.scale}", "it needs low < high, scale > 0"
            )

    @classmethod
    def fit(cls, maps: Iterable[Map | NDArray[Any]], kind: Kind = "linear", *, margin: float = 0.05) -> Stretch:
        """Stretch whose range holds all valid pixels, and `margin` of the range more at both ends.

        The maps are looked at one by one. The scale of asinh, a robust spread, is exact for up to `MOST_VALUES` pixels; of more, it is
        that of every second, every fourth, ... of them in the order of the maps (a relative error of about 0.05 %).

        Parameters
        ----------
        maps : iterable of Map or ndarray, or ndarray of shape (N, ...)
            The inverted set only: held-out maps must not be looked at.
        kind : {"linear", "log10", "asinh"}
        margin : float
            So that held-out and synthetic maps rarely leave the range.

        Raises
        ------
        InputError
            IN18 for constant data, IN19 for values <= 0 under log10, IN23 for units that cannot be converted to that of the first map.
        """
        where, low, high, sample = "stretch", math.inf, -math.inf, _Sample()
        for name, values in _valid(maps):
            where = name if where == "stretch" else where
            if kind == "log10":
                require_positive(values, name)
            if kind == "asinh":
                sample.add(values)
            # NaN stays, and is refused
            low = float(np.minimum(low, values.min(initial=math.inf)))
            high = float(np.maximum(high, values.max(initial=-math.inf)))
        scale = _softening(sample.values) if kind == "asinh" and low < high else 1.0
        return cls.spanning(low, high, kind, scale=scale, margin=margin, where=where)

    @classmethod
    def spanning(
        cls, low: float, high: float, kind: Kind = "linear", *, scale: float = 1.0, margin: float = 0.05, where: str = "stretch"
    ) -> Stretch:
        """Stretch whose range holds the physical values from `low` to `high`, and `margin` of the range more at both ends.

        Raises
        ------
        InputError
            IN18 unless `low` < `high`, naming `where`.
        """
        if kind not in KINDS:
            raise InputError("IN19", "stretch", f"unknown kind {kind!r}", f"choose among {', '.join(KINDS)}")
        if not low < high:
            raise InputError("IN18", where, "no variance: cannot normalise", "check the maps")
        ends = cls(kind, 0.0, 1.0, scale)._transform(np.array([low, high]))
        room = margin * float(ends[1] - ends[0])
        return cls(kind, float(ends[0]) - room, float(ends[1]) + room, scale)

    def forward(self, x: ArrayLike, name: str = "map") -> NDArray[np.float64]:
        """Normalised values of physical ones; values beyond the range are not clipped.

        Raises
        ------
        InputError
            IN19 for values <= 0 under log10, naming `name`.
        """
        values = np.asarray(x, np.float64)
        if self.kind == "log10":
            require_positive(values, name)
        return np.asarray(2.0 * (self._transform(values) - self.low) / (self.high - self.low) - 1.0)

    def inverse(self, y: ArrayLike) -> NDArray[np.float64]:
        """Physical values of normalised ones."""
        f = self.low + 0.5 * (np.asarray(y, np.float64) + 1.0) * (self.high - self.low)
        with np.errstate(over="ignore"):
            if self.kind == "log10":
                return np.asarray(np.power(10.0, f))
            return np.asarray(self.scale * np.sinh(f)) if self.kind == "asinh" else f

    def clipped(self, x: ArrayLike) -> int:
        """Number of physical values outside the range (and of those <= 0 under log10)."""
        values = np.asarray(x, np.float64)
        low, high = (float(v) for v in self.inverse(np.array([-1.0, 1.0])))
        return int(np.count_nonzero((values < low) | (values > high)))

    @property
    def dtype(self) -> type[np.float32] | type[np.float64]:
        """Smallest floating type that holds physical values well beyond the range."""
        ends = np.abs(self.inverse(np.array([-3.0, 3.0])))
        tiny = self.kind == "log10" and float(ends.min()) < _FLOAT32[0]
        return np.float64 if tiny or not float(ends.max()) < _FLOAT32[1] else np.float32

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, for stores."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Stretch:
        """Inverse of `to_dict`."""
        return cls(cast("Kind", str(record["kind"])), float(record["low"]), float(record["high"]), float(record.get("scale", 1.0)))

    def label(self, unit: str = "") -> str:
        """Text of an axis that shows f(x)."""
        if self.kind == "linear":
            return f"value [{unit}]" if unit else "value"
        if self.kind == "log10":
            return f"log10(value / ({unit}))" if unit else "log10(value)"
        return f"asinh(value / {self.scale:.3g} {unit})".replace(" )", ")")

    def _transform(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "log10":
            return np.asarray(np.log10(x))
        return np.asarray(np.arcsinh(x / self.scale)) if self.kind == "asinh" else x


def _valid(maps: Iterable[Map | NDArray[Any]]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Name and unmasked pixels of each map, in the unit of the first."""
    first: Map | None = None
    for i, item in enumerate(maps):
        if isinstance(item, Map):
            first = first or item
            image = same_unit([first, item])[1]
            data = image.data if image.mask is None else image.data[:, ~image.mask]
            yield image.name, np.asarray(data, np.float64).ravel()
        else:
            yield f"array {i}", np.asarray(item, np.float64).ravel()


class _Sample:
    """Every value that came, or every second, fourth, ... where they would be more than `MOST_VALUES`."""

    def __init__(self) -> None:
        self.stride, self.seen, self.kept = 1, 0, 0
        self.parts: list[NDArray[np.float64]] = []

    def add(self, values: NDArray[np.float64]) -> None:
        self.parts.append(values[-self.seen % self.stride :: self.stride].copy())
        self.seen, self.kept = self.seen + values.size, self.kept + self.parts[-1].size
        while self.kept > MOST_VALUES:
            self.parts = [self.values[::2].copy()]
            self.stride, self.kept = 2 * self.stride, self.parts[0].size

    @property
    def values(self) -> NDArray[np.float64]:
        self.parts = [np.concatenate(self.parts)]
        return self.parts[0]


def _softening(values: NDArray[np.float64]) -> float:
    """Robust spread about the median: the noise of a map that is mostly empty."""
    distance = values - np.median(values)
    width = 1.4826 * float(np.median(np.abs(distance, out=distance), overwrite_input=True))
    return width if width > 0 else float(values.std())
