"""Pictures inside the page: everything is a ``data:`` address, so that one file is the whole report.

Line figures are SVG, in a light and a dark variant (the four neutral colours are exchanged; both have an opaque ground, so that
neither can become unreadable). Maps are PNG files of one byte per pixel in the colours of viridis, which is perceptually uniform
and survives colour blindness and grey printing; pixels without a value are grey.
"""

from __future__ import annotations

import base64
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from astro_ood.report.content import FloatArray, Gallery

COLOUR_MAP = "viridis"
INVALID = 255
_GREY = (158, 158, 158)
INVALID_COLOUR = "#{:02x}{:02x}{:02x}".format(*_GREY)

# marks the points of a figure that a page tells more about
TOLD = "told"
INK, MUTED, RULE, PAPER = "#1d2530", "#5b6673", "#dcdfe3", "#ffffff"
DARK = {
    INK: "#e4e8ed",
    MUTED: "#9aa6b3",
    RULE: "#333d49",
    PAPER: "#1a2029",
    # Okabe-Ito's blue, and the darker shades used for text, are too dim on a dark ground
    "#0072b2": "#56b4e9",
    "#b04a00": "#f0935a",
    "#00775a": "#3fc79f",
    "#9c4078": "#dfa3c5",
    "#332288": "#8f7bff",
}


@dataclass(frozen=True)
class Picture:
    """Figure as two addresses, with what it says.

    Attributes
    ----------
    light, dark : str
        ``data:`` addresses.
    width, height : int
        CSS pixels.
    alt : str
    points : sequence of (float, float, str)
        What a pointer finds, and where: per cent from the left and from the top.
    """

    light: str
    dark: str
    width: int
    height: int
    alt: str
    points: Sequence[tuple[float, float, str]] = ()


def data_uri(content: bytes, kind: str) -> str:
    """``data:`` address of some bytes."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def svg(figure: Figure, alt: str) -> Picture:
    """Embed a figure as SVG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What the figure shows, in words.
    """
    buffer = io.StringIO()
    # Glyphs as outlines: the same look everywhere, and no text of the user inside the markup.
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "astro_ood"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    light = re.sub(r"\n\s*", "\n", text).strip()
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(_svg_uri(light), _svg_uri(_darkened(light)), width, height, alt, _told(figure))


def png(figure: Figure, alt: str, dpi: int = 120) -> Picture:
    """The same as PNG, on a light ground by day and by night: for pages of many figures, which as SVG would be too large."""
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    # lines and shades on one ground: 128 colours take a fifth of the bytes
    Image.open(drawn).convert("RGB").quantize(128).save(buffer, format="PNG", optimize=True)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    uri = data_uri(buffer.getvalue(), "image/png")
    return Picture(uri, uri, width, height, alt, _told(figure))


def compared(values: FloatArray, log: bool) -> FloatArray:
    """Maps on the scale that is shown and compared: log10 where `log`; NaN where there is no value."""
    x = np.asarray(values, dtype=np.float64)
    x = np.where(np.isfinite(x), x, np.nan)
    return np.asarray(np.log10(np.where(x > 0, x, np.nan))) if log else x


def bar_ends(gallery: Gallery) -> tuple[float, float]:
    """Ends of the colour bar on the scale that is shown: 0.5 % and 99.5 % of the real maps."""
    real = [maps for maps in (gallery.real_held_out, gallery.real_inverted) if len(maps)] or [gallery.synthetic]
    values = np.concatenate([compared(r, gallery.log).ravel() for r in real])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.quantile(values, [0.005, 0.995])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def colour_scale(low: float, high: float, log: bool) -> Normalize:
    """What carries values to colours; `low` and `high` are log10 where `log`."""
    return LogNorm(10**low, 10**high) if log else Normalize(low, high)


def map_png(values: FloatArray, low: float, high: float, pixels: int) -> str:
    """Embed one map as PNG.

    Parameters
    ----------
    values : ndarray, shape (H, W)
        Already on the scale that is shown (log10 where that is so).
    low, high : float
        Ends of the colour bar; values beyond take the colour of the end.
    pixels : int
        Longest side; larger maps are averaged over whole blocks.
    """
    small = reduced(values, pixels)
    level = np.clip((small - low) / (high - low), 0.0, 1.0) * (INVALID - 1)
    index = np.where(np.isfinite(small), np.nan_to_num(level), INVALID).round().astype(np.uint8)
    # Row 0 of an array in FITS order is the bottom of the map.
    image = Image.fromarray(np.ascontiguousarray(index[::-1]))
    image.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue(), "image/png")


def reduced(values: FloatArray, pixels: int) -> FloatArray:
    """Block means so that no side of (H, W) is longer than `pixels`; rest rows and columns are left out."""
    step = -(-max(values.shape) // pixels)
    if step == 1:
        return values
    height, width = (n // step * step for n in values.shape)
    blocks = values[:height, :width].reshape(height // step, step, width // step, step)
    return np.asarray(blocks.mean(axis=(1, 3)))


def palette() -> NDArray[np.uint8]:
    """Colours (256, 3) of the levels 0 to 254, and grey for pixels without a value."""
    colours = mpl.colormaps[COLOUR_MAP](np.linspace(0, 1, INVALID))[:, :3]
    return np.concatenate([(255 * colours).round(), [_GREY]]).astype(np.uint8)


def _told(figure: Figure) -> list[tuple[float, float, str]]:
    """These points of a figure that has been drawn: per cent of its width from the left and of its height from the top, and the text."""
    found = []
    for axes in figure.axes:
        for points in (c for c in axes.collections if c.get_gid() == TOLD):
            at = axes.transData.transform(np.ma.filled(points.get_offsets(), np.nan))
            for (x, y), text in zip(at, points.get_urls(), strict=True):
                if axes.bbox.contains(x, y):
                    found.append((100 * x / figure.bbox.width, 100 - 100 * y / figure.bbox.height, str(text)))
    return found


def _darkened(text: str) -> str:
    return re.sub("|".join(DARK), lambda m: DARK[m[0].lower()], text, flags=re.IGNORECASE)


def _svg_uri(text: str) -> str:
    return data_uri(text.encode(), "image/svg+xml")
