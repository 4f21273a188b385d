"""Stacks of maps as every statistic expects them: (N, H, W), float64, finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# Working memory of one chunk; larger ones are slower, for they leave the cache.
_CHUNK_BYTES = 1 << 24


def as_stack(maps: ArrayLike, where: str = "maps", least: int = 1) -> FloatArray:
    """Check a stack of maps and convert it to float64.

    Parameters
    ----------
    maps : array_like, shape (N, H, W)
        One map is accepted as (H, W).
    where : str
        Name of the stack, for messages.
    least : int
        Smallest number of maps.

    Raises
    ------
    InputError
        For another number of axes, non-numeric or non-finite values, or too few maps.
    """
    array = np.asarray(maps)
    if array.dtype.kind not in "fiub":
        raise InputError("IN35", where, f"values of type {array.dtype}", "maps need real numbers")
    x = array.astype(np.float64)
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise InputError("IN16", where, f"shape {array.shape}, expected (N, H, W)", "give one stack of 2-D maps")
    if len(x) < least:
        raise InputError("IN40", where, f"{len(x)} maps, expected at least {least}", "give more maps")
    bad = ~np.isfinite(x).all(axis=(1, 2))
    if bad.any():
        raise InputError("IN17", where, f"{int(bad.sum())} of {len(x)} maps hold NaN or infinity", "drop or fill them")
    return x


def in_chunks(
    compute: Callable[..., tuple[NDArray[np.generic], ...]],
    *stacks: ArrayLike,
    mask: ArrayLike | None = None,
    planes: int = 8,
    where: str = "maps",
) -> tuple[FloatArray, ...]:
    """Compute values per map a few maps at a time, so that working memory does not grow with their number.

    Parameters
    ----------
    compute : callable
        ``compute(*maps, observed)`` of checked float64 maps, (n, H, W) each, and of the observed pixels, bool of shape (n, H, W) or
        (1, H, W), or None where all were. Missing pixels of the maps hold 0. The maps are copies, free to be overwritten. Returns
        arrays of n entries.
    *stacks : array_like, shape (N, H, W)
        One shape for all.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing; missing pixels may hold anything.
    planes : int
        Working memory per map, in planes (H, W) of float64.
    where : str
        Name of the stack, for messages.

    Returns
    -------
    tuple of ndarray
        Of N entries each, in the order of the maps.

    Raises
    ------
    InputError
        As `as_stack`, for stacks or masks of other shapes, and for maps without an observed pixel.
    """
    arrays = [np.asarray(stack) for stack in stacks]
    arrays = [array[None] if array.ndim == 2 else array for array in arrays]
    for array in arrays:
        if array.ndim != 3:
            as_stack(array, where)
    if any(array.shape != arrays[0].shape for array in arrays):
        raise InputError("IN25", where, f"shapes {', '.join(str(a.shape) for a in arrays)}", "give stacks of one shape")
    n, size = len(arrays[0]), arrays[0][:1].size
    observed = None if mask is None else observed_pixels(mask, arrays[0].shape, where)
    step = max(1, _CHUNK_BYTES // max(8 * planes * size, 1))
    parts = []
    for start in range(0, max(n, 1), step):
        chunk = slice(start, start + step)
        seen = observed if observed is None or len(observed) == 1 else observed[chunk]
        shown = [array[chunk] if seen is None else np.where(seen, array[chunk], 0) for array in arrays]
        parts.append(compute(*(as_stack(array, where) for array in shown), seen))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def observed_pixels(mask: ArrayLike, shape: tuple[int, ...], where: str) -> BoolArray | None:
    """Check a mask against the shape of a stack and turn it round: (N or 1, H, W), True where a pixel was observed; None if all were."""
    missing = np.asarray(mask)
    if missing.dtype != np.bool_:
        raise InputError("IN35", where, f"a mask of type {missing.dtype}", "give booleans, True where a pixel is missing")
    missing = missing[None] if missing.ndim == 2 else missing
    if missing.shape not in (shape, (1, *shape[1:])):
        raise InputError("IN25", where, f"a mask of shape {missing.shape} for maps of shape {shape}", "give (N, H, W) or (H, W)")
    empty = missing.all(axis=(1, 2))
    if empty.any():
        raise InputError("IN18", where, f"{int(empty.sum())} of {len(missing)} masks hide all pixels", "leave these maps out")
    return np.asarray(~missing) if missing.any() else None
