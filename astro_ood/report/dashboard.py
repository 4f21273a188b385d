"""Several runs on one page: whether they can be compared, how they differ, how each stands, and what their maps look like.

The page shares frame, marks and style with the report of a run. Runs go by a letter, so that figures and tables stay narrow however
long a name is, and two runs of one name stay apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from astro_ood.report import words
from astro_ood.report.comparison import (
    ComparedRun,
    barriers,
    differences,
    floors,
    grouped,
    matrix,
    named,
    place,
    remarks,
    standings,
)
from astro_ood.report.content import Gallery, ReportData
from astro_ood.report.document import MAP_BYTES, SIDES, fill, write_page
from astro_ood.report.images import bar_ends, svg
from astro_ood.report.page import bar_picture, map_alt, map_shape, map_uri
from astro_ood.report.ratios import has_ratio, one_floor, ratio_figure, ratio_finding, same_axis

GENERATOR = "astro_ood compare"
_MAPS = 3


def render_dashboard(
    runs: Sequence[ComparedRun], created: str, version: str, left_out: Sequence[str] = (), beside: Path | None = None
) -> str:
    """The page as HTML.

    Parameters
    ----------
    runs : sequence of ComparedRun
        At least one.
    created, version : str
        Of the page; ISO 8601.
    left_out : sequence of str
        Runs that could not be shown, and why.
    beside : Path, optional
        Directory of the page: links to the reports are relative to it. None leaves them out.
    """
    headline, why = barriers(runs)
    return fill(
        "dashboard.html.j2",
        generator=GENERATOR,
        runs=[_facts(run, beside) for run in runs],
        created=created,
        version=version,
        left_out=left_out,
        headline=headline,
        barriers=why,
        remarks=remarks(runs),
        differences=differences(runs),
        matrix=matrix(runs),
        novelty=matrix(runs, novelty=True),
        standings=standings(runs),
        ratios=_ratios(runs),
        galleries=_galleries(runs),
        place=place,
        floors=floors,
        max_rows=0,
    )


def write_dashboard(
    runs: Sequence[ComparedRun], path: Path | str, created: str, version: str, left_out: Sequence[str] = ()
) -> Path:
    """Write the page, whole or not at all.

    Raises
    ------
    RunError
        It would be larger than 5 MB although the maps were reduced.
    """
    path = Path(path)
    return write_page(render_dashboard(runs, created, version, left_out, path.parent), path, "compare fewer runs")


def _facts(run: ComparedRun, beside: Path | None) -> dict[str, Any]:
    data, middle = run.data, words.medians(run.data.inversion)
    trips = [(float(t), value) for t, value in middle["round_trip"].items()]
    patch = data.data.patch
    return {
        "key": run.key,
        "data": data,
        "directory": run.directory,
        "href": _link(run.report, beside),
        "shape": (patch, patch) if isinstance(patch, int) else patch,
        "round_trips": trips,
        "latent_error": middle["latent_error"],
    }


def _link(report: Path | None, beside: Path | None) -> str:
    """Address of a report relative to the page; quoted, so that no name can be taken for a scheme."""
    if report is None or beside is None:
        return ""
    try:
        relative = os.path.relpath(report.resolve(), beside.resolve())
    except ValueError:
        # another drive
        return report.resolve().as_uri()
    return quote(Path(relative).as_posix(), errors="surrogateescape")


def _ratios(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """One figure for all runs that share unit and scales."""
    return [
        {"runs": list(group), "one_floor": one_floor(group), "picture": svg(ratio_figure(group), ratio_finding(group))}
        for group in grouped([run for run in runs if has_ratio(run)], same_axis).values()
    ]


def _galleries(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """Runs of one unit with the colour bar that they share; maps small enough for the page."""
    for side in SIDES:
        found = [_gallery(group, side) for group in grouped(runs, lambda run: (run.data.data.unit, run.data.gallery.log)).values()]
        if sum(len(m["uri"]) for gallery in found for row in gallery["rows"] for m in row["maps"]) < MAP_BYTES:
            break
    return found


def _gallery(runs: Sequence[ComparedRun], side: int) -> dict[str, Any]:
    unit, log = runs[0].data.data.unit, runs[0].data.gallery.log
    limits = _ends([run.data.gallery for run in runs])
    rows = []
    for same in grouped(runs, lambda run: run.data.gallery.real_held_out[:_MAPS].tobytes()).values():
        shared = same[0].data
        rows.append(
            _row(f"Real, held out ({named(same)})", "", shared, shared.gallery.real_held_out, "real (held out)", limits, side)
        )
        for run in same:
            maps = run.data.gallery.synthetic
            rows.append(_row(run.key, run.data.name, run.data, maps, "synthetic", limits, side))
    bar = bar_picture(limits, unit, log, f"the maps of {named(runs)}")
    return {"runs": list(runs), "bar": bar, "rows": [row for row in rows if row["maps"]]}


def _row(title: str, name: str, data: ReportData, maps: Any, kind: str, limits: tuple[float, float], side: int) -> dict[str, Any]:
    names = data.gallery.names.get(kind, ())
    items = []
    for i, values in enumerate(maps[:_MAPS]):
        label = str(names[i]) if i < len(names) else str(i + 1)
        uri = map_uri(values, limits, data.gallery.log, side)
        items.append({"name": label, "alt": map_alt(f"{title} {name}".strip(), label, values, data), "uri": uri})
    return {"title": title, "name": name, "maps": items, "shape": map_shape(data)}


def _ends(galleries: Sequence[Gallery]) -> tuple[float, float]:
    """Ends of a scale that holds the real maps of all runs."""
    ends = np.array([bar_ends(gallery) for gallery in galleries])
    return float(ends[:, 0].min()), float(ends[:, 1].max())
