"""Small tables by which objects show themselves in a notebook.

Names and units come from files of others: everything is escaped, and what cannot be printed, or disguises what stands beside it, is
replaced.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

LONGEST = 160
# Control characters, lone surrogates, and marks that reverse the direction of the text around them.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text with a replacement character for each one that cannot be printed."""
    return _UNPRINTABLE.sub("\ufffd", text)


def table(title: str, rows: Mapping[str, object]) -> str:
    """HTML table of names and values; values longer than `LONGEST` are cut."""
    cells = "".join(f"<tr><th>{_escaped(k)}</th><td>{_escaped(_cut(v))}</td></tr>" for k, v in rows.items())
    return f"<table><caption>{_escaped(title)}</caption>{cells}</table>"


def extent(dims: tuple[str, ...], shape: tuple[int, ...]) -> str:
    """Shape with the names of its axes."""
    return ", ".join(f"{dim} {n}" for dim, n in zip(dims, shape, strict=True))


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
