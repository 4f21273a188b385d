"""Units of pixel values, in astropy's spelling.

Archives spell ``BUNIT`` in ways that no parser knows (``JY/BEAM``, ``cm**(-2)``, ``counts``). Those that have one meaning are
translated; everything else stays an opaque string, because a wrong unit is worse than an unparsed one. ``MJY/BEAM`` for example may be
milli or mega. No unit is ever invented: ``""`` means that none is known.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

_ALIASES = {
    "k_cmb": "K",
    "kcmb": "K",
    "mk_cmb": "mK",
    "uk_cmb": "uK",
    "kelvin": "K",
    "jy/beam": "Jy / beam",
    "jybeam-1": "Jy / beam",
    "jybeam^-1": "Jy / beam",
    "jy/bm": "Jy / beam",
    "jansky/beam": "Jy / beam",
    "jy": "Jy",
    "jy/pixel": "Jy / pix",
    "jy/pix": "Jy / pix",
    "jy/sr": "Jy / sr",
    "mjy/sr": "MJy / sr",
    "counts": "ct",
    "count": "ct",
    "cts": "ct",
    "counts/s": "ct / s",
    "counts/sec": "ct / s",
    "cts/s": "ct / s",
    "count/s": "ct / s",
    "electrons": "electron",
    "electrons/s": "electron / s",
    "e-": "electron",
    "e-/s": "electron / s",
    "adu": "adu",
    "dn": "DN",
    "photons": "ph",
    "mags": "mag",
    "magnitude": "mag",
    "magnitudes": "mag",
    "k.km/s": "K km / s",
    "kkm/s": "K km / s",
    "k*km/s": "K km / s",
}
_NONE = {"", "none", "n/a", "na", "null", "unknown", "undefined", "unitless", "dimensionless", "-"}
_CASE_MATTERS = {"mk_cmb", "mjy/sr", "uk_cmb"}


def parse_unit(text: object) -> str:
    """Astropy's spelling of a unit; the text itself where astropy knows none; ``""`` where there is none.

    Parameters
    ----------
    text : object
        Content of ``BUNIT``, of an attribute, or of the key ``unit``; bytes are decoded.

    Examples
    --------
    >>> parse_unit("cm**(-2)"), parse_unit("JY/BEAM"), parse_unit("furlongs of dust")
    ('1 / cm2', 'Jy / beam', 'furlongs of dust')
    """
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return _parse(" ".join(str(text).split())[:68]) if text is not None else ""


@lru_cache(maxsize=256)
def _parse(text: str) -> str:
    key = text.replace(" ", "").lower()
    if key in _NONE:
        return ""
    # "MK_CMB" could be mega- or millikelvin, and "mJy/sr" is not MJy/sr
    known = key in _ALIASES and not (key in _CASE_MATTERS and not _case_is_clear(text.replace(" ", ""), key))
    return _astropy_spelling(_ALIASES[key] if known else text)


def _case_is_clear(text: str, key: str) -> bool:
    return text.startswith("M") if key == "mjy/sr" else text[0].islower()


def _astropy_spelling(text: str) -> str:
    from astropy import units

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for style in ("generic", "fits", "ogip"):
            try:
                return str(units.Unit(text, format=style).to_string()) or ""
            except (ValueError, TypeError):
                continue
    return text


@lru_cache(maxsize=256)
def conversion(old: str, new: str) -> float | None:
    """Factor from unit `old` to unit `new`; None where they cannot be converted or one of them is unknown."""
    from astropy import units

    if old == new:
        return 1.0
    if not old or not new:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(units.Unit(old).to(units.Unit(new)))
        except (ValueError, TypeError):
            return None


def fits_unit(unit: str) -> str:
    """Spelling of a unit for ``BUNIT``."""
    from astropy import units

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(units.Unit(unit).to_string("fits"))
        except (ValueError, TypeError):
            return unit.encode("ascii", "replace").decode()
