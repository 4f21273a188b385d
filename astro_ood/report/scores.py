"""The scores as files: one table, as CSV for people and as JSON for programs."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COLUMNS = (
    "statistic",
    "set",
    "scale",
    "scale_unit",
    "length",
    "length_unit",
    "agrees_from",
    "agrees_to",
    "value",
    "low",
    "high",
    "floor",
    "p",
    "p_adjusted",
    "p_min",
    "detectable",
    "verdict",
    "unit",
    "n_real",
    "n_inverted",
    "n_synthetic",
    "held_out",
)


def write_scores(
    rows: Iterable[Mapping[str, Any]], directory: Path | str, summary: Mapping[str, Any] | None = None
) -> tuple[Path, Path]:
    """Write ``scores.csv`` and ``scores.json`` (the rows, and the summary around them), each whole or not at all.

    Parameters
    ----------
    rows : iterable of mappings
        Keys of `COLUMNS`; a missing key is an empty value, another key an error. What is not finite is empty in CSV and null in JSON.
    directory : Path
    summary : mapping, optional
        Further entries of the JSON file: verdict, sentences, status, curves.

    Returns
    -------
    csv, json : Path

    Raises
    ------
    ValueError
        A row with an unknown key.
    """
    table = [_plain_row(row) for row in rows]
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    targets = directory / "scores.csv", directory / "scores.json"
    write_text(targets[0], csv_text(table, COLUMNS))
    write_text(targets[1], json.dumps({**(summary or {}), "rows": table}, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
    return targets


def csv_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV with a head; no text of a cell is taken for a formula."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: _guarded(value) for key, value in row.items()} for row in rows])
    return text.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text beside its name and rename it: a reader sees the old file or the new one, never half of it."""
    work = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with work.open("w", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        work.replace(path)
    finally:
        work.unlink(missing_ok=True)


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(row) - set(COLUMNS)
    if unknown:
        raise ValueError(f"no such column: {', '.join(sorted(unknown))}")
    return {key: _plain(row.get(key)) for key in COLUMNS}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _guarded(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula is quoted."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
