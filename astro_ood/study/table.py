"""Tidy rows: one number a row, with its interval and everything that says which number it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood._random import stream
from astro_ood.errors import InputError
from astro_ood.report.scores import write_text

Statistic = Callable[[NDArray[np.float64]], float]
LEVEL = 0.95


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes
    ----------
    experiment, network, domain : str
        The cell.
    case : str
        Method, solver, recipe, set of maps.
    quantity : str
        What was measured.
    x : float or None
        Abscissa, where there is one: evaluations, eta, time, number of maps.
    value : float
    low, high : float or None
        95 % interval.
    n : int
        Maps (or pairs, or directions) behind the number.
    """

    experiment: str
    network: str
    domain: str
    case: str
    quantity: str
    x: float | None
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


COLUMNS = tuple(f.name for f in fields(Row))


def bootstrap(values: ArrayLike, statistic: Statistic = np.median, seed: int = 0, n_boot: int = 1000) -> tuple[float, float, float]:
    """A statistic of values (N,) and its 95 % percentile interval, the N (maps, never pixels) drawn again."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if len(x) == 0:
        return float("nan"), float("nan"), float("nan")
    rng = stream(seed, "bootstrap")
    drawn = [statistic(x[rng.integers(0, len(x), len(x))]) for _ in range(n_boot)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(statistic(x)), float(low), float(high)


def scaled(interval: Iterable[float], factor: float = 1.0) -> tuple[float, float, float]:
    """A value and its interval, times a factor."""
    value, low, high = (float(v) * factor for v in interval)
    return value, low, high


def write_table(rows: Iterable[Row], path: Path) -> None:
    """Write rows as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in astuple(row)])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


def read_table(paths: Sequence[Path]) -> list[Row]:
    """Rows of several files.

    Raises
    ------
    InputError
        IN25: other columns than those of a study.
    """
    rows = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise InputError("IN25", path, f"columns {reader.fieldnames}", "delete it, and run the study again")
            rows += [_row(record) for record in reader]
    return rows


def _row(record: dict[str, str]) -> Row:
    optional = {key: float(record[key]) if record[key] else None for key in ("x", "low", "high")}
    words = {key: record[key] for key in ("experiment", "network", "domain", "case", "quantity")}
    return Row(**words, **optional, value=float(record["value"]), n=int(record["n"]))  # type: ignore[arg-type]
