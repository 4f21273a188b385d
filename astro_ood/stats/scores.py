"""The table of scores: every statistic of the samples beside what real maps do among themselves.

Statistics are compared between samples and *held-out* maps, copies are sought among the *inverted* ones. Without held-out maps the
samples are compared with the very maps that they were made from: agreement then says that the generator is faithful to
those maps, not that the maps are typical.

One row without scale per statistic carries its p-value, one row per scale the max-T p-value of that scale. The family that
Holm's correction covers is the list of statistics of one set; baselines are judged in the same way, each as a family of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from astro_ood._log import Progress
from astro_ood._random import stream
from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, as_stack
from astro_ood.stats.conditional import Comparison, Kind, compare
from astro_ood.stats.novelty import Novelty, novelty
from astro_ood.stats.onepoint import MOMENTS, QUANTILES, moments, quantiles
from astro_ood.stats.spectrum import PixelScale, log_power, power_spectrum
from astro_ood.stats.testing import ALPHA, holm, partitions

Row = dict[str, Any]
# Fewer real maps on either side never support more than "undecided".
LEAST_MAPS = 8
# A difference of so many standard deviations is stated even where no p-value could show it.
EFFECT = 5.0
COPY_RATE = 0.05
_FAMILY = ("pdf", "moments", "spectrum", "spectrum_scatter", "novelty_nn")


@dataclass(frozen=True)
class _Feature:
    """Values (N, K) of one statistic for one set, with the labels and units of its scales."""

    values: FloatArray
    scales: list[str | float]
    units: list[str]
    scale_unit: str = ""
    kind: Kind = "mean"


@dataclass(frozen=True)
class _Design:
    """The real maps of a validation, and how p-values are to be computed."""

    reference: FloatArray
    inverted: FloatArray
    held_out: bool
    regions: ArrayLike | None
    regions_reference: ArrayLike | None
    n_effective: int
    n_permutations: int
    seed: int


def validate_sets(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    held_out: ArrayLike | None = None,
    inverted: ArrayLike | None = None,
    pixel_scale: PixelScale = None,
    unit: str = "",
    log: bool = False,
    regions: ArrayLike | None = None,
    regions_held_out: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    baselines: Mapping[str, ArrayLike] | None = None,
    n_effective: int | None = None,
    n_permutations: int = 1999,
    n_bins: int = 8,
    seed: int = 0,
) -> list[Row]:
    """Score samples, and baselines, against real maps.

    Parameters
    ----------
    real, synthetic : array_like, shapes (N, H, W) and (M, H, W)
        Physical values, or values that are logarithms already.
    held_out : array_like, shape (L, H, W), optional
        Real maps that nothing was fitted to; then `real` are the inverted maps.
    inverted : array_like, optional
        The inverted maps, where they are not `real`. Given without `held_out`, `real` is held out.
    pixel_scale : float, (float, float) or None
        Arcmin per pixel, or (dy, dx).
    unit : str
        Unit of the maps.
    log : bool
        Compare log10 of the maps.
    regions, regions_held_out : array_like, optional
        Sky region or source of each inverted (or real) and each held-out map; regions, not maps, are then exchanged.
    parents : array_like of int, shape (M,), optional
        Inverted map behind each sample.
    baselines : mapping of str to array_like, optional
        Other sets, (M, H, W) each, made from the same inverted maps.
    n_effective : int, optional
        Number of independent maps behind the samples, used without `held_out`; by default that of `real`.
    n_permutations : int
        Raised to 100 per statistic where fewer are asked for.
    n_bins : int
        Bins of the power spectrum.
    seed : int

    Returns
    -------
    list of dict
        Keys: set, statistic, scale (None on the row of a statistic), scale_unit, value, low, high, floor, p, p_adjusted, p_min,
        detectable, verdict, unit, n_real, n_inverted, n_synthetic, held_out. Numbers that do not exist are None.
        Spectra are differences of mean ln P, scatters of ln sd(ln P); rows of a statistic are in units of the floor.
    """
    if held_out is None and inverted is not None:
        real, held_out = inverted, real
    names = {"synthetic": synthetic, **(baselines or {})}
    behind = as_stack(real if inverted is None else inverted, "real maps", 2)
    reference = behind if held_out is None else as_stack(held_out, "held-out maps", 2)
    sets = {name: as_stack(maps, name, 2) for name, maps in names.items()}
    _one_shape({"real maps": behind, "held-out maps": reference, **sets})
    if log:
        behind, reference = _log10(behind, "real maps"), _log10(reference, "held-out maps")
        sets, unit = {name: _log10(maps, name) for name, maps in sets.items()}, f"log10({unit})" if unit else "log10"
    design = _Design(
        reference,
        behind,
        held_out is not None,
        regions,
        regions if held_out is None else regions_held_out,
        len(behind) if n_effective is None else n_effective,
        max(n_permutations, 100 * len(_FAMILY)),
        seed,
    )

    def features(maps: FloatArray) -> dict[str, _Feature]:
        return _features(maps, pixel_scale, unit, n_bins)

    real_features, behind_features = features(reference), features(behind)
    rows: list[Row] = []
    with Progress("evaluate", len(sets), "set") as progress:
        for name, maps in sets.items():
            own = parents if name == "synthetic" else None
            rows += _score_set(name, maps, features(maps), real_features, behind_features, design, own)
            progress.advance()
    return rows


def _score_set(
    name: str,
    maps: FloatArray,
    own: dict[str, _Feature],
    real: dict[str, _Feature],
    behind: dict[str, _Feature],
    design: _Design,
    parents: ArrayLike | None,
) -> list[Row]:
    """All rows of one set, Holm's correction applied."""
    comparisons: dict[str, Comparison] = {}
    for statistic, feature in own.items():
        comparisons[statistic] = compare(
            real[statistic].values,
            feature.values,
            stream(design.seed, f"validate {name} {statistic}"),
            inverted=behind[statistic].values if design.held_out else None,
            n_effective_b=None if design.held_out else design.n_effective,
            units_a=design.regions_reference,
            units_inverted=design.regions if design.held_out else None,
            kind=feature.kind,
            n_permutations=design.n_permutations,
        )
    rng = stream(design.seed, f"validate {name} novelty")
    regions = design.regions if design.regions is not None and len(np.unique(np.asarray(design.regions))) > 1 else None
    found = novelty(maps, design.inverted, design.reference if design.held_out else None, parents=parents, regions=regions)
    p_near, near_min = _closer_p(found, design.n_permutations, rng)
    adjusted = holm([c.p for c in comparisons.values()] + [p_near])
    rows: list[Row] = []
    for (statistic, result), p_adjusted in zip(comparisons.items(), adjusted[:-1], strict=True):
        rows += _comparison_rows(statistic, own[statistic], result, float(p_adjusted), len(adjusted))
    rows += _novelty_rows(found, p_near, float(adjusted[-1]), near_min, len(adjusted), rng)
    sizes = {
        "n_real": len(design.reference),
        "n_inverted": len(design.inverted),
        "n_synthetic": len(maps),
        "held_out": design.held_out,
    }
    return [{"set": name, **row, **sizes} for row in rows]


def _features(maps: FloatArray, pixel_scale: PixelScale, unit: str, n_bins: int) -> dict[str, _Feature]:
    spectrum = power_spectrum(maps, pixel_scale, n_bins)
    ln_p, k = log_power(spectrum.power), [float(v) for v in spectrum.k]
    levels: list[str | float] = [f"q{100 * q:02.0f}" for q in QUANTILES]
    return {
        "pdf": _Feature(quantiles(maps), levels, [unit] * len(levels)),
        "moments": _Feature(moments(maps), list(MOMENTS), [unit, unit, "", ""]),
        "spectrum": _Feature(ln_p, list(k), ["ln P"] * len(k), spectrum.k_unit),
        "spectrum_scatter": _Feature(ln_p, list(k), ["ln sd(ln P)"] * len(k), spectrum.k_unit, "log_sd"),
    }


def _comparison_rows(statistic: str, feature: _Feature, result: Comparison, p_adjusted: float, n_tests: int) -> list[Row]:
    """The row of a statistic, then those of its scales."""
    safe = np.where(result.floor > 0, result.floor, np.inf)
    in_floors = np.abs(result.difference) / safe
    enough = min(result.n_a, result.n_effective) >= LEAST_MAPS and n_tests * result.p_min <= ALPHA
    large = _large(result, n_tests)
    head = _row(
        statistic,
        None,
        value=in_floors.max(),
        floor=1.0,
        p=result.p,
        p_adjusted=p_adjusted,
        p_min=result.p_min,
        detectable=np.median(result.detectable / safe),
        verdict=_word(p_adjusted, bool(large.any()), enough),
        unit="floor sd",
        scale_unit=feature.scale_unit,
    )
    rows = [head]
    factor = p_adjusted / result.p
    for i, scale in enumerate(feature.scales):
        p_scale = min(1.0, float(result.p_scale[i]) * factor)
        rows.append(
            _row(
                statistic,
                scale,
                value=result.difference[i],
                low=result.low[i],
                high=result.high[i],
                floor=result.floor[i],
                p=result.p_scale[i],
                p_adjusted=p_scale,
                p_min=result.p_min,
                detectable=result.detectable[i],
                verdict=_word(p_scale, bool(large[i]), enough),
                unit=feature.units[i],
                scale_unit=feature.scale_unit,
            )
        )
    return rows


def _large(result: Comparison, n_tests: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Scales whose difference is beyond doubt by its size alone.

    The standard deviation of a few real maps is itself uncertain: Student's t, corrected for all scales of all statistics, sets the
    bar where it is higher than `EFFECT`.
    """
    dof = max(result.n_a + result.n_effective - 2, 1)
    bar = max(EFFECT, float(student.isf(ALPHA / (2 * n_tests * len(result.difference)), dof)))
    sd = np.maximum(result.floor, result.spread)
    return np.asarray((np.abs(result.difference) > bar * sd) & (sd > 0))


def _word(p_adjusted: float, large: bool, enough: bool) -> str:
    if p_adjusted <= ALPHA or large:
        return "different"
    return "no difference detected" if enough else "undecided"


def _closer_p(found: Novelty, n_permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """One-sided p that samples are closer to the inverted maps than held-out maps are, and its minimum.

    Given the inverted maps, samples and held-out maps are independent draws: here a plain permutation is valid.
    """
    n = len(found.reference)
    values = np.log(np.maximum(np.concatenate([found.reference, found.samples]), 1e-3))
    member, exact = partitions(n, len(found.samples), n_permutations, rng)
    null = member @ values / n - (values.sum() - member @ values) / len(found.samples)
    observed = values[:n].mean() - values[n:].mean()
    extra = 0 if exact else 1
    p = (np.count_nonzero(null >= observed - 1e-9) + extra) / (len(null) + extra)
    return float(p), 1.0 / (len(null) + extra)


def _novelty_rows(found: Novelty, p: float, p_adjusted: float, p_min: float, n_tests: int, rng: np.random.Generator) -> list[Row]:
    n, m, draws = len(found.samples), len(found.reference), 999
    reference = np.median(found.reference[rng.integers(m, size=(draws, m))], axis=1)
    again = np.median(found.reference[rng.integers(m, size=(draws, m))], axis=1)
    ratio = np.median(found.samples[rng.integers(n, size=(draws, n))], axis=1) / np.maximum(reference, 1e-9)
    enough = m >= LEAST_MAPS and n_tests * p_min <= ALPHA
    nn_word = "different" if p_adjusted <= ALPHA else "novel" if enough else "undecided"
    near = _row(
        "novelty_nn",
        None,
        value=found.ratio,
        low=np.quantile(ratio, 0.025),
        high=np.quantile(ratio, 0.975),
        floor=np.std(again / np.maximum(reference, 1e-9)),
        p=p,
        p_adjusted=p_adjusted,
        p_min=p_min,
        verdict=nn_word,
        unit="nearest-neighbour distance, samples / real",
    )
    low, high = _wilson(int(found.copies.sum()), n)
    word = "copies" if is_copying(found) else "novel" if m >= LEAST_MAPS else "undecided"
    copy = _row(
        "novelty_copy", None, value=found.copy_rate, low=low, high=high, floor=0.0, verdict=word, unit="fraction of samples"
    )
    rows = [near, copy]
    if found.parent_correlation is not None:
        r = found.parent_correlation
        low, high = np.quantile(r, [0.025, 0.975])
        unit = "largest correlation with parent"
        rows.append(_row("novelty_parent", None, value=np.median(r), low=low, high=high, verdict=nn_word, unit=unit))
    return rows


def is_copying(found: Novelty) -> bool:
    """More than 5 % of the samples, and at least two, are copies; or one is closer than half the threshold."""
    count = int(found.copies.sum())
    return bool((count >= 2 and found.copy_rate > COPY_RATE) or (found.samples < 0.5 * found.threshold).any())


def _wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927)."""
    centre, half = count + z**2 / 2, z * np.sqrt(count * (n - count) / n + z**2 / 4)
    return max(0.0, float((centre - half) / (n + z**2))), min(1.0, float((centre + half) / (n + z**2)))


def _row(statistic: str, scale: str | float | None, *, verdict: str, unit: str, scale_unit: str = "", **numbers: Any) -> Row:
    """One row of plain Python values, absent numbers as None."""
    keys = ("value", "low", "high", "floor", "p", "p_adjusted", "p_min", "detectable")
    plain = {key: None if numbers.get(key) is None else float(numbers[key]) for key in keys}
    return {"statistic": statistic, "scale": scale, "scale_unit": scale_unit, **plain, "verdict": verdict, "unit": unit}


def _log10(maps: FloatArray, where: str) -> FloatArray:
    bad = float(np.mean(maps <= 0))
    if bad:
        raise InputError(
            "IN19", where, f"{bad:.2%} of the pixels are not positive, their log10 does not exist", "compare without log"
        )
    return np.log10(maps)


def _one_shape(sets: Mapping[str, FloatArray]) -> None:
    shapes = {name: maps.shape[1:] for name, maps in sets.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError("IN25", "validate", f"maps of different shapes: {listed}", "cut all maps to one shape")
