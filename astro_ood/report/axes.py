"""Axes that all figures share: narrow, without mathematical typesetting, in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from astro_ood.report import words
from astro_ood.report.images import INK, MUTED, PAPER, RULE, TOLD

# axes of the caller's; or what makes a figure: matplotlib's, or ``pyplot.figure``, whose figures a notebook shows
Into = Callable[..., Figure] | Axes | Sequence[Axes]
WIDTH = 4.7
TEXT = 9.5


def panels_of(into: Into, height: float, width: float = WIDTH, **grid: Any) -> NDArray[Any]:
    """Axes to draw in, as an array of two dimensions: those of the caller, or new ones in a figure of its making."""
    panels = _new(into, height, width).subplots(**grid) if callable(into) else into
    return np.atleast_2d(np.asarray(panels, dtype=object))


def _new(make: Callable[..., Figure], height: float, width: float) -> Figure:
    return make(figsize=(width, height), layout="constrained", facecolor=PAPER)


def panels(into: Into, height: float, **grid: Any) -> list[Axes]:
    """The same in the style of the curves, one after the other."""
    return [_style(axes) for axes in panels_of(into, height, **grid).flat]


def whole_figure(axes: Axes) -> Figure:
    """The whole figure that axes are in, be they in a part of it."""
    return axes.figure.figure


def _style(axes: Axes) -> Axes:
    axes.set_facecolor(PAPER)
    axes.grid(visible=True, which="major", color=RULE, lw=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    axes.tick_params(which="both", colors=MUTED, labelcolor=INK, labelsize=TEXT, width=0.8)
    axes.tick_params(which="minor", length=2)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(fontsize=TEXT, color=INK)
    return axes


def tell(axes: Axes, name: str, x: ArrayLike, y: ArrayLike, texts: Iterable[str]) -> None:
    """Note what a reader should find who points at (x, y) in a page: the name of a set, and a text for each point."""
    points = axes.scatter(x, y, visible=False, gid=TOLD)
    points.set_urls([f"{name}: {text}" for text in texts])


def place(axes: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right border, at the height of their curves' ends, moved apart where they would overlap."""
    known = [(value, text, colour) for value, text, colour in labels if math.isfinite(value)]
    gap = 1.25 * TEXT / 72 * axes.figure.dpi / axes.get_window_extent().height
    pixels = [axes.transData.transform((axes.get_xlim()[1], value))[1] for value, _, _ in known]
    wanted = [float(axes.transAxes.inverted().transform((0, p))[1]) for p in pixels]
    order = sorted(range(len(known)), key=lambda i: wanted[i])
    heights = np.clip([wanted[i] for i in order], 0.0, 1.0)
    for _ in range(50):
        for i in range(1, len(heights)):
            lack = gap - (heights[i] - heights[i - 1])
            if lack > 0:
                heights[i - 1] -= lack / 2
                heights[i] += lack / 2
        heights += max(0.0, -heights.min(initial=0.0)) - max(0.0, heights.max(initial=1.0) - 1.0)
    for i, height in zip(order, heights, strict=True):
        _, text, colour = known[i]
        axes.annotate(
            text,
            (1, height),
            (6, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            va="center",
            fontsize=TEXT,
            color=colour,
            parse_math=False,
        )


def plain_ticks(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda x, _: words.number(0.0 if abs(x) < 1e-12 else x, 3)))


def log_ticks(axes: Axes, which: str) -> None:
    """Decades, and 2 and 5 where there are few of them, without mathematical typesetting."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if low > 0 else 1.0
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.2 else (1.0,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda x, _: words.number(x, 2)))
    axis.set_minor_formatter(NullFormatter())
