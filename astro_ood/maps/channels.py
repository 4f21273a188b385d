"""Maps as channels of one image, and back: how a network of three channels takes three maps at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from astro_ood.errors import InputError
from astro_ood.maps.core import Map


def stack(maps: Sequence[Map], n: int = 3) -> list[Map]:
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
    by_region: dict[str, list[Map]] = {}
    for m in maps:
        by_region.setdefault(m.region, []).append(m)
    groups = [group for some in by_region.values() for group in _full(some, n)]
    if 2 * n * len(groups) < len(maps):
        groups = _full([m for some in by_region.values() for m in some], n)
    return [_stacked(group, region) for group, region in zip(groups, _joined_regions(groups), strict=True)]


def _full(maps: Sequence[Map], n: int) -> list[Sequence[Map]]:
    return [maps[i : i + n] for i in range(0, len(maps) - n + 1, n)]


def _joined_regions(groups: Sequence[Sequence[Map]]) -> list[str]:
    """Region of each image; images that share a region, directly or through others, get one."""
    families: list[set[str]] = []
    for group in groups:
        own = {m.region for m in group}
        linked = [f for f in families if f & own]
        families = [f for f in families if not f & own] + [own.union(*linked)]
    return [" + ".join(sorted(next(f for f in families if group[0].region in f))) for group in groups]


def _stacked(group: Sequence[Map], region: str) -> Map:
    masks = [m.mask for m in group if m.mask is not None]
    return replace(
        group[0],
        data=np.concatenate([m.data for m in group]),
        name=" + ".join(m.name for m in group),
        region=region,
        mask=np.any(masks, axis=0) if masks else None,
    )


def unstack(maps: Sequence[Map]) -> list[Map]:
    """Every channel as a map of its own, in order; those of one image share its region."""
    return [
        m if m.shape[0] == 1 else replace(m, data=channel[None], name=f"{m.name}[{i}]")
        for m in maps
        for i, channel in enumerate(m.data)
    ]


def crop(maps: Sequence[Map], multiple: int) -> list[Map]:
    """Maps cut to the largest sides that are multiples of `multiple`, at their lower left, so that their WCS holds.

    Raises
    ------
    InputError
        IN31: a map smaller than that.
    """
    cut = []
    for m in maps:
        h, w = (n // multiple * multiple for n in m.shape[1:])
        if not (h and w):
            problem = f"{m.shape[1]} x {m.shape[2]} pixels, fewer than {multiple}"
            raise InputError("IN31", m.name, problem, "take `fit: pad`, or another network")
        cut.append(replace(m, data=m.data[:, :h, :w], mask=None if m.mask is None else m.mask[:h, :w]))
    return cut
