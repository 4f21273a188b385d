"""FITS images, plain, tile-compressed, gzipped or bzipped, and the tables that hold HEALPix maps.

The header was checked (`astro_ood.maps.fitsheader`) when data are read. Plain images are an array in big-endian order with a linear scale,
read here directly; compressed images and tables are decoded by astropy, from the bytes of the one HDU that is wanted.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.errors import InputError
from astro_ood.maps import tiled
from astro_ood.maps.files import check_budget, compression, open_stream
from astro_ood.maps.fitsheader import BLOCK, Hdu, scan
from astro_ood.maps.healpix import read_table
from astro_ood.maps.planes import Planes
from astro_ood.maps.raw import RawArray, listing
from astro_ood.maps.units import parse_unit

_SINGLE = (8, 16, -32)
"""BITPIX of what float32 holds without loss."""


def read_fits(
    path: Path, where: str, hdu: int | str | None, column: str | None, *, max_bytes: int, strict: bool, notes: list[str]
) -> RawArray:
    """Image, cube or HEALPix map of one HDU.

    Raises
    ------
    InputError
        What `scan` raises; IN07 bad checksum (`strict`), IN12 to IN14 no or several images, IN10 over budget.
    """
    packed = compression(path)
    if packed and not path.name.endswith((".gz", ".bz2")):
        notes.append(f"IN05 {where}: {packed} stream without its suffix accepted")
    with open_stream(path, packed) as stream:
        try:
            hdus = scan(stream, None if packed else path.stat().st_size, where, max_bytes, notes)
            chosen = select(hdus, hdu, where)
            label = f"{where}[{chosen.label}]"
            n_values = chosen.n_bytes if chosen.kind == "healpix" else math.prod(chosen.shape) * abs(chosen.bitpix) // 8
            check_budget(max(n_values, chosen.n_bytes), max_bytes, label, "IN10")
            header = _header(stream, chosen)
            # an image that lies open in its file is read plane by plane, when it is needed
            content = None if chosen.kind == "image" and not packed else b"".join(_blocks(stream, chosen))
            _verify(header, _blocks(stream, chosen) if content is None else [content], chosen.cards, label, strict, notes)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError("IN02", where, f"cannot be read to its end ({error})", "download it again") from None
    entries = tuple(h.entry for h in hdus if h.kind != "empty")
    if content is None:
        planes = _planes(path, chosen, label)
    elif chosen.kind == "healpix":
        return read_table(_decode(header, content, chosen, label, notes), chosen, label, column, entries, max_bytes, notes)
    else:
        image = (
            _image(content, chosen, label) if chosen.kind == "image" else np.asarray(_decode(header, content, chosen, label, notes))
        )
        planes = Planes.of(image)
    return RawArray(planes, chosen.label, parse_unit(chosen.cards.get("BUNIT")), chosen.cards, entries)


def select(hdus: list[Hdu], wanted: int | str | None, where: str) -> Hdu:
    """The HDU of a number or a name, or the only one that holds an image."""
    entries = tuple(h.entry for h in hdus if h.kind != "empty")
    if wanted is not None:
        found = _named(hdus, wanted)
        if not found:
            raise InputError("IN12", where, f"no HDU {wanted!r}; it has {listing(entries)}", "correct hdu")
        if found[0].kind not in ("image", "compressed", "healpix"):
            raise InputError("IN13", f"{where}[{wanted}]", f"no image; found {found[0].entry}", f"choose among {listing(entries)}")
        return found[0]
    images = [h for h in hdus if h.kind in ("image", "compressed", "healpix")]
    planes = [h for h in images if h.kind == "healpix" or sum(n > 1 for n in h.shape) > 1] or images
    if not planes:
        raise InputError("IN13", where, f"no image; found {listing(entries)}", "give a file with an image or a HEALPix table")
    if len(planes) > 1:
        raise InputError("IN14", where, f"several images: {listing(tuple(h.entry for h in planes))}", "choose one with hdu")
    return planes[0]


def _named(hdus: list[Hdu], wanted: int | str) -> list[Hdu]:
    text = str(wanted).strip()
    if isinstance(wanted, int) or text.isdecimal():
        return [h for h in hdus if h.index == int(text)]
    name, _, version = text.partition(",")
    found = [h for h in hdus if h.name.lower() == name.strip().lower()]
    if name.lower() == "primary" and not found:
        return hdus[:1]
    return [h for h in found if str(h.cards.get("EXTVER", 1)) == version.strip()] if version else found


def _header(stream: IO[bytes], hdu: Hdu) -> bytes:
    stream.seek(hdu.header_start)
    return stream.read(hdu.start - hdu.header_start)


def _blocks(stream: IO[bytes], hdu: Hdu) -> Iterator[bytes]:
    """Data of an HDU, some megabytes at a time."""
    stream.seek(hdu.start)
    left = -(-hdu.n_bytes // BLOCK) * BLOCK
    while left and (block := stream.read(min(left, 1024 * BLOCK))):
        left -= len(block)
        yield block


def _planes(path: Path, hdu: Hdu, where: str) -> Planes:
    _scale(hdu, where)
    dtype = np.dtype(np.float32 if hdu.bitpix in _SINGLE else np.float64)
    n_bytes = math.prod(hdu.shape[-2:]) * abs(hdu.bitpix) // 8

    def read(start: int, stop: int) -> NDArray[Any]:
        try:
            with path.open("rb") as file:
                file.seek(hdu.start + start * n_bytes)
                data = file.read((stop - start) * n_bytes)
            return _image(data, replace(hdu, shape=(stop - start, *hdu.shape[-2:])), where)
        except (OSError, ValueError) as error:
            raise InputError("IN02", where, f"cannot be read to its end ({error})", "download it again") from None

    return Planes(hdu.shape, dtype, read)


def _image(data: bytes, hdu: Hdu, where: str) -> NDArray[Any]:
    values: NDArray[Any] = np.frombuffer(data, np.dtype(hdu.dtype).newbyteorder(">"), math.prod(hdu.shape)).reshape(hdu.shape)
    scale, zero = _scale(hdu, where)
    blank, single = hdu.cards.get("BLANK"), hdu.bitpix in _SINGLE
    if hdu.bitpix < 0:
        native: NDArray[Any] = values.astype(np.float32 if single else np.float64)
        return native if (scale, zero) == (1, 0) else native * native.dtype.type(scale) + native.dtype.type(zero)
    # BLANK is a stored integer: it is found before the scale is applied
    scaled = np.multiply(values, scale, dtype=np.float64) + zero
    if isinstance(blank, int):
        scaled[values == blank] = np.nan
    return scaled.astype(np.float32) if single else scaled


def _scale(hdu: Hdu, where: str) -> tuple[float, float]:
    """BSCALE and BZERO."""
    scale, zero = _number(hdu, "BSCALE", 1.0, where), _number(hdu, "BZERO", 0.0, where)
    if scale == 0:
        raise InputError("IN08", where, "invalid header card BSCALE=0", "correct the header")
    return scale, zero


def _number(hdu: Hdu, key: str, default: float, where: str) -> float:
    value = hdu.cards.get(key, default)
    if isinstance(value, str | bool) or not math.isfinite(value):
        raise InputError("IN08", where, f"invalid header card {key}={value}", "correct the header")
    return value


def _decode(header: bytes, data: bytes, hdu: Hdu, where: str, notes: list[str]) -> Any:
    """Table or image of one extension HDU, by astropy."""
    from astropy.io import fits

    clean = bytes(byte if 32 <= byte < 127 else 32 for byte in header)
    content = fits.PrimaryHDU().header.tostring().encode() + clean + data
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if hdu.kind == "compressed":
                values: Any = tiled.decode(content, math.prod(hdu.shape) * abs(hdu.bitpix) // 8)
            else:
                with fits.HDUList.fromstring(content) as hdus:
                    values = hdus[1].data
    except Exception as error:
        raise InputError("IN02", where, f"damaged data ({type(error).__name__}: {error})", "download it again") from None
    notes.extend(sorted({f"IN08 {where}: {' '.join(str(w.message).split())[:200]}" for w in caught}))
    return values


def _verify(header: bytes, data: Iterable[bytes], cards: dict[str, Any], where: str, strict: bool, notes: list[str]) -> None:
    """Compare DATASUM and CHECKSUM, where there are any, with the bytes."""
    stated = str(cards.get("DATASUM", "")).strip()
    checksum = str(cards.get("CHECKSUM", "")).strip()
    if not stated and not checksum:
        return
    total = 0
    for block in data:
        total = ones_sum(block.ljust(-(-len(block) // BLOCK) * BLOCK, b"\0"), total)
    bad = [f"DATASUM={stated}, data give {total}"] if stated and stated != str(total) else []
    if checksum and checksum != "0" * 16 and ones_sum(header, total) not in (0, 0xFFFFFFFF):
        bad.append("CHECKSUM does not match")
    if bad and strict:
        raise InputError("IN07", where, "; ".join(bad), "download it again, or read without strict")
    notes.extend(f"IN07 {where}: {problem}" for problem in bad)


def ones_sum(data: bytes, start: int = 0) -> int:
    """32-bit ones' complement sum of the FITS checksum convention (Seaman, Pence & Rots 2002)."""
    total = start + int(np.frombuffer(data, ">u4").sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total
