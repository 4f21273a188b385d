"""Running a frozen network over many maps.

The network always sees micro-batches of one recorded size, the last padded with zeros, and one scalar time: so neither the number
of shards nor the order of the maps changes a bit of any result. Another micro-batch size agrees to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from astro_ood._log import Progress
from astro_ood._random import stream
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.presets import Preset
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import InputError, ModelError, RunError

Field = NDArray[np.float32]
MICRO_BATCH = 8


def pick_device(device: str = "auto") -> torch.device:
    """``auto`` is the first CUDA device where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ModelError("MD01", "device", f"'{device}' is no device", "use auto, cpu or cuda") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "MD01", "device", "cuda was asked for but this machine or this build of torch has none", "use device: auto"
        )
    return chosen


@dataclass(frozen=True)
class Inversion:
    """What one inversion gives, item by item.

    Attributes
    ----------
    z : ndarray, shape (N, C, H, W)
        Latents.
    reconstruction : ndarray, shape (N, C, H, W)
        Maps decoded again from the latents.
    round_trip : ndarray, shape (N,)
        RMSE of the reconstruction over the standard deviation of the map.
    latent_error : ndarray, shape (N,)
        RMSE between the latent and that of a solution with half the step, over the standard deviation of the latent.
    evaluations : int
        Network evaluations per map of the inversion alone.
    """

    z: Field
    reconstruction: Field
    round_trip: NDArray[np.float64]
    latent_error: NDArray[np.float64]
    evaluations: int


def check_shape(denoiser: Denoiser, x: Field) -> None:
    """Refuse maps that the network cannot take."""
    _, c, h, w = x.shape
    if c != denoiser.shape[0]:
        raise InputError(
            "IN32", denoiser.name, f"maps have {c} channels, the network has {denoiser.shape[0]}", "choose another network"
        )
    if h % denoiser.stride or w % denoiser.stride:
        expected = f"{h} x {w} pixels, but the network needs sides that are multiples of {denoiser.stride}"
        raise InputError("IN31", denoiser.name, f"maps have {expected}", "choose another `patch` or crop the maps")


def _batches(x: Field, size: int) -> Iterator[tuple[slice, torch.Tensor]]:
    for start in range(0, len(x), size):
        part = slice(start, min(start + size, len(x)))
        batch = np.zeros((size, *x.shape[1:]), dtype=np.float32)
        batch[: part.stop - start] = x[part]
        yield part, torch.from_numpy(batch)


def relative_error(a: Field, b: Field) -> NDArray[np.float64]:
    """Root mean square of ``a - b`` over the standard deviation of ``b``, per item."""
    axes = (1, 2, 3)
    return np.sqrt(np.mean((a.astype(np.float64) - b) ** 2, axis=axes)) / np.std(b.astype(np.float64), axis=axes)


def invert(
    denoiser: Denoiser,
    x: Field,
    preset: Preset,
    *,
    micro_batch: int = MICRO_BATCH,
    estimate_error: bool = True,
    label: str = "invert",
) -> Inversion:
    """Invert normalised maps (N, C, H, W), decode them again and estimate both errors.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    x : ndarray, shape (N, C, H, W)
        Maps in [-1, 1].
    preset : Preset
        Solver, grid, `t_0`.
    micro_batch : int
        Items per network call.
    estimate_error : bool
        Whether to solve again with half the step; `latent_error` is NaN otherwise.
    """
    check_shape(denoiser, x)
    z, back, fine = (np.empty_like(x, dtype=np.float32) for _ in range(3))
    up, down = preset.times_up(denoiser.schedule), preset.times_down(denoiser.schedule)
    fine_up = preset.refined().times_up(denoiser.schedule)
    paths = (up, down, fine_up) if estimate_error else (up, down)
    evaluations = 0
    with (
        Progress(label, -(-len(x) // micro_batch) * sum(len(path) - 1 for path in paths), "step") as progress,
        _enough_memory(micro_batch),
    ):
        for part, batch in _batches(x, micro_batch):
            n, batch = part.stop - part.start, batch.to(denoiser.device)
            trajectory = integrate(preset.solver(denoiser), batch, up, on_step=progress.advance)
            evaluations = trajectory.evaluations
            z[part] = trajectory.x[:n].cpu().numpy()
            back[part] = integrate(preset.solver(denoiser), trajectory.x, down, on_step=progress.advance).x[:n].cpu().numpy()
            if estimate_error:
                fine[part] = integrate(preset.solver(denoiser), batch, fine_up, on_step=progress.advance).x[:n].cpu().numpy()
    _refuse_nonfinite(z, "inversion")
    error = relative_error(z, fine) if estimate_error else np.full(len(x), np.nan)
    return Inversion(z, back, relative_error(back, x), error, evaluations)


def decode(
    denoiser: Denoiser,
    z: Field,
    preset: Preset,
    *,
    eta: float = 0.0,
    seed: int = 0,
    items: NDArray[np.int64] | None = None,
    micro_batch: int = MICRO_BATCH,
    label: str = "decode",
) -> Field:
    """Decode latents (N, C, H, W) into normalised maps.

    Parameters
    ----------
    denoiser, z, preset
        Frozen network, latents at ``preset.t_0``, solver and grid.
    eta : float
        Stochasticity; each item draws from its own stream ``(seed, "eta", item)``.
    items : ndarray of int, optional
        Global numbers of the items, for their random streams; 0..N-1 by default.
    """
    check_shape(denoiser, z)
    items = np.arange(len(z)) if items is None else items
    out = np.empty_like(z, dtype=np.float32)
    down = preset.times_down(denoiser.schedule)
    with Progress(label, -(-len(z) // micro_batch) * (len(down) - 1), "step") as progress, _enough_memory(micro_batch):
        for part, batch in _batches(z, micro_batch):
            n = part.stop - part.start
            streams = [stream(seed, "eta", int(i)) for i in items[part]] if eta > 0 else []

            def noise(streams: list[np.random.Generator] = streams, shape: tuple[int, ...] = tuple(batch.shape)) -> torch.Tensor:
                draw = np.zeros(shape, dtype=np.float32)
                for row, generator in zip(draw, streams, strict=False):
                    row[...] = generator.standard_normal(row.shape, dtype=np.float32)
                return torch.from_numpy(draw).to(denoiser.device)

            solver = preset.solver(denoiser, eta, noise)
            out[part] = integrate(solver, batch.to(denoiser.device), down, on_step=progress.advance).x[:n].cpu().numpy()
    _refuse_nonfinite(out, "decoding")
    return out


def seconds_per_call(denoiser: Denoiser, x: Field, t: float, micro_batch: int = MICRO_BATCH, calls: int = 3) -> float:
    """Median wall time of a network call on a micro-batch of maps (N, C, H, W), after one call that does not count."""
    _, batch = next(_batches(x, micro_batch))
    batch = batch.to(denoiser.device)
    times = []
    with _enough_memory(micro_batch):
        for _ in range(calls + 1):
            start = time.perf_counter()
            denoiser.eps(batch, t).sum().item()
            times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


@contextmanager
def _enough_memory(micro_batch: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        problem = f"the device has too little memory for {micro_batch} maps at once"
        raise RunError("RN55", "device", problem, "take a smaller micro_batch") from None


def _refuse_nonfinite(x: Field, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
    if bad.size:
        raise RunError(
            "RN60", what, f"{bad.size} of {len(x)} items are not finite (first: {bad[0]})", "take a smaller t_0 or more steps"
        )
