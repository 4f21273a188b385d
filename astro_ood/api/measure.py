"""Field statistics of a set of maps, of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.run import View
from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Map
from astro_ood.maps.consistency import check_scales, check_shapes, require_positive, same_unit
from astro_ood.stats.features import Feature, features
from astro_ood.stats.spectrum import PixelScale

MapSet = View | FieldBatch | Sequence[Map] | NDArray[Any]


def measure(
    maps: MapSet,
    *,
    log: bool = False,
    unit: str | None = None,
    pixel_scale: tuple[float, float] | None = None,
    n_bins: int = 8,
    galaxies: bool = False,
) -> dict[str, Feature]:
    """Measure each map: pixel distribution, moments, power spectrum, increments, bispectrum, excursion sets, wavelet scattering.

    Parameters
    ----------
    maps : View, FieldBatch, list of Map, or ndarray (N, H, W) or (N, C, H, W)
        Every channel counts as a map. A view of a run (``run.samples``) is read and measured block by block, in parallel under dask's
        scheduler or a `distributed` client where there is one: the set may be larger than the memory.
    log : bool
        Measure log10 of the maps.
    unit : str, optional
        Unit of arrays; that of the maps by default.
    pixel_scale : (float, float), optional
        (dy, dx) of arrays in arcmin; that of the maps by default.
    n_bins : int
        Bins of the power spectrum.
    galaxies : bool
        Measure concentration, asymmetry, Gini and M20 as well, of the values that are not logarithms.

    Returns
    -------
    dict of str to Feature
        Values (N, K) of each statistic, with the names and units of its K columns.

    Raises
    ------
    InputError
        No map, maps of several shapes, units or pixel scales, values <= 0 under `log`.
    """
    if len(maps) == 0:
        raise InputError("IN40", "measure", "no map", "give at least one")
    if isinstance(maps, View):
        scale = maps.attrs.get("pixel_scale")
        unit, pixel_scale = maps.unit if unit is None else unit, pixel_scale or (tuple(scale) if scale else None)
        return _by_blocks(maps, _How(log, unit, pixel_scale, n_bins, galaxies))
    if isinstance(maps, FieldBatch):
        maps = maps.to_maps()
    if not isinstance(maps, np.ndarray):
        maps = same_unit(list(maps))
        check_shapes(maps)
        check_scales(maps)
        unit, pixel_scale = maps[0].unit if unit is None else unit, pixel_scale or maps[0].pixel_scale
        maps = np.stack([m.data for m in maps])
    return _measured(maps, _How(log, unit or "", pixel_scale, n_bins, galaxies))


@dataclass(frozen=True)
class _How:
    """What `measure` was asked for."""

    log: bool
    unit: str
    pixel_scale: PixelScale
    n_bins: int
    galaxies: bool


def _by_blocks(view: View, how: _How) -> dict[str, Feature]:
    import dask

    whole = view.data.rechunk(dict.fromkeys(range(1, view.data.ndim), -1))
    work = dask.delayed(_measured)
    parts = dask.compute(*(work(block, how) for block in whole.to_delayed().ravel()))
    return {name: replace(first, values=np.concatenate([part[name].values for part in parts])) for name, first in parts[0].items()}


def _measured(maps: NDArray[Any], how: _How) -> dict[str, Feature]:
    flux = np.asarray(maps, dtype=np.float64)
    flux = flux.reshape(-1, *flux.shape[-2:])
    stack, unit = flux, how.unit
    if how.log:
        require_positive(flux, "maps")
        stack, unit = np.log10(flux), f"log10({unit})" if unit else "log10"
    return features(stack, how.pixel_scale, unit, how.n_bins, flux=flux if how.galaxies else None)
