"""Whether cost is linear and memory flat in the number of maps: the stages `invert` and `decode` on 1,000 to 100,000 maps.

    python benchmarks/streaming.py                       maps of 16 x 16, a network of 10,000 parameters, 4 evaluations a direction
    python benchmarks/streaming.py --n 1000 10000

Stores of as many maps are written row by row into a temporary directory, and each stage runs as a process of its own, as in a run;
its peak resident memory and its seconds come from the operating system. The small network learns for some seconds to denoise the maps,
so that its latents are noise.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine, table
from safetensors.torch import save_file

from astro_ood.config import Config, load
from astro_ood.diffusion.frame import Frame
from astro_ood.diffusion.nets import SmallUNet
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.maps import Stretch, gaussian_field
from astro_ood.stores import ArraySpec, RunPaths, StoreWriter, Variable

SIDE, ROWS = 16, 1000
DIMS = ("item", "channel", "y", "x")


def train(folder: Path) -> tuple[Path, str]:
    """A network that knows smooth fields, and the hash of its weights."""
    import hashlib

    torch.manual_seed(0)
    net, schedule, rng = SmallUNet(1, 8, (1, 2), 1), NoiseSchedule.linear(), np.random.default_rng(0)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(300):
        x, t = torch.from_numpy(maps(32, rng)), torch.from_numpy(rng.integers(0, 1000, 32)).float()
        alpha, sigma = (torch.from_numpy(f(t.numpy())).float()[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
        eps = torch.randn_like(x)
        loss = (net(alpha * x + sigma * eps, t) - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    path = folder / "tiny.safetensors"
    save_file(net.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    card = {"arch": "small_unet", "network": net.config, "schedule": {"kind": "linear"}, "shape": [1, SIDE, SIDE], "sha256": digest}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path, digest


def maps(n: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth fields (n, 1, SIDE, SIDE) of about unit range."""
    return (0.4 * gaussian_field(n, SIDE, -3.0, rng).reshape(n, 1, SIDE, SIDE)).astype(np.float32)


def write(paths: RunPaths, config: Config, n: int, digest: str) -> None:
    """Stores `fields` and `proposals` of n items."""
    rng = np.random.default_rng(0)
    names = [f"m{i}" for i in range(n)]
    stretch = Stretch("linear", -1.0, 1.0)
    shared: dict[str, Any] = {"items": list(range(n)), "ids": names}
    fields = {
        **shared,
        "regions": names,
        "split": ["inverted"] * n,
        "stretch": stretch.to_dict(),
        "channels": "error",
        "fit": "error",
    }
    fields |= {"headers": [{}], "pixel_scale": None, "sources": [""]}
    with StoreWriter(
        paths.fields, {"field": ArraySpec((n, 1, SIDE, SIDE), np.float32, DIMS)}, stage="fields", settings={}, inputs={}
    ) as out:
        for start in range(0, n, ROWS):
            out.write("field", start, maps(min(ROWS, n - start), rng))
        out.finish(attrs=fields)
    origin = {
        "preset": "fast", "solver": "ab2", "n_steps": config.inversion.n_steps, "t_0": 700.0, "model": "tiny", "model_sha256": digest,
        "micro_batch": config.model.micro_batch, "frame": Frame((1, SIDE, SIDE), (1, SIDE, SIDE)).to_dict(),
        "stretch": stretch.to_dict(), "unit": "", "header": {}, "pixel_scale": None,
    }  # fmt: skip
    with StoreWriter(
        paths.proposals, {"z": ArraySpec((n, 1, SIDE, SIDE), np.float32, DIMS)}, stage="proposals", settings={}, inputs={}
    ) as out:
        for start in range(0, n, ROWS):
            out.write("z", start, rng.standard_normal((min(ROWS, n - start), 1, SIDE, SIDE), dtype=np.float32))
        whole = {
            "parents": Variable(np.zeros((n, 3), np.int64), ("item", "parent")),
            "weights": Variable(np.ones((n, 3)), ("item", "parent")),
        }
        out.finish(whole, attrs={**shared, "origin": origin, "kind": "lol", "parent_ids": names})


def measure(stage: str, settings: str, folder: Path) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak resident memory in MB of one stage."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "astro_ood", stage, settings], cwd=folder, stderr=subprocess.PIPE, text=True)
    peak = Path(f"/proc/{process.pid}/status")
    highest = 0.0
    while process.poll() is None:
        try:
            line = next((row for row in peak.read_text().splitlines() if row.startswith("VmHWM")), "VmHWM: 0 kB")
        except OSError:
            break
        highest = max(highest, float(line.split()[1]) / 1e3)
        time.sleep(0.05)
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(errors)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, highest


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--micro-batch", type=int, default=250)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights, digest = train(folder)
        for n in options.n:
            record = {
                "name": f"n{n}", "data": {"files": ["none"]}, "model": {"name": str(weights), "micro_batch": options.micro_batch},
                "inversion": {"n_steps": 4, "check_t_0": [], "estimates": 64, "shards": 1}, "decoding": {"shards": 1},
            }  # fmt: skip
            config = load(json.dumps(record))
            write(RunPaths(folder / config.run), config, n, digest)
            for stage in ("invert", "decode"):
                wall, cpu, peak = measure(stage, json.dumps(record), folder)
                rows.append([stage, f"{n:,}", f"{wall:.1f}", f"{1e3 * cpu / n:.2f}", f"{peak:.0f}"])
    print(machine(torch.device("cpu")))
    print(table(["stage", "maps", "wall s", "processor ms a map", "peak memory MB"], rows))


if __name__ == "__main__":
    main()
