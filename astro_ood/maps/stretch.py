"""Invertible stretch between physical values and the range [-1, 1] of a network.

y = 2 (f(x) - low) / (high - low) - 1, with f the identity, log10, or asinh(x / scale). Intensities of the interstellar medium are close to
lognormal, so their logarithm is close to what a network trained on pictures expects; maps with noise about zero need asinh (Lupton, Gunn &
Szalay 1999, AJ 118, 1406), which is linear below `scale` and logarithmic above. `forward` does not clip: values outside the range of the
fitted maps stay, and come back exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
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
        if kind not in KINDS:
            raise InputError("IN19", "stretch", f"unknown kind {kind!r}", f"choose among {', '.join(KINDS)}")
        items = list(maps)
        if items and all(isinstance(item, Map) for item in items):
            items = list(same_unit(cast("list[Map]", items)))
        parts = [_valid(item, i) for i, item in enumerate(items)]
        if kind == "log10":
            for name, part in parts:
                require_positive(part, name)
        values = np.concatenate([part for _, part in parts]) if parts else np.empty(0)
        if values.size == 0 or values.min() == values.max():
            raise InputError("IN18", parts[0][0] if parts else "stretch", "no variance: cannot normalise", "check the maps")
        scale = _softening(values) if kind == "asinh" else 1.0
        ends = cls(kind, 0.0, 1.0, scale)._transform(np.array([values.min(), values.max()]))
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


def _valid(item: Map | NDArray[Any], index: int) -> tuple[str, NDArray[np.float64]]:
    if not isinstance(item, Map):
        return f"array {index}", np.asarray(item, np.float64).ravel()
    data = item.data if item.mask is None else item.data[:, ~item.mask]
    return item.name, np.asarray(data, np.float64).ravel()


def _softening(values: NDArray[np.float64]) -> float:
    """Robust spread about the median: the noise of a map that is mostly empty."""
    width = 1.4826 * float(np.median(np.abs(values - np.median(values))))
    return width if width > 0 else float(values.std())
