"""Comparing synthetic maps with real ones: the statistics, the baselines at equal numbers, and the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.baselines import SYNTHESISED, make_baselines
from astro_ood.api.types import Scores
from astro_ood.errors import InputError
from astro_ood.maps import Map
from astro_ood.maps.consistency import check_scales, check_shapes, require_positive, same_unit
from astro_ood.stats.novelty import Novelty
from astro_ood.stats.onepoint import histograms
from astro_ood.stats.scores import ImageFeatures, Validation, validate_sets
from astro_ood.stats.spectrum import power_spectrum
from astro_ood.stats.verdict import verdict

Array = NDArray[np.float64]
MapSet = Sequence[Map] | NDArray[Any]

N_BINS = 8
# Pairs of which the report shows the maps.
CLOSEST = 6


def validate(
    real: MapSet,
    synthetic: MapSet,
    held_out: MapSet | None = None,
    *,
    log: bool | None = None,
    unit: str | None = None,
    pixel_scale: tuple[float, float] | None = None,
    parents: NDArray[np.int64] | None = None,
    regions: tuple[Sequence[str], Sequence[str]] | None = None,
    n_permutations: int = 4999,
    baselines: Sequence[str] | None = None,
    most_synthesised: int = SYNTHESISED,
    galaxies: bool = False,
    image_features: ImageFeatures | None = None,
    seed: int = 0,
) -> Scores:
    """Compare synthetic maps with real ones, and with what cheap methods make from the same real maps.

    Parameters
    ----------
    real, synthetic, held_out : list of Map, or ndarray (N, H, W) or (N, 1, H, W)
        Without `held_out`, statistics compare with `real`, and copies are sought in `real` against a leave-one-out null. With it,
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
    most_synthesised : int
        Maps of the scattering baseline at most, at least 2; the other baselines make as many as there are synthetic maps.
    galaxies : bool
        Compare concentration, asymmetry, Gini and M20 as well, for maps of one galaxy each.
    image_features : callable, optional
        ``image_features(maps)`` of an array (M, H, W), log10 where that is compared, returns vectors (M, D), such as the inner layer of a
        network that tells galaxies apart. The sets are then compared by distances in these as well (energy, MMD, KID-like, sliced).
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
    maps = [m for s in sets.values() for m in s if isinstance(m, Map)]
    if maps:
        check_shapes(maps)
        check_scales(maps)
        unit, pixel_scale = maps[0].unit if unit is None else unit, pixel_scale or maps[0].pixel_scale
    arrays = {name: _stack(values, name, unit or "") for name, values in sets.items()}
    if log:
        for name, stack in arrays.items():
            require_positive(stack, name)
    if log is None:
        everything = np.concatenate([a.ravel() for a in arrays.values()])
        log = bool(everything.min() > 0 and everything.max() / everything.min() > 10)
    region_lists = regions or (_regions(real), _regions(held_out))
    cheap = make_baselines(
        arrays["real"],
        len(arrays["synthetic"]),
        log=log,
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
        unit=unit or "",
        log=log,
        regions=region_lists[0],
        regions_held_out=region_lists[1],
        parents=parents,
        baselines=cheap,
        n_permutations=n_permutations,
        n_bins=N_BINS,
        galaxies=galaxies,
        image_features=image_features,
        seed=seed,
    )
    words = verdict(found.rows)
    curves = _curves(arrays, cheap, pixel_scale, found, log=log)
    return Scores(found.rows, words.headline, words.sentences, words.status, curves)


def _curves(
    arrays: dict[str, Array], baselines: dict[str, Array], pixel_scale: Any, found: Validation, *, log: bool
) -> dict[str, Any]:
    """What the figures of a report show, as plain lists."""
    natural = {name: np.log10(a) if log else a for name, a in {**arrays, **baselines}.items()}
    spectra = {name: power_spectrum(a, pixel_scale, n_bins=N_BINS) for name, a in natural.items()}
    first = spectra["synthetic"]
    reference = natural.get("held_out", natural["real"])
    pooled = {name: histograms(a, np.concatenate(list(natural.values())))[0] for name, a in natural.items()}
    return {
        "log": log,
        "k": first.k.tolist(),
        "k_unit": first.k_unit,
        "power": {name: s.power.tolist() for name, s in spectra.items()},
        "pdf_edges": pooled["synthetic"].edges.tolist(),
        "pdf": {name: h.density.tolist() for name, h in pooled.items()},
        "reference": "held_out" if "held_out" in arrays else "real",
        "range": [float(reference.min()), float(reference.max())],
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


def _stack(values: MapSet, name: str, unit: str) -> Array:
    """One-channel array (N, H, W) of a set."""
    if isinstance(values, np.ndarray):
        stack = np.asarray(values, dtype=np.float64)
        stack = stack[:, 0] if stack.ndim == 4 and stack.shape[1] == 1 else stack
    else:
        maps = same_unit(list(values)) if len(values) else []
        odd = {m.unit for m in maps} - {unit}
        if odd:
            raise InputError("IN23", name, f"unit {odd.pop()!r}, the other maps have {unit!r}", "convert one of them")
        stack = np.stack([m.data for m in maps]).astype(np.float64) if maps else np.empty((0, 0, 0))
        stack = stack[:, 0] if stack.ndim == 4 and stack.shape[1] == 1 else stack
    if stack.ndim != 3 or len(stack) < 2:
        raise InputError(
            "IN40", name, f"array of shape {stack.shape}", "a comparison needs at least two maps of one channel (N, H, W)"
        )
    return stack


def _regions(values: MapSet | None) -> list[str] | None:
    if values is None or isinstance(values, np.ndarray):
        return None
    names = [m.region for m in values]
    return names if len(set(names)) > 1 else None
