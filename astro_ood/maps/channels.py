"""Maps as channels of one image, and back: how a network of three channels takes three maps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from astro_ood.errors import InputError
from astro_ood.maps.core import Map
from astro_ood.maps.record import Item


def stack(maps: Sequence[Item], n: int = 3) -> list[Item]:
    """Every `n` one-channel maps as the channels of one; what does not fill an image is left out.

    Maps of one region go together where most regions have enough of them. The image belongs to the regions of all its maps, and
    images that share a region belong to one: regions stay what may be exchanged. It carries the WCS of its first map.

    Raises
    ------
    InputError
        IN32: maps of several channels, or fewer than `n` maps.
    """
    several = [m.name for m in maps if m.shape[0] != 1]
    if several or len(maps) < n:
        problem = f"{several[0]} has several channels" if several else f"{len(maps)} maps do not fill {n} channels"
        raise InputError("IN32", "channels: stack", problem, "take `replicate`, or a network of as many channels")
    by_region: dict[str, list[Item]] = {}
    for m in maps:
        by_region.setdefault(m.region, []).append(m)
    groups = [group for some in by_region.values() for group in _full(some, n)]
    if 2 * n * len(groups) < len(maps):
        groups = _full([m for some in by_region.values() for m in some], n)
    return [type(group[0]).stacked(group, region) for group, region in zip(groups, _joined_regions(groups), strict=True)]


def _full(maps: Sequence[Item], n: int) -> list[Sequence[Item]]:
    return [maps[i : i + n] for i in range(0, len(maps) - n + 1, n)]


def _joined_regions(groups: Sequence[Sequence[Item]]) -> list[str]:
    """Region of each image; images that share a region, directly or through others, get one."""
    family: dict[str, set[str]] = {}
    for group in groups:
        joined = max((family.setdefault(m.region, {m.region}) for m in group), key=len)
        for m in group:
            other = family[m.region]
            if other is not joined:
                joined |= other
                family.update(dict.fromkeys(other, joined))
    return [" + ".join(sorted(family[group[0].region])) for group in groups]


def unstack(maps: Sequence[Map]) -> list[Map]:
    """Every channel as a map of its own, in order; those of one image share its region."""
    return [
        m if m.shape[0] == 1 else replace(m, data=channel[None], name=f"{m.name}[{i}]")
        for m in maps
        for i, channel in enumerate(m.data)
    ]


def crop(maps: Sequence[Map], multiple: int) -> list[Map]:
    """Maps cut to the largest sides that are multiples of `multiple`; see `cropped`."""
    return [cropped(m, multiple) for m in maps]


def cropped(image: Map, multiple: int) -> Map:
    """Map cut to the largest sides that are multiples of `multiple`, at its lower left, so that its WCS holds.

    Raises
    ------
    InputError
        IN31: a map smaller than that.
    """
    h, w = (n // multiple * multiple for n in image.shape[1:])
    if not (h and w):
        problem = f"{image.shape[1]} x {image.shape[2]} pixels, fewer than {multiple}"
        raise InputError("IN31", image.name, problem, "take `fit: pad`, or another network")
    return replace(image, data=image.data[:, :h, :w], mask=None if image.mask is None else image.mask[:h, :w])
