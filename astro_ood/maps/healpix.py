"""HEALPix maps, cut into their twelve base faces without interpolation.

A HEALPix map (Gorski et al. 2005, ApJ 622, 759) of resolution nside is twelve squares of nside x nside pixels of equal area. In the HPX
projection (Calabretta & Roukema 2007, MNRAS 381, 865) each base face is a square turned by 45 degrees, so a face is an ordinary image
with an exact WCS. Rows run towards the north-east and columns towards the north-west, which is the parity of the sky (longitude grows to
the left). Faces of one file are disjoint pieces of sky: the natural regions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps.files import check_budget
from astro_ood.maps.fitsheader import Hdu
from astro_ood.maps.planes import Planes
from astro_ood.maps.raw import Entry, RawArray
from astro_ood.maps.units import parse_unit
from astro_ood.maps.wcs import Cards

UNSEEN = -1.6375e30
"""Value that marks pixels without data."""

_FRAMES = {
    "g": "galactic",
    "galactic": "galactic",
    "c": "icrs",
    "q": "icrs",
    "icrs": "icrs",
    "celestial": "icrs",
    "equatorial": "icrs",
    "fk5": "icrs",
    "e": "ecliptic",
    "ecliptic": "ecliptic",
}
_AXES = {"galactic": ("GLON-HPX", "GLAT-HPX"), "icrs": ("RA---HPX", "DEC--HPX"), "ecliptic": ("ELON-HPX", "ELAT-HPX")}


def read_table(
    table: Any, hdu: Hdu, where: str, column: str | None, entries: tuple[Entry, ...], max_bytes: int, notes: list[str]
) -> RawArray:
    """Faces (12, nside, nside) of one column of a HEALPix table.

    Raises
    ------
    InputError
        IN08 bad NSIDE or ORDERING, IN09 wrong number of pixels, IN14 several columns, IN34 unknown column, IN35 not real.
    """
    nside, ordering = hdu.cards.get("NSIDE"), str(hdu.cards.get("ORDERING", "")).strip().upper()
    if isinstance(nside, bool) or not isinstance(nside, int) or not 1 <= nside <= 2**15 or nside & (nside - 1):
        raise InputError("IN08", where, f"invalid header card NSIDE={nside}", "it must be a power of two")
    if ordering not in ("RING", "NEST", "NESTED"):
        raise InputError("IN08", where, f"invalid header card ORDERING={ordering}", "it must be RING or NESTED")
    check_budget(12 * nside * nside * 8, max_bytes, where, "IN10")
    if not getattr(table, "names", None):
        raise InputError("IN08", where, "a HEALPix table without columns", "correct its TFIELDS and TFORMn")
    explicit = str(hdu.cards.get("INDXSCHM", "")).strip().upper() == "EXPLICIT"
    names = list(table.names)
    name = _column(names[1:] if explicit else names, column, where)
    values = np.asarray(table[name]).ravel()
    if values.dtype.kind not in "fiu":
        raise InputError("IN35", f"{where}[{name}]", f"values of type {values.dtype}", "maps need real numbers")
    values = values.astype(np.float64 if values.dtype.itemsize == 8 else np.float32)
    if explicit:
        values = _spread(np.asarray(table[names[0]]).ravel(), values, nside, where)
    if values.size != 12 * nside * nside:
        raise InputError("IN09", where, f"{values.size} pixels, NSIDE={nside} needs {12 * nside * nside}", "download it again")
    values[values <= UNSEEN * 0.999] = np.nan
    unit = parse_unit(hdu.cards.get(f"TUNIT{names.index(name) + 1}"))
    label = hdu.label if len(names) == 1 else f"{hdu.label}/{name}"
    order = "RING" if ordering == "RING" else "NESTED"
    frame = frame_name(str(hdu.cards.get("COORDSYS", "")))
    return RawArray(Planes.of(to_faces(values, order)), label, unit, hdu.cards, entries, nside, order, frame)


def frame_name(text: str) -> str:
    """``"galactic"``, ``"icrs"``, ``"ecliptic"`` or ``""`` for what is unknown."""
    return _FRAMES.get(text.strip().lower(), "")


def face_pixels(nside: int, order: str) -> NDArray[np.int64]:
    """HEALPix indices of the pixels of all faces, shape (12, nside, nside)."""
    row, col = np.indices((nside, nside))
    nested = _spread_bits(row) | _spread_bits(col) << 1
    index = np.arange(12)[:, None, None] * nside**2 + nested
    if order == "NESTED":
        return np.asarray(index, np.int64)
    from astropy_healpix.core import nested_to_ring

    return np.asarray(nested_to_ring(index, nside), np.int64)


def to_faces(values: NDArray[Any], order: str) -> NDArray[Any]:
    """Faces (12, nside, nside) of a full-sky vector (12 nside^2,)."""
    faces: NDArray[Any] = values[face_pixels(math.isqrt(values.size // 12), order)]
    return faces


def face_cards(face: int, nside: int, frame: str) -> Cards:
    """Exact HPX cards of a base face; ``{}`` where the frame of the coordinates is unknown."""
    if frame not in _AXES:
        return {}
    ring, k = divmod(face, 4)
    step = 45.0 / nside
    # pixel coordinates of the point (0, 0) of the plane: 45 degrees west of the centre of a polar face
    x, y = ((-nside / 2, nside / 2), (nside / 2, nside / 2), (nside / 2, 3 * nside / 2))[ring]
    cards: Cards = {"CTYPE1": _AXES[frame][0], "CTYPE2": _AXES[frame][1], "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CRVAL1": 90.0 * k, "CRVAL2": 0.0, "CRPIX1": y + 0.5, "CRPIX2": x + 0.5}
    cards |= {"CD1_1": -step, "CD1_2": step, "CD2_1": step, "CD2_2": step, "PV2_1": 4.0, "PV2_2": 3.0}
    return cards | ({"RADESYS": "ICRS"} if frame == "icrs" else {})


def pixel_side(nside: int) -> float:
    """Square root of the pixel area, in arcmin."""
    return math.degrees(math.sqrt(4 * math.pi / (12 * nside**2))) * 60


def _column(names: list[str], wanted: str | None, where: str) -> str:
    if wanted is not None:
        found = [name for name in names if name.lower() == wanted.lower()]
        if not found:
            raise InputError("IN34", where, f"no column {wanted!r}; it has {', '.join(names)}", "correct dataset")
        return found[0]
    if len(names) != 1:
        raise InputError("IN14", where, f"several columns: {', '.join(names)}", "choose one with dataset")
    return names[0]


def _spread(pixels: NDArray[Any], values: NDArray[Any], nside: int, where: str) -> NDArray[Any]:
    """Full sky from listed pixels; the others are NaN."""
    n = 12 * nside * nside
    if pixels.dtype.kind not in "iu" or pixels.size != values.size or (pixels.size and not 0 <= pixels.min() <= pixels.max() < n):
        raise InputError("IN09", where, f"pixel numbers outside 0..{n - 1}", "download it again")
    full = np.full(n, np.nan, values.dtype)
    full[pixels.astype(np.int64)] = values
    return full


def _spread_bits(x: NDArray[Any]) -> NDArray[np.int64]:
    """Put a zero bit between the bits of numbers below 2^16."""
    out = x.astype(np.int64)
    for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F), (2, 0x33333333), (1, 0x55555555)):
        out = (out | out << shift) & mask
    return out
