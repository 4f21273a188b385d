"""The power of synthetic over that of real maps, of several runs in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from astro_ood.report import words
from astro_ood.report.axes import Into, log_ticks, panels, place, plain_ticks, tell, whole_figure
from astro_ood.report.comparison import ComparedRun
from astro_ood.report.content import SYNTHETIC
from astro_ood.report.images import INK, MUTED

# line colours (Okabe & Ito) with those of text, the same hue but darker; then line styles, so that 35 runs stay apart
_COLOURS = (
    ("#d55e00", "#b04a00"),
    ("#0072b2", "#0072b2"),
    ("#009e73", "#00775a"),
    ("#cc79a7", "#9c4078"),
    ("#e69f00", "#8f6200"),
    (INK, INK),
    ("#56b4e9", "#0072b2"),
)
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (3, 3)))
_MARKERS = "osD^vPX"


def has_ratio(run: ComparedRun) -> bool:
    """Whether there are spectra of synthetic maps and a floor for every k."""
    spectra = run.data.spectra
    return SYNTHETIC in spectra.power and len(spectra.k) == len(spectra.floor) > 0


def same_axis(run: ComparedRun) -> tuple[object, ...]:
    """What two runs must share to stand in one figure: unit, compared quantity, and the k of every bin."""
    spectra, data = run.data.spectra, run.data
    return (data.data.unit, data.gallery.log, spectra.k_unit, *(f"{k:.4g}" for k in spectra.k))


def ratio_figure(runs: Sequence[ComparedRun], into: Into = Figure) -> Figure:
    """ln P of synthetic over real maps against k, one line a run.

    The dark band is two standard deviations of the smallest floor among the runs, the light one of the largest.
    """
    (axes,) = panels(into, 3.7)
    spectra = [run.data.spectra for run in runs]
    k = np.asarray(spectra[0].k, dtype=np.float64)
    floors = 2 * np.array([s.floor for s in spectra], dtype=np.float64)
    for band, alpha in ((floors.max(axis=0), 0.12), (floors.min(axis=0), 0.2)):
        axes.fill_between(k, -band, band, color=INK, alpha=alpha, lw=0)
    axes.axhline(0, color=INK, lw=0.9)
    curves = [words.log_difference(s) for s in spectra]
    for run, curve in zip(runs, curves, strict=True):
        colour, _, dashes, marker = _style(run.index)
        texts = (f"{words.signed(c)} in ln P at k = {words.number(x)}" for x, c in zip(k, curve, strict=True))
        tell(axes, f"{run.key} {words.clean(run.data.name)}", k, curve, texts)
        axes.plot(k, curve, color=colour, ls=dashes, lw=1.9, marker=marker, ms=4)
    reach = 1.08 * float(np.nanmax(np.abs([*curves, 1.1 * floors.max(axis=0)]), initial=0.1))
    axes.set(xscale="log", xlim=(k[0] / 1.06, k[-1] * 1.06), ylim=(-reach, reach))
    axes.set_xlabel(f"k [{words.unit(spectra[0].k_unit)}]", parse_math=False)
    axes.set_ylabel("ln (P synthetic / P real)")
    plain_ticks(axes, "y")
    log_ticks(axes, "x")
    axes.set_title("grey: ±2 floor sd", fontsize=8.5, color=MUTED, loc="left")
    place(axes, [(c[-1], _label(run), _style(run.index)[1]) for run, c in zip(runs, curves, strict=True)])
    return whole_figure(axes)


def ratio_finding(runs: Sequence[ComparedRun]) -> str:
    """At how many scales each run is within its floor, and where it is farthest from it."""
    return " ".join(_finding(run) for run in runs)


def one_floor(runs: Sequence[ComparedRun]) -> bool:
    """Whether the floors of all runs look the same."""
    floors = np.array([run.data.spectra.floor for run in runs], dtype=np.float64)
    return bool(np.allclose(floors, floors[0], rtol=0.02))


def _style(index: int) -> tuple[str, str, Any, str]:
    """Colour of the line, colour of its name, dashes, marker."""
    hue, turn = index % len(_COLOURS), index // len(_COLOURS)
    return *_COLOURS[hue], _DASHES[(hue + turn) % len(_DASHES)], _MARKERS[(hue + turn) % len(_MARKERS)]


def _finding(run: ComparedRun) -> str:
    spectra = run.data.spectra
    difference = words.log_difference(spectra)
    beyond = np.abs(difference) / np.where(spectra.floor > 0, spectra.floor, np.nan)
    if not np.isfinite(beyond).any():
        return f"{run.key}: the floor is not known."
    worst, inside = int(np.nanargmax(beyond)), int(np.count_nonzero(beyond <= 2))
    factor = words.number(float(np.exp(difference[worst])), 2)
    return (
        f"{run.key} is within two floor standard deviations at {inside} of {len(beyond)} scales; farthest at "
        f"k = {words.number(spectra.k[worst], 2)} {words.unit(spectra.k_unit)}, by a factor of {factor}."
    )


def _label(run: ComparedRun) -> str:
    name = words.clean(run.data.name)
    return f"{run.key} {name if len(name) <= 13 else name[:12] + '…'}"
