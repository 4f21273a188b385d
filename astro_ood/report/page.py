"""The report: one HTML page that needs nothing but itself.

The page is written for a reader who never saw the project: first the verdict in words, then what it rests on, last how to repeat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from astro_ood.report import departures, diagnostics, figures, words
from astro_ood.report.content import (
    HELD_OUT,
    INVERTED,
    RECONSTRUCTED,
    SYNTHETIC,
    DataCard,
    FloatArray,
    Gallery,
    InversionCard,
    LatentCard,
    Nearness,
    NoveltyCard,
    Pairs,
    Pdf,
    ReportData,
    Row,
    Spectra,
    Verdict,
)
from astro_ood.report.document import MAP_BYTES, SIDES, STATUS, fill, write_page
from astro_ood.report.images import Picture, bar_ends, compared, map_png, svg
from astro_ood.report.limits import limits_of
from astro_ood.report.methods import methods_of

__all__ = [
    "STATUS",
    "DataCard",
    "Gallery",
    "InversionCard",
    "LatentCard",
    "Nearness",
    "NoveltyCard",
    "Pairs",
    "Pdf",
    "ReportData",
    "Spectra",
    "Verdict",
    "render",
    "write_report",
]

MAX_ROWS = 300
_SHOWN, _MOST, _PAIRS = 12, 48, 6
# statistics whose scales have names: shown in one figure each
STRUCTURE = ("increments", "bispectrum", "excursion", "scattering", "morphology")
GENERATOR = "astro_ood report"
_SETS = {
    HELD_OUT: ("Real, held out", "Real maps that the method never saw: the yardstick."),
    INVERTED: ("Real, inverted", "Real maps that were turned into latents."),
    RECONSTRUCTED: ("Reconstructed", "The same maps in the same order, decoded from their latents: what the network can carry."),
    SYNTHETIC: ("Synthetic", "New maps, decoded from new latents, in the order in which they were made; none was picked."),
}


def render(data: ReportData) -> str:
    """The page as HTML.

    Parameters
    ----------
    data : ReportData

    Returns
    -------
    str
        A whole document. Maps are reduced until they take less than `MAP_BYTES` together.
    """
    for side in SIDES:
        shown, pairs, ends = _maps(data, side)
        if (
            sum(len(item["uri"]) for row in shown for item in row["maps"]) + sum(len(u) for p in pairs for u in p["uris"])
            < MAP_BYTES
        ):
            break
    return fill(
        "report.html.j2",
        generator=GENERATOR,
        data=data,
        pictures=_pictures(data, ends),
        findings=_findings(data),
        gallery=shown,
        pairs=pairs,
        medians=words.medians(data.inversion),
        geometry=_geometry(data.latents.geometry),
        whole=[row for row in data.rows if words.is_whole(row) and row["set"] == SYNTHETIC],
        scales=[row for row in data.rows if not words.is_whole(row) and row["set"] == SYNTHETIC],
        comparison=_comparison(data.rows),
        limits=limits_of(data),
        methods=methods_of(data),
        tiles=_tiles(data),
        max_rows=MAX_ROWS,
        structure=STRUCTURE,
    )


def write_report(data: ReportData, path: Path | str) -> Path:
    """Write the page, whole or not at all.

    Raises
    ------
    RunError
        The page would be larger than `MAX_BYTES` although the maps were reduced.
    """
    return write_page(render(data), path, "shorten the notes")


def _pictures(data: ReportData, limits: tuple[float, float]) -> dict[str, Picture]:
    latents = data.latents
    spectra = (latents.k, latents.power_inverted, latents.power_proposed)
    found = {
        "bar": bar_picture(limits, data.data.unit, data.gallery.log),
        "inversion": svg(figures.inversion_figure(data.inversion), words.inversion_finding(data.inversion)),
        "latents": svg(figures.latents_figure(*spectra), words.latent_finding(*spectra)),
        "spectra": svg(figures.spectra_figure(data.spectra), words.spectrum_finding(data.spectra)),
    }
    for name in STRUCTURE:
        if departures.scale_labels(data.rows, name):
            shown = departures.departures_figure(data.rows, name), departures.departures_finding(data.rows, name)
            found[name] = svg(*shown)
    if data.diagnostics is not None:
        found |= diagnostics.pictures(data.diagnostics.curves)
    if data.pdf is not None:
        found["pdf"] = svg(figures.pdf_figure(data.pdf, data.data.unit, data.gallery.log), words.pdf_finding(data.pdf))
    if data.novelty is not None:
        found["novelty"] = svg(figures.novelty_figure(data.novelty), words.novelty_finding(data.novelty))
        if (near := data.novelty.scattering) is not None:
            found["fingerprints"] = svg(figures.fingerprint_figure(near), words.fingerprint_finding(near))
    return found


def bar_picture(limits: tuple[float, float], unit: str, log: bool, what: str = "all maps") -> Picture:
    """The colour bar of some maps; `limits` are log10 where `log`."""
    low, high = (f"{words.number(10**x if log else x)} {words.unit(unit)}".strip() for x in limits)
    return svg(figures.colour_bar(*limits, unit, log), f"Colour bar of {what}, from {low} (dark blue) to {high} (yellow).")


def _findings(data: ReportData) -> dict[str, str]:
    correlation = None if data.novelty is None else data.novelty.parent_correlation
    parents = "" if correlation is None else words.parent_finding(correlation)
    return {"baselines": words.baseline_finding(data.rows), "parents": parents}


def _maps(data: ReportData, side: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]], tuple[float, float]]:
    """Rows of the gallery, closest pairs, and the limits that they share."""
    gallery = data.gallery
    made = {HELD_OUT: data.data.n_held_out, SYNTHETIC: data.n_synthetic}
    limits = bar_ends(gallery)
    shape = map_shape(data)
    rows = []
    for name, maps in gallery.sets().items():
        title, note = _SETS[name]
        names = gallery.names.get(name, ())
        items = []
        for i, values in enumerate(maps[:_MOST]):
            label = str(names[i]) if i < len(names) else f"{i + 1}"
            items.append(
                {"name": label, "alt": map_alt(title, label, values, data), "uri": map_uri(values, limits, gallery.log, side)}
            )
        if items:
            rows.append(
                {
                    "title": title,
                    "note": note,
                    "maps": items,
                    "shown": _SHOWN,
                    "total": made.get(name, data.data.n_inverted),
                    "shape": shape,
                }
            )
    pairs = []
    if (card := data.novelty) is not None:
        for near, what in ((card, "a copy"), (card.scattering, "a twin")):
            if near is not None and near.closest is not None:
                pairs += _pairs(near.closest, near.threshold, what, data, limits, side)
    return rows, pairs, limits


def _pairs(
    found: Pairs, threshold: float, word: str, data: ReportData, limits: tuple[float, float], side: int
) -> list[dict[str, Any]]:
    """The closest pairs; `word` is what one below the threshold is called."""
    pairs = []
    for i in range(min(_PAIRS, len(found.distance))):
        both = [map_uri(m[i], limits, data.gallery.log, side) for m in (found.synthetic, found.inverted)]
        names = found.names[i] if i < len(found.names) else ("synthetic", "inverted")
        distance = float(found.distance[i])
        called = word if distance < threshold else ""
        pairs.append({"uris": both, "names": names, "distance": distance, "shape": map_shape(data), "kind": word, "called": called})
    return pairs


def map_shape(data: ReportData) -> tuple[int, int]:
    """Width and height of a map on the sky, in arbitrary pixels."""
    height, width = data.gallery.synthetic.shape[1:]
    dy, dx = data.data.pixel_scale or (1.0, 1.0)
    return max(1, round(100 * width * dx)), max(1, round(100 * height * dy))


def map_uri(values: FloatArray, limits: tuple[float, float], log: bool, side: int) -> str:
    """A map in physical units as picture; `limits` as from `bar_ends`."""
    return map_png(compared(values, log), *limits, side)


def map_alt(title: str, label: str, values: FloatArray, data: ReportData) -> str:
    """What a map shows, in words."""
    good = np.asarray(values)[np.isfinite(values)]
    if not len(good):
        return f"{title} map {label}: no value."
    middle, low, high = (words.number(x) for x in (np.median(good), good.min(), good.max()))
    return f"{title} map {label}: median {middle}, from {low} to {high} {words.unit(data.data.unit)}".strip() + "."


def _geometry(g: Any) -> list[dict[str, Any]]:
    """Rows of the geometry table: what, measured, predicted by |mu| and s, white noise."""
    d = float(g["d"])

    def row(name: str, note: str, measured: Any, predicted: Any, white: Any) -> dict[str, Any]:
        return {"name": name, "note": note, "measured": measured, "predicted": predicted, "white": white}

    return [
        row("Distance between two latents", "Euclidean", g["distance"], g["distance_predicted"], np.sqrt(2 * d)),
        row("Angle between two latents", "at the origin, degrees", g["angle"], g["angle_predicted"], 90.0),
        row("Spread s per dimension", "around the common centre", g["s"], None, 1.0),
        row("Distance |μ| of the centre from the origin", "bias of few maps removed", g["mu"], None, 0.0),
        row("Separation |μ| / ∜d", "above 1: told apart from the network's own domain", g["separation"], None, 0.0),
        row("Standard deviation of pixels", "", g["std"], None, 1.0),
        row("Excess kurtosis of pixels", "0 for a Gaussian", g["kurtosis"], None, 0.0),
        row("Correlation of neighbouring pixels", "0 if independent", g["lag_1"], None, 0.0),
        row("Effective number of dimensions", "fewer than d: pixels move together", g["effective_dimension"], None, d),
    ]


def _comparison(rows: Sequence[Row]) -> dict[str, Any]:
    """Statistics against sets: the samples beside every baseline."""
    whole = [row for row in rows if words.is_whole(row)]
    sets = sorted({str(row["set"]) for row in whole}, key=lambda name: (name != SYNTHETIC, name))
    names = list(dict.fromkeys(str(row["statistic"]) for row in whole))
    cells = {(str(row["statistic"]), str(row["set"])): row for row in whole}
    return {"sets": sets, "rows": [(name, [cells.get((name, s)) for s in sets]) for name in names]}


def _tiles(data: ReportData) -> list[tuple[str, str]]:
    """A few numbers that say what happened."""
    card, n = data.data, data.n_synthetic
    tiles = [
        (f"{words.number(card.n_inverted)} → {words.number(n)}", "real maps inverted → new maps made"),
        (words.number(card.n_held_out), "real maps held out for the comparison"),
    ]
    trip = words.medians(data.inversion)["round_trip"]
    if trip:
        nearest = min(trip, key=lambda t: abs(float(t) - data.inversion.t_0))
        tiles.append((words.percent(trip[nearest]), f"median round-trip error at t₀ = {words.number(float(nearest), 4)}"))
    own = words.standing(data.rows, SYNTHETIC)
    if sum(own):
        tiles.append((f"{own[0]} of {sum(own)}", f"statistics agree ({own[1]} against, {own[2]} undecided)"))
    if data.novelty is not None:
        tiles.append(
            (f"{round(data.novelty.copy_rate * len(data.novelty.samples))} of {len(data.novelty.samples)}", "new maps are copies")
        )
    return tiles
