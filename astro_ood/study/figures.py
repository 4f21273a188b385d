"""Figures of a study: curves against an abscissa, dots by case, and the frontier of fidelity and novelty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from astro_ood.report import words
from astro_ood.report.axes import TEXT, Into, log_ticks, panels, plain_ticks, tell, whole_figure
from astro_ood.report.images import INK, MUTED
from astro_ood.study.table import Row

# Okabe & Ito, and their order for domains
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK, "#8f6200", "#5b6673", "#9c4078")
_MARKERS = "osD^vPX*<>"
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 3)))
_LEGEND = 7.5


def unique(values: Iterable[str]) -> list[str]:
    """Different values in their order."""
    return list(dict.fromkeys(values))


def curves(
    rows: Sequence[Row], xlabel: str, ylabel: str, *, log: str = "", level: float | None = None, into: Into = Figure
) -> Figure:
    """Values with intervals against x: a panel for each network, a colour for each domain, a dash for each case."""
    networks, domains, cases = (unique(getattr(r, key) for r in rows) for key in ("network", "domain", "case"))
    grid = panels(into, 2.9 * len(networks) + 0.4, nrows=len(networks), ncols=1, squeeze=False)
    for axes, network in zip(grid, networks, strict=True):
        for domain in domains:
            for case in cases:
                line = sorted((r for r in rows if (r.network, r.domain, r.case) == (network, domain, case)), key=_abscissa)
                _curve(axes, line, domains.index(domain), cases.index(case), _label(domain, case, len(cases)))
        _finish(axes, network, xlabel, ylabel, log, level)
    return whole_figure(grid[0])


def _abscissa(row: Row) -> float:
    return 0.0 if row.x is None else row.x


def _label(domain: str, case: str, cases: int) -> str:
    return domain if cases == 1 else f"{domain}, {case}"


def _curve(axes: Axes, line: Sequence[Row], colour: int, dash: int, label: str) -> None:
    if not line:
        return
    x, y = ([_abscissa(r) for r in line], [r.value for r in line])
    shade = _COLOURS[colour % len(_COLOURS)]
    axes.plot(
        x, y, color=shade, ls=_DASHES[dash % len(_DASHES)], marker=_MARKERS[colour % len(_MARKERS)], ms=4, lw=1.5, label=label
    )
    known = [(r.low, r.high) for r in line]
    if all(low is not None and high is not None for low, high in known):
        low, high = np.array(known, dtype=np.float64).T
        axes.fill_between(x, low, high, color=shade, alpha=0.12, lw=0)
    tell(axes, label, x, y, [f"{words.number(b)} at {words.number(a)}" for a, b in zip(x, y, strict=True)])


def dots(rows: Sequence[Row], xlabel: str, *, log: str = "", level: float | None = None, into: Into = Figure) -> Figure:
    """Values with intervals, one line for each case: a panel for each network, a colour for each domain."""
    networks, domains, cases = (unique(getattr(r, key) for r in rows) for key in ("network", "domain", "case"))
    grid = panels(into, (0.24 * len(cases) + 1.2) * len(networks), nrows=len(networks), ncols=1, squeeze=False)
    for axes, network in zip(grid, networks, strict=True):
        for i, domain in enumerate(domains):
            own = [r for r in rows if (r.network, r.domain) == (network, domain)]
            at = [cases.index(r.case) + 0.6 * (i / max(1, len(domains) - 1) - 0.5) for r in own]
            shade = _COLOURS[i % len(_COLOURS)]
            for y, r in zip(at, own, strict=True):
                if r.low is not None and r.high is not None:
                    axes.plot([r.low, r.high], [y, y], color=shade, lw=1.2, alpha=0.7)
            values = [r.value for r in own]
            axes.plot(values, at, ls="", color=shade, marker=_MARKERS[i % len(_MARKERS)], ms=4, label=domain)
            tell(axes, domain, values, at, [f"{r.case}: {words.number(r.value)}" for r in own])
        _finish(axes, network, xlabel, "", f"x{log}" if log else "", level, vertical=True)
        axes.set_yticks(range(len(cases)), cases, fontsize=_LEGEND + 0.5)
        axes.set_ylim(len(cases) - 0.4, -0.6)
    return whole_figure(grid[0])


def frontier(rows: Sequence[Row], fidelity: str, novelty: str, into: Into = Figure) -> Figure:
    """Fidelity against novelty, one point a recipe: a panel for each network and domain."""
    places = unique(f"{r.network}, {r.domain}" for r in rows)
    cases = unique(r.case for r in rows)
    value = {(f"{r.network}, {r.domain}", r.case, r.quantity): r.value for r in rows}
    grid = panels(into, 3.4 * len(places), width=6.6, nrows=len(places), ncols=1, squeeze=False)
    for axes, place in zip(grid, places, strict=True):
        for i, case in enumerate(cases):
            x, y = value.get((place, case, novelty)), value.get((place, case, fidelity))
            if x is None or y is None:
                continue
            # a marker of its own for each recipe: colours come again with other markers
            marker = _MARKERS[(i + 3 * (i // len(_COLOURS))) % len(_MARKERS)]
            axes.plot(x, y, ls="", marker=marker, color=_COLOURS[i % len(_COLOURS)], ms=5.5, label=case)
            tell(axes, case, [x], [y], [f"worst {words.number(y)}, nearest {words.number(x)}"])
        axes.axvline(0.9, color=MUTED, lw=0.9, ls=(0, (4, 2)))
        _finish(axes, place, "distance to the nearest inverted map, held-out maps = 1", "worst |Δ ln P| / floor sd", "y", 2.0)
    return whole_figure(grid[0])


def scatter(rows: Sequence[Row], x: str, y: str, into: Into = Figure) -> Figure:
    """One quantity against another, one point a domain, a marker for each case: a panel for each network."""
    networks, domains, cases = (unique(getattr(r, key) for r in rows) for key in ("network", "domain", "case"))
    grid = panels(into, 3.2 * len(networks), nrows=len(networks), ncols=1, squeeze=False)
    for axes, network in zip(grid, networks, strict=True):
        across = {r.domain: r.value for r in rows if r.network == network and r.quantity == x}
        for r in (r for r in rows if r.network == network and r.quantity == y and r.domain in across):
            i, j = domains.index(r.domain), cases.index(r.case)
            label = r.domain if j == min(cases.index(q.case) for q in rows if q.quantity == y) else None
            at, shade = across[r.domain], _COLOURS[i % len(_COLOURS)]
            axes.plot(at, r.value, ls="", marker=_MARKERS[j % len(_MARKERS)], color=shade, ms=5, label=label)
            if r.low is not None and r.high is not None:
                axes.plot([at, at], [r.low, r.high], color=shade, lw=1)
            tell(axes, f"{r.domain}, {r.case}", [at], [r.value], [f"{x} {words.number(at)}, {y} {words.number(r.value)}"])
        _finish(axes, network, x, y, "y", None)
    return whole_figure(grid[0])


def _finish(axes: Axes, network: str, xlabel: str, ylabel: str, log: str, level: float | None, *, vertical: bool = False) -> None:
    axes.set_title(network, fontsize=TEXT, loc="left", color=INK)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if level is not None:
        (axes.axvline if vertical else axes.axhline)(level, color=MUTED, lw=0.9, ls=(0, (4, 2)))
    for name, ticks in (("x", axes.set_xscale), ("y", axes.set_yscale)):
        if name in log:
            ticks("log")
            log_ticks(axes, name)
        elif not (vertical and name == "y"):
            plain_ticks(axes, name)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        axes.legend(handles, labels, fontsize=_LEGEND, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), labelcolor=INK)


Draw = Callable[[Sequence[Row]], Figure]
