"""The figures of a report, in a notebook.

The functions of `astro_ood.report.figures` draw; here they are handed what a run found, and either the axes of the caller or pyplot,
whose figures a notebook shows. matplotlib is loaded when something is drawn, and pyplot only where it has to make a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from astro_ood.api.run import Run


def spectra(run: Run, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Power spectra of all sets, and their difference from held-out maps."""
    from astro_ood.api.report import spectra_card
    from astro_ood.report.figures import spectra_figure

    return _drawn(lambda into: spectra_figure(spectra_card(run), into), axes)


def pdf(run: Run, ax: Axes | None = None) -> Axes:
    """One-point densities of all sets."""
    from astro_ood.api.report import pdf_card
    from astro_ood.report.figures import pdf_figure

    return _drawn_one(lambda into: pdf_figure(pdf_card(run), run.fields.unit, run.scores.curves["log"], into), ax)


def novelty(run: Run, ax: Axes | None = None) -> Axes:
    """Distances to the nearest inverted map."""
    from astro_ood.api.report import novelty_card
    from astro_ood.report.figures import novelty_figure

    return _drawn_one(lambda into: novelty_figure(novelty_card(run), into), ax)


def inversion(run: Run, ax: Axes | None = None) -> Axes:
    """Round-trip error of every real map, and the error of its latent."""
    from astro_ood.api.report import inversion_card
    from astro_ood.report.figures import inversion_figure

    return _drawn_one(lambda into: inversion_figure(inversion_card(run), into), ax)


def latents(run: Run, ax: Axes | None = None) -> Axes:
    """Radial spectra of the inverted and of the new latents."""
    from astro_ood.api.report import latent_card
    from astro_ood.report.figures import latents_figure

    card = latent_card(run)
    return _drawn_one(lambda into: latents_figure(card.k, card.power_inverted, card.power_proposed, into), ax)


def diagnostics(curves: Mapping[str, Any], axes: Sequence[Axes] | None = None) -> NDArray[Any]:
    """Figures of latents: normality, spectrum, separability, smooth areas; bandwidth and capture where a network was asked."""
    from astro_ood.report.diagnostics import draw, shown

    if axes is None:
        from matplotlib import pyplot

        rows = len(shown(curves)) // 2
        axes = pyplot.figure(figsize=(11, 3.5 * rows), layout="constrained").subplots(rows, 2).ravel()
    if len(axes) != len(shown(curves)):
        raise ValueError(f"{len(axes)} axes, {len(shown(curves))} are needed")
    draw(curves, list(axes))
    return np.asarray(axes, dtype=object)


def gallery(run: Run, n: int = 6, axes: Any = None) -> NDArray[Any]:
    """The first `n` maps of every set on one scale: axes of shape (sets, maps)."""
    from astro_ood.api import report
    from astro_ood.report.gallery import gallery_figure

    wanted = n if axes is None else np.atleast_2d(np.asarray(axes, dtype=object)).shape[1]
    card, scale = report.gallery(run, wanted, wanted), run.fields.attrs.get("pixel_scale")
    given = _drawn(lambda into: gallery_figure(card, run.fields.unit, tuple(scale) if scale else None, wanted, into), axes)
    if axes is not None:
        return np.asarray(axes, dtype=object)
    panels = [one for one in given if one.get_subplotspec() is not None]
    return np.asarray(panels, dtype=object).reshape(-1, panels[0].get_subplotspec().get_gridspec().ncols)


def _drawn(draw: Callable[[Any], Figure], given: Any) -> Any:
    """What was drawn in: the axes given, or those of a new figure of pyplot's."""
    if given is not None:
        draw(given)
        return given
    from matplotlib import pyplot

    return draw(pyplot.figure).axes


def _drawn_one(draw: Callable[[Any], Figure], ax: Axes | None) -> Axes:
    return _drawn(draw, ax) if ax is not None else _drawn(draw, None)[0]
