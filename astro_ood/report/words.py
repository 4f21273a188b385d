"""Numbers and findings in words.

A figure is described by what it shows, not by what it is: the same sentence stands below it and is read aloud in its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from astro_ood._html import printable
from astro_ood.report.content import (
    HELD_OUT,
    INVERTED,
    SYNTHETIC,
    FloatArray,
    InversionCard,
    Nearness,
    NoveltyCard,
    Pdf,
    Row,
    Spectra,
)

MISSING = "–"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_RECIPROCAL = re.compile(r"^1 ?/ ?([A-Za-zµ]+)(\d*)$")
# cm-2, cm**-2, cm^(-2); the 10 of a log10 is no exponent
_EXPONENT = re.compile(r"(?<=[A-Za-zµ)])(?<!log)(?:(?:\*\*|\^)(?:\((-?\d+)\)|(-?\d+))|(-?\d+))")

CRITERIA = {
    "distance": "distance to the inverted latents",
    "origin_angle": "angle at the origin",
    "pair_angle": "angle at a third latent",
    "radius": "distance from the origin",
    "spectrum": "distance of the power in half octaves from theirs",
    "whiteness": "correlation of neighbours beside the radial spectrum",
}
STATISTICS = {
    "pdf": "one-point distribution (PDF)",
    "spectrum": "power spectrum",
    "moments": "moments",
    "increments": "structure functions and gradients",
    "bispectrum": "bispectrum",
    "excursion": "excursion sets: Minkowski functionals, peaks, voids",
    "scattering": "wavelet scattering",
    "morphology": "morphology of galaxies: concentration, asymmetry, Gini, M20",
    "scatter": "scatter of all these between maps",
    "correlation": "correlations of all these over maps",
    "joint": "distances between the sets",
    "image": "distances between the sets in image features",
    "novelty_nn": "novelty: distance to the nearest real map",
    "novelty_copy": "novelty: copies",
    "novelty_scattering": "novelty: distance to the nearest real map in scattering coefficients",
    "novelty_twins": "novelty: twins of a real map in scattering coefficients",
    "novelty_parent": "novelty: correlation with the parent",
}
# What the verdict of one statistic means for the reader
TONES = {
    "no difference detected": "agrees",
    "novel": "agrees",
    "different": "differs",
    "copies": "copies",
    "undecided": "undecided",
}


def clean(value: Any) -> Any:
    """Text without characters that cannot be printed or that disguise what stands beside them; other values as they are."""
    # What is marked as safe was cleaned when it was put together; rebuilding it as plain text would escape it again.
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def number(value: Any, digits: int = 3, keep: bool = False) -> str:
    """Number with `digits` significant digits, a true minus sign and raised exponents; a dash where there is none.

    `keep` keeps zeros at the end, for columns. Whole numbers are written out.
    """
    x = finite(value)
    if x is None:
        return MISSING
    if isinstance(value, (int, np.integer)) and abs(x) < 1e15:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if x != 0 and not 1e-3 <= abs(x) < 1e5:
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        power = "10" + str(int(exponent)).translate(_RAISED)
        return (power if mantissa == "1" else f"{mantissa} × {power}").replace("-", "−")
    places = max(0, digits - 1 - math.floor(math.log10(abs(x)))) if x else 0
    text = f"{x:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text and not keep else text
    return text.replace(",", "\u202f").replace("-", "−")


def signed(value: Any, digits: int = 2) -> str:
    """Number with its sign, for differences."""
    x = finite(value)
    return MISSING if x is None else ("+" if x > 0 else "") + number(x, digits, keep=x != 0)


def finite(value: Any) -> float | None:
    """The number, or None where it is missing, not finite or no number."""
    try:
        x = float(value)
    except (TypeError, ValueError):
        return None
    return x if math.isfinite(x) else None


def interval(low: Any, high: Any, signs: bool = True) -> str:
    """Both ends; a dash where one is missing."""
    if finite(low) is None or finite(high) is None:
        return MISSING
    write = signed if signs else number
    return f"{write(low)} … {write(high)}"


def moment(text: str) -> str:
    """ISO 8601 time as people write it; other text as it is."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    zone = time.tzname() or ""
    return f"{time:%Y-%m-%d %H:%M} {zone}".strip()


def percent(fraction: Any, digits: int = 2, keep: bool = False) -> str:
    """Fraction in per cent."""
    x = finite(fraction)
    return MISSING if x is None else f"{number(100 * x, digits, keep and x != 0)}\u202f%"


def probability(value: Any) -> str:
    """p-value with two digits; very small ones are bounded."""
    x = finite(value)
    return MISSING if x is None else "< 0.001" if x < 1e-3 else f"{x:.3f}" if x < 0.1 else f"{x:.2f}"


def equality(value: Any) -> str:
    """The same with its sign: ``= 0.02``, ``< 0.001``."""
    text = probability(value)
    return text if text[0] in f"<{MISSING}" else f"= {text}"


def sentence(text: str) -> str:
    """Text with a capital letter at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


def unit(text: str) -> str:
    """Unit as it is printed: ``cm-2`` and ``1 / cm2`` become cm⁻²."""
    text = _RECIPROCAL.sub(lambda m: f"{m[1]}-{m[2] or 1}", text)
    return _EXPONENT.sub(lambda m: m[m.lastindex or 0].translate(_RAISED), clean(text)).replace("log10", "log₁₀")


def size(n_bytes: Any) -> str:
    """File size."""
    x = finite(n_bytes)
    if x is None:
        return MISSING
    for name in ("B", "kB", "MB", "GB"):
        if x < 1000 or name == "GB":
            break
        x /= 1000
    return f"{number(x)} {name}"


def count(n: int, singular: str, plural: str | None = None) -> str:
    """Number and noun."""
    return f"{number(n, 6)} {singular if n == 1 else plural or singular + 's'}"


def statistic(name: str) -> str:
    """Name of a statistic for readers."""
    return STATISTICS.get(name, name.replace("_", " "))


def is_whole(row: Row) -> bool:
    """Whether a score stands for its statistic rather than for one scale of it."""
    scale = row.get("scale")
    return scale is None or scale in ("", "all") or (isinstance(scale, float) and math.isnan(scale))


def reference(sets: Mapping[str, Any]) -> str:
    """The real maps that samples are compared with."""
    return HELD_OUT if HELD_OUT in sets else INVERTED


def mean_log(power: FloatArray) -> FloatArray:
    """Mean ln P over maps of (N, K), zeros left out."""
    with np.errstate(divide="ignore"):
        logarithm = np.log(np.asarray(power, dtype=np.float64))
    return np.asarray(np.ma.masked_invalid(logarithm).mean(axis=0).filled(np.nan))


def log_difference(spectra: Spectra, name: str = SYNTHETIC) -> FloatArray:
    """Mean ln P of a set minus that of the real maps, shape (K,)."""
    return mean_log(spectra.power[name]) - mean_log(spectra.power[reference(spectra.power)])


def spectrum_finding(spectra: Spectra) -> str:
    """Where the spectrum of the samples leaves the floor."""
    if SYNTHETIC not in spectra.power:
        return "There are no spectra of synthetic maps."
    difference = log_difference(spectra)
    beyond = np.abs(difference) / np.where(spectra.floor > 0, spectra.floor, np.nan)
    if not np.isfinite(beyond).any():
        return "The floor of the power spectrum is not known, so nothing can be said of the differences."
    inside, worst = int(np.count_nonzero(beyond <= 2)), int(np.nanargmax(beyond))
    where = "every scale" if inside == len(beyond) else f"{inside} of {len(beyond)} scales"
    return (
        f"The power of the synthetic maps is within two floor standard deviations of real maps at {where}. "
        f"The largest departure for its floor is {signed(difference[worst])} in ln P (a factor of {number(np.exp(difference[worst]), 2)}) "
        f"at k = {number(spectra.k[worst], 2)} {spectra.k_unit}, {number(beyond[worst], 2)} times the floor."
    )


def pdf_finding(pdf: Pdf) -> str:
    """How far apart the densities of real and synthetic pixels are."""
    if SYNTHETIC not in pdf.density:
        return "There are no densities of synthetic maps."
    width = np.diff(pdf.edges)
    one, two = (np.mean(pdf.density[name], axis=0) for name in (reference(pdf.density), SYNTHETIC))
    overlap = float(np.sum(np.minimum(one, two) * width))
    centres = 0.5 * (pdf.edges[1:] + pdf.edges[:-1])
    shift = float(np.sum((two - one) * centres * width))
    return (
        f"The pixel values of synthetic and of real maps overlap by {percent(overlap)}; "
        f"the mean of the synthetic ones differs by {signed(shift)}."
    )


def latent_finding(k: FloatArray, inverted: FloatArray, proposed: FloatArray) -> str:
    """How coloured the latents are, and whether the new ones follow."""
    one, two = mean_log(inverted), mean_log(proposed)
    excess = float(np.nanmax(np.abs(one)))
    apart = float(np.nanmax(np.abs(two - one)))
    colour = "nearly white" if excess < 0.2 else f"coloured (up to a factor of {number(np.exp(excess), 2)} from white noise)"
    return f"The latents of the real maps are {colour}; the new latents follow their spectrum to within a factor of {number(np.exp(apart), 2)}."


def medians(card: InversionCard) -> dict[str, Any]:
    """Median round trip by t_0, and median latent error."""
    times = sorted({t for row in card.rows for t in row["round_trip"]}, key=float)
    found = {t: [row["round_trip"][t] for row in card.rows if t in row["round_trip"]] for t in times}
    errors = [e for row in card.rows if (e := finite(row.get("latent_error"))) is not None]
    return {
        "times": times,
        "round_trip": {t: float(np.nanmedian(np.asarray(v, dtype=np.float64))) for t, v in found.items()},
        "latent_error": float(np.median(errors)) if errors else None,
    }


def inversion_finding(card: InversionCard) -> str:
    """How exactly maps come back."""
    middle = medians(card)
    parts = [f"{percent(v)} at t₀ = {number(float(t), 4)}" for t, v in middle["round_trip"].items()]
    text = f"After inversion and decoding the maps return with a median error of {', '.join(parts) or MISSING} of their own standard deviation"
    error = middle["latent_error"]
    return f"{text}; the latents themselves are known to {percent(error)}." if error is not None else f"{text}."


def novelty_finding(card: NoveltyCard) -> str:
    """Whether samples are copies."""
    n = len(card.samples)
    copies = round(card.copy_rate * n)
    nearness = "closer to the inverted maps than" if card.ratio < 0.95 else "about as far from the inverted maps as"
    nearness = "farther from the inverted maps than" if card.ratio > 1.05 else nearness
    number_of = "None" if copies == 0 else f"{copies}"
    return (
        f"{number_of} of {n} synthetic maps {'are copies' if copies > 1 else 'is a copy'} (threshold {number(card.threshold)}). "
        f"Synthetic maps are {nearness} real held-out maps: the median distance is {number(card.ratio)} times theirs."
    )


def fingerprint_finding(near: Nearness) -> str:
    """Whether samples have the statistics of single real maps."""
    n = len(near.samples)
    return (
        f"{round(near.copy_rate * n)} of {n} synthetic maps have the scattering coefficients of one inverted map more nearly (threshold "
        f"{number(near.threshold)}) than chance allows: twins. The median distance is {number(near.ratio)} times that of real maps."
    )


def parent_finding(correlation: FloatArray) -> str:
    """How much samples resemble the maps that they were mainly made from, pixel by pixel."""
    middle, low, high = (number(f(correlation), 2) for f in (np.median, np.min, np.max))
    return (
        f"the largest correlation of a synthetic map with its main parent, under flips, turns and shifts, is {middle} in the median "
        f"and ranges from {low} to {high}"
    )


def tone(verdict: str) -> str:
    """``agrees``, ``differs``, ``copies``, ``undecided``, or ``other`` for a word that is not known."""
    return TONES.get(verdict, "other")


def standing(rows: Sequence[Row], name: str) -> tuple[int, int, int]:
    """How many statistics of a set agree with real maps, speak against it, and stay undecided."""
    tones = [tone(str(row.get("verdict", ""))) for row in rows if is_whole(row) and row.get("set") == name]
    return tones.count("agrees"), tones.count("differs") + tones.count("copies"), tones.count("undecided")


def fewer(rows: Sequence[Row]) -> dict[str, int]:
    """Sets that hold fewer maps than there are synthetic ones, with their numbers."""
    sizes = {
        str(row["set"]): int(row["n_synthetic"]) for row in rows if is_whole(row) and finite(row.get("n_synthetic")) is not None
    }
    own = sizes.get(SYNTHETIC, 0)
    return {name: n for name, n in sizes.items() if n < own}


def baseline_finding(rows: Sequence[Row]) -> str:
    """Would a cheaper method do?"""
    others = list(
        dict.fromkeys(
            str(r["set"]) for r in rows if is_whole(r) and r["set"] not in (SYNTHETIC, HELD_OUT, INVERTED, "reconstructed")
        )
    )
    if not others:
        return "No cheaper method was compared."
    own = standing(rows, SYNTHETIC)
    total = sum(own)
    small = fewer(rows)
    named = {name: f"{name}, of {count(small[name], 'map')} only," if name in small else name for name in others}
    parts = [f"{named[name]} on {a} ({d} against it)" for name in others for a, d, _ in [standing(rows, name)]]
    text = f"The synthetic maps agree with real maps on {own[0]} of {total} statistics ({own[1]} against them); {'; '.join(parts)}."
    copying = {str(row["set"]) for row in rows if tone(str(row.get("verdict"))) == "copies"}
    found = {name: standing(rows, name) for name in others if name not in copying}
    rivals = [name for name, (agree, against, _) in found.items() if agree >= own[0] and against <= own[1]]
    if rivals:
        return (
            f"{text} By these statistics alone {' and '.join(rivals)} would do as well, without a network. "
            f"{'Fewer maps show less: more of them may differ. ' if set(rivals) & set(small) else ''}Look at the maps, at the statistics that see structure, and at the novelty before deciding."
        )
    return f"{text} No cheaper method does as well without copying."
