"""Running a frozen network over many maps: inversion, decoding, and what is known of both.

Maps come in blocks and results leave in blocks, so that memory does not depend on their number. An item that does not end as a number, or
whose latent has not the scale of noise, is counted and left to the caller; where such items are many the run stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from astro_ood._log import Progress, logger
from astro_ood._random import stream
from astro_ood.diffusion.batching import MICRO_BATCH, MicroBatch, Work
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Field, Frame, usable_scale
from astro_ood.diffusion.guidance import Guided, Targets
from astro_ood.diffusion.presets import Preset
from astro_ood.diffusion.schedule import Array
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import RunError

MOST_NONFINITE = 0.01


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
        Estimated RMSE of the latent over its standard deviation: the distance from a solution with half the step, times Richardson's
        factor for the order of the solver (`Preset.error_of_difference`); NaN where it was not estimated.
    latent_scale : ndarray, shape (N,)
        Standard deviation of the latent over its expectation; far from 1 the solver has diverged or the network is not what its card
        says.
    channel_spread : ndarray, shape (N,)
        How far channels that began equal disagree in the reconstruction, over the standard deviation of the map.
    checks : ndarray, shape (N, n_checks)
        Round trips by other presets; NaN where they were not measured.
    evaluations : int
        Network evaluations per map of the inversion alone.
    """

    z: Field
    reconstruction: Field
    round_trip: NDArray[np.float64]
    latent_error: NDArray[np.float64]
    latent_scale: NDArray[np.float64]
    channel_spread: NDArray[np.float64]
    checks: NDArray[np.float64]
    evaluations: int

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Items whose latent and reconstruction are numbers."""
        return finite_items(self.z) & finite_items(self.reconstruction)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Items whose latent has the scale of noise."""
        return self.finite & usable_scale(self.latent_scale)


class Census:
    """Counts the items of a long run that get lost.

    Parameters
    ----------
    what : str
        What is running, for messages.
    total : int
        Number of items of the whole run.
    """

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.nonfinite, self.outside = what, total, 0, 0

    def finite(self, good: NDArray[np.bool_]) -> None:
        """Note which items of a block are finite; RN60 where more than 1 % of all are not."""
        self.nonfinite += int((~good).sum())
        if self.nonfinite > MOST_NONFINITE * self.total:
            problem = f"{self.nonfinite} of {self.total} items are not finite"
            raise RunError("RN60", self.what, problem, "take a smaller t_0, more steps or precision fp32")
        if not good.all():
            logger.warning("%s: %d of %d items are not finite", self.what, self.nonfinite, self.total)

    def usable(self, found: Inversion) -> NDArray[np.bool_]:
        """Usable items of a block; RN61 where most of all latents are no noise: the solver diverged, or the card is wrong."""
        outside = found.finite & ~found.usable
        self.outside += int(outside.sum())
        if 2 * self.outside > self.total:
            scale = float(np.median(found.latent_scale[outside])) if outside.any() else np.nan
            problem = f"{self.outside} of {self.total} latents have {scale:.2g} times the standard deviation of noise"
            raise RunError("RN61", self.what, problem, "run `astro-ood models check`, take a smaller t_0 or more steps")
        if outside.any():
            logger.warning("%s: %d of %d latents are outside the band of noise: not usable", self.what, self.outside, self.total)
        return found.usable


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
    blocks = invert_blocks(
        denoiser,
        [x],
        preset,
        frame=frame or Frame.of(denoiser, x.shape[1:]),
        total=len(x),
        micro_batch=micro_batch,
        estimates=len(x) if estimate_error else 0,
        label=label,
    )
    (found,) = blocks
    return found


def invert_blocks(
    denoiser: Denoiser,
    blocks: Iterable[Field],
    preset: Preset,
    *,
    frame: Frame,
    total: int,
    checks: Sequence[Preset] = (),
    micro_batch: int | MicroBatch = MICRO_BATCH,
    estimates: int = 0,
    label: str = "invert",
) -> Iterator[Inversion]:
    """Invert block after block of maps (n, C, H, W).

    Parameters
    ----------
    denoiser, preset, frame, micro_batch, label
        As for `invert`.
    blocks : iterable of ndarray
        Maps in [-1, 1].
    total : int
        Maps of all blocks together.
    checks : sequence of Preset
        Other ways, of which only the round trip is measured.
    estimates : int
        Maps, the first ones, whose latent error and `checks` are measured.
    """
    batches = micro_batch if isinstance(micro_batch, MicroBatch) else MicroBatch(micro_batch)
    schedule, fine = denoiser.schedule, preset.refined()
    measured = min(estimates, total)
    steps = (total - measured) * _steps(preset) + measured * sum(map(_steps, (preset, *checks)))
    steps += measured * (len(fine.times_up(schedule)) - 1)
    alpha, sigma = float(schedule.alpha(preset.t_0)), float(schedule.sigma(preset.t_0))
    census, seen = Census("inversion", total), 0
    with Progress(label, steps, "map step") as progress:
        for x in blocks:
            y = frame.to_network(x)
            z, back = batches.run(y, _there_and_back(denoiser, preset, progress))
            reconstruction, spread = frame.to_maps(back)
            error, trips = np.full(len(x), np.nan), np.full((len(x), len(checks)), np.nan)
            n = max(0, min(len(x), estimates - seen))
            if n:
                (better,) = batches.run(y[:n], _there(denoiser, fine, progress))
                error[:n] = preset.error_of_difference * relative_error(z[:n], better)
                for column, check in enumerate(checks):
                    _, again = batches.run(y[:n], _there_and_back(denoiser, check, progress))
                    trips[:n, column] = relative_error(frame.to_maps(again)[0], x[:n])
            expected = np.sqrt(alpha**2 * y.var(axis=(1, 2, 3), dtype=np.float64) + sigma**2)
            with np.errstate(invalid="ignore", over="ignore"):
                scale = z.std(axis=(1, 2, 3), dtype=np.float64) / expected
            trip = relative_error(reconstruction, x)
            found = Inversion(z, reconstruction, trip, error, scale, spread, trips, preset.evaluations_up)
            census.finite(found.finite)
            seen += len(x)
            yield found


def _steps(preset: Preset) -> int:
    """Steps of a way up and down."""
    return 2 * preset.steps + int(preset.to_clean_end)


def _send(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Batch on the device, through pinned memory on its way to a GPU."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def _there_and_back(denoiser: Denoiser, preset: Preset, progress: Progress) -> Work:
    up, down = preset.times_up(denoiser.schedule), preset.times_down(denoiser.schedule)

    def work(x: torch.Tensor, part: slice) -> tuple[torch.Tensor, ...]:
        z = _carry(denoiser, preset, _send(x, denoiser.device), up, progress, part)
        return z, _carry(denoiser, preset, z, down, progress, part)

    return work


def _there(denoiser: Denoiser, preset: Preset, progress: Progress) -> Work:
    up = preset.times_up(denoiser.schedule)
    return lambda x, part: (_carry(denoiser, preset, _send(x, denoiser.device), up, progress, part),)


def _carry(denoiser: Denoiser, preset: Preset, x: torch.Tensor, times: Array, progress: Progress, part: slice) -> torch.Tensor:
    return integrate(preset.make_solver(denoiser), x, times, on_step=lambda: progress.advance(part.stop - part.start)).x


def decode(
    denoiser: Denoiser,
    z: Field,
    preset: Preset,
    *,
    frame: Frame | None = None,
    eta: float = 0.0,
    seed: int = 0,
    items: NDArray[np.int64] | None = None,
    guided: Targets | None = None,
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
    guided : Targets, optional
        Statistics towards which the estimates of the maps are moved on the way.

    Raises
    ------
    InputError
        IN32: `guided` does not fit the maps.
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
        guided=guided,
        micro_batch=micro_batch,
        label=label,
    )
    (decoded,) = blocks
    return decoded


def decode_blocks(
    denoiser: Denoiser,
    blocks: Iterable[tuple[Field, NDArray[np.int64]]],
    preset: Preset,
    *,
    frame: Frame,
    total: int,
    eta: float = 0.0,
    seed: int = 0,
    guided: Targets | None = None,
    micro_batch: int | MicroBatch = MICRO_BATCH,
    label: str = "decode",
) -> Iterator[tuple[Field, NDArray[np.float64]]]:
    """Decode block after block of latents and the numbers of their items, `total` in all."""
    batches = micro_batch if isinstance(micro_batch, MicroBatch) else MicroBatch(micro_batch)
    down, census = preset.times_down(denoiser.schedule), Census("decoding", total)
    with Progress(label, total * (len(down) - 1), "map step") as progress:
        for z, items in blocks:

            def work(x: torch.Tensor, part: slice, items: NDArray[np.int64] = items) -> tuple[torch.Tensor, ...]:
                noise = _noise(seed, items[part], tuple(x.shape), denoiser.device) if eta > 0 else None
                # the zeros that fill up a batch aim at what its first item aims at
                steered = Guided(denoiser, guided, frame, np.resize(items[part], len(x))) if guided else None
                solver = preset.make_solver(steered or denoiser, eta, noise)
                advance = part.stop - part.start
                y = integrate(solver, _send(x, denoiser.device), down, on_step=lambda: progress.advance(advance)).x
                return (steered.finish(y) if steered else y,)

            (y,) = batches.run(z, work)
            x, spread = frame.to_maps(y)
            census.finite(finite_items(x))
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
