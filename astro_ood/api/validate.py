"""Comparing synthetic maps with real ones: the statistics, the baselines at equal numbers, and the words.

Maps are read and measured a few at a time: of each, only its statistics stay. What is held in memory besides is what the caller gave as arrays
or lists, the inverted maps that the baselines are made from, and the maps of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.baselines import make_baselines
from astro_ood.api.measure import lazily, missing_pixels
from astro_ood.api.run import View
from astro_ood.api.types import Scores
from astro_ood.errors import InputError
from astro_ood.maps import Map
from astro_ood.maps.consistency import check_scales, check_shapes, same_unit
from astro_ood.stats.measured import ImageFeatures
from astro_ood.stats.novelty import Novelty
from astro_ood.stats.onepoint import density
from astro_ood.stats.scores import Validation, validate_sets
from astro_ood.stats.spectrum import PixelScale, power_spectrum
from astro_ood.stats.stack import Sliceable, Stack
from astro_ood.stats.verdict import verdict

Mask = NDArray[np.bool_]
MapSet = View | Sequence[Map] | Sliceable

N_BINS = 8
# Pairs of which the report shows the maps.
CLOSEST = 6
_BINS = 50


def validate(
    real: MapSet,
    synthetic: MapSet,
    held_out: MapSet | None = None,
    *,
    log: bool | None = None,
    unit: str | None = None,
    pixel_scale: PixelScale = None,
    parents: NDArray[np.int64] | None = None,
    regions: tuple[Sequence[str], Sequence[str]] | None = None,
    n_permutations: int = 4999,
    baselines: Sequence[str] | None = None,
    most_synthesised: int | None = None,
    galaxies: bool = False,
    image_features: ImageFeatures | None = None,
    masks: Mapping[str, Mask] | None = None,
    seed: int = 0,
) -> Scores:
    """Compare synthetic maps with real ones, and with what cheap methods make from the same real maps.

    Parameters
    ----------
    real, synthetic, held_out : View, list of Map, or array (N, H, W) or (N, 1, H, W)
        Views of a run, of which every channel counts as a map, dask arrays and those on disk (zarr, HDF5) are read block by block. Without `held_out`, statistics compare with `real`, and copies are sought in `real` against a leave-one-out null. With it,
        statistics compare with `held_out`, and novelty with `real`.
    log : bool, optional
        Compare log10 of the maps; by default where all are positive and span more than a decade.
    unit : str, optional
        Unit of arrays; that of the maps by default.
    pixel_scale : (float, float), optional
        (dy, dx) of arrays in arcmin; that of the maps by default.
    parents : ndarray of int, optional
        Main parent of each synthetic map, a row of `real`.
    regions : pair of sequences of str, optional
        Regions of the sky of `real` and of `held_out`, the exchangeable units; those of the maps by default.
    n_permutations : int
        Divisions of a field statistic, at least 100 for each p-value of a set; distances between sets and correlations always take 100.
    baselines : sequence of str, optional
        Of ``augmentation``, ``gaussian``, ``iaaft`` and ``scattering``; by default all, the last only for maps of up to 128 x 128 pixels, for
        it is slow.
    most_synthesised : int, optional
        Maps of the scattering baseline at most, at least 2, for it is slow. By default, and of the other baselines always, as many as there are
        synthetic maps.
    galaxies : bool
        Compare concentration, asymmetry, Gini and M20 as well, for maps of one galaxy each.
    image_features : callable, optional
        ``image_features(maps)`` of an array (M, H, W), log10 where that is compared, returns vectors (M, D), such as the inner layer of a
        network that tells galaxies apart. The sets are then compared by distances in these as well (energy, MMD, KID-like, sliced).
    masks : mapping of str to ndarray of bool, optional
        Missing pixels of ``real``, ``held_out`` and ``synthetic``, (H, W) or one a map, True where they are; those of the maps (`Map.mask`) by
        default. Synthetic maps and baselines are compared under the masks of the real maps that they are compared with, each equally often;
        see `astro_ood.stats.stack`.
    seed : int
        Seed of relabellings and baselines.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        Fewer than two maps in a set, shapes or units that differ.
    ConfigError
        A baseline that does not exist.
    """
    sets = {"real": real, "synthetic": synthetic, **({} if held_out is None else {"held_out": held_out})}
    unit, pixel_scale = _shared(sets, unit, pixel_scale)
    arrays = {name: _array(values, name, unit) for name, values in sets.items()}
    missing = {name: gone for name, values in sets.items() if (gone := _missing(values, (masks or {}).get(name))) is not None}
    if log is None:
        log = _spans_decades([Stack.of(values, name, missing.get(name)) for name, values in arrays.items()])
    region_lists = regions or (_regions(real), _regions(held_out))
    cheap = make_baselines(
        Stack.of(arrays["real"], "real", missing.get("real"), log=log),
        len(arrays["synthetic"]),
        seed=seed,
        pixel_scale=pixel_scale,
        methods=baselines,
        most_synthesised=most_synthesised,
    )
    found = validate_sets(
        arrays["real"],
        arrays["synthetic"],
        held_out=arrays.get("held_out"),
        pixel_scale=pixel_scale,
        unit=unit,
        log=log,
        regions=region_lists[0],
        regions_held_out=region_lists[1],
        parents=parents,
        baselines=cheap,
        n_permutations=n_permutations,
        n_bins=N_BINS,
        galaxies=galaxies,
        image_features=image_features,
        masks=missing,
        seed=seed,
    )
    words = verdict(found.rows)
    return Scores(found.rows, words.headline, words.sentences, words.status, _curves(found, pixel_scale, log=log))


def _curves(found: Validation, pixel_scale: PixelScale, *, log: bool) -> dict[str, Any]:
    """What the figures of a report show, as plain lists."""
    spectra = {
        name: [power_spectrum(x, pixel_scale, n_bins=N_BINS, mask=gone) for x, gone in maps.blocks()]
        for name, maps in found.sets.items()
    }
    ends = {name: maps.extent() for name, maps in found.sets.items()}
    edges = np.histogram_bin_edges([min(low for low, _ in ends.values()), max(high for _, high in ends.values())], _BINS)
    first, reference = spectra["synthetic"][0], "held_out" if "held_out" in found.sets else "real"
    return {
        "log": log,
        "k": first.k.tolist(),
        "k_unit": first.k_unit,
        "power": {name: np.concatenate([s.power for s in some]).tolist() for name, some in spectra.items()},
        "pdf_edges": edges.tolist(),
        "pdf": {
            name: np.concatenate([density(x, edges, mask=gone) for x, gone in maps.blocks()]).tolist()
            for name, maps in found.sets.items()
        },
        "reference": reference,
        "range": list(ends[reference]),
        "novelty": {**_nearest(found.novelty), "scattering": _nearest(found.twins)},
    }


def _nearest(found: Novelty) -> dict[str, Any]:
    """Distances, the closest pairs (sample, inverted map, distance), and the correlations with the parents where these are known."""
    known = {} if found.parent_correlation is None else {"parent_correlation": found.parent_correlation.tolist()}
    return {
        "ratio": found.ratio,
        "copy_rate": found.copy_rate,
        "threshold": found.threshold,
        "synthetic": found.samples.tolist(),
        "reference": found.reference.tolist(),
        "closest": [[int(i), int(found.nearest[i]), float(found.samples[i])] for i in np.argsort(found.samples)[:CLOSEST]],
        **known,
    }


def _shared(sets: Mapping[str, MapSet], unit: str | None, pixel_scale: PixelScale) -> tuple[str, PixelScale]:
    """Unit and pixel scale of all sets: as given, or those of the first maps that know them."""
    maps = [m for s in sets.values() if isinstance(s, Sequence) for m in s if isinstance(m, Map)]
    if maps:
        check_shapes(maps)
        check_scales(maps)
    views = [s for s in sets.values() if isinstance(s, View)]
    units = [m.unit for m in maps[:1]] + [v.unit for v in views]
    scales = [m.pixel_scale for m in maps[:1]] + [tuple(v.attrs["pixel_scale"]) for v in views if v.attrs.get("pixel_scale")]
    if unit is None:
        unit = units[0] if units else ""
    return unit, pixel_scale or (scales[0] if scales else None)


def _array(values: MapSet, name: str, unit: str) -> Any:
    """One-channel array (N, H, W) of a set, lazily where it is one; of a view, every channel is a map."""
    if isinstance(values, View):
        _same(values.unit, unit, name)
        stack = values.data.reshape(-1, *values.shape[-2:])
    elif isinstance(values, Sequence):
        maps = same_unit(list(values)) if len(values) else []
        for m in maps:
            _same(m.unit, unit, name)
        stack = np.stack([m.data for m in maps]) if maps else np.empty((0, 0, 0))
    else:
        stack = values if isinstance(values, np.ndarray) else lazily(values)
    stack = stack[:, 0] if stack.ndim == 4 and stack.shape[1] == 1 else stack
    if stack.ndim != 3 or stack.shape[0] < 2:
        problem = f"array of shape {stack.shape}"
        raise InputError("IN40", name, problem, "a comparison needs at least two maps of one channel (N, H, W)")
    return stack


def _same(found: str, unit: str, name: str) -> None:
    if found != unit:
        raise InputError("IN23", name, f"unit {found!r}, the other maps have {unit!r}", "convert one of them")


def _missing(values: MapSet, given: Mask | None) -> Mask | None:
    """Missing pixels of a set, (N, H, W) or (H, W): those that are given, and those that maps know."""
    known = missing_pixels(values) if isinstance(values, Sequence) and len(values) else None
    if known is None or given is None:
        return given if known is None else known[:, 0]
    return np.asarray(known[:, 0] | given)


def _spans_decades(sets: Sequence[Stack]) -> bool:
    """Whether all maps are positive and span more than a decade."""
    low, high = zip(*(maps.extent() for maps in sets), strict=True)
    return min(low) > 0 and max(high) / min(low) > 10


def _regions(values: MapSet | None) -> list[str] | None:
    if isinstance(values, View):
        each = int(np.prod(values.shape[1:-2]))
        names = [region for region in values.attrs.get("regions", []) for _ in range(each)]
    else:
        names = [m.region for m in values] if isinstance(values, Sequence) else []
    return names if len(set(names)) > 1 else None
