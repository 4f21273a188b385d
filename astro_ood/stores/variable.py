"""Arrays as a store knows them: numbers with the names of their axes and their unit, at hand or yet to be computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from astro_ood.stores.manifest import ArrayInfo


@dataclass(frozen=True)
class ArraySpec:
    """One array without its values.

    Parameters
    ----------
    shape : tuple of int
        Number of rows first.
    dtype : dtype
        Numbers, booleans or strings; stored in the byte order of the machine, strings with any length.
    dims : tuple of str
        One name per axis; the first is ``"item"`` where the array has one row per map, latent or sample.
    unit : str
        Unit in the spelling of astropy; empty for a number without one.
    attrs : dict
        Further attributes, JSON-able.
    """

    shape: tuple[int, ...]
    dtype: DTypeLike
    dims: tuple[str, ...]
    unit: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.dims) != len(self.shape):
            raise ValueError(f"{len(self.shape)} axes but {len(self.dims)} dimension names {self.dims}")
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "dtype", storable(self.dtype))

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def info(self) -> ArrayInfo:
        """What the manifest says of the array."""
        dtype = np.dtype(self.dtype)
        return ArrayInfo(list(self.shape), "str" if dtype.kind == "T" else dtype.name, list(self.dims), self.unit)


def storable(dtype: DTypeLike) -> np.dtype[Any]:
    """Type in which a store holds values of type `dtype`.

    Raises
    ------
    TypeError
        It holds none of them.
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "biufcUT":
        raise TypeError(f"no store holds {dtype}")
    return np.dtypes.StringDType() if dtype.kind in "UT" else dtype.newbyteorder("=")


@dataclass(frozen=True, eq=False)
class Variable:
    """One array with its dimension names and its unit.

    Parameters
    ----------
    data : ndarray
        Numbers, booleans or strings.
    dims, unit, attrs
        As in `ArraySpec`.

    Attributes
    ----------
    spec : ArraySpec
        The array without its values.
    """

    data: NDArray[Any]
    dims: tuple[str, ...]
    unit: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    spec: ArraySpec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        data = np.asarray(self.data)
        spec = ArraySpec(data.shape, data.dtype, self.dims, self.unit, self.attrs)
        object.__setattr__(self, "data", data.astype(spec.dtype, copy=False))
        object.__setattr__(self, "spec", spec)
