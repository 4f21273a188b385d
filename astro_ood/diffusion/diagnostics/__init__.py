"""What a frozen network does around the trajectories of maps that it never saw: room (`bandwidth`) and capture (`interference`).

Each diagnostic is computed (arrays in a frozen dataclass) and judged (`Judgement`) apart.
"""

from astro_ood._judgement import Judgement
from astro_ood.diffusion.diagnostics.bandwidth import (
    Bandwidth,
    Choice,
    choose_t_0,
    compute_bandwidth,
    judge_bandwidth,
    scan_bandwidth,
)
from astro_ood.diffusion.diagnostics.interference import CaptureRule, Interference, compute_interference, judge_interference

__all__ = [
    "Bandwidth",
    "CaptureRule",
    "Choice",
    "Interference",
    "Judgement",
    "choose_t_0",
    "compute_bandwidth",
    "compute_interference",
    "judge_bandwidth",
    "judge_interference",
    "scan_bandwidth",
]
