"""Disjoint patches of a map, what happens to missing pixels, and which patches share a region.

Patches never overlap: overlapping ones share pixels, and a statistic that compares inverted with held-out maps would then compare a map
with itself. Neighbouring patches of one image are still correlated, so they are gathered into about eight contiguous blocks, and a block is
never divided between the inverted and the held-out set.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from astro_ood.errors import InputError
from astro_ood.maps.core import Map
from astro_ood.maps.wcs import shift

MIN_SIDE = 16
BLOCKS_PER_FILE = 8
NAN_POLICIES = ("drop", "error", "fill", "mask")


def cut(image: Map, patch: int | None) -> list[Map]:
    """Disjoint `patch` x `patch` tiles; what remains at the borders is cropped evenly.

    Parameters
    ----------
    image : Map
        Its region is kept where it has one; otherwise each tile gets the region of its block.
    patch : int or None
        Side in pixels; None keeps the image whole.

    Raises
    ------
    InputError
        IN16 for an image smaller than a patch, or than 16 pixels.
    """
    _, height, width = image.shape
    least = MIN_SIDE if patch is None else patch
    if least < MIN_SIDE:
        raise InputError("IN16", image.source or image.name, f"patch of {least} pixels", f"it must have at least {MIN_SIDE}")
    if min(height, width) < least:
        what = "a map needs" if patch is None else "a patch needs"
        raise InputError("IN16", image.source or image.name, f"{height} x {width} pixels, {what} {least}", "choose a smaller patch")
    if patch is None or (height, width) == (patch, patch):
        return [replace(image, region=image.region or image.name)]
    ny, nx = height // patch, width // patch
    top, left = (height - ny * patch) // 2, (width - nx * patch) // 2
    return [
        replace(
            crop(image, top + i * patch, left + j * patch, patch),
            name=f"{image.name}:r{i:02d}c{j:02d}",
            region=image.region or f"{image.name}:b{block(i, j, ny, nx)}",
        )
        for i in range(ny)
        for j in range(nx)
    ]


def crop(image: Map, top: int, left: int, size: int) -> Map:
    """Square sub-image with the WCS of its own pixels."""
    rows, cols = slice(top, top + size), slice(left, left + size)
    mask = None if image.mask is None else image.mask[rows, cols]
    if mask is not None and not mask.any():
        mask = None
    return replace(image, data=image.data[:, rows, cols], mask=mask, header=shift(image.header, top, left))


def block(i: int, j: int, ny: int, nx: int, blocks: int = BLOCKS_PER_FILE) -> int:
    """Number of the block of tile (i, j) in a grid of ny x nx tiles, counted in a snake so that alternate numbers are a checkerboard."""
    by, bx = _grid(ny, nx, blocks)
    row, col = i * by // ny, j * bx // nx
    return row * bx + (bx - 1 - col if row % 2 else col)


def _grid(ny: int, nx: int, blocks: int) -> tuple[int, int]:
    """Rows and columns of blocks: about `blocks` of them, as square as the grid allows."""
    pairs = [(by, bx) for by in range(1, min(ny, blocks) + 1) for bx in range(1, min(nx, blocks) + 1)]
    return min(pairs, key=lambda p: (abs(p[0] * p[1] - blocks), abs(math.log(ny * p[1] / (nx * p[0])))))


def usable(maps: Iterable[Map], nan: str, where: str, notes: list[str]) -> Iterator[Map]:
    """Yield maps after the policy for missing pixels; constant maps are dropped where others remain.

    Parameters
    ----------
    maps : iterable of Map
        Missing pixels are masked.
    nan : {"drop", "error", "fill", "mask"}
        Drop the maps that hold any, refuse them, replace them by the median of the map, or keep them masked.

    Raises
    ------
    InputError
        IN17 where none is left, IN18 where none has any variance: both at the end.
    """
    if nan not in NAN_POLICIES:
        raise InputError("IN17", where, f"nan={nan!r}", f"choose among {', '.join(NAN_POLICIES)}")
    n, varied, gaps, first = 0, 0, 0, ""
    for image in maps:
        n += 1
        if not _varies(image):
            continue
        varied += 1
        missing = image.mask is not None and bool(image.mask.any())
        gaps, first = gaps + missing, first or (image.name if missing else "")
        if not missing or nan in ("fill", "mask"):
            yield _filled(image) if nan == "fill" else image
    if not varied:
        raise InputError("IN18", where, "no variance: all pixels are equal or missing, cannot normalise", "check the file")
    if gaps and nan == "error":
        raise InputError("IN17", where, f"{gaps} of {varied} maps hold NaN, first {first}", "choose nan: drop, fill or mask")
    if gaps == varied and nan == "drop":
        raise InputError("IN17", where, f"NaN in each of {varied} maps, none is left", "choose a smaller patch, or nan: fill")
    if varied < n:
        notes.append(f"IN18 {where}: {n - varied} of {n} maps without variance dropped")
    if gaps:
        done = {"drop": "dropped", "fill": "filled with the median", "mask": "kept with a mask"}[nan]
        notes.append(f"IN17 {where}: {gaps} of {varied} maps with NaN {done}")


def _varies(image: Map) -> bool:
    good = image.data if image.mask is None else image.data[:, ~image.mask]
    return good.size > 1 and bool(good.min() < good.max())


def _filled(image: Map) -> Map:
    if image.mask is None or not image.mask.any():
        return image
    data = image.data.copy()
    for channel in data:
        channel[image.mask] = np.median(channel[~image.mask])
    return replace(image, data=data)
