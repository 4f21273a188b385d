"""What is compared: every field statistic of a map as a short vector of named numbers.

Where a number spans decades or is positive by construction its logarithm stands for it, so that its mean over maps is not that of the
one brightest map. Thresholds count in standard deviations of each map: one-point statistics say how the values are distributed, excursion
sets and scattering how they are arranged. All maps are given in the variable that is natural for them (the log map, say).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.stats._arrays import FloatArray
from astro_ood.stats._fit import floored_log
from astro_ood.stats.bispectrum import bispectrum
from astro_ood.stats.conditional import Kind
from astro_ood.stats.increments import GRADIENT_LEVELS, gradient_quantiles, structure_functions
from astro_ood.stats.minkowski import minkowski
from astro_ood.stats.morphology import MORPHOLOGY, morphology
from astro_ood.stats.onepoint import MOMENTS, QUANTILES, moments, quantiles
from astro_ood.stats.peaks import peaks
from astro_ood.stats.scattering import scattering
from astro_ood.stats.spectrum import PixelScale, log_power, pixel_steps, power_spectrum

LEVELS: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
HEIGHTS: tuple[float, ...] = (0.0, 1.0, 2.0)
# What distances between sets are measured in; the others say the same once more.
JOINT = ("moments", "spectrum", "bispectrum", "excursion", "scattering")


@dataclass(frozen=True)
class Feature:
    """Values of one statistic.

    Attributes
    ----------
    values : ndarray, shape (N, K)
    scales : list of str or float, length K
        What each column measures: a frequency in `scale_unit`, or words.
    units : list of str, length K
        Of the values.
    scale_unit : str
    kind : {"mean", "log_sd"}
        Whether sets are compared by their mean, or by the scatter between maps.
    """

    values: FloatArray
    scales: list[str | float]
    units: list[str]
    scale_unit: str = ""
    kind: Kind = "mean"


def features(
    maps: ArrayLike,
    pixel_scale: PixelScale = None,
    unit: str = "",
    n_bins: int = 8,
    *,
    flux: ArrayLike | None = None,
    mask: ArrayLike | None = None,
) -> dict[str, Feature]:
    """All field statistics of maps (N, H, W), and last the scatter of all of them.

    With `flux`, the same maps linear in flux, the shapes of the galaxy in each are among them. `mask`, of shape (N, H, W) or (H, W), is True
    where a pixel is missing, in both: what it holds never matters.
    """
    found = {
        "pdf": Feature(quantiles(maps, mask=mask), [f"q{100 * q:02.0f}" for q in QUANTILES], [unit] * len(QUANTILES)),
        "moments": Feature(moments(maps, mask=mask), list(MOMENTS), [unit, unit, "", ""]),
        "spectrum": _spectrum(maps, pixel_scale, n_bins, mask),
        "increments": _increments(maps, pixel_scale, mask),
        "bispectrum": _bispectrum(maps, pixel_scale, mask),
        "excursion": _excursion(maps, pixel_scale, mask),
        "scattering": _scattering(maps, pixel_scale, mask),
    }
    if flux is not None:
        values = morphology(flux, pixel_scale, mask=mask).values
        found["morphology"] = Feature(values, list(MORPHOLOGY), [""] * len(MORPHOLOGY))
    return {**found, "scatter": _scatter(found)}


def concatenated(parts: Sequence[Mapping[str, Feature]]) -> dict[str, Feature]:
    """Features of some maps, and of others after them, as those of all."""
    return {name: replace(f, values=np.concatenate([part[name].values for part in parts])) for name, f in parts[0].items()}


def joined(found: Mapping[str, Feature], names: Sequence[str] = JOINT) -> FloatArray:
    """One vector per map of several statistics (N, K)."""
    return np.concatenate([found[name].values for name in names], axis=1)


def _spectrum(maps: ArrayLike, pixel_scale: PixelScale, n_bins: int, mask: ArrayLike | None) -> Feature:
    spectrum = power_spectrum(maps, pixel_scale, n_bins, mask=mask)
    return Feature(log_power(spectrum.power), [float(v) for v in spectrum.k], ["ln P"] * len(spectrum.k), spectrum.k_unit)


def _increments(maps: ArrayLike, pixel_scale: PixelScale, mask: ArrayLike | None) -> Feature:
    functions, gradient = structure_functions(maps, pixel_scale, mask=mask), gradient_quantiles(maps, pixel_scale, mask=mask)
    lags = [f"{_length(lag)} {functions.lag_unit}" for lag in functions.lag]
    second = floored_log(functions.values[..., 1])
    values = [second, np.log(functions.flatness), floored_log(gradient.rms[:, None]), gradient.values]
    levels = [f"gradient q{100 * q:02.0f}" for q in GRADIENT_LEVELS]
    scales: list[str | float] = [*(f"S2, {lag}" for lag in lags), *(f"flatness, {lag}" for lag in lags), "gradient rms", *levels]
    units = ["ln S2"] * len(lags) + ["ln flatness"] * len(lags) + ["ln rms"] + ["rms"] * len(levels)
    return Feature(np.concatenate(values, axis=1), scales, units)


def _bispectrum(maps: ArrayLike, pixel_scale: PixelScale, mask: ArrayLike | None) -> Feature:
    found = bispectrum(maps, pixel_scale, bins_per_octave=1, mask=mask)
    unit = found.k_unit.removeprefix("cycles/")
    labels: list[str | float] = [f"{family}, {_length(1 / k)} {unit}" for family, k in zip(found.family, found.k, strict=True)]
    return Feature(found.skewness, labels, ["skewness"] * len(labels))


def _excursion(maps: ArrayLike, pixel_scale: PixelScale, mask: ArrayLike | None) -> Feature:
    shape = minkowski(maps, pixel_scale, LEVELS, mask=mask)
    smoothing = float(np.sqrt(np.prod(pixel_steps(pixel_scale))))
    counts = peaks(maps, pixel_scale, HEIGHTS, smoothing=smoothing, mask=mask)
    valleys = peaks(maps, pixel_scale, [-h for h in reversed(HEIGHTS)], smoothing=smoothing, mask=mask)
    labels: list[str | float] = [f"{what} at {_height(level)} sd" for what in ("area", "boundary", "Euler") for level in LEVELS]
    labels += [f"peaks above {_height(h)} sd" for h in HEIGHTS] + [f"voids below {_height(-h)} sd" for h in reversed(HEIGHTS)]
    values = [shape.area, shape.length, shape.euler, counts.peaks, valleys.voids]
    per, n = f"1/{shape.unit}", len(LEVELS)
    units = [""] * n + [per] * n + [f"{per}2"] * (n + 2 * len(HEIGHTS))
    return Feature(np.concatenate(values, axis=1), labels, units)


def _scattering(maps: ArrayLike, pixel_scale: PixelScale, mask: ArrayLike | None) -> Feature:
    found = scattering(maps, pixel_scale, mask=mask)
    lengths, unit = [_length(w) for w in found.wavelength], found.unit
    turns = [f"{angle:.3g}°" for angle in found.angles[: found.ln_ratio.shape[2]]]
    labels: list[str | float] = [f"S1, {length} {unit}" for length in lengths]
    labels += [f"S2/S1, {lengths[a]} in {lengths[b]} {unit}, {turn}" for a, b in found.pairs for turn in turns]
    return Feature(found.vector, labels, ["ln"] * len(labels))


def _scatter(found: Mapping[str, Feature]) -> Feature:
    labels: list[str | float] = [f"{name}: {_named(scale, f.scale_unit)}" for name, f in found.items() for scale in f.scales]
    return Feature(joined(found, list(found)), labels, ["ln sd"] * len(labels), kind="log_sd")


def _named(scale: str | float, unit: str) -> str:
    """A frequency as the length that it belongs to; words as they are."""
    return scale if isinstance(scale, str) else f"{_length(1 / scale)} {unit.removeprefix('cycles/')}"


def _height(level: float) -> str:
    """With its sign, but 0."""
    return f"{level:+.0f}" if level else "0"


def _length(value: float) -> str:
    """Three digits, without an exponent for thousands."""
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
