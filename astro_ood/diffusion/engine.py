"""Running a frozen network over many maps.

The network always sees micro-batches of one recorded size, the last padded with zeros, and one scalar time: so neither the number
of shards nor the order of the maps changes a bit of any result. Another micro-batch size agrees to rounding; that is what happens
where the device's memory ends: the micro-batch is halved, the batch repeated, and the smaller size recorded. Maps come in blocks and
results leave in blocks, so that memory does not depend on their number.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from astro_ood._log import Progress, logger
from astro_ood._random import stream
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import pick_device
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.presets import Preset
from astro_ood.diffusion.schedule import Array
from astro_ood.diffusion.solver import Solver, integrate
from astro_ood.errors import RunError

__all__ = ["Inversion", "MicroBatch", "decode", "decode_blocks", "invert", "invert_blocks", "pick_device", "relative_error"]

MICRO_BATCH = 8
MOST_NONFINITE = 0.01
BAND = (0.5, 2.0)


@dataclass
class MicroBatch:
    """Items per network call; halved where the device's memory ends.

    Attributes
    ----------
    size : int
        Items per call from now on.
    asked : int
        Items per call in the beginning.
    """

    size: int

    def __post_init__(self) -> None:
        self.asked = self.size

    def run(self, x: Field, work: Callable[[torch.Tensor, slice], tuple[torch.Tensor, ...]]) -> list[Field]:
        """Results of `work(batch, part)` for all items of `x` (N, C, H, W), joined; batches are padded with zeros."""
        done: list[list[Field]] = []
        start = 0
        while start < len(x):
            part = slice(start, min(start + self.size, len(x)))
            batch = np.zeros((self.size, *x.shape[1:]), dtype=np.float32)
            batch[: part.stop - start] = x[part]
            pages = torch.from_numpy(batch)
            try:
                # pinned memory reaches an accelerator while it still computes
                found = work(pages.pin_memory() if torch.cuda.is_available() else pages, part)
            except RuntimeError as error:  # torch.OutOfMemoryError is one; a CPU allocator has no type of its own
                if not _is_out_of_memory(error):
                    raise
                self._halve()
                continue
            done.append([f[: part.stop - start].cpu().numpy() for f in found])
            start = part.stop
        return [np.concatenate(column) for column in zip(*done, strict=True)]

    def _halve(self) -> None:
        if self.size == 1:
            problem = "the device has too little memory for a single map"
            raise RunError("RN55", "device", problem, "take a smaller `patch`, a `window`, or another device")
        self.size //= 2
        logger.warning("the device's memory has ended: going on with a micro-batch of %d", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@dataclass(frozen=True)
class Inversion:
    """What one inversion gives, item by item.

    Attributes
    ----------
    z : ndarray, shape (N, C', H', W')
        Latents, in the network's channels and size.
    reconstruction : ndarray, shape (N, C, H, W)
        Maps decoded again from the latents.
    round_trip : ndarray, shape (N,)
        RMSE of the reconstruction over the standard deviation of the map.
    latent_error : ndarray, shape (N,)
        RMSE between the latent and that of a solution with half the step, over the standard deviation of the latent; NaN where it was
        not estimated.
    latent_scale : ndarray, shape (N,)
        Standard deviation of the latent over its expectation; far from 1 the solver has diverged or the network is not what its card
        says.
    channel_spread : ndarray, shape (N,)
        How far channels that began equal disagree in the reconstruction, over the standard deviation of the map.
    evaluations : int
        Network evaluations per map of the inversion alone.
    """

    z: Field
    reconstruction: Field
    round_trip: NDArray[np.float64]
    latent_error: NDArray[np.float64]
    latent_scale: NDArray[np.float64]
    channel_spread: NDArray[np.float64]
    evaluations: int

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Items whose latent and reconstruction are numbers."""
        return finite_items(self.z) & finite_items(self.reconstruction)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Items whose latent has the scale of noise."""
        return self.finite & (self.latent_scale > BAND[0]) & (self.latent_scale < BAND[1])

    def require_usable(self) -> NDArray[np.bool_]:
        """`usable`; a warning where some are not.

        Raises
        ------
        RunError
            RN61 where most are not: the solver has diverged, or the network is not what its card says.
        """
        outside = self.finite & ~self.usable
        if 2 * outside.sum() > len(outside):
            scale = float(np.median(self.latent_scale[outside]))
            problem = f"{outside.sum()} of {len(outside)} latents have {scale:.2g} times the standard deviation of noise"
            raise RunError("RN61", "inversion", problem, "run `astro-ood models check`, take a smaller t_0 or more steps")
        if outside.any():
            logger.warning("inversion: %d of %d latents are outside the band of noise: not usable", outside.sum(), len(outside))
        return self.usable


def finite_items(x: Field) -> NDArray[np.bool_]:
    """Which items (N, ...) hold numbers only."""
    return np.asarray(np.isfinite(x).reshape(len(x), -1).all(axis=1))


def relative_error(a: Field, b: Field) -> NDArray[np.float64]:
    """Root mean square of ``a - b`` over the standard deviation of ``b``, per item."""
    axes = (1, 2, 3)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.sqrt(np.mean((a.astype(np.float64) - b) ** 2, axis=axes)) / np.std(b.astype(np.float64), axis=axes)


def invert(
    denoiser: Denoiser,
    x: Field,
    preset: Preset,
    *,
    frame: Frame | None = None,
    micro_batch: int | MicroBatch = MICRO_BATCH,
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
    frame : Frame, optional
        How maps meet the network; maps of its own channels and a size that it takes need none.
    micro_batch : int or MicroBatch
        Items per network call.
    estimate_error : bool
        Whether to solve again with half the step; `latent_error` is NaN otherwise.

    Raises
    ------
    InputError
        Maps that the network cannot take (IN31, IN32).
    RunError
        More than 1 % of the items are not finite (RN60), too little memory for one map (RN55).
    """
    found = list(
        invert_blocks(
            denoiser,
            [x],
            preset,
            frame=frame or Frame.of(denoiser, x.shape[1:]),
            total=len(x),
            micro_batch=micro_batch,
            estimates=len(x) if estimate_error else 0,
            label=label,
        )
    )
    return found[0]


def invert_blocks(
    denoiser: Denoiser,
    blocks: Iterable[Field],
    preset: Preset,
    *,
    frame: Frame,
    total: int,
    micro_batch: int | MicroBatch = MICRO_BATCH,
    estimates: int = 0,
    label: str = "invert",
) -> Iterator[Inversion]:
    """Invert block after block of maps (n, C, H, W), `total` in all; the first `estimates` maps get an estimate of the latent error."""
    batches = micro_batch if isinstance(micro_batch, MicroBatch) else MicroBatch(micro_batch)
    schedule = denoiser.schedule
    up, down, fine = preset.times_up(schedule), preset.times_down(schedule), preset.refined().times_up(schedule)
    steps = total * (len(up) + len(down) - 2) + min(estimates, total) * (len(fine) - 1)
    alpha, sigma = float(schedule.alpha(preset.t_0)), float(schedule.sigma(preset.t_0))
    seen = 0
    with Progress(label, steps, "map step") as progress:
        for x in blocks:
            y = frame.to_network(x)
            expected = np.sqrt(alpha**2 * y.var(axis=(1, 2, 3), dtype=np.float64) + sigma**2)
            z, back = batches.run(y, _there_and_back(denoiser, preset, up, down, progress))
            reconstruction, spread = frame.to_maps(back)
            error = np.full(len(x), np.nan)
            n = max(0, min(len(x), estimates - seen))
            if n:
                (better,) = batches.run(y[:n], _there(denoiser, preset.refined(), fine, progress))
                error[:n] = relative_error(z[:n], better)
            with np.errstate(invalid="ignore", over="ignore"):
                scale = z.std(axis=(1, 2, 3), dtype=np.float64) / expected
            found = Inversion(z, reconstruction, relative_error(reconstruction, x), error, scale, spread, preset.evaluations_up)
            _require_numbers(found.finite, "inversion")
            seen += len(x)
            yield found


def _carry(denoiser: Denoiser, solver: Solver, x: torch.Tensor, times: Array, progress: Progress, items: int) -> torch.Tensor:
    def advance() -> None:
        progress.advance(items)

    return integrate(solver, x.to(denoiser.device), times, on_step=advance).x


def _there_and_back(
    denoiser: Denoiser, preset: Preset, up: Array, down: Array, progress: Progress
) -> Callable[[torch.Tensor, slice], tuple[torch.Tensor, ...]]:
    def work(x: torch.Tensor, part: slice) -> tuple[torch.Tensor, ...]:
        items = part.stop - part.start
        z = _carry(denoiser, preset.make_solver(denoiser), x, up, progress, items)
        return z, _carry(denoiser, preset.make_solver(denoiser), z, down, progress, items)

    return work


def _there(
    denoiser: Denoiser, preset: Preset, times: Array, progress: Progress
) -> Callable[[torch.Tensor, slice], tuple[torch.Tensor, ...]]:
    def work(x: torch.Tensor, part: slice) -> tuple[torch.Tensor, ...]:
        return (_carry(denoiser, preset.make_solver(denoiser), x, times, progress, part.stop - part.start),)

    return work


def decode(
    denoiser: Denoiser,
    z: Field,
    preset: Preset,
    *,
    frame: Frame | None = None,
    eta: float = 0.0,
    seed: int = 0,
    items: NDArray[np.int64] | None = None,
    micro_batch: int | MicroBatch = MICRO_BATCH,
    label: str = "decode",
) -> tuple[Field, NDArray[np.float64]]:
    """Decode latents (N, C', H', W') into normalised maps (N, C, H, W); second, the disagreement of repeated channels (N,).

    Parameters
    ----------
    denoiser, z, preset
        Frozen network, latents at ``preset.t_0``, solver and grid.
    frame : Frame, optional
        How the maps met the network.
    eta : float
        Stochasticity; each item draws from its own stream ``(seed, "eta", item)``.
    items : ndarray of int, optional
        Global numbers of the items, for their random streams; 0..N-1 by default.

    Raises
    ------
    RunError
        More than 1 % of the maps are not finite (RN60), too little memory for one map (RN55).
    """
    numbers = np.arange(len(z)) if items is None else items
    blocks = decode_blocks(
        denoiser,
        [(z, numbers)],
        preset,
        frame=frame or Frame.of(denoiser, z.shape[1:]),
        total=len(z),
        eta=eta,
        seed=seed,
        micro_batch=micro_batch,
        label=label,
    )
    return next(blocks)


def decode_blocks(
    denoiser: Denoiser,
    blocks: Iterable[tuple[Field, NDArray[np.int64]]],
    preset: Preset,
    *,
    frame: Frame,
    total: int,
    eta: float = 0.0,
    seed: int = 0,
    micro_batch: int | MicroBatch = MICRO_BATCH,
    label: str = "decode",
) -> Iterator[tuple[Field, NDArray[np.float64]]]:
    """Decode block after block of latents and the numbers of their items, `total` in all."""
    batches = micro_batch if isinstance(micro_batch, MicroBatch) else MicroBatch(micro_batch)
    down = preset.times_down(denoiser.schedule)
    with Progress(label, total * (len(down) - 1), "map step") as progress:
        for z, items in blocks:

            def work(x: torch.Tensor, part: slice, items: NDArray[np.int64] = items) -> tuple[torch.Tensor, ...]:
                noise = _noise(seed, items[part], tuple(x.shape), denoiser.device) if eta > 0 else None
                solver = preset.make_solver(denoiser, eta, noise)
                return (_carry(denoiser, solver, x, down, progress, part.stop - part.start),)

            (y,) = batches.run(z, work)
            x, spread = frame.to_maps(y)
            _require_numbers(finite_items(x), "decoding")
            yield x, spread


def _noise(seed: int, items: NDArray[np.int64], shape: tuple[int, ...], device: torch.device) -> Callable[[], torch.Tensor]:
    """Normal draws of which each item has its own stream."""
    streams = [stream(seed, "eta", int(i)) for i in items]

    def draw() -> torch.Tensor:
        values = np.zeros(shape, dtype=np.float32)
        for row, generator in zip(values, streams, strict=False):
            row[...] = generator.standard_normal(row.shape, dtype=np.float32)
        return torch.from_numpy(values).to(device)

    return draw


def _require_numbers(finite: NDArray[np.bool_], what: str) -> None:
    """Go on without a few items that are not finite, stop where they are many."""
    bad = np.flatnonzero(~finite)
    if bad.size > MOST_NONFINITE * len(finite):
        problem = f"{bad.size} of {len(finite)} items are not finite (first: {bad[0]})"
        raise RunError("RN60", what, problem, "take a smaller t_0, more steps or precision fp32")
    if bad.size:
        logger.warning("%s: %d of %d items are not finite and are left out", what, bad.size, len(finite))


def seconds_per_call(denoiser: Denoiser, x: Field, t: float, micro_batch: int = MICRO_BATCH, calls: int = 3) -> float:
    """Median wall time of a network call on a micro-batch of arrays (N, C', H', W'), after one call that does not count."""
    batch = torch.zeros((micro_batch, *x.shape[1:]))
    batch[: len(x)] = torch.from_numpy(x[:micro_batch])
    times = []
    for _ in range(calls + 1):
        start = time.perf_counter()
        denoiser.eps(batch, t).sum().item()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def largest_micro_batch(
    denoiser: Denoiser, x: Field, t: float, *, limit: int = 1024, gain: float = 1.1
) -> tuple[int, list[tuple[int, float]]]:
    """Micro-batch beyond which the device gives no more maps a second, or its memory ends.

    Parameters
    ----------
    denoiser : Denoiser
    x : ndarray, shape (n, C', H', W')
        Some arrays of the network.
    limit : int
        Largest size tried.
    gain : float
        Gain in maps a second that twice the size must bring.

    Returns
    -------
    size : int
    tried : list of (int, float)
        Sizes and the maps a second of each.
    """
    tried: list[tuple[int, float]] = []
    size = 1
    while size <= limit:
        try:
            rate = size / seconds_per_call(denoiser, np.resize(x, (size, *x.shape[1:])), t, size)
        except RuntimeError as error:
            if not _is_out_of_memory(error) or not tried:
                raise
            break
        tried.append((size, rate))
        if len(tried) > 2 and rate < gain * max(r for _, r in tried[:-1]):
            break
        size *= 2
    best = max(rate for _, rate in tried)
    return next(s for s, rate in tried if rate >= best / max(gain, 1.0)), tried


def concatenate(parts: Iterable[Inversion]) -> Inversion:
    """Join the blocks of one inversion."""
    blocks = list(parts)
    arrays = [f.name for f in fields(Inversion) if f.name != "evaluations"]
    joined = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in arrays}
    return Inversion(**joined, evaluations=blocks[0].evaluations)
