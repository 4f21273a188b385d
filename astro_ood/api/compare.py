"""Several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from pathlib import Path

import numpy as np

from astro_ood.api.run import open_run
from astro_ood.stores import open_shards


def compare_runs(paths: Sequence[str | Path]) -> list[dict[str, str]]:
    """One row of text for each finished run: verdict, inversion, worst scale, novelty.

    Raises
    ------
    StoreError
        A directory that is no run, or one without scores.
    """
    return [_row(Path(path)) for path in paths]


def _row(path: Path) -> dict[str, str]:
    run = open_run(path)
    scores = run.scores
    own = [r for r in scores.rows if r["set"] == "synthetic"]
    scales = [r for r in own if r["statistic"] == "spectrum" and r["scale"] is not None]
    worst = max(scales, key=lambda r: abs(r["value"]) / r["floor"])
    near = next(r for r in own if r["statistic"] == "novelty_nn" and r["scale"] is None)
    round_trip = open_shards(run.root / "latents", "latents").load("round_trip")
    length = f"{1 / worst['scale']:.3g} {worst['scale_unit'].removeprefix('cycles/')}"
    return {
        "run": run.root.name,
        "status": scores.status,
        "round trip": f"{np.median(round_trip):.2%}",
        "worst P(k)": f"x {exp(worst['value']):.2g} at {length} ({abs(worst['value']) / worst['floor']:.1f} floor sd)",
        "distance ratio": f"{near['value']:.2f}",
        "verdict": scores.verdict,
    }
