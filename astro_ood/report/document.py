"""What all pages share: how values become HTML, and how a page is written.

No script, no font, no request; a content security policy forbids them, whatever a title, a file name or a header may hold. Every
value passes through jinja2's escaping.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from astro_ood.errors import RunError
from astro_ood.report import words
from astro_ood.report.scores import write_text

MAX_BYTES = 5_000_000
MAP_BYTES = 1_500_000
# sides of the maps inside a page, pixels, tried until they take less than MAP_BYTES together
SIDES = (256, 192, 128, 96, 64, 48, 32)

STATUS = {
    "usable": ("Usable", "every statistic that could have shown a difference agrees with held-out real maps, and no map is a copy"),
    "limited": (
        "Limited",
        "some statistics agree with held-out real maps, well tested, and others differ: use the maps for the first only",
    ),
    "undecided": ("Undecided", "no difference was found, but with so few maps one could have been missed"),
    "fails": ("Fails", "at least one statistic differs from real maps by more than chance allows"),
    "copies": ("Copies", "some maps are too close to the real maps that they were made from"),
}


def fill(template: str, **content: Any) -> str:
    """A template with its content, every value escaped."""
    return _environment().get_template(template).render(status=STATUS, **content)


def write_page(text: str, path: Path | str, remedy: str) -> Path:
    """Write a page, whole or not at all.

    Raises
    ------
    RunError
        It is larger than `MAX_BYTES`.
    """
    path = Path(path)
    n_bytes = len(text.encode("utf-8", errors="replace"))
    if n_bytes >= MAX_BYTES:
        raise RunError("RN30", path, f"the page takes {n_bytes / 1e6:.1f} MB, the limit is {MAX_BYTES / 1e6:.0f} MB", remedy)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.clean,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "signed": words.signed,
        "percent": words.percent,
        "probability": words.probability,
        "equality": words.equality,
        "moment": words.moment,
        "sentence": words.sentence,
        "unit": words.unit,
        "size": words.size,
        "statistic": words.statistic,
        "tone": words.tone,
    }
    environment.globals |= {"criteria_names": words.CRITERIA, "count": words.count, "interval": words.interval}
    return environment
