"""Maps as FITS files that any astronomical tool reads."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from astro_ood.maps.core import Map
from astro_ood.maps.files import PathLike
from astro_ood.maps.units import fits_unit


def write_fits(image: Map, path: PathLike, *, extra: Mapping[str, Any] | None = None) -> Path:
    """Write one map, complete or not at all: to a temporary name first, then renamed.

    Parameters
    ----------
    image : Map
        Written as (H, W) where it has one channel, with BUNIT, its WCS, CHECKSUM and DATASUM. Masked pixels are NaN.
    path : str or Path
        Target; an older file is replaced.
    extra : mapping, optional
        More cards, such as ``{"SYNTH": True, "SEED": 3}``; ``HISTORY`` may be one line or a list of lines.

    Returns
    -------
    Path
        The file.
    """
    from astropy.io import fits

    target = Path(path)
    data = image.data[0] if image.shape[0] == 1 else image.data
    if image.mask is not None:
        data = np.where(image.mask, np.nan, data).astype(data.dtype)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:80]}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.PrimaryHDU(data, _header(image, extra or {})).writeto(file, checksum=True)
        os.chmod(temporary, 0o644)  # noqa: PTH101
        os.replace(temporary, target)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _header(image: Map, extra: Mapping[str, Any]) -> Any:
    from astropy.io import fits

    header = fits.Header()
    if image.unit:
        header["BUNIT"] = fits_unit(image.unit)
    header["OBJECT"] = (_ascii(image.name), "name of the map")
    header["SKYREG"] = (_ascii(image.region), "region that decided the split")
    for key, value in image.header.items():
        header[key] = value
    if image.scale is not None:
        header["PIXSIDE"] = (image.scale[0], "[arcmin] side of a pixel, square root of its area")
    for key, value in extra.items():
        if key.upper() == "HISTORY":
            for line in [value] if isinstance(value, str) else value:
                header.add_history(_ascii(str(line), 2000))
        else:
            header[key.upper()] = _ascii(value) if isinstance(value, str) else value
    return header


def _ascii(text: str, length: int = 67) -> str:
    clean = text.encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in clean)[:length]
