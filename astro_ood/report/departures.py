"""How far each scale of a statistic lies from real maps: one row of a figure for each, all in the same measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter

from astro_ood.report import words
from astro_ood.report.axes import Into, panels, tell, whole_figure
from astro_ood.report.content import SYNTHETIC, FloatArray, Row
from astro_ood.report.figures import dots
from astro_ood.report.images import INK

# Beyond so many floor standard deviations the axis is logarithmic.
LINEAR = 3.0
_TICKS = (-100, -30, -10, -3, 0, 3, 10, 30, 100)
_ROW, _MARGIN = 0.165, 1.0
_SIZE, _LONG_SIZE, _LONG = 8.5, 7.5, 24


def departures_figure(rows: Sequence[Row], statistic: str, into: Into = Figure) -> Figure:
    """Differences from real maps in floor standard deviations, scale by scale; baselines beside the samples."""
    labels = scale_labels(rows, statistic)
    (axes,) = panels(into, _MARGIN + _ROW * len(labels))
    for times, alpha in ((2, 0.13), (1, 0.2)):
        axes.axvspan(-times, times, color=INK, alpha=alpha, lw=0)
    axes.axvline(0, color=INK, lw=0.9)
    names = sorted({str(row["set"]) for row in rows if row["statistic"] == statistic}, key=lambda name: name == SYNTHETIC)
    for name in names:
        own = {str(row["scale"]): row for row in rows if row["statistic"] == statistic and row["set"] == name}
        value, low, high = (np.array([_in_floors(own.get(label), key) for label in labels]) for key in ("value", "low", "high"))
        texts = (f"{label}, {words.signed(x)} floor sd" for label, x in zip(labels, value, strict=True))
        tell(axes, name, value, np.arange(len(labels)), texts)
        dots(axes, name, value, np.arange(len(labels)), (low, high) if name == SYNTHETIC else None)
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.5)
    reach = max(2 * LINEAR, 1.3 * float(np.nanmax(np.abs(axes.dataLim.intervalx), initial=0.0)))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(FixedLocator([t for t in _TICKS if abs(t) <= reach]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.number(int(x))))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_xlabel("difference from real maps [floor sd]")
    axes.tick_params(axis="y", labelsize=_LONG_SIZE if max(map(len, labels)) > _LONG else _SIZE)
    figure = whole_figure(axes)
    legend = figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside upper right",
        ncols=4,
        frameon=False,
        fontsize=_SIZE,
        handletextpad=0.1,
        columnspacing=0.8,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def departures_finding(rows: Sequence[Row], statistic: str) -> str:
    """How many scales lie within the floor, and the worst one."""
    labels = scale_labels(rows, statistic)
    own = {str(r["scale"]): r for r in rows if r["statistic"] == statistic and r["set"] == SYNTHETIC}
    sizes: FloatArray = np.array([_in_floors(own.get(label), "value") for label in labels])
    name = words.sentence(words.statistic(statistic))
    if not np.isfinite(sizes).any():
        return f"{name}: the floor is not known, so nothing can be said of the differences."
    worst, inside = int(np.nanargmax(np.abs(sizes))), int(np.count_nonzero(np.abs(sizes) <= 2))
    return (
        f"{name}: {inside} of {words.count(len(labels), 'scale')} of the synthetic maps are within two floor standard deviations of real maps; "
        f"farthest is {labels[worst]} ({words.signed(sizes[worst])})."
    )


def scale_labels(rows: Sequence[Row], statistic: str) -> list[str]:
    """Scales of a statistic, in their order."""
    found = (str(row["scale"]) for row in rows if row["statistic"] == statistic and not words.is_whole(row))
    return list(dict.fromkeys(words.clean(label)[:60] for label in found))


def _in_floors(row: Row | None, key: str) -> float:
    value, floor = (words.finite(row.get(k)) if row else None for k in (key, "floor"))
    return value / floor if value is not None and floor else np.nan
