"""Headers of a FITS file, read card by card before any library allocates what they promise.

The structure of the file (Pence et al. 2010, A&A 524, A42) is checked here: 2880-byte blocks, 80-byte cards, END, a size that the file
really has. Only then are data read. Cards are parsed to plain values; those that are not used may hold anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from astro_ood.errors import InputError
from astro_ood.maps.files import check_budget
from astro_ood.maps.raw import Entry

BLOCK = 2880
MAX_CARDS = 20_000
MAX_HDUS = 2_000
Value = str | int | float | bool
_BITPIX = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
_USED = re.compile(
    rb"SIMPLE|XTENSION|BITPIX|NAXIS|PCOUNT|GCOUNT|BSCALE|BZERO|BLANK|BUNIT|EXTNAME|C(TYPE|UNIT|RPIX|RVAL|DELT)\d|T(FORM|TYPE)1 "
)


@dataclass(frozen=True)
class Hdu:
    """One header and where its data lie.

    Parameters
    ----------
    index, name
        Position in the file and EXTNAME.
    kind : str
        ``"image"``, ``"table"``, ``"healpix"``, ``"compressed"``, ``"empty"`` or ``"groups"``.
    shape : tuple of int
        Of the image, slowest axis first.
    bitpix, start, header_start, n_bytes
        Number code, offsets of data and header, length of the data in bytes.
    """

    index: int
    name: str
    kind: str
    shape: tuple[int, ...]
    bitpix: int
    header_start: int
    start: int
    n_bytes: int
    cards: dict[str, Value]

    @property
    def label(self) -> str:
        """Name, or number where there is none."""
        return self.name or str(self.index)

    @property
    def dtype(self) -> str:
        """Type of the pixels in the file."""
        return _BITPIX.get(self.bitpix, "unknown")

    @property
    def entry(self) -> Entry:
        """What this HDU is, in words."""
        image = self.kind in ("image", "compressed")
        label = f"'{self.name}'" if self.name else str(self.index)
        kind = {"table": str(self.cards.get("XTENSION", "table"))}.get(self.kind, "image" if image else self.kind)
        return Entry(label, kind, self.shape, self.dtype if image else "")


def scan(stream: IO[bytes], size: int | None, where: str, max_bytes: int, notes: list[str]) -> list[Hdu]:
    """All HDUs of a file.

    Parameters
    ----------
    stream : binary file
        Unpacked content.
    size : int or None
        Its length; None for a packed stream, whose length only reading tells and which therefore obeys `max_bytes` as a whole.
    where : str
        File, for messages.
    max_bytes : int
        Budget.
    notes : list of str
        Receives accepted oddities.

    Raises
    ------
    InputError
        IN02 truncated data, IN03 truncated header, IN04 no FITS, IN06 SIMPLE = F, IN08 bad card, IN09 impossible size, IN10 over budget,
        IN11 too many cards.
    """
    hdus: list[Hdu] = []
    offset = 0
    while len(hdus) < MAX_HDUS:
        hdu = _read_hdu(stream, offset, len(hdus), where, notes)
        if hdu is None:
            return hdus
        end = hdu.start + hdu.n_bytes
        if size is None:
            check_budget(end, max_bytes, f"{where}[{hdu.label}]", "IN10")
            stream.seek(end)
        available = stream.tell() if size is None else min(size, end)
        if available < end:
            _truncated(f"{where}[{hdu.label}]", hdu.n_bytes, max(0, available - hdu.start))
        hdus.append(hdu)
        offset = hdu.start + -(-hdu.n_bytes // BLOCK) * BLOCK
    raise InputError("IN11", where, f"more than {MAX_HDUS} HDUs", "split the file")


def _truncated(where: str, promised: int, found: int) -> None:
    # a header that promises a hundred times what there is does not describe a broken download
    code = "IN09" if promised > 100 * max(found, BLOCK) else "IN02"
    raise InputError(code, where, f"truncated: header promises {promised} bytes of data, file has {found}", "download it again")


def _read_hdu(stream: IO[bytes], offset: int, index: int, where: str, notes: list[str]) -> Hdu | None:
    stream.seek(offset)
    first = stream.read(BLOCK)
    if index and not first.startswith(b"XTENSION"):
        if first.strip(b"\0 "):
            notes.append(f"IN05 {where}: bytes after the last HDU ignored")
        return None
    raw = b"".join(_header_blocks(stream, first, where))
    label = f"{where}[{index}]"
    cards = _parse(raw, label, notes)
    if index == 0 and cards.get("SIMPLE") is not True:
        raise InputError(
            "IN06", where, "SIMPLE = F: the file says that it does not follow the FITS standard", "ask its author for another one"
        )
    return _structure(cards, index, offset, offset + len(raw), label)


def _header_blocks(stream: IO[bytes], block: bytes, where: str) -> Iterator[bytes]:
    count = 0
    while True:
        ended = any(block[i : i + 80].rstrip() == b"END" for i in range(0, len(block), 80))
        if len(block) < BLOCK and not ended:
            raise InputError("IN03", where, "truncated header: END card missing", "download it again")
        yield block.ljust(BLOCK)
        if ended:
            return
        count += BLOCK // 80
        if count > MAX_CARDS:
            raise InputError("IN11", where, f"header of more than {MAX_CARDS} cards", "remove its HISTORY")
        block = stream.read(BLOCK)


def _parse(raw: bytes, where: str, notes: list[str]) -> dict[str, Value]:
    cards: dict[str, Value] = {}
    dirty = 0
    for i in range(0, len(raw), 80):
        card = raw[i : i + 80]
        if card.rstrip() == b"END":
            break
        if not all(32 <= byte < 127 for byte in card):
            if _USED.match(card):
                raise InputError("IN08", where, f"invalid header card {_clean(card)}", "correct the header")
            dirty += 1
            continue
        if card[8:10] == b"= ":
            value = _value(card[10:].decode("ascii"))
            if value is not None:
                cards.setdefault(card[:8].decode("ascii").strip(), value)
    if dirty:
        notes.append(f"IN08 {where}: {dirty} header cards with unprintable characters ignored")
    return cards


def _value(text: str) -> Value | None:
    """Value of a card, None where it has none."""
    text = text.strip()
    if text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", text)
        return match[1].replace("''", "'").rstrip() if match else text[1:].rstrip()
    text = text.partition("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    for kind in (int, float):
        try:
            return kind(text.upper().replace("D", "E") if kind is float else text)
        except ValueError:
            continue
    return text or None


def _structure(cards: dict[str, Value], index: int, header_start: int, start: int, where: str) -> Hdu:
    bitpix = _integer(cards, "BITPIX", where)
    if bitpix not in _BITPIX:
        raise InputError("IN08", where, f"invalid header card BITPIX={bitpix}", "it must be 8, 16, 32, 64, -32 or -64")
    naxis = _integer(cards, "NAXIS", where)
    if not 0 <= naxis <= 64:
        raise InputError("IN08", where, f"invalid header card NAXIS={naxis}", "correct the header")
    axes = tuple(_integer(cards, f"NAXIS{i}", where) for i in range(1, naxis + 1))
    groups = cards.get("GROUPS") is True and axes[:1] == (0,)
    pcount, gcount = _integer(cards, "PCOUNT", where, 0), _integer(cards, "GCOUNT", where, 1)
    if pcount < 0 or gcount < 0 or any(n < 0 for n in axes):
        bad = next((f"NAXIS{i + 1}={n}" for i, n in enumerate(axes) if n < 0), f"PCOUNT={pcount}, GCOUNT={gcount}")
        raise InputError("IN08", where, f"invalid header card {bad}", "correct the header")
    elements = math.prod(axes[1:] if groups else axes) if axes else 0
    n_bytes = abs(bitpix) // 8 * gcount * (pcount + elements)
    kind, shape = _kind(cards, index, axes, groups), axes[::-1]
    if kind == "compressed":
        shape = tuple(_integer(cards, f"ZNAXIS{i}", where) for i in range(_integer(cards, "ZNAXIS", where), 0, -1))
        bitpix = _integer(cards, "ZBITPIX", where)
        if bitpix not in _BITPIX or any(n < 0 for n in shape):
            raise InputError("IN08", where, f"invalid header card ZBITPIX={bitpix} or ZNAXISn of {shape}", "correct the header")
    return Hdu(index, str(cards.get("EXTNAME", "")).strip(), kind, shape, bitpix, header_start, start, n_bytes, cards)


def _kind(cards: dict[str, Value], index: int, axes: tuple[int, ...], groups: bool) -> str:
    if groups:
        return "groups"
    extension = str(cards.get("XTENSION", "IMAGE" if index == 0 else "")).strip()
    if extension in ("BINTABLE", "TABLE"):
        if cards.get("ZIMAGE") is True:
            return "compressed"
        return "healpix" if str(cards.get("PIXTYPE", "")).strip().upper() == "HEALPIX" else "table"
    if extension not in ("IMAGE", "IUEIMAGE"):
        return "table"
    return "image" if math.prod(axes) and axes else "empty"


def _integer(cards: dict[str, Value], key: str, where: str, default: int | None = None) -> int:
    value = cards.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**62:
        raise InputError(
            "IN08", where, f"invalid header card {key}={value}" if value is not None else f"no {key} card", "correct the header"
        )
    return value


def _clean(card: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in card).strip()[:60]
