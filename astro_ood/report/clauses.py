"""Sentences of a methods section, one function for each of its paragraphs.

A clause stands where the fact behind it is on record; a paragraph without any is empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from astro_ood.report import words
from astro_ood.report.content import SYNTHETIC, InversionCard, ReportData, Row
from astro_ood.report.references import REFERENCES
from astro_ood.report.vocabulary import BASELINES, PRIORS, PROPOSALS, SOLVERS, STATISTICS, STEERED
from astro_ood.stats.rows import attainable, by_test

_SHOWN = 3

# Where the maps come from, as far as checksums of known files, names of files or the title say so.
_SURVEYS = (
    ("hi4pi2016", re.compile("hi4pi", re.IGNORECASE), "f86a2ac8249077c64b6c63e6db6993adf6ad5b3b4477a6c5fbf28ec0207b1645"),
    ("planck2014", re.compile("ebv_planck13", re.IGNORECASE), "5cb2e37f4407884bf86316f3aea2da0c27eb9e1ad41eb6eb2ce29c0ccd862829"),
)
_PACKAGES = {"python": "Python", "astro-ood": "astro_ood", "numpy": "NumPy", "torch": "PyTorch", "zarr": "Zarr"}
_PACKAGE_PAPERS = {"astro-ood": "astro_ood", "numpy": "harris2020", "torch": "paszke2019"}


class Citations:
    """Citations in the text, and what was cited."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, *keys: str) -> str:
        """`` (Zhu et al. 2023)``, with the space before it; nothing where there is nothing to cite."""
        self.keys += [key for key in keys if key not in self.keys]
        return f" ({'; '.join(REFERENCES[key].label for key in keys)})" if keys else ""


def setting(report: ReportData, section: str, key: str) -> Any:
    """Value of the configuration, as the stage that used it recorded it; None where none did."""
    for entry in report.provenance:
        settings = entry.get("settings")
        values = settings.get(section) if isinstance(settings, Mapping) else None
        if isinstance(values, Mapping) and key in values:
            return values[key]
    return None


def data(report: ReportData, cite: Citations) -> list[str]:
    """Which maps, how they were divided and normalised."""
    card = report.data
    patch = (card.patch, card.patch) if isinstance(card.patch, int) else card.patch
    names = [_file_name(str(f["path"])) for f in card.files]
    named = f" ({', '.join(names)})" if 0 < len(names) <= _SHOWN else ""
    read = f", read from {words.count(len(names), 'file')}{named}" if names else ""
    unit = f" in {words.unit(card.unit)}" if card.unit else " whose unit is not known"
    said = [f"We used {words.count(card.n_inverted + card.n_held_out, 'map')} of {patch[0]} × {patch[1]} pixels{unit}{read}."]
    if card.pixel_scale:
        dy, dx = card.pixel_scale
        said.append(f"A pixel measures {words.number(dy)} × {words.number(dx)} arcmin.")
    if card.projection.endswith("HPX"):
        said.append(f"The maps are in the HEALPix projection{cite('gorski2005', 'calabretta2007')}.")
    said += _surveys(report, cite)
    if card.skipped:
        said.append(f"{words.count(len(card.skipped), 'file')} could not be used.")
    said.append(_division(report))
    said.append(
        f"Before the network, {_STRETCHES.get(str(card.stretch.get('kind')), 'a monotone function of the values')} was mapped linearly "
        f"from [{words.number(card.stretch.get('low'), 5)}, {words.number(card.stretch.get('high'), 5)}] to [−1, 1], ends that were set "
        "by the inverted maps alone; what the network returned was mapped back to physical units."
    )
    return said


_STRETCHES = {
    "linear": "the pixel value",
    "log10": "the decimal logarithm of the pixel value",
    "asinh": "the inverse hyperbolic sine of the scaled pixel value",
}


def _file_name(path: str) -> str:
    return path if path.startswith("package:") else PurePath(path).name


def _surveys(report: ReportData, cite: Citations) -> list[str]:
    said = []
    for key, pattern, checksum in _SURVEYS:
        if any(f.get("sha256") == checksum for f in report.data.files):
            said.append(f"By its checksum, a file holds published data{cite(key)}.")
        elif pattern.search(report.title) or any(pattern.search(_file_name(str(f["path"]))) for f in report.data.files):
            said.append(f"The run or its files are named after published data{cite(key)}.")
    return said


def _division(report: ReportData) -> str:
    card = report.data
    inverted = _of_regions(card.n_inverted, card.regions.get("inverted", ()))
    if not card.n_held_out:
        return f"{_capital(inverted)} were inverted; none was held out."
    held_out = _of_regions(card.n_held_out, card.regions.get("held_out", ()))
    return f"They were divided by region before anything was fitted: {inverted} were inverted, {held_out} were held out."


def _of_regions(n: int, regions: Sequence[str]) -> str:
    return f"{words.count(n, 'map')} of {words.count(len(set(regions)), 'region')}" if regions else words.count(n, "map")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def network(report: ReportData, cite: Citations) -> list[str]:
    """Which network, and how maps met it."""
    model, card = report.model, report.inversion
    facts = [f"SHA-256 {model['sha256']}"] if model.get("sha256") else []
    if words.finite(model.get("parameters")) is not None:
        facts.append(f"{words.number(model['parameters'])} parameters")
    trained = str(model.get("trained_on") or "not stated")
    known = "; its card does not state what it was trained on" if trained == "not stated" else f", trained on: {trained}"
    said = [
        f"We used the diffusion network {model.get('name') or 'without a name'} ({', '.join(facts) or 'no checksum on record'}){known}."
    ]
    said.append("It was used as it is: none of its weights was changed.")
    shape, inside = card.frame.get("shape"), card.frame.get("network_shape")
    if shape and inside:
        if inside[0] > shape[0]:
            said.append(f"Each map was repeated in the {inside[0]} channels of the network, whose mean was taken after decoding.")
        elif shape[0] > 1:
            said.append(f"Maps were stacked, {shape[0]} at a time, as the channels of the network.")
        if tuple(inside[1:]) != tuple(shape[1:]):
            said.append(
                f"Maps were padded by reflection to {inside[1]} × {inside[2]} pixels, and the margins cut off after decoding."
            )
        window = words.finite(setting(report, "model", "window"))
        if window is not None and max(inside[1:]) > window:
            windows = f"overlapping windows of {window:.0f} pixels, whose predictions were averaged"
            said.append(f"It was evaluated in {windows}{cite('bartal2023')}.")
    return said


def inversion(report: ReportData, cite: Citations) -> list[str]:
    """How maps became latents, and the errors that were measured."""
    card = report.inversion
    said = [
        "Following a proposal for domains that a network was not trained on"
        f"{cite('zhu2023')}, each map was carried to a latent at time t₀ = {words.number(card.t_0, 4)} of the network by "
        f"deterministic diffusion{cite('song2020')}, and decoded again."
    ]
    grid = "at the published times" if card.preset == "paper" else "at times even in the logarithm of the signal-to-noise ratio"
    cost = f"with {words.count(card.evaluations, 'evaluation')} of the network for each inversion"
    if card.solver:
        method, keys = SOLVERS.get(card.solver, (f"the solver {card.solver}", ()))
        said.append(f"The equation was integrated by {method}{cite(*keys)} {grid}, {cost}.")
    else:
        said.append(f"The equation was integrated {grid}, {cost}.")
    tolerance = setting(report, "inversion", "tolerance")
    if card.preset == "tolerance" and tolerance is not None:
        said.append(f"Solver and number of evaluations were chosen by a probe on the maps for a tolerance of {tolerance}.")
    return said + _errors(card)


def _errors(card: InversionCard) -> list[str]:
    """Measured round trips, set by set, and the error of the latents."""
    said = []
    by_set = {"inverted": "inverted maps", "held_out": "held-out maps"}
    for time in words.medians(card)["times"]:
        parts = []
        for split, name in by_set.items():
            known = [x for r in card.rows if r["split"] == split and (x := words.finite(r["round_trip"].get(time))) is not None]
            parts += [f"{words.percent(np.median(known))} for {words.count(len(known), name[:-1])}"] if known else []
        if parts:
            said.append(
                f"Decoded from t₀ = {words.number(float(time), 4)}, maps differ from the originals by {' and '.join(parts)}, "
                "in units of their standard deviation (root mean square, median over maps)."
            )
    error = words.medians(card)["latent_error"]
    if error is not None:
        said.append(
            f"Estimated from a solution with steps half as long, the latents err by {words.percent(error)} of their standard deviation (median)."
        )
    return said


def proposals(report: ReportData, cite: Citations) -> list[str]:
    """How new latents were made, kept and decoded."""
    latents = report.latents
    kind, n = latents.proposal.get("kind"), report.n_synthetic
    if kind == "lol":
        parents = latents.proposal.get("k")
        way = f"as latent-optimal linear combinations of {parents} inverted latents each{cite('bodin2024')}"
    elif kind in PROPOSALS:
        way = PROPOSALS[str(kind)]
    elif kind == "gaussian":
        way = PRIORS.get(latents.prior, f"from the prior {latents.prior} that was fitted to the inverted latents")
        way += cite("zhu2023") if latents.prior == "isotropic" else ""
    else:
        way = f"by the proposal {kind}"
    said = [f"{words.count(n, 'new latent')} were made {way}."]
    said += _criteria(report, cite)
    eta = words.finite(setting(report, "decoding", "eta"))
    if eta is None:
        along = ""
    elif eta == 0:
        along = " along the times of the inversion, deterministically"
    else:
        along = f" along the times of the inversion, stochastically with η = {words.number(eta)}{cite('song2020')}"
    said.append(f"They were decoded by the same network{along}, and converted to physical units.")
    if steered := guided_by(report):
        said.append(
            f"On the way the network's estimates of the clean map were moved towards {steered} of the inverted maps, and so were the decoded "
            "maps: agreement in these is no evidence."
        )
    if setting(report, "decoding", "transfer") is True:
        said.append(
            "The decoded maps were filtered by one gain for each wavenumber, which gives samples the mean log-spectrum of the inverted maps: "
            "agreement in the mean spectrum is no evidence. The gains are recorded with the samples and can be taken back."
        )
    return said


def guided_by(report: ReportData) -> str:
    """Statistics that decoding was guided by, in words; empty without guidance."""
    how = setting(report, "decoding", "guidance")
    names = how.get("statistics", ()) if isinstance(how, Mapping) else ()
    found = [STEERED.get(str(name), str(name)) for name in names]
    return " and ".join(filter(None, (", ".join(found[:-1]), *found[-1:])))


def _criteria(report: ReportData, cite: Citations) -> list[str]:
    latents = report.latents
    kind, bands = latents.criteria.get("kind"), latents.criteria.get("bands") or ()
    if kind == "none" or not bands:
        return ["No acceptance criterion was applied."]
    measured = _listed([words.CRITERIA.get(b["name"], str(b["name"])) for b in bands])
    if kind == "calibrated":
        rate = words.percent(latents.criteria.get("false_reject"))
        how = f"bands calibrated by leaving out each inverted latent in turn (stated rate of false rejection: {rate})"
    else:
        how = f"the published bands{cite('zhu2023')}" if kind == "paper" else f"the bands {kind}"
    accepted, tried = latents.tally.get("accepted"), latents.tally.get("candidates")
    said = [f"A candidate was kept where its {measured} lay within {how}: {words.number(accepted)} of {words.number(tried)} were."]
    if latents.held_out_accepted:
        met, of = latents.held_out_accepted
        said.append(f"Of the latents of held-out maps, {met} of {of} meet the same criteria.")
    return said


def validation(report: ReportData, cite: Citations) -> list[str]:
    """What was compared with what, and by which tests."""
    own = [row for row in report.rows if row.get("set") == SYNTHETIC and words.is_whole(row)]
    if not own:
        return []
    first = own[0]
    # where the rows do not say it, the maps do
    held_out = bool(first.get("held_out", report.data.n_held_out))
    against = (
        f"the {words.count(int(first.get('n_real') or report.data.n_held_out), 'held-out map')}"
        if held_out
        else "the maps that they were made from, as none was held out"
    )
    shown = "the decimal logarithm of the maps" if report.gallery.log else "the maps in physical units"
    tested = [row for row in own if not str(row["statistic"]).startswith("novelty")]
    said = [f"The {words.count(report.n_synthetic, 'synthetic map')} were compared with {against}, on {shown}."]
    if tested:
        names = [str(row["statistic"]) for row in tested]
        said.append(f"Compared were: {_listed([words.statistic(n) + cite(*STATISTICS.get(n, ())) for n in names])}.")
        said += _testing(report, own, cite)
    if report.novelty is not None:
        said.append(
            "Copies were sought among the inverted maps by the largest normalised cross-correlation of overlapping parts under "
            f"flips, turns and shifts{cite('padfield2012')}, against the distances of "
            f"{'held-out maps' if held_out else 'each inverted map to the others'}."
        )
        if report.novelty.scattering is not None:
            said.append(
                "Twins, which share the statistics of one inverted map, were sought in the same way by the whitened distance between the logarithms "
                f"of wavelet scattering coefficients{cite('cheng2020')}."
            )
    return said + _baselines(report, cite)


def _testing(report: ReportData, own: Sequence[Row], cite: Citations) -> list[str]:
    """How p-values were found; nothing where there is none."""
    n_tests = sum(words.finite(row.get("p")) is not None for row in own)
    if not n_tests:
        return []
    permutations = setting(report, "validation", "permutations")
    number = f" (at least {words.number(permutations)} divisions for the statistics of maps)" if words.finite(permutations) else ""
    said = [
        f"P-values come from permutations of whole {_unit_of_exchange(report)}{number}, with the maps behind the samples allowed for; "
        f"several scales of a statistic give one p-value, that of the largest standardised difference{cite('westfall1993')}, and "
        f"the {words.count(n_tests, 'p-value')} of a set were corrected for their number{cite('holm1979')}."
    ]
    least, most, known = attainable(own)
    if known:
        shown = by_test(least, most, lambda p: words.number(p, 2))
        said.append(f"With these numbers of maps no p-value below {shown} can occur{cite('phipson2010')}.")
    return said


def _unit_of_exchange(report: ReportData) -> str:
    card = report.data
    sizes = {"inverted": card.n_inverted, "held_out": card.n_held_out}
    shared = any(1 < len(set(card.regions.get(name, ()))) < n for name, n in sizes.items())
    return "regions of the sky" if shared else "maps"


def _baselines(report: ReportData, cite: Citations) -> list[str]:
    names = sorted({str(row["set"]) for row in report.rows if words.is_whole(row)} - {SYNTHETIC})
    if not names:
        return []
    parts = []
    sizes = words.fewer(report.rows)
    for name in names:
        what, keys, more, others = BASELINES.get(name, (name, (), "", ()))
        number = f" ({words.count(sizes[name], 'map')} only)" if name in sizes else ""
        parts.append(f"{what}{cite(*keys)}{more}{cite(*others)}{number}")
    equal = "" if sizes else "equal numbers of "
    return [f"The same comparison was made for {equal}maps from methods without a network: {_listed(parts)}."]


def software(report: ReportData, cite: Citations) -> list[str]:
    """Versions, the machine's arithmetic and the seed."""
    found: dict[str, list[str]] = {}
    for entry in report.provenance:
        versions = entry.get("versions")
        for name, version in versions.items() if isinstance(versions, Mapping) else ():
            found.setdefault(str(name), [])
            found[str(name)] += [str(version)] if str(version) not in found[str(name)] else []
    if not found:
        return []
    parts = [
        f"{_PACKAGES.get(name, name)} {' and '.join(versions)}{cite(*[_PACKAGE_PAPERS[name]] if name in _PACKAGE_PAPERS else [])}"
        for name, versions in found.items()
    ]
    said = [f"Computations used {_listed(parts)}."]
    ran = next((m for e in report.provenance if isinstance(m := e.get("model"), Mapping) and m.get("device")), None)
    if ran is not None:
        runtime = f", evaluated by {ran['runtime']}" if ran.get("runtime") not in (None, "torch") else ""
        said.append(f"The network ran on {ran['device']} in {ran.get('precision', 'unknown precision')}{runtime}.")
    seeds = {entry["seed"] for entry in report.provenance if entry.get("seed") is not None}
    if len(seeds) == 1:
        said.append(f"All random numbers follow from the seed {seeds.pop()}.")
    return said


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
