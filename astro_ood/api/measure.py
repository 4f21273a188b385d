"""Field statistics of a set of maps, of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.run import View
from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Map
from astro_ood.maps.consistency import check_scales, check_shapes, require_positive, same_unit
from astro_ood.stats.features import Feature, concatenated, features
from astro_ood.stats.spectrum import PixelScale

if TYPE_CHECKING:
    import dask.array as da

MapSet = View | FieldBatch | Sequence[Map] | NDArray[Any]
Mask = NDArray[np.bool_]
# Of one block in memory, as it is stored; several are measured at once where dask has several threads.
_BLOCK_BYTES = 1 << 25


def measure(
    maps: MapSet | Any,
    *,
    log: bool = False,
    unit: str | None = None,
    pixel_scale: tuple[float, float] | None = None,
    n_bins: int = 8,
    galaxies: bool = False,
    mask: Mask | None = None,
) -> dict[str, Feature]:
    """Measure each map: pixel distribution, moments, power spectrum, increments, bispectrum, excursion sets, wavelet scattering.

    Parameters
    ----------
    maps : View, FieldBatch, list of Map, or array (N, H, W) or (N, C, H, W)
        Every channel counts as a map. A view of a run (``run.samples``), a dask array or one on disk (zarr, HDF5) is read and measured block by
        block, in parallel under dask's scheduler or a `distributed` client where there is one: the set may be larger than the memory.
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
    mask : ndarray of bool, shape (H, W), (N, H, W) or (N, C, H, W), optional
        True where a pixel is missing, beside those that the maps know to be missing (`Map.mask`). What missing pixels hold never matters.

    Returns
    -------
    dict of str to Feature
        Values (N, K) of each statistic, with the names and units of its K columns.

    Raises
    ------
    InputError
        No map, maps of several shapes, units or pixel scales, values <= 0 under `log`, values that are not finite and not masked, masks of
        other shapes, a map without an observed pixel.
    """
    if (maps.shape[0] if hasattr(maps, "shape") else len(maps)) == 0:
        raise InputError("IN40", "measure", "no map", "give at least one")
    if isinstance(maps, View):
        scale = maps.attrs.get("pixel_scale")
        unit, pixel_scale = maps.unit if unit is None else unit, pixel_scale or (tuple(scale) if scale else None)
        maps = maps.data
    if isinstance(maps, FieldBatch):
        maps = maps.to_maps()
    if isinstance(maps, Sequence):
        maps = same_unit(list(maps))
        check_shapes(maps)
        check_scales(maps)
        unit, pixel_scale = maps[0].unit if unit is None else unit, pixel_scale or maps[0].pixel_scale
        mask = _either(mask, missing_pixels(maps))
        maps = np.stack([m.data for m in maps])
    how = _How(log, unit or "", pixel_scale, n_bins, galaxies)
    gone = None if mask is None else _of_every_map(np.asarray(mask), tuple(maps.shape))
    return _measured(maps, how, gone) if isinstance(maps, np.ndarray) else _by_blocks(maps, how, gone)


def lazily(array: Any) -> da.Array:
    """An array on disk (zarr, HDF5) as a dask array, in its own chunks."""
    from dask.array import Array, from_array

    return array if isinstance(array, Array) else from_array(array, chunks=getattr(array, "chunks", None) or "auto")


def missing_pixels(maps: Sequence[Map]) -> Mask | None:
    """Which pixels of some maps are missing, (N, 1, H, W), True where they are; None where none is."""
    if all(m.mask is None for m in maps):
        return None
    return np.stack([np.zeros((1, *m.shape[1:]), np.bool_) if m.mask is None else m.mask[None] for m in maps])


@dataclass(frozen=True)
class _How:
    """What `measure` was asked for."""

    log: bool
    unit: str
    pixel_scale: PixelScale
    n_bins: int
    galaxies: bool


def _either(mask: Mask | None, known: Mask | None) -> Mask | None:
    if mask is None or known is None:
        return known if mask is None else mask
    mask = np.asarray(mask)
    return np.asarray((mask[:, None] if mask.ndim == 3 else mask) | known)


def _of_every_map(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask (H, W), (N, H, W) or (N, C, H, W) in as many dimensions as the maps have; of length 1 where it is that of all."""
    whole = mask[:, None] if mask.ndim == 3 and len(shape) == 4 else mask
    whole = whole.reshape((1,) * (len(shape) - whole.ndim) + whole.shape) if whole.ndim <= len(shape) else whole
    if whole.dtype != np.bool_:
        raise InputError("IN35", "measure", f"a mask of type {whole.dtype}", "give booleans, True where a pixel is missing")
    if (
        whole.ndim != len(shape)
        or any(a not in (b, 1) for a, b in zip(whole.shape, shape, strict=True))
        or whole.shape[-2:] != shape[-2:]
    ):
        raise InputError("IN25", "measure", f"a mask of shape {mask.shape} for maps of shape {shape}", "give (N, H, W) or (H, W)")
    return np.asarray(whole)


def _by_blocks(maps: Any, how: _How, mask: Mask | None) -> dict[str, Feature]:
    import dask

    whole = lazily(maps)
    sides = dict.fromkeys(range(1, whole.ndim), -1)
    whole = whole.rechunk({0: "auto", **sides}, block_size_limit=_BLOCK_BYTES)
    work, stops = dask.delayed(_measured), np.cumsum(whole.chunks[0])
    rows = [slice(stop - n, stop) for stop, n in zip(stops, whole.chunks[0], strict=True)]
    masks = [mask if mask is None or len(mask) == 1 else mask[some] for some in rows]
    blocks = whole.to_delayed().ravel()
    return concatenated(dask.compute(*(work(block, how, gone) for block, gone in zip(blocks, masks, strict=True))))


def _measured(maps: NDArray[Any], how: _How, mask: Mask | None) -> dict[str, Feature]:
    flux = np.asarray(maps, dtype=np.float64)
    if mask is not None:
        # whatever missing pixels hold has a logarithm
        flux, mask = np.where(mask, 1.0, flux), np.broadcast_to(mask, flux.shape).reshape(-1, *flux.shape[-2:])
    flux = flux.reshape(-1, *flux.shape[-2:])
    stack, unit = flux, how.unit
    if how.log:
        require_positive(flux, "maps")
        stack, unit = np.log10(flux), f"log10({unit})" if unit else "log10"
    return features(stack, how.pixel_scale, unit, how.n_bins, flux=flux if how.galaxies else None, mask=mask)
