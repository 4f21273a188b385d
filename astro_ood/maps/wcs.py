"""World coordinates as a small, checked set of FITS cards.

Only white-listed cards of the two image axes reach wcslib: hostile headers overflow it (astropy issue 20349), and cards of dropped axes
make two-dimensional images inconsistent. A WCS that cannot be right (singular matrix, unknown projection) is dropped with a note: spectra
are then in pixel^-1. The formulas are those of Greisen & Calabretta 2002 (A&A 395, 1061) and Calabretta & Greisen 2002 (A&A 395, 1077);
HPX is Calabretta & Roukema 2007 (MNRAS 381, 865).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

Value = str | int | float | bool
Cards = dict[str, Value]

PROJECTIONS = frozenset(
    [
        "AZP",
        "SZP",
        "TAN",
        "STG",
        "SIN",
        "ARC",
        "ZPN",
        "ZEA",
        "AIR",
        "CYP",
        "CEA",
        "CAR",
        "MER",
        "SFL",
        "GLS",
        "PAR",
        "MOL",
        "AIT",
        "COP",
        "COE",
        "COD",
        "COO",
        "BON",
        "PCO",
        "TSC",
        "CSC",
        "QSC",
        "HPX",
        "XPH",
        "TPV",
    ]
)
_CELESTIAL = re.compile(r"^(RA--|DEC-|[A-Z]LON|[A-Z]LAT)-?-([A-Z]{3})$")
_BOUNDED = frozenset(("AIT", "MOL", "SFL", "PAR", "HPX"))
_STRINGS = ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "RADESYS")
_SCALARS = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2", "LONPOLE", "LATPOLE", "EQUINOX")
_MATRIX = tuple(f"{name}{i}_{j}" for name in ("CD", "PC") for i in (1, 2) for j in (1, 2))
_PV = re.compile(r"^PV[12]_(\d|[12]\d|3\d)$")
_REQUIRED = ("CTYPE1", "CTYPE2", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")
_LIMIT = 1e12
_DEGREES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "arcmin": 1 / 60, "arcsec": 1 / 3600, "rad": 180 / math.pi}


def wcs_cards(header: Mapping[str, Any], where: str, notes: list[str]) -> Cards:
    """Checked cards of the first two axes; ``{}`` where there is no usable WCS.

    Parameters
    ----------
    header : mapping
        Parsed header of the image.
    where : str
        File and HDU, for the notes.
    notes : list of str
        Receives why a WCS was dropped or changed.
    """
    if not all(key in header for key in _REQUIRED):
        if "CTYPE1" in header and "CRVAL1" in header:
            notes.append(f"IN29 {where}: incomplete WCS ignored, scales are in pixels")
        return {}
    cards = _selected(header)
    problem = _sanitise(cards, header, where, notes) or _problem(cards) or _wcslib_problem(cards)
    if problem:
        notes.append(f"{problem}; WCS of {where} dropped, scales are in pixels")
        return {}
    return cards


def build(cards: Cards) -> WCS | None:
    """Astropy's WCS of checked cards, or None for ``{}``."""
    if not cards:
        return None
    from astropy.io.fits import Header
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(Header(dict(cards)), naxis=2)


def off_sky(cards: Cards, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Pixels (H, W) outside the oval or staircase that an all-sky projection fills; None where there are none."""
    if str(cards.get("CTYPE1", ""))[-3:] not in _BOUNDED or (wcs := build(cards)) is None:
        return None
    row, col = np.indices(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        longitude = np.asarray(wcs.wcs_pix2world(np.stack([col.ravel(), row.ravel()], axis=1), 0))[:, 0].reshape(shape)
    outside = np.isnan(longitude)
    return outside if outside.any() else None


def shift(cards: Cards, dy: int, dx: int) -> Cards:
    """Cards of the sub-image whose first pixel is row `dy`, column `dx`."""
    if not cards:
        return {}
    return cards | {"CRPIX1": float(cards["CRPIX1"]) - dx, "CRPIX2": float(cards["CRPIX2"]) - dy}


def pixel_scale(cards: Cards) -> tuple[float, float] | None:
    """Side lengths (dy, dx) of a pixel in arcmin, or None where the axes are no sky.

    In the HPX projection a pixel of a base face has the side sqrt(4 pi / 12 nside^2), not that of its plane.
    """
    match = _CELESTIAL.match(str(cards.get("CTYPE1", "")))
    if match is None:
        return None
    (a, b), (c, d) = _linear(cards)
    if match[2] == "HPX" and math.isclose(abs(a), abs(b), rel_tol=1e-6):
        side = math.degrees(math.sqrt(math.pi / 3)) * 60 * abs(a) / 45
        return side, side
    degree = [_DEGREES.get(str(cards.get(f"CUNIT{i}", "deg")).lower(), math.nan) for i in (1, 2)]
    dx = math.hypot(a * degree[0], c * degree[1]) * 60
    dy = math.hypot(b * degree[0], d * degree[1]) * 60
    return (dy, dx) if math.isfinite(dx + dy) else None


def _selected(header: Mapping[str, Any]) -> Cards:
    cards: Cards = {key: str(header[key]).strip()[:16] for key in _STRINGS if str(header.get(key, "")).strip()}
    names = [key for key in (*_SCALARS, *_MATRIX) if key in header] + [key for key in header if _PV.match(key)]
    for key in names:
        try:
            cards[key] = float(header[key])
        except (TypeError, ValueError):
            cards[key] = math.nan
    if "RADESYS" not in cards and str(header.get("RADECSYS", "")).strip():
        cards["RADESYS"] = str(header["RADECSYS"]).strip()[:16]
    return cards


def _sanitise(cards: Cards, header: Mapping[str, Any], where: str, notes: list[str]) -> str:
    """Bring old conventions to the standard; the reason why this is impossible."""
    for key in ("CTYPE1", "CTYPE2"):
        if str(cards[key]).endswith("-SIP"):
            cards[key] = str(cards[key])[:-4]
            notes.append(f"IN29 {where}: SIP distortion of {key} is left out of the WCS")
    if "CD1_1" in cards or "CD2_2" in cards:
        for key in [k for k in cards if k.startswith(("CDELT", "PC"))]:
            del cards[key]
        return ""
    if not ("CDELT1" in cards and "CDELT2" in cards):
        return "IN29 no pixel size (CDELTn or CDi_j)"
    angle = header.get("CROTA2", 0.0)
    if angle and not any(k.startswith("PC") for k in cards):
        if not isinstance(angle, int | float) or not math.isfinite(angle):
            return f"IN30 CROTA2={angle!r}"
        s, c = math.sin(math.radians(angle)), math.cos(math.radians(angle))
        x, y = float(cards.pop("CDELT1")), float(cards.pop("CDELT2"))
        cards.update(CD1_1=x * c, CD1_2=-y * s, CD2_1=x * s, CD2_2=y * c)
    return ""


def _problem(cards: Cards) -> str:
    for key, value in cards.items():
        if isinstance(value, float) and not abs(value) < _LIMIT:
            return f"IN30 {key}={value!r} is not a usable number"
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            return f"IN30 {key} holds unprintable characters"
    for key in ("CTYPE1", "CTYPE2"):
        if "-" in str(cards[key]):
            match = _CELESTIAL.match(str(cards[key]))
            if match is None or match[2] not in PROJECTIONS:
                return f"IN28 unknown projection {key}={cards[key]}"
    sky = _CELESTIAL.match(str(cards["CTYPE1"])) is not None
    if sky and any(str(cards.get(f"CUNIT{i}", "deg")).lower() not in _DEGREES for i in (1, 2)):
        return f"IN30 CUNIT1={cards.get('CUNIT1')} is no angle"
    (a, b), (c, d) = _linear(cards)
    if not abs(a * d - b * c) > 1e-12 * (abs(a) + abs(b)) * (abs(c) + abs(d)):
        return "IN27 singular CD matrix"
    return ""


def _wcslib_problem(cards: Cards) -> str:
    try:
        wcs = build(cards)
        assert wcs is not None
        wcs.wcs_pix2world([[1.0, 1.0]], 1)
    except Exception as error:
        return f"IN28 wcslib refuses it ({type(error).__name__})"
    return ""


def _linear(cards: Cards) -> tuple[tuple[float, float], tuple[float, float]]:
    """Matrix from pixels to intermediate world coordinates."""

    def entry(i: int, j: int) -> float:
        if any(k.startswith("CD") and not k.startswith("CDELT") for k in cards):
            return float(cards.get(f"CD{i}_{j}", 0.0))
        return float(cards.get(f"PC{i}_{j}", 1.0 if i == j else 0.0)) * float(cards.get(f"CDELT{i}", 1.0))

    return (entry(1, 1), entry(1, 2)), (entry(2, 1), entry(2, 2))
