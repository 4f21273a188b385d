"""Table, figures and page of a study; what is not computed yet is left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from astro_ood import __version__
from astro_ood.errors import RunError
from astro_ood.report import words
from astro_ood.report.document import MAX_BYTES, fill, write_page
from astro_ood.report.images import Picture, png, svg
from astro_ood.study.cells import finished, unfinished
from astro_ood.study.figures import unique
from astro_ood.study.sections import NOVELTY, SECTIONS, Section
from astro_ood.study.settings import Study
from astro_ood.study.table import Row, write_table

Embed = Callable[[Figure, str], Picture]
_STATISTICS = ("spectrum", "pdf", "increments", "bispectrum", "excursion", "scattering", "scatter")


def write_study(study: Study) -> Path:
    """Write `table.csv` and `study.html`, and each figure as PNG under `figures`.

    Raises
    ------
    RunError
        RN12: nothing has been computed.
    """
    rows = finished(study)
    if not rows:
        raise RunError("RN12", study.root, "no cell of this study has been computed", "run `astro-ood study run` first")
    write_table(rows, study.root / "table.csv")
    for embed in (svg, png):
        text = _page(study, rows, embed)
        if len(text.encode()) < MAX_BYTES:
            break
    return write_page(text, study.root / "study.html", "leave out networks or domains")


def _page(study: Study, rows: Sequence[Row], embed: Embed) -> str:
    return fill(
        "study.html.j2",
        generator="astro_ood study",
        name=study.name,
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        effort=study.effort.model_dump(),
        networks=list(study.networks),
        domains=list(study.domains),
        missing=[" · ".join(cell) for cell in unfinished(study)],
        sections=[s for section in SECTIONS if (s := _section(section, rows, study.root / "figures", embed))],
        recipes=recipe_table(rows),
    )


def _section(section: Section, rows: Sequence[Row], folder: Path, embed: Embed) -> dict[str, Any] | None:
    own = [r for r in rows if r.experiment == section.experiment]
    pictures = []
    for i, panel in enumerate(section.panels):
        shown = [r for r in own if r.quantity in panel.quantities and (not panel.cases or r.case in panel.cases)]
        if shown:
            figure = panel.draw(shown)
            _keep(figure, folder / f"{section.experiment}-{i + 1}.png")
            pictures.append({"picture": embed(figure, panel.caption + "."), "text": _finding(shown)})
    return {"section": section, "pictures": pictures} if pictures else None


def _keep(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _finding(rows: Sequence[Row]) -> str:
    """Ends of each quantity over networks and domains."""
    parts = []
    for quantity in unique(r.quantity for r in rows):
        values = [r for r in rows if r.quantity == quantity]
        low, high = min(values, key=lambda r: r.value), max(values, key=lambda r: r.value)
        parts.append(f"{quantity}: from {_told(low)} to {_told(high)}.")
    return " ".join(parts)


def _told(row: Row) -> str:
    at = "" if row.x is None else f" at {words.number(row.x)}"
    return f"{words.number(row.value)} ({row.domain}, {row.case}{at})"


def recipe_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each network and domain, one line a recipe: worst departures, outcomes, neighbours."""
    own = [r for r in rows if r.experiment == "E15"]
    tables = []
    for network, domain in unique_pairs(own):
        here = [r for r in own if (r.network, r.domain) == (network, domain)]
        value = {(r.case, r.quantity): r.value for r in here}
        lines = []
        for case in unique(r.case for r in here):
            outcomes = [_outcome(value.get((case, f"outcome {s}"), 0.0)) for s in _STATISTICS]
            lines.append(
                {
                    "case": case,
                    "worst": [value.get((case, f"worst {s}")) for s in _STATISTICS],
                    "outcomes": outcomes,
                    "within": value.get((case, "k-bins within 2")),
                    "nearest": value.get((case, NOVELTY)),
                    "copies": value.get((case, "copies")),
                    "twins": value.get((case, "twins")),
                    "seconds": value.get((case, "processor seconds a map")),
                }
            )
        tables.append({"network": network, "domain": domain, "lines": lines, "statistics": _STATISTICS})
    return tables


def unique_pairs(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Networks and domains in their order."""
    return list(dict.fromkeys((r.network, r.domain) for r in rows))


def _outcome(code: float) -> str:
    return {-1: "different", 0: "undecided", 1: "no difference detected"}[int(code)]
