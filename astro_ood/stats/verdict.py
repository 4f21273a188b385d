"""From the table of scores to sentences that a referee would accept.

The order is that of harm. Copies come first, then differences, and only then the question whether the test could have
found anything: with few maps, or with a power that leaves large differences unseen, the verdict is "undecided" and never "usable".
"No difference detected" is always quoted with the difference that would have been.

Where some kinds of statistics differ and others were tested well and agree, the set is usable for these alone ("limited"). The kinds are what a
reader wants to use maps for: the values of pixels, the power at each scale, the structures that they form, and the variety of maps. Of a
kind that is measured at several scales the verdict names those that agree (`reach`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import exp, log
from statistics import median
from typing import Literal

from astro_ood.stats.reach import SCALED, TOLERANCE, length
from astro_ood.stats.rows import LEAST_MAPS, Row, attainable, by_test
from astro_ood.stats.testing import ALPHA
from astro_ood.stats.uses import KINDS, Uses, listed, scale_ranges, uses_of

Status = Literal["usable", "limited", "undecided", "fails", "copies"]
_NAMES = {
    "spectrum": "power spectrum",
    "pdf": "pixel distribution",
    "moments": "moments of the pixel values",
    "increments": "structure functions and gradients",
    "bispectrum": "bispectrum",
    "excursion": "excursion sets (Minkowski functionals, peaks, voids)",
    "scattering": "wavelet scattering",
    "morphology": "morphology of galaxies",
    "scatter": "scatter of the statistics between maps",
    "correlation": "correlations of the statistics over maps",
    "joint": "set as a whole",
    "image": "image features",
    "novelty_nn": "distance to the nearest real map",
    "novelty_scattering": "distance to the nearest real map in scattering coefficients",
}
_SAID = {"agrees": "agreement", "differs": "difference", "undecided": "undecided"}


@dataclass(frozen=True)
class Verdict:
    """What may be claimed: one line, the sentences behind it, and one word."""

    headline: str
    sentences: list[str] = field(default_factory=list)
    status: Status = "undecided"

    def __str__(self) -> str:
        return self.headline


def verdict(rows: Sequence[Row], name: str = "synthetic", tolerance: float = TOLERANCE) -> Verdict:
    """Put the scores of one set into words.

    Parameters
    ----------
    rows : sequence of dict
        From `validate_sets`.
    name : str
        Set to judge.
    tolerance : float
        Largest factor in P(k) that one comparison of five may miss: in the median over scales for a set that is called usable, and at
        each scale that is called so.

    Returns
    -------
    Verdict
    """
    own = [row for row in rows if row["set"] == name]
    if not own:
        raise ValueError(f"no rows of the set {name!r}")
    heads = {row["statistic"]: row for row in own if row["scale"] is None}
    # the spectrum first: it says at which scales
    failed = [s for s in _NAMES if s in heads and heads[s]["verdict"] == "different"]
    failures = [_failure(s, heads[s], own).replace(") (", "; ") for s in failed]
    copying = heads["novelty_copy"]["verdict"] == "copies"
    hidden = _hidden_factor(own)
    # where no map is held out, there is one test less, and one claim less
    weak = any(row["verdict"] == "undecided" for row in heads.values() if row["p"] is not None) or hidden > tolerance
    uses = uses_of(own, heads, tolerance)
    details = failures if copying else failures[1:]
    sentences = [_setting(own[0]), *(_sentence(line) for line in details), *_passed(heads), *_by_scale(own, heads, tolerance)]
    sentences += _power(own, heads, hidden)
    if not copying:
        sentences.append(_novelty(heads))
    sentences += _baselines(rows, name)
    if copying:
        return Verdict(_copies(heads), sentences, "copies")
    if failures:
        if uses.worthwhile and "novelty_nn" not in failed:
            also = [_NAMES[s] for s in failed[1:] if not any(s in statistics for statistics in KINDS.values())]
            return Verdict(f"usable {uses}: {failures[0]}{_also(also)}", sentences, "limited")
        return Verdict(failures[0] + _also([_NAMES[s] for s in failed[1:]]), sentences, "fails")
    if weak:
        return Verdict(_undecided(own, heads, hidden), sentences, "undecided")
    return Verdict(_usable(own, uses, hidden), sentences, "usable")


def _also(names: list[str]) -> str:
    return f"; also in the {listed(names)}" if names else ""


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def _setting(row: Row) -> str:
    samples, real = f"{row['n_synthetic']} samples", f"{row['n_real']}"
    if row["held_out"]:
        return f"{samples}, made from {row['n_inverted']} inverted maps, were compared with {real} held-out maps."
    return (
        f"{samples} were compared with the {real} real maps given; no maps were held out, so agreement means faithfulness to these maps,"
        " not to the population they come from."
    )


def _failure(statistic: str, head: Row, own: list[Row]) -> str:
    if statistic == "novelty_nn":
        return (
            f"fails: samples lie closer to the inverted maps than real maps do (distance ratio {head['value']:.2f}, p {_p(head)})"
        )
    if statistic == "novelty_scattering":
        return _twins(head, own)
    scales = [row for row in own if row["statistic"] == statistic and row["scale"] is not None]
    bad = [row for row in scales if row["verdict"] == "different"]
    if not bad:
        return f"fails in the {_NAMES[statistic]} (p {_p(head)}), at no single scale beyond doubt"
    if statistic == "spectrum":
        runs = [list(run) for _, run in groupby(scales, key=lambda row: (row["verdict"] == "different", row["value"] > 0))]
        parts = [_run(run, scales) for run in runs if run[0]["verdict"] == "different"]
        return f"fails {' and '.join(parts)}{_by_size(head)}"
    worst = max(bad, key=_floors)
    where = worst["scale"]
    if statistic in ("joint", "image"):
        kind = " of image features" if statistic == "image" else ""
        return f"fails as a set{kind}: {listed([row['scale'] for row in bad])} beyond what sets of real maps show (p {_p(head)})"
    if statistic == "correlation":
        worst = max(bad, key=lambda row: float(row["value"]) / max(row["floor"], 1e-9))
        off = f"coefficients of {listed([row['scale'] for row in bad])} differ by up to {worst['value']:.2f} (rms)"
        return f"fails in the {_NAMES[statistic]}: {off}, between sets of real maps by {worst['floor']:.2f} (p {_p(head)})"
    if statistic == "scatter":
        much = f"{'too much' if worst['value'] > 0 else 'too little'} in {where} (x {_ratio(exp(worst['value']))}, {_times(worst)} floor sd)"
    else:
        unit = f" {worst['unit']}" if worst["unit"] else ""
        much = f"worst at {where}: {worst['value']:+.3g}{unit}, {_times(worst)} floor sd"
    return f"fails in the {_NAMES[statistic]}: {much}{_by_size(head)}"


def _twins(head: Row, own: list[Row]) -> str:
    """Samples that have the statistics of single inverted maps."""
    rate = next(row for row in own if row["statistic"] == "novelty_twins")
    n = rate["n_synthetic"]
    count = f"{round(rate['value'] * n)} of {n} have those of one inverted map more nearly than chance allows"
    text = f"fails in the variety of maps: scattering coefficients of samples are {head['value']:.2f} times as far from"
    text += " those of the nearest inverted map as those of real maps are"
    return text + ("" if head["p"] is None else f" (p {_p(head)})") + (f"; {count}" if rate["verdict"] == "different" else "")


def _run(run: list[Row], scales: list[Row]) -> str:
    """A range of neighbouring scales that are off in the same direction."""
    worst = max(run, key=_floors)
    amount = (
        f"{'too much' if worst['value'] > 0 else 'too little'} power (x {_ratio(exp(worst['value']))}, {_times(worst)} floor sd)"
    )
    if len(run) == len(scales):
        return f"at all scales: {amount}"
    if run[-1] is scales[-1]:
        return f"at scales of {_length(run[0])} and below: {amount}"
    if run[0] is scales[0]:
        return f"at scales of {_length(run[-1])} and above: {amount}"
    if len(run) == 1:
        return f"at scales near {_length(run[0])}: {amount}"
    return f"at scales from {_length(run[-1])} to {_length(run[0])}: {amount}"


def _by_size(head: Row) -> str:
    """Remark where the size of a difference speaks although its p-value cannot."""
    return "" if head["p_adjusted"] <= ALPHA else f" (by its size: the p-value, {_p(head)}, could not show it)"


def _by_scale(own: list[Row], heads: dict[str, Row], tolerance: float) -> list[str]:
    """What is true where, of every statistic of which not the same is true at all scales."""
    sentences = []
    for statistic in (s for s in SCALED if s in heads):
        found = scale_ranges(own, statistic, tolerance)
        if len(found) > 1 or (found and found[0].word == "undecided" and heads[statistic]["verdict"] != "undecided"):
            parts = ", ".join(f"{_SAID[r.word]} {r.where}" for r in found)
            sentences.append(_sentence(f"{_NAMES[statistic]} by scale: {parts}"))
    return sentences


def _passed(heads: dict[str, Row]) -> list[str]:
    names = [_NAMES[s] for s, row in heads.items() if s != "novelty_nn" and row["verdict"] == "no difference detected"]
    return [f"No difference was detected in the {listed(names)}."] if names else []


def _power(own: list[Row], heads: dict[str, Row], hidden: float) -> list[str]:
    row = own[0]
    few = min(row["n_real"], row["n_inverted"])
    sentences = [f"D{_hidden(hidden)[1:]} could have been missed; {_no_p_below(heads)} with these numbers of maps and regions."]
    if few < LEAST_MAPS:
        sentences.append(f"With fewer than {LEAST_MAPS} real maps on either side (here {few}) no set is called usable.")
    return sentences


def _undecided(own: list[Row], heads: dict[str, Row], hidden: float) -> str:
    row, (_, least, tests) = own[0], attainable(heads.values())
    groups = f"{row['n_real']} held-out and {row['n_inverted']} inverted maps" if row["held_out"] else f"{row['n_real']} real maps"
    short = tests * least > ALPHA or min(row["n_real"], row["n_inverted"]) < LEAST_MAPS
    no_p = f" {_no_p_below(heads)}, and" if short else ""
    return f"undecided: no difference detected, but with {groups}{no_p} {_hidden(hidden)} could have been missed"


def _no_p_below(heads: dict[str, Row]) -> str:
    least, most, _ = attainable(heads.values())
    return f"no p below {by_test(least, most, '{:.2g}'.format)} can occur"


def _usable(own: list[Row], uses: Uses, hidden: float) -> str:
    against = "held-out maps" if own[0]["held_out"] else "the maps given (none held out)"
    if uses.whole:
        spectrum = uses.scaled["two-point statistics"]
        where = f"down to {length(spectrum.shortest, spectrum.unit)}, for {listed([k for k in KINDS if k in (*uses.plain, *uses.scaled)])}"
    else:
        where = str(uses)
    return f"usable {where}: no difference from {against} detected; {_hidden(hidden)} could have been missed"


def _copies(heads: dict[str, Row]) -> str:
    row = heads["novelty_copy"]
    return f"copies: {round(row['value'] * row['n_synthetic'])} of {row['n_synthetic']} samples are near copies of real maps"


def _novelty(heads: dict[str, Row]) -> str:
    near, copy, twins = heads["novelty_nn"], heads["novelty_copy"], heads["novelty_twins"]
    found = round(copy["value"] * copy["n_synthetic"])
    alike = round(twins["value"] * twins["n_synthetic"])
    return (
        f"Nearest real maps are {near['value']:.2f} times as far from samples as from other real maps"
        f" (95 % interval {near['low']:.2f} to {near['high']:.2f}); {found} of {copy['n_synthetic']} samples"
        f" {'is a near copy' if found == 1 else 'are near copies'} (at most {copy['high']:.0%} at 95 %). In scattering coefficients the distance"
        f" is {heads['novelty_scattering']['value']:.2f} times that of real maps; {alike} {'sample is a twin' if alike == 1 else 'samples are twins'}"
        " of one real map."
    )


def _baselines(rows: Sequence[Row], name: str) -> list[str]:
    sentences, own = [], next(row["n_synthetic"] for row in rows if row["set"] == name)
    for other in dict.fromkeys(row["set"] for row in rows if row["set"] != name):
        heads = [row for row in rows if row["set"] == other and row["scale"] is None]
        wrong = [row["statistic"] for row in heads if row["verdict"] in ("different", "copies")]
        bad = [_NAMES.get(s, "copy rate") for s in wrong if s != "novelty_twins"]
        n = heads[0]["n_synthetic"]
        number = f" ({n} maps, where there are {own} samples)" if n < own else ""
        sentences.append(f"Baseline {other}{number}: {'differs in the ' + listed(bad) if bad else 'no difference detected'}.")
    return sentences


def _hidden_factor(own: list[Row]) -> float:
    """Factor in P(k) below which a difference goes unseen, median over scales."""
    return exp(median(row["detectable"] for row in own if row["statistic"] == "spectrum" and row["scale"] is not None))


def _hidden(factor: float) -> str:
    """Spectral differences that the test could not see, as a subject."""
    shown = f"{100 * (factor - 1):.0f} %" if log(factor) < log(2) else f"a factor of {_ratio(factor)}"
    return f"differences below {shown} in P(k)"


def _floors(row: Row) -> float:
    return abs(row["value"]) / row["floor"] if row["floor"] else float("inf")


def _ratio(value: float) -> str:
    """Of a scatter that real maps hardly have the ratio is any number."""
    return f"{value:.2g}" if value < 100 else f"{value:.0f}" if value < 1000 else "more than 1000"


def _times(row: Row) -> str:
    """Size of a difference in floor standard deviations."""
    return f"{_floors(row):.1f}" if _floors(row) < 10 else f"{_floors(row):.0f}"


def _length(row: Row) -> str:
    return length(row["length"], row["length_unit"])


def _p(row: Row) -> str:
    return f"{row['p_adjusted']:.2g}"
