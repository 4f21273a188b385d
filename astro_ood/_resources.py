"""Files that come with astro_ood: beside the package in a clone, inside it in a wheel."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent


def resource(relative: str) -> Path:
    """Path of a file or folder of the project, such as ``"data/models"`` or ``"Snakefile"``."""
    bundled = _PACKAGE / "_bundled" / relative
    return bundled if bundled.exists() else _PACKAGE.parent / relative


def expose_to_rules(root: str | Path) -> None:
    """Let the jobs of a workflow find this package and this interpreter: `python -m astro_ood` without an activated environment.

    An environment that a job activates itself (conda) still comes first.
    """
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if (Path(root) / "astro_ood").is_dir():
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
