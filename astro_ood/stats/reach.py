"""Over which scales a statistic agrees: what "usable down to 12 arcmin" rests on.

A length agrees where no number that is measured there differs, every one of them was tested, and a difference that matters would have been
found in four of five comparisons. What matters is a factor of 2.5 in a power and so its root in an amplitude; a skewness of 0.5, and half the
rms in a quantile of the gradient, which are no logarithms. Where less power is at hand a length is undecided, whatever was found: with few maps
often the largest scales, of which a map holds few modes.

Lengths are 1/k of a power or a triangle (by its largest side), the lag of an increment, the wavelength of a wavelet (the finer one of two).
They differ in kind, by a factor of two for the same structure; each is comparable with itself in another run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from typing import Any, Literal

Row = dict[str, Any]
Word = Literal["agrees", "differs", "undecided"]
# A larger factor in P(k) that could be missed leaves a scale undecided.
TOLERANCE = 2.5
SCALED = ("spectrum", "increments", "bispectrum", "scattering")
_LENGTH = re.compile(r", ([\d.e+-]+)(?: in [\d.e+-]+)? (\w+)")
# Powers of the factor, by the unit of a row; what is no logarithm has a bound of its own
_POWERS = {"ln P": 1.0, "ln S2": 1.0, "ln flatness": 1.0, "ln rms": 0.5, "ln": 0.5}
_BOUNDS = {"skewness": 0.5, "rms": 0.5}


@dataclass(frozen=True)
class Range:
    """Neighbouring lengths of which the same is true.

    Attributes
    ----------
    word : {"agrees", "differs", "undecided"}
    longest, shortest : float
        In `unit`.
    first, last : bool
        Whether it begins with the longest length that was measured, and ends with the shortest.
    """

    word: Word
    longest: float
    shortest: float
    unit: str
    first: bool
    last: bool

    @property
    def where(self) -> str:
        """``at 24 arcmin and below``."""
        if self.first and self.last:
            return "at all scales"
        if self.first or self.last:
            return (
                f"at {length(self.shortest, self.unit)} and above"
                if self.first
                else f"at {length(self.longest, self.unit)} and below"
            )
        if self.longest == self.shortest:
            return f"near {length(self.longest, self.unit)}"
        return f"from {length(self.shortest)} to {length(self.longest, self.unit)}"


def lengths(statistic: str, scales: Sequence[str | float], scale_unit: str) -> tuple[list[float | None], str]:
    """Length of each scale of a statistic, and their unit; None where there is none.

    The gradient is an increment over one pixel: it counts with the shortest lag.
    """
    if statistic not in SCALED:
        return [None] * len(scales), ""
    found, unit = [], scale_unit.removeprefix("cycles/")
    for scale in scales:
        match = _LENGTH.search(scale) if isinstance(scale, str) else None
        unit = match[2] if match else unit
        found.append(float(match[1]) if match else 1 / scale if isinstance(scale, float) else None)
    shortest = min((x for x in found if x is not None), default=None)
    return [shortest if x is None else x for x in found], unit


def ranges(rows: Sequence[Row], tolerance: float = TOLERANCE) -> list[Range]:
    """Ranges of one statistic of one set, from the longest length downwards.

    Parameters
    ----------
    rows : sequence of dict
        Of single scales; those without a length are left out.
    tolerance : float
        Factor in P(k) that must not be missed.
    """
    at: dict[float, list[Row]] = {}
    for row in rows:
        if row.get("length") is not None:
            at.setdefault(row["length"], []).append(row)
    falling = sorted(at, reverse=True)
    runs = [(word, list(run)) for word, run in groupby(falling, key=lambda x: _word(at[x], tolerance))]
    unit = rows[0]["length_unit"] if at else ""
    return [Range(word, run[0], run[-1], unit, run[0] == falling[0], run[-1] == falling[-1]) for word, run in runs]


def agreeing(found: Sequence[Range]) -> Range | None:
    """The widest range that agrees, of more than one length if more were measured; of equal ones that of the larger scales."""
    wide = (r for r in found if r.word == "agrees" and (r.longest > r.shortest or (r.first and r.last)))
    return max(wide, key=lambda r: log(r.longest / r.shortest), default=None)


def length(value: float, unit: str = "") -> str:
    """Three digits, without an exponent for thousands."""
    unit = "pixels" if unit == "pixel" else unit
    return (f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}").rstrip()


def _word(rows: Sequence[Row], tolerance: float) -> Word:
    if any(row["verdict"] == "different" for row in rows):
        return "differs"
    tested = all(row["verdict"] == "no difference detected" for row in rows)
    return "agrees" if tested and all(_seen(row, tolerance) for row in rows) else "undecided"


def _seen(row: Row, tolerance: float) -> bool:
    """Whether a difference that matters would mostly have been found."""
    bound = _POWERS[row["unit"]] * log(tolerance) if row["unit"] in _POWERS else _BOUNDS.get(row["unit"])
    return row["detectable"] is not None and (bound is None or row["detectable"] <= bound)
