"""Runs beside one another: whether they can be compared at all, what was done differently, and how each of them stands.

Every run is measured by its own real maps, in standard deviations of its own floor; only where the real maps are the same do two
numbers mean the same. Nothing is tested between runs. The statistics are those that the scores hold, whatever they are.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from astro_ood.report import words
from astro_ood.report.content import SYNTHETIC, ReportData, Row
from astro_ood.stats.rows import attainable
from astro_ood.stats.testing import ALPHA

_NAMED = 3


@dataclass(frozen=True)
class ComparedRun:
    """A run among others.

    Attributes
    ----------
    index : int
        Its place among the others, from 0: fixes its letter, and its colour in every figure.
    data : ReportData
    directory : str
        As it was given.
    report : Path or None
        Its own report, where there is one.
    """

    index: int
    data: ReportData
    directory: str = ""
    report: Path | None = None

    @property
    def key(self) -> str:
        """Letter that stands for it in figures and tables; a number after Z."""
        letters = string.ascii_uppercase
        return letters[self.index] if self.index < len(letters) else str(self.index + 1)


@dataclass(frozen=True)
class Cell:
    """One statistic of one run.

    Attributes
    ----------
    head : mapping
        Row of the whole statistic.
    worst : mapping or None
        Row of the scale that is farthest off, where there are scales.
    rival : mapping or None
        Row of the cheaper method that comes closest to real maps without copying them.
    """

    head: Row
    worst: Row | None
    rival: Row | None

    @property
    def by_size(self) -> bool:
        """Whether the difference is beyond doubt by its size alone, where too few maps allow no small p."""
        p = words.finite(self.head.get("p_adjusted"))
        return words.tone(str(self.head.get("verdict"))) == "differs" and p is not None and p > ALPHA


def barriers(runs: Sequence[ComparedRun]) -> tuple[str, list[str]]:
    """Whether the scores are about the same thing, in one line; and why not, where they are not."""
    data = (
        ("The maps come from different files", lambda run: _files(run.data.data.files)),
        ("The held-out maps are not the same", _held_out),
    )
    measure = (
        ("The units differ", lambda run: words.unit(run.data.data.unit) or "unit not known"),
        ("Not the same quantity is compared", lambda run: "log₁₀ of the maps" if run.data.gallery.log else "the maps themselves"),
        ("The maps differ in size or resolution", _grid),
    )
    other, otherwise = _unlike(runs, data), _unlike(runs, measure)
    if other:
        headline = "Not directly: the runs were not judged by the same real maps"
    elif otherwise:
        headline = "Not directly: the same sky was not measured in the same way"
    else:
        headline = "Yes: the same files, the same held-out maps, the same unit and scales"
    return headline, other + otherwise


def remarks(runs: Sequence[ComparedRun]) -> list[str]:
    """What a reader of the numbers should know."""
    found = []
    if len(parts := grouped(runs, _sizes)) > 1:
        found.append(
            f"The numbers of maps differ: {_listed(parts)}. The floor is that of groups of these sizes, so that with more maps the "
            "same difference takes more floor standard deviations."
        )
    optimistic = [run.key for run in runs if not run.data.data.n_held_out]
    if optimistic:
        found.append(
            f"No map was held out in {', '.join(optimistic)}: compared with the very maps that were inverted, which flatters."
        )
    if len(runs) > 1:
        found.append(
            "p-values are corrected for the statistics of one run (Holm), not for the number of runs: the best of several looks better "
            "than it is. Judge the one that you choose by real maps that none of them has seen."
        )
        found.append("Differences between two runs are not tested: each is compared with real maps, not with the others.")
    return found


def grouped(runs: Sequence[ComparedRun], value: Callable[[ComparedRun], Hashable]) -> dict[Hashable, list[ComparedRun]]:
    """Runs that agree in something, in their order."""
    parts: dict[Hashable, list[ComparedRun]] = {}
    for run in runs:
        parts.setdefault(value(run), []).append(run)
    return parts


def named(runs: Iterable[ComparedRun]) -> str:
    """Letters of some runs."""
    return ", ".join(run.key for run in runs)


def differences(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """Settings, networks and versions that are not the same in all runs: what, and the value in each."""
    tables = [_settings(run.data) for run in runs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, [_text(table[key]) if key in table else words.MISSING for table in tables]) for key in keys]
    return [row for row in rows if len(set(row[1])) > 1]


def matrix(runs: Sequence[ComparedRun], novelty: bool = False) -> list[tuple[str, str, list[Cell | None]]]:
    """Statistic, its unit, and a cell for each run; those of novelty, or all others."""
    heads = [{str(r["statistic"]): r for r in run.data.rows if r["set"] == SYNTHETIC and words.is_whole(r)} for run in runs]
    names = [n for n in dict.fromkeys(name for table in heads for name in table) if n.startswith("novelty") is novelty]
    found = []
    for name in names:
        units = dict.fromkeys(str(table[name].get("unit") or "") for table in heads if name in table)
        cells = [_cell(run.data.rows, table[name]) if name in table else None for run, table in zip(runs, heads, strict=True)]
        found.append((name, " or ".join(filter(None, units)), cells))
    return found


def standings(runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
    """How many statistics agree, differ and stay open, of each run and of its best rival; and the smallest corrected p possible."""
    return [_standing(run.data.rows) for run in runs]


def place(row: Row) -> str:
    """Scale of a row in words: a length for a spectrum, else its name."""
    scale, unit = row.get("scale"), str(row.get("scale_unit") or "")
    x = None if isinstance(scale, str) else words.finite(scale)
    if x is None:
        return str(scale)
    if unit.startswith("cycles/") and x > 0:
        return f"{words.number(1 / x)} {words.unit(unit.removeprefix('cycles/'))}"
    return f"{words.number(x)} {words.unit(unit)}".strip()


def floors(row: Row) -> float:
    """Difference of a scale in its floor standard deviations, with its sign; 0 where there is no floor."""
    value, floor = words.finite(row.get("value")), words.finite(row.get("floor"))
    return value / floor if value is not None and floor else 0.0


def _cell(rows: Sequence[Row], head: Row) -> Cell:
    own = [r for r in rows if r["set"] == SYNTHETIC and r["statistic"] == head["statistic"] and not words.is_whole(r)]
    worst = None
    if own and head.get("unit") == "floor sd":
        worst = max(own, key=lambda r: abs(floors(r)))
    elif own:
        # distances between sets have no floor in standard deviations; the row of them all is that of the least likely one
        worst = min(own, key=lambda r: _or(r.get("p"), 2.0))
    others = [r for r in _rivals(rows) if r["statistic"] == head["statistic"] and words.finite(r.get("value")) is not None]
    return Cell(head, worst, min(others, key=lambda r: abs(float(r["value"])), default=None))


def _rivals(rows: Sequence[Row]) -> list[Row]:
    """Rows of cheaper methods, as whole statistics; those that copy do not count."""
    copying = {r["set"] for r in rows if words.tone(str(r.get("verdict"))) == "copies"}
    return [r for r in rows if r["set"] != SYNTHETIC and r["set"] not in copying and words.is_whole(r)]


def _standing(rows: Sequence[Row]) -> dict[str, Any]:
    found = {name: words.standing(rows, name) for name in dict.fromkeys(str(r["set"]) for r in _rivals(rows))}
    best = min(found, key=lambda name: (found[name][1], -found[name][0]), default=None)
    _, most, m = attainable(r for r in rows if r["set"] == SYNTHETIC and words.is_whole(r))
    return {
        "own": words.standing(rows, SYNTHETIC),
        "rival": best,
        "rivals": found.get(best or ""),
        "least": min(1.0, most * m) if m else None,
    }


def _unlike(runs: Sequence[ComparedRun], aspects: Iterable[tuple[str, Callable[[ComparedRun], Hashable]]]) -> list[str]:
    return [f"{what}: {_listed(parts)}." for what, value in aspects if len(parts := grouped(runs, value)) > 1]


def _or(value: Any, instead: float) -> float:
    x = words.finite(value)
    return instead if x is None else x


def _listed(parts: Mapping[Hashable, Sequence[ComparedRun]]) -> str:
    return "; ".join(f"{named(runs)}: {value}" for value, runs in parts.items())


def _files(files: Sequence[Row]) -> str:
    found = sorted((PurePosixPath(str(f.get("path"))).name, str(f.get("sha256") or "")[:8]) for f in files)
    text = ", ".join(f"{name} ({digest})" if digest else name for name, digest in found[:_NAMED])
    # the others count too: the same number of files need not be the same files
    rest = f" and {len(found) - _NAMED} more ({_hash(found[_NAMED:])})" if len(found) > _NAMED else ""
    return text + rest or "files not known"


def _hash(value: object) -> str:
    """Few letters that tell one list from another."""
    return sha256(repr(value).encode("utf-8", errors="replace")).hexdigest()[:8]


def _held_out(run: ComparedRun) -> str:
    card = run.data.data
    regions = [str(r) for r in card.regions.get("held_out", ())]
    names = ", ".join(regions[:6]) + (f" and {len(regions) - 6} more ({_hash(regions)})" if len(regions) > 6 else "")
    return f"{words.count(card.n_held_out, 'map')}{' from ' + names if names else ''}"


def _grid(run: ComparedRun) -> str:
    patch, scale = run.data.data.patch, run.data.data.pixel_scale
    height, width = (patch, patch) if isinstance(patch, int) else patch
    pixel = f"{words.number(scale[0])} × {words.number(scale[1])} arcmin" if scale else "unknown scale"
    return f"{height} × {width} pixels of {pixel}"


def _sizes(run: ComparedRun) -> str:
    card = run.data.data
    return f"{card.n_inverted} inverted, {card.n_held_out} held out, {run.data.n_synthetic} synthetic"


def _settings(data: ReportData) -> dict[str, Any]:
    """Everything that was recorded of how a run was made, without its name."""
    found: dict[str, Any] = {}
    for entry in data.provenance:
        found |= _flat(entry.get("settings") or {})
    found.pop("name", None)
    found["network, SHA-256"] = str(data.model.get("sha256", ""))[:16]
    for entry in data.provenance:
        versions = entry.get("versions")
        found |= {f"version of {key}": value for key, value in versions.items()} if isinstance(versions, Mapping) else {}
    return found


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return found


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        shown = ", ".join(map(_text, value[:_NAMED]))
        return f"{shown} and {len(value) - _NAMED} more ({_hash(value)})" if len(value) > _NAMED else shown or "none"
    if isinstance(value, (bool, type(None))):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)
