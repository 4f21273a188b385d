"""Whether maps may be put together: one shape, one unit, one pixel size. Records of maps are judged as the maps themselves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps.record import Item
from astro_ood.maps.units import conversion

SCALE_TOLERANCE = 0.01


def check_shapes(maps: Sequence[Item]) -> None:
    """Refuse maps whose shape is not that of most (IN25)."""
    common = Counter(m.shape for m in maps).most_common(1)[0][0]
    odd = [f"{m.name} {m.shape}" for m in maps if m.shape != common]
    if odd:
        raise InputError("IN25", "maps", f"most have shape {common}, but {_some(odd)}", "cut patches of one size")


def check_scales(maps: Sequence[Item]) -> None:
    """Refuse maps whose pixels differ in size by more than 1 % (IN24); unknown sizes pass."""
    scales = [(m.name, scale) for m in maps if (scale := m.pixel_scale) is not None]
    if not scales:
        return
    first = np.array(scales[0][1])
    odd = [f"{name} {s[0]:.4g} x {s[1]:.4g}'" for name, s in scales if np.any(np.abs(np.array(s) / first - 1) > SCALE_TOLERANCE)]
    if odd:
        text = f"{scales[0][0]} has pixels of {first[0]:.4g} x {first[1]:.4g}', but {_some(odd)}"
        raise InputError("IN24", "maps", text, "use maps of one resolution")


def same_unit(maps: Sequence[Item]) -> list[Item]:
    """Maps in the unit of the first one (IN23 where one cannot be converted)."""
    unit = maps[0].unit
    odd = [f"{m.name} ({m.source or 'no file'}): {m.unit or 'no unit'}" for m in maps if conversion(m.unit, unit) is None]
    if odd:
        raise InputError("IN23", "maps", f"{maps[0].name} is in {unit or 'no unit'}, but {_some(odd)}", "use one unit, or say unit")
    return [in_unit(m, unit) for m in maps]


def in_unit(image: Item, unit: str) -> Item:
    """A map in a unit that its own can be converted to."""
    factor = conversion(image.unit, unit)
    assert factor is not None
    return image if factor == 1.0 else image.scaled(factor, unit)


def sift(maps: Sequence[Item], *, positive: bool) -> tuple[list[Item], list[tuple[str, str]]]:
    """Maps that go together with most of them, and (source, message) of the others.

    Parameters
    ----------
    maps : sequence of Map or Record
    positive : bool
        Whether values <= 0 (under log10) make a map unusable.
    """
    if not maps:
        return [], []
    usual = Counter((m.shape, m.unit) for m in maps).most_common(1)[0][0]
    model = next(m for m in maps if (m.shape, m.unit) == usual)
    kept, odd = [], []
    for m in maps:
        try:
            check_shapes([model, m])
            check_scales([model, m])
            same_unit([model, m])
            if positive:
                check_positive([m])
        except InputError as error:
            odd.append((m.source or m.name, str(error)))
        else:
            kept.append(m)
    return kept, odd


def check_positive(maps: Sequence[Item]) -> None:
    """Refuse maps with values that have no logarithm (IN19)."""
    for m in maps:
        _refuse_nonpositive(m.n_nonpositive, math.prod(m.shape), m.name)


def require_positive(values: NDArray[Any], name: str) -> None:
    """Refuse values that have no logarithm (IN19)."""
    _refuse_nonpositive(int(np.count_nonzero(~(values > 0))), values.size, name)


def _refuse_nonpositive(n_bad: int, n: int, name: str) -> None:
    if n_bad:
        share = f"{n_bad} of {n} pixels ({n_bad / n:.2%}) are <= 0, log10 needs positive"
        raise InputError("IN19", name, share, "use asinh")


def _some(items: list[str], most: int = 8) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
