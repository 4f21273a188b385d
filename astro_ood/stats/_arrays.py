"""Stacks of maps as every statistic expects them: (N, H, W), float64, finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


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
