"""The figures of a report and of a notebook, one function each: arrays in, figure out.

Colours are those of Okabe & Ito, told apart by line style as well; curves carry their name at their end. Figures are narrow, so that
they stay readable on a telephone. No text is parsed as mathematics: names and units come from files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray

from astro_ood.report import words
from astro_ood.report.axes import TEXT, Into, log_ticks, panels, panels_of, place, plain_ticks, tell, whole_figure
from astro_ood.report.content import (
    HELD_OUT,
    INVERTED,
    RECONSTRUCTED,
    SYNTHETIC,
    FloatArray,
    InversionCard,
    Nearness,
    NoveltyCard,
    Pdf,
    Spectra,
)
from astro_ood.report.images import COLOUR_MAP, INK, MUTED, PAPER, colour_scale

_SMALL = 8.5
# line colour (Okabe-Ito), text colour (the same hue, darker), line style
_STYLES: dict[str, tuple[str, str, Any]] = {
    HELD_OUT: (INK, INK, "-"),
    SYNTHETIC: ("#d55e00", "#b04a00", "-"),
    INVERTED: ("#0072b2", "#0072b2", (0, (5, 2))),
    RECONSTRUCTED: ("#56b4e9", "#0072b2", (0, (1, 1))),
    "IAAFT": ("#009e73", "#00775a", (0, (2, 1.5))),
    "augmentation": ("#cc79a7", "#9c4078", (0, (6, 1.5, 1, 1.5))),
    "Gaussian field": ("#e69f00", "#8f6200", (0, (4, 1, 1, 1, 1, 1))),
    # not of Okabe & Ito, who have no more that can be told apart; for the colour-blind as far from the others as these from each other
    "scattering synthesis": ("#332288", "#332288", (0, (1, 2))),
}
_MARKERS = ("D", "s", "^", "v", "P")
_OTHER = (MUTED, MUTED, (0, (3, 3)))
_SHORT = {HELD_OUT: "held out", INVERTED: "inverted", "augmentation": "augmented", "scattering synthesis": "synthesised"}


def spectra_figure(spectra: Spectra, into: Into = Figure) -> Figure:
    """Power spectra with the scatter between maps; below, their difference from real maps over the floor. Two axes."""
    upper, lower = panels(into, 5.6, nrows=2, sharex=True, height_ratios=(1.75, 1))
    base = words.reference(spectra.power)
    k = np.asarray(spectra.k, dtype=np.float64)
    ends, differences = {}, {}
    for name, power in _ordered(spectra.power):
        line = np.exp(words.mean_log(power))
        if name in (base, SYNTHETIC):
            low, high = np.quantile(power, [0.16, 0.84], axis=0)
            upper.fill_between(k, low, high, color=_line(name), alpha=0.16, lw=0)
        _curve(upper, name, k, line)
        ends[name] = line[-1]
        if name != base:
            differences[name] = words.log_difference(spectra, name)
            _curve(lower, name, k, differences[name])
    upper.set(yscale="log")
    _ylabel(upper, "P(k)", spectra.power_unit)
    log_ticks(upper, "y")
    _floor(lower, k, np.asarray(spectra.floor, dtype=np.float64), differences.values())
    lower.set_ylabel(f"Δ ln P from {_short(base)}", parse_math=False)
    stacked = upper.get_shared_x_axes().joined(upper, lower)
    for axes in (lower,) if stacked else (upper, lower):
        axes.set(xscale="log", xlim=(k[0] / 1.04, k[-1] * 1.04))
        axes.set_xlabel(f"k [{words.unit(spectra.k_unit)}]", parse_math=False)
        log_ticks(axes, "x")
    if stacked:
        upper.tick_params(labelbottom=False)
    _label_ends(upper, ends)
    _label_ends(lower, {name: d[-1] for name, d in differences.items()})
    return whole_figure(upper)


def pdf_figure(pdf: Pdf, unit: str, log: bool, into: Into = Figure) -> Figure:
    """One-point densities: mean over maps, and the scatter between maps."""
    (axes,) = panels(into, 3.5)
    base = words.reference(pdf.density)
    top = 0.0
    for name, density in _ordered(pdf.density):
        mean = np.mean(density, axis=0)
        top = max(top, float(mean.max()))
        if name in (base, SYNTHETIC):
            low, high = np.quantile(density, [0.16, 0.84], axis=0)
            axes.fill_between(
                pdf.edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=_line(name), alpha=0.16, lw=0
            )
        axes.stairs(
            np.where(mean > 0, mean, np.nan), pdf.edges, color=_line(name), ls=_style_of(name)[2], lw=_weight(name), baseline=None
        )
        centres = (pdf.edges[1:] + pdf.edges[:-1]) / 2
        tell(
            axes,
            name,
            centres,
            mean,
            (f"density {words.number(m, 2)} at {words.number(c)}" for c, m in zip(centres, mean, strict=True)),
        )
    axes.set_yscale("log")
    axes.set_ylim(top / 3000, top * 2)
    axes.set_xlim(pdf.edges[0], pdf.edges[-1])
    quantity = f"log₁₀ (value / {words.unit(unit) or 'unit'})" if log else _quantity("value", unit)
    axes.set_xlabel(quantity, parse_math=False)
    axes.set_ylabel("density" + (" [per dex]" if log else f" [1 / {words.unit(unit)}]" if unit else ""), parse_math=False)
    plain_ticks(axes, "x")
    log_ticks(axes, "y")
    _legend(axes, [name for name, _ in _ordered(pdf.density)])
    return whole_figure(axes)


def latents_figure(k: FloatArray, inverted: FloatArray, proposed: FloatArray, into: Into = Figure) -> Figure:
    """Radial spectra of the inverted and of the new latents; white noise is 1."""
    (axes,) = panels(into, 3.3)
    ends = {}
    for name, label, power in ((INVERTED, "of real maps", inverted), (SYNTHETIC, "new", proposed)):
        line = np.exp(words.mean_log(power))
        low, high = np.quantile(power, [0.16, 0.84], axis=0)
        axes.fill_between(k, low, high, color=_line(name), alpha=0.16, lw=0)
        _curve(axes, name, k, line)
        ends[label] = (line[-1], name)
    axes.axhline(1.0, color=MUTED, lw=1.0, ls=":")
    axes.set(xscale="log", yscale="log")
    axes.set_xlim(k[0] / 1.04, k[-1] * 1.04)
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, 0.4), max(high, 2.5))
    axes.set_xlabel("k [cycles/pixel]")
    axes.set_ylabel("power of the latents")
    log_ticks(axes, "x")
    log_ticks(axes, "y")
    place(axes, [(value, label, _style_of(name)[1]) for label, (value, name) in ends.items()] + [(1.0, "white noise", MUTED)])
    return whole_figure(axes)


def inversion_figure(card: InversionCard, into: Into = Figure) -> Figure:
    """Round-trip error of every map at every t_0, and the error of the latents."""
    (axes,) = panels(into, 2.9)
    times = words.medians(card)["times"]
    groups = [(f"t₀ = {words.number(float(t), 4)}", [(r["split"], r["round_trip"].get(t)) for r in card.rows]) for t in times]
    groups.append(("latents", [(r["split"], r.get("latent_error")) for r in card.rows]))
    for at, (_, points) in enumerate(groups):
        values = np.array([np.nan if words.finite(v) is None else 100 * float(v) for _, v in points])
        # Points stand apart in a fixed zigzag: chance would move them from one run to the next.
        offset = ((np.arange(len(values)) * 0.618) % 1 - 0.5) * 0.5
        held = np.array([split != "inverted" for split, _ in points])
        for mask, name, marker in ((~held, INVERTED, "o"), (held, HELD_OUT, "D")):
            axes.plot(at + offset[mask], values[mask], marker, ms=4.2, mfc=PAPER, mec=_line(name), mew=1.3, ls="none")
        for (split, _), row, x, y in zip(points, card.rows, at + offset, values, strict=True):
            tell(axes, str(split).replace("_", " "), [x], [y], [f"{words.clean(row['id'])}, {words.number(y)} %"])
        if np.isfinite(values).any():
            axes.plot([at - 0.33, at + 0.33], [np.nanmedian(values)] * 2, color=INK, lw=1.8)
    axes.set_yscale("log")
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.xaxis.set_major_locator(FixedLocator(list(range(len(groups)))))
    axes.set_xticklabels([label for label, _ in groups])
    axes.set_ylabel("error [% of standard deviation]")
    axes.grid(visible=False, axis="x")
    log_ticks(axes, "y")
    axes.set_title("circles: inverted    diamonds: held out    bar: median", fontsize=_SMALL, color=MUTED, loc="left")
    return whole_figure(axes)


def fingerprint_figure(near: Nearness, into: Into = Figure) -> Figure:
    """Histograms of the distance to the nearest inverted map in scattering coefficients."""
    return novelty_figure(near, into, "distance in scattering coefficients (0: a twin)", "twin")


def novelty_figure(
    card: NoveltyCard | Nearness,
    into: Into = Figure,
    label: str = "distance to the nearest inverted map (0: a copy, √2: unrelated)",
    below: str = "copy",
) -> Figure:
    """Histograms of the distance to the nearest inverted map."""
    (axes,) = panels(into, 3.1)
    both = np.concatenate([card.samples, card.reference, [card.threshold]])
    edges = np.histogram_bin_edges(both[np.isfinite(both)], bins=18)
    for name, values in ((HELD_OUT, card.reference), (SYNTHETIC, card.samples)):
        weights = np.full(len(values), 100.0 / max(len(values), 1))
        heights = np.histogram(values, edges, weights=weights)[0]
        axes.stairs(heights, edges, fill=True, color=_line(name), alpha=0.18)
        axes.stairs(heights, edges, color=_line(name), lw=1.8)
        bins = zip(edges[:-1], edges[1:], heights, strict=True)
        text = [f"{words.number(h)} % of maps from {words.number(a)} to {words.number(b)}" for a, b, h in bins]
        tell(axes, name, (edges[1:] + edges[:-1]) / 2, heights, text)
    axes.axvline(card.threshold, color=INK, lw=1.2, ls=(0, (4, 2)))
    axes.text(
        card.threshold, 0.98, f" {below} ←", transform=axes.get_xaxis_transform(), fontsize=_SMALL, color=INK, ha="left", va="top"
    )
    axes.set_xlabel(label)
    axes.set_ylabel("share of maps [%]")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    _legend(axes, [HELD_OUT, SYNTHETIC])
    return whole_figure(axes)


def colour_bar(low: float, high: float, unit: str, log: bool, into: Into = Figure) -> Figure:
    """The one colour bar of all maps; `low` and `high` are log10 where `log`."""
    axes = panels_of(into, 0.75).item()
    edges = np.linspace(low, high, 256)
    grid = 10**edges if log else edges
    norm = colour_scale(low, high, log)
    axes.pcolormesh(grid, [0, 1], ((grid[1:] + grid[:-1]) / 2)[None], norm=norm, cmap=COLOUR_MAP, rasterized=True)
    axes.set_xscale("log" if log else "linear")
    axes.set_xlim(grid[0], grid[-1])
    axes.yaxis.set_major_locator(NullLocator())
    log_ticks(axes, "x") if log else plain_ticks(axes, "x")
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=TEXT, length=3)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(_quantity("value", unit) + (", logarithmic scale" if log else ""), fontsize=TEXT, color=INK, parse_math=False)
    return whole_figure(axes)


def _style_of(name: str) -> tuple[str, str, Any]:
    return _STYLES.get(name, _OTHER)


def _line(name: str) -> str:
    return _style_of(name)[0]


def _weight(name: str) -> float:
    return 2.2 if name in (HELD_OUT, SYNTHETIC) else 1.5


def _short(name: str) -> str:
    text = _SHORT.get(name, name)
    return text if len(text) <= 16 else f"{text[:15]}…"


def _ordered(sets: Mapping[str, FloatArray]) -> list[tuple[str, FloatArray]]:
    """Sets of at least one map; those that matter last, so that they are drawn on top."""
    rank = {SYNTHETIC: 2, HELD_OUT: 1}
    return [(name, v) for name, v in sorted(sets.items(), key=lambda item: rank.get(item[0], 0)) if len(v)]


def _curve(axes: Axes, name: str, x: FloatArray, y: FloatArray) -> None:
    tell(axes, name, x, y, (f"{words.number(b)} at k = {words.number(a)}" for a, b in zip(x, y, strict=True)))
    axes.plot(x, y, color=_line(name), ls=_style_of(name)[2], lw=_weight(name))


def _floor(axes: Axes, k: FloatArray, sd: FloatArray, differences: Any) -> None:
    """Bands of one and two floor standard deviations around zero."""
    for times, alpha in ((2, 0.13), (1, 0.2)):
        axes.fill_between(k, -times * sd, times * sd, color=INK, alpha=alpha, lw=0)
    axes.axhline(0, color=INK, lw=0.9)
    values = np.concatenate([2.3 * sd, *(np.abs(d) for d in differences)])
    reach = float(np.nanmax(values, initial=0.1)) * 1.08
    axes.set_ylim(-reach, reach)
    plain_ticks(axes, "y")
    axes.text(
        0.015, 0.03, "grey: ±1 and ±2 floor sd", transform=axes.transAxes, fontsize=_SMALL, color=MUTED, ha="left", va="bottom"
    )


def _label_ends(axes: Axes, ends: Mapping[str, float]) -> None:
    place(axes, [(value, _short(name), _style_of(name)[1]) for name, value in ends.items()])


def _legend(axes: Axes, names: Sequence[str]) -> None:
    """Names above the figure, each with a piece of its line."""
    handles = [axes.plot([], [], color=_line(n), ls=_style_of(n)[2], lw=_weight(n))[0] for n in names]
    legend = axes.legend(
        handles,
        [_short(n) for n in names],
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=3,
        frameon=False,
        fontsize=TEXT,
        handlelength=1.7,
        columnspacing=1.2,
        borderaxespad=0.1,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(color=_style_of(name)[1], parse_math=False)


def dots(axes: Axes, name: str, x: FloatArray, y: NDArray[np.int64], interval: tuple[FloatArray, FloatArray] | None = None) -> None:
    """Points of a set in rows, with their intervals, labelled for a legend."""
    shown = np.isfinite(x)
    if interval is not None:
        axes.hlines(y[shown], interval[0][shown], interval[1][shown], color=_line(name), lw=1.3)
    marker = "o" if name == SYNTHETIC else _MARKERS[list(_STYLES).index(name) % len(_MARKERS) if name in _STYLES else -1]
    face = _line(name) if name == SYNTHETIC else "none"
    axes.plot(x[shown], y[shown], marker, ms=4.4, mfc=face, mec=_line(name), mew=1.2, ls="none", label=_short(name))


def _quantity(name: str, unit: str) -> str:
    return f"{name} [{words.unit(unit)[:40]}]" if unit else f"{name} (unit not known)"


def _ylabel(axes: Axes, name: str, unit: str) -> None:
    axes.set_ylabel(f"{name} [{words.unit(unit)[:40]}]" if unit else name, parse_math=False)
