"""Where things lie in the directory of a run.

One directory per stage, or per shard of it; each holds `data.zarr` and, written last, `manifest.json`. Workflow engines put their
own marks beside these two, never inside `data.zarr`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LAYOUT_VERSION = 1
DATA = "data.zarr"
MANIFEST = "manifest.json"
TIMESTAMP = ".snakemake_timestamp"
TEMPORARY = ".tmp-"
STAGES = ("fields", "probe", "latents", "prior", "proposals", "samples")
SHARDED = ("latents", "samples")


@dataclass(frozen=True)
class RunPaths:
    """Paths of one run.

    Parameters
    ----------
    root : Path
        Directory of the run.
    """

    root: Path

    @property
    def fields(self) -> Path:
        """Normalised maps."""
        return self.root / "fields"

    @property
    def probe(self) -> Path:
        """What a probe of the maps decided."""
        return self.root / "probe"

    def latents(self, shard: int) -> Path:
        """Inverted latents of one shard."""
        return self.root / "latents" / f"{shard:04d}"

    @property
    def prior(self) -> Path:
        """Distribution fitted to the latents."""
        return self.root / "prior"

    @property
    def proposals(self) -> Path:
        """Accepted candidates in latent space."""
        return self.root / "proposals"

    def samples(self, shard: int) -> Path:
        """Decoded maps of one shard."""
        return self.root / "samples" / f"{shard:04d}"

    @property
    def scores_csv(self) -> Path:
        """Scores as a table."""
        return self.root / "scores.csv"

    @property
    def scores_json(self) -> Path:
        """Scores with their settings."""
        return self.root / "scores.json"

    @property
    def diagnostics(self) -> Path:
        """Diagnostics of the latents."""
        return self.root / "diagnostics.json"

    @property
    def report(self) -> Path:
        """Report of the run."""
        return self.root / "report.html"

    @property
    def methods(self) -> Path:
        """Methods section for a paper."""
        return self.root / "methods.txt"

    @property
    def crate(self) -> Path:
        """Description of the run for machines (RO-Crate)."""
        return self.root / "ro-crate-metadata.json"

    @property
    def logs(self) -> Path:
        """Directory of the log files."""
        return self.root / "logs"


def complete_shards(parent: Path) -> list[Path]:
    """Shard directories below `parent` that hold a manifest, in numerical order."""
    found = [path.parent for path in Path(parent).glob(f"*/{MANIFEST}") if path.parent.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def walk_stores(root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield every store below `root`, stage by stage, and every half-finished one (second value False)."""
    found: list[tuple[Path, bool]] = []
    for name, directories, files in os.walk(root):
        path = Path(name)
        half = path != root and TEMPORARY in path.name
        if half or MANIFEST in files or DATA in directories:
            found.append((path, not half))
            directories.clear()
    yield from sorted(found, key=lambda item: _rank(item[0].relative_to(root)))


def _rank(path: Path) -> tuple[int, Path]:
    stage = path.parts[0] if path.parts else ""
    return STAGES.index(stage) if stage in STAGES else len(STAGES), path
