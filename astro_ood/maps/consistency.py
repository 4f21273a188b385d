"""Whether maps may be put together: one shape, one unit, one pixel size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from astro_ood.errors import InputError
from astro_ood.maps.core import Map
from astro_ood.maps.units import conversion

SCALE_TOLERANCE = 0.01


def check_shapes(maps: Sequence[Map]) -> None:
    """Refuse maps whose shape is not that of most (IN25)."""
    common = Counter(m.shape for m in maps).most_common(1)[0][0]
    odd = [f"{m.name} {m.shape}" for m in maps if m.shape != common]
    if odd:
        raise InputError("IN25", "maps", f"most have shape {common}, but {_some(odd)}", "cut patches of one size")


def check_scales(maps: Sequence[Map]) -> None:
    """Refuse maps whose pixels differ in size by more than 1 % (IN24); unknown sizes pass."""
    known = [(m, m.pixel_scale) for m in maps]
    scales = [(m.name, scale) for m, scale in known if scale is not None]
    if not scales:
        return
    first = np.array(scales[0][1])
    odd = [f"{name} {s[0]:.4g} x {s[1]:.4g}'" for name, s in scales if np.any(np.abs(np.array(s) / first - 1) > SCALE_TOLERANCE)]
    if odd:
        text = f"{scales[0][0]} has pixels of {first[0]:.4g} x {first[1]:.4g}', but {_some(odd)}"
        raise InputError("IN24", "maps", text, "use maps of one resolution")


def same_unit(maps: Sequence[Map]) -> list[Map]:
    """Maps in the unit of the first one (IN23 where one cannot be converted)."""
    unit = maps[0].unit
    factors = [conversion(m.unit, unit) for m in maps]
    odd = [
        f"{m.name} ({m.source or 'no file'}): {m.unit or 'no unit'}"
        for m, factor in zip(maps, factors, strict=True)
        if factor is None
    ]
    if odd:
        raise InputError("IN23", "maps", f"{maps[0].name} is in {unit or 'no unit'}, but {_some(odd)}", "use one unit, or say unit")
    return [
        m if factor == 1.0 else replace(m, data=m.data * m.data.dtype.type(factor), unit=unit)
        for m, factor in zip(maps, factors, strict=True)
        if factor is not None
    ]


def _some(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
