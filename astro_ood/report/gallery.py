"""The gallery as a figure, for a notebook: the page has its maps as pictures of their own.

Both share the ends of the scale and the colour bar.
"""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.colorbar import make_axes
from matplotlib.figure import Figure

from astro_ood.report.axes import Into, panels_of
from astro_ood.report.content import Gallery
from astro_ood.report.figures import colour_bar
from astro_ood.report.images import COLOUR_MAP, INK, INVALID_COLOUR, bar_ends, colour_scale


def gallery_figure(
    gallery: Gallery, unit: str, pixel_scale: tuple[float, float] | None = None, n: int = 6, into: Into = Figure
) -> Figure:
    """The first `n` maps of every set on one scale, a row for each set, and their colour bar.

    Axes of the caller's are an array (sets, maps), drawn as far as it goes.
    """
    rows = [(name, maps) for name, maps in gallery.sets().items() if len(maps)]
    ends, (dy, dx) = bar_ends(gallery), pixel_scale or (1.0, 1.0)
    colours, norm = mpl.colormaps[COLOUR_MAP].with_extremes(bad=INVALID_COLOUR), colour_scale(*ends, gallery.log)
    columns = min(n, max(len(maps) for _, maps in rows))
    grid = panels_of(into, 1.3 * len(rows) + 0.8, 1.1 * columns, nrows=len(rows), ncols=columns, squeeze=False)
    for (name, maps), panels in zip(rows, grid, strict=False):
        for i, axes in enumerate(panels):
            axes.set_axis_off()
            if i < len(maps):
                shown = np.ma.masked_invalid(np.where(maps[i] > 0, maps[i], np.nan) if gallery.log else maps[i])
                axes.imshow(shown, origin="lower", norm=norm, cmap=colours, aspect=dy / dx, interpolation="nearest")
        panels[0].set_title(name, fontsize=8.5, color=INK, loc="left", parse_math=False)
    bar, _ = make_axes(list(grid.flat), location="bottom", fraction=0.06, pad=0.03, aspect=40)
    return colour_bar(*ends, unit, gallery.log, bar)
