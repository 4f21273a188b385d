"""Several runs side by side: in the terminal, as a page, as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import exp
from pathlib import Path
from typing import Any

import numpy as np

from astro_ood import __version__
from astro_ood._yaml import read_mapping
from astro_ood.api.report import collect_report
from astro_ood.api.run import Run, open_run
from astro_ood.errors import AstroOodError, ConfigError, StoreError
from astro_ood.report.comparison import ComparedRun, floors
from astro_ood.report.dashboard import GENERATOR, write_dashboard
from astro_ood.report.scores import COLUMNS, csv_text, write_text
from astro_ood.stores import open_shards

_HEAD_BYTES = 4096
_COLUMNS = ("run", "directory", "status", *COLUMNS)


@dataclass(frozen=True)
class RunSet:
    """Finished runs, in the order in which they were given.

    Attributes
    ----------
    runs : list of Run
    left_out : list of str
        Runs that have no scores yet, in words.
    """

    runs: list[Run]
    left_out: list[str] = field(default_factory=list)

    def table(self) -> list[dict[str, str]]:
        """One row of text for each run: verdict, inversion, worst scale, novelty."""
        return [_line(run) for run in self.runs]

    def write_page(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the page that shows the runs beside one another.

        Parameters
        ----------
        path : Path
        overwrite : bool
            Replace whatever file is there; an earlier page of this kind always is.

        Raises
        ------
        ConfigError
            Another file is in the way (CF02).
        """
        path = Path(path)
        _require_free(path, f'content="{GENERATOR}"', "--out", overwrite)
        compared = [
            ComparedRun(i, collect_report(run, _title(run)), run.root.as_posix(), _existing(run.paths.report))
            for i, run in enumerate(self.runs)
        ]
        return write_dashboard(compared, path, datetime.now(UTC).isoformat(timespec="seconds"), __version__, self.left_out)

    def write_csv(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the scores of all runs as one table: a row for each run, set, statistic and scale.

        Parameters and errors are those of `write_page`.
        """
        path = Path(path)
        _require_free(path, ",".join(_COLUMNS), "--csv", overwrite)
        rows = [
            {"run": run.root.name, "directory": run.root.as_posix(), "status": run.scores.status, **row}
            for run in self.runs
            for row in run.scores.rows
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, csv_text(rows, _COLUMNS))
        return path


def open_runs(paths: Sequence[str | Path]) -> RunSet:
    """Open runs to be compared. Those without scores are left out while others remain.

    Raises
    ------
    StoreError
        A directory that is no run, scores that cannot be read, or no run that has any.
    """
    opened = [open_run(path) for path in paths]
    finished = [run for run in opened if run.paths.scores_json.is_file()]
    for run in finished or opened[:1]:
        _require_scores(run)
    missing = [f"{run.root}: there are no scores yet; let the run finish" for run in opened if run not in finished]
    return RunSet(finished, missing)


def _require_scores(run: Run) -> None:
    try:
        whole = bool(run.scores.rows)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        problem = "cannot be read as scores"
        raise StoreError("ST02", run.paths.scores_json, problem, "delete it and let the run finish again")


def _line(run: Run) -> dict[str, str]:
    scores = run.scores
    own = [r for r in scores.rows if r["set"] == "synthetic"]
    near = next((r["value"] for r in own if r["statistic"] == "novelty_nn" and r["scale"] is None), None)
    round_trip = open_shards(run.root / "latents", "latents").load("round_trip")
    return {
        "run": run.root.name,
        "status": scores.status,
        "round trip": f"{np.median(round_trip):.2%}",
        "worst P(k)": _worst([r for r in own if r["statistic"] == "spectrum" and r["scale"] is not None]),
        "distance ratio": "-" if near is None else f"{near:.2f}",
        "verdict": scores.verdict,
    }


def _worst(scales: Sequence[Mapping[str, Any]]) -> str:
    if not scales:
        return "-"
    worst = max(scales, key=lambda r: abs(floors(r)))
    length = f"{1 / worst['scale']:.3g} {worst['scale_unit'].removeprefix('cycles/')}"
    return f"x {exp(worst['value']):.2g} at {length} ({abs(floors(worst)):.1f} floor sd)"


def _title(run: Run) -> str:
    """Title in the configuration that a run keeps; empty where there is none."""
    path = run.root / "config.yaml"
    try:
        return str(read_mapping(path).get("title") or "") if path.is_file() else ""
    except AstroOodError:
        return ""


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _require_free(path: Path, mark: str, option: str, overwrite: bool) -> None:
    """Refuse to replace a file that was not written by the same command."""
    if path.is_dir():
        raise ConfigError("CF02", path, "is a directory", f"give {option} the name of a file")
    if overwrite or not path.exists():
        return
    with path.open("rb") as file:
        if mark.encode() not in file.read(_HEAD_BYTES):
            raise ConfigError("CF02", path, "another file is there already", f"give another {option}, or --overwrite")
