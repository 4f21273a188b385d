"""Files that come with astro_ood: beside the package in a clone, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(relative: str) -> Path:
    """Path of a file or folder of the project, such as ``"data/models"`` or ``"Snakefile"``."""
    bundled = _PACKAGE / "_bundled" / relative
    return bundled if bundled.exists() else _PACKAGE.parent / relative
