"""Division of maps into an inverted and a held-out set, by region of the sky.

The division comes before anything is fitted. Only the inverted set fits the stretch, the latents and the prior; the held-out set is seen by
validation alone. Whole regions go to one side, since neighbouring patches share structure. HEALPix base faces are divided like a
chessboard, so that both sets see all latitudes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from astro_ood.errors import ConfigError, InputError
from astro_ood.maps.record import Item

INVERTED_FACES = (0, 2, 5, 7, 8, 10)
_FACE = re.compile(r"face-(\d\d)$")


def split_regions(
    maps: Sequence[Item],
    inverted: Sequence[str] | None = None,
    *,
    max_inverted: int | None = None,
    min_held_out: int = 1,
) -> tuple[list[int], list[int]]:
    """Indices of the inverted and of the held-out maps.

    Parameters
    ----------
    maps : sequence of Map or Record
    inverted : sequence of str, optional
        Regions to invert; by default every second one in natural order, and six of the twelve faces of a HEALPix map.
    max_inverted : int, optional
        At most so many inverted maps, taken evenly over the regions; the others are left out of both sets.
    min_held_out : int
        With 0, maps of too few regions are all inverted.

    Raises
    ------
    ConfigError
        CF40 for unknown regions.
    InputError
        IN39 for exact copies over the division, IN40 for fewer than two inverted maps or fewer than `min_held_out` others.
    """
    regions = _order({m.region for m in maps})
    chosen = set(_default(maps, regions)) if inverted is None else _known(inverted, regions)
    inside = [i for i, m in enumerate(maps) if m.region in chosen]
    outside = [i for i, m in enumerate(maps) if m.region not in chosen]
    if inverted is None and len(inside) < 2 <= len(outside) and inside:
        inside, outside = outside, inside
    if len(inside) < 2 and min_held_out == 0:
        inside, outside = list(range(len(maps))), []
    if len(inside) < 2 or len(outside) < min_held_out:
        text = f"{len(maps)} maps in {len(regions)} regions give {len(inside)} inverted and {len(outside)} held-out maps"
        raise InputError("IN40", "maps", f"{text}, at least 2 and {min_held_out} are needed", "give more maps, or a smaller patch")
    _refuse_copies(maps, inside, outside)
    return (inside if max_inverted is None else _thin(maps, inside, max(2, max_inverted))), outside


def _default(maps: Sequence[Item], regions: list[str]) -> list[str]:
    faces = [_FACE.match(region) for region in regions]
    if all(faces):
        return [region for region, face in zip(regions, faces, strict=True) if face and int(face[1]) in INVERTED_FACES]
    return regions[::2]


def _known(inverted: Sequence[str], regions: list[str]) -> set[str]:
    known = set(regions)
    unknown = [name for name in inverted if name not in known]
    if unknown:
        shown = ", ".join(regions[:24]) + (" ..." if len(regions) > 24 else "")
        raise ConfigError("CF40", "inverted", f"unknown regions {', '.join(unknown[:8])}", f"choose among {shown}")
    return set(inverted)


def _order(regions: set[str]) -> list[str]:
    """Natural order: b2 before b10."""
    # words and numbers alternate, and a tuple is the smallest key
    return sorted(regions, key=lambda region: tuple(int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", region))))


def _thin(maps: Sequence[Item], inside: list[int], limit: int) -> list[int]:
    """At most `limit` maps: the same number from each region where it has them, evenly spaced within it."""
    members: dict[str, list[int]] = {}
    for i in inside:
        members.setdefault(maps[i].region, []).append(i)
    groups = [members[region] for region in _order(set(members))]
    quota, left = [0] * len(groups), min(limit, len(inside))
    while left:
        for k, group in enumerate(groups):
            if left and quota[k] < len(group):
                quota[k], left = quota[k] + 1, left - 1
    picked = [
        group[j] for group, n in zip(groups, quota, strict=True) for j in np.linspace(0, len(group) - 1, n).round().astype(int)
    ]
    return sorted(picked)


def _refuse_copies(maps: Sequence[Item], inside: list[int], outside: list[int]) -> None:
    digests = {maps[i].digest: maps[i].name for i in inside}
    copies = [f"{maps[i].name} = {digests[d]}" for i in outside if (d := maps[i].digest) in digests]
    if copies:
        raise InputError(
            "IN39", "maps", f"held-out maps are exact copies of inverted ones: {', '.join(copies[:5])}", "remove the copies"
        )
