"""Diagnostics of latents as figures and words: plain values in, as `diagnostics.json` holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from astro_ood.report import words
from astro_ood.report.axes import Into, log_ticks, panels, place, plain_ticks, tell, whole_figure
from astro_ood.report.images import INK, MUTED, Picture, svg

# Beyond so many standard deviations the axis is logarithmic.
LINEAR = 3.0
_ROW, _MARGIN, _SMALL = 0.2, 0.9, 8.5
_COLOURS = (("#0072b2", "-"), ("#d55e00", (0, (5, 2))), ("#00775a", (0, (1, 1))), ("#9c4078", (0, (6, 1.5, 1, 1.5))))

Curves = Mapping[str, Any]


def normality_figure(found: Curves, into: Into = Figure) -> Figure:
    """Each statistic of normality, in standard deviations of the Gaussian surrogates'."""
    names, scores = list(found["names"]), _numbers(found["scores"])
    (axes,) = panels(into, _MARGIN + _ROW * len(names))
    for times, alpha in ((2, 0.13), (1, 0.2)):
        axes.axvspan(-times, times, color=INK, alpha=alpha, lw=0)
    axes.axvline(0, color=INK, lw=0.9)
    rows = np.arange(len(names))
    axes.plot(scores, rows, "o", ms=4.4, color=_COLOURS[0][0], ls="none")
    tell(
        axes,
        "latents",
        scores,
        rows,
        (f"{n}, {words.number(x, 2)} sd of Gaussian latents" for n, x in zip(names, scores, strict=True)),
    )
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=1.5)
    reach = max(2 * LINEAR, 1.3 * float(np.nanmax(np.abs(scores), initial=0.0)))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(FixedLocator([t for t in (-300, -30, -3, 0, 3, 30, 300) if abs(t) <= reach]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.number(int(x))))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(axis="y", labelsize=_SMALL)
    axes.set_xlabel("difference from Gaussian latents [sd of these]")
    return whole_figure(axes)


def colour_figure(found: Curves, into: Into = Figure) -> Figure:
    """Mean power of the latents with the band that covers all wavenumbers; white noise is 1."""
    (axes,) = panels(into, 3.0)
    k, mean, low, high = (_numbers(found[key]) for key in ("k", "mean", "low", "high"))
    floor = max(1e-3 * float(np.nanmin(mean)), 1e-12)
    axes.fill_between(k, np.maximum(low, floor), high, color=_COLOURS[0][0], alpha=0.2, lw=0)
    axes.plot(k, mean, color=_COLOURS[0][0], lw=1.8)
    axes.axhline(1.0, color=MUTED, lw=1.0, ls=":")
    axes.set(xscale="log", yscale="log")
    axes.set_ylim(min(0.4, 0.7 * float(np.nanmin(mean))), max(2.5, 1.4 * float(np.nanmax(mean))))
    axes.set_xlim(k[0] / 1.04, k[-1] * 1.04)
    axes.set_xlabel("k [cycles/pixel]")
    axes.set_ylabel("power of the latents")
    log_ticks(axes, "x")
    log_ticks(axes, "y")
    return whole_figure(axes)


def separability_figure(found: Curves, into: Into = Figure) -> Figure:
    """Area under the ROC curve of held-out latents against the number of latents, one curve for each set they are told from."""
    (axes,) = panels(into, 3.0)
    axes.axhline(0.5, color=MUTED, lw=1.0, ls=":")
    ends, largest = [], 5.0
    for (name, curve), (colour, style) in zip(found.items(), _COLOURS, strict=False):
        sizes, value, low, high = (_numbers(curve[key]) for key in ("sizes", "value", "low", "high"))
        axes.fill_between(sizes, low, high, color=colour, alpha=0.15, lw=0)
        axes.plot(sizes, value, color=colour, ls=style, lw=1.8, marker="o", ms=3.5)
        told = (f"AUROC {words.number(v, 3)} with {words.number(n)} latents" for n, v in zip(sizes, value, strict=True))
        tell(axes, name, sizes, value, told)
        ends.append((float(value[-1]), f"from {name}", colour))
        largest = max(largest, float(sizes.max()))
    axes.set_xscale("log")
    axes.set_ylim(0.0, 1.04)
    axes.set_xlim(2, largest * 1.2)
    axes.set_xlabel("latents of each set")
    axes.set_ylabel("AUROC, held-out latents")
    plain_ticks(axes, "y")
    log_ticks(axes, "x")
    place(axes, [*ends, (0.5, "chance", MUTED)])
    return whole_figure(axes)


def smooth_figure(found: Curves, into: Into = Figure) -> Figure:
    """Variance of the latents by decile of the smoothness of their maps."""
    (axes,) = panels(into, 2.6)
    deciles = _numbers(found["deciles"])
    axes.axhline(1.0, color=MUTED, lw=1.0, ls=":")
    axes.plot(np.arange(1, 11), deciles, "o-", color=_COLOURS[0][0], lw=1.4, ms=4.4)
    told = (f"{words.number(v, 3)} times the variance of all pixels" for v in deciles)
    tell(axes, "latents", np.arange(1, 11), deciles, told)
    reach = max(0.1, 1.2 * float(np.nanmax(np.abs(deciles - 1))))
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_xlim(0.5, 10.5)
    axes.xaxis.set_major_locator(FixedLocator(range(1, 11)))
    axes.set_xlabel("tenth of the pixels, smoothest of the map first")
    axes.set_ylabel("variance of the latents")
    plain_ticks(axes, "y")
    return whole_figure(axes)


def bandwidth_figure(found: Curves, into: Into = Figure) -> Figure:
    """Room around the state of each map along noise and towards another map, in norms of the state; what has no end is left out."""
    (axes,) = panels(into, 2.2)
    rows = (("noise", "along noise"), ("another", "towards another map"), ("gap", "distance of that map"))
    shown = [0.1, 1.0]
    for row, ((key, name), (colour, _)) in enumerate(zip(rows, _COLOURS, strict=False)):
        values = _numbers(found[key])
        known = values[np.isfinite(values) & (values > 0)]
        shown += list(known)
        axes.plot(known, np.full(len(known), row), "o", color=colour, ms=4.4, alpha=0.45, mew=0, ls="none")
        tell(axes, name, known, np.full(len(known), row), (f"{words.number(v, 3)} of the norm of the state" for v in known))
        if len(known):
            middle = float(np.median(known))
            axes.plot([middle, middle], [row - 0.3, row + 0.3], color=colour, lw=2.2)
    axes.set_xscale("log")
    axes.set_xlim(min(shown) / 1.5, max(shown) * 1.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [name for _, name in rows])
    axes.tick_params(axis="y", labelsize=_SMALL)
    axes.set_xlabel("distance from the state [its norm]")
    log_ticks(axes, "x")
    return whole_figure(axes)


def capture_figure(found: Curves, into: Into = Figure) -> Figure:
    """Fraction of decoded maps that the network's own domain captures, with its interval, against the stochasticity of decoding."""
    (axes,) = panels(into, 2.6)
    etas, fraction, low, high = (_numbers(found[key]) for key in ("etas", "fraction", "low", "high"))
    order = np.argsort(etas)
    etas, fraction, low, high = etas[order], fraction[order], low[order], high[order]
    axes.vlines(etas, low, high, color=_COLOURS[0][0], lw=1.4)
    axes.plot(etas, fraction, "o-", color=_COLOURS[0][0], lw=1.4, ms=4.4)
    told = (
        f"{f:.0%} ({a:.0%} to {b:.0%}) at eta {words.number(e, 2)}" for e, f, a, b in zip(etas, fraction, low, high, strict=True)
    )
    tell(axes, "captured", etas, fraction, told)
    axes.axhline(found["sensitivity"], color=MUTED, lw=1.0, ls=":")
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlim(float(etas[0]) - 0.04, float(etas[-1]) + 0.04)
    axes.set_xlabel("stochasticity eta")
    axes.set_ylabel("captured")
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    place(axes, [(float(found["sensitivity"]), "network's own", MUTED)])
    return whole_figure(axes)


FIGURES = {
    "gaussianity": normality_figure,
    "spectrum": colour_figure,
    "separability": separability_figure,
    "smooth_areas": smooth_figure,
}


# what only a network can answer
ASKED = {"bandwidth": bandwidth_figure, "interference": capture_figure}


def shown(curves: Curves) -> dict[str, Callable[..., Figure]]:
    """Figures that there are axes for: four, and two more where a network was asked."""
    return FIGURES | ASKED if any(name in curves for name in ASKED) else FIGURES


def draw(curves: Curves, axes: list[Axes]) -> None:
    """All figures into their axes; those that have nothing to show are switched off."""
    for (name, figure), one in zip(shown(curves).items(), axes, strict=True):
        if name in curves:
            figure(curves[name], one)
        else:
            one.set_axis_off()


def pictures(curves: Curves) -> dict[str, Picture]:
    """Figures for the page; the spectrum is shown there with that of the new latents."""
    found = {}
    if "gaussianity" in curves:
        found["normality"] = svg(normality_figure(curves["gaussianity"]), normality_finding(curves["gaussianity"]))
    if "separability" in curves:
        found["separability"] = svg(separability_figure(curves["separability"]), separability_finding(curves["separability"]))
    if "smooth_areas" in curves:
        found["smooth"] = svg(smooth_figure(curves["smooth_areas"]), smooth_finding(curves["smooth_areas"]))
    if "bandwidth" in curves:
        found["bandwidth"] = svg(bandwidth_figure(curves["bandwidth"]), bandwidth_finding(curves["bandwidth"]))
    if "interference" in curves:
        found["capture"] = svg(capture_figure(curves["interference"]), capture_finding(curves["interference"]))
    return found


def normality_finding(found: Curves) -> str:
    """What the figure of normality shows, in words."""
    scores = _numbers(found["scores"])
    worst = int(np.nanargmax(np.abs(scores)))
    return (
        f"Statistics of normality of {words.number(found['n'])} latents: the farthest, {found['names'][worst]}, lies "
        f"{words.number(scores[worst], 2)} standard deviations from Gaussian latents of the same spectrum."
    )


def separability_finding(found: Curves) -> str:
    """What the figure of separability shows, in words."""
    parts = [f"{words.number(_numbers(curve['value'])[-1], 3)} from {name}" for name, curve in found.items()]
    return f"Area under the ROC curve with all latents: {', '.join(parts)}; 0.5 is chance."


def smooth_finding(found: Curves) -> str:
    """What the figure of smooth areas shows, in words."""
    deciles = _numbers(found["deciles"])
    return (
        f"Variance of the latents in the smoothest tenth of their maps: {words.number(deciles[0], 3)} times that of all pixels; "
        f"in the steepest: {words.number(deciles[-1], 3)} times."
    )


def bandwidth_finding(found: Curves) -> str:
    """What the figure of the bandwidth shows, in words; what has no end counts as farther than the rest."""
    noise, another, gap = (float(np.median(np.nan_to_num(_numbers(found[key]), nan=np.inf))) for key in ("noise", "another", "gap"))
    rooms = [words.number(room, 2) if np.isfinite(room) else "more than 2" for room in (noise, another)]
    return (
        f"Room around trajectories at t = {words.number(found['t'], 3)}, in norms of the state: median {rooms[0]} along noise, {rooms[1]} towards another "
        f"map, which lies {words.number(gap, 2)} away."
    )


def capture_finding(found: Curves) -> str:
    """What the figure of capture shows, in words."""
    parts = [f"{f:.0%} at eta {words.number(e, 2)}" for e, f in zip(found["etas"], found["fraction"], strict=True)]
    return f"Captured by the network's own domain, of {words.number(found['n'])} decoded maps: {', '.join(parts)}."


def _numbers(values: Any) -> Any:
    """Array of floats, with NaN for what was not finite."""
    return np.array([np.nan if x is None else x for x in values], dtype=np.float64)


__all__ = [
    "ASKED",
    "FIGURES",
    "bandwidth_figure",
    "capture_figure",
    "colour_figure",
    "draw",
    "normality_figure",
    "pictures",
    "separability_figure",
    "shown",
    "smooth_figure",
]
