"""Small files, sound and broken, for the tests of the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps import read_map

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def shared(name: str) -> Path:
    """A real file that is not part of the project; the test is skipped where it is absent."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/{name}")
    return path


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def put(path: Path, data: NDArray[np.generic] | None, **cards: object) -> Path:
    """One-image FITS file with more cards."""
    header = fits.Header()
    for key, value in cards.items():
        header[key.replace("__", "-")] = value
    fits.PrimaryHDU(data, header).writeto(path)
    return path


def card(text: str) -> bytes:
    return text.ljust(80).encode("latin-1")


def raw_fits(path: Path, *cards: str | bytes, data: bytes = b"", end: bool = True) -> Path:
    """File of literal cards, whatever they say."""
    header = b"".join(c if isinstance(c, bytes) else card(c) for c in cards) + (card("END") if end else b"")
    path.write_bytes(header.ljust(-(-len(header) // 2880) * 2880) + data)
    return path


TAN = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRPIX1": 40.0,
    "CRPIX2": 30.0,
    "CRVAL1": 83.0,
    "CRVAL2": -5.0,
    "CDELT1": -0.01,
    "CDELT2": 0.02,
}


def refuses(code: str, path: Path, **options: Any) -> str:
    """The one-line message with which a file is refused."""
    with pytest.raises(InputError, match=rf"^AOD-{code} ") as caught:
        read_map(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text
