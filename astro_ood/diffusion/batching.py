"""Micro-batches: how many items a network sees at once, and what happens where the device's memory ends.

The network always sees batches of one recorded size, the last padded with zeros: so neither the number of shards nor the order of the
maps changes a bit of any result. Another size agrees to rounding; that is what happens where memory ends: the micro-batch is halved, the
batch repeated, and the smaller size recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from astro_ood._log import logger
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Field
from astro_ood.errors import RunError

MICRO_BATCH = 8
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")

Work = Callable[[torch.Tensor, slice], tuple[torch.Tensor, ...]]


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

    def run(self, x: Field, work: Work) -> list[Field]:
        """Results of `work(batch, part)` for all items of `x` (N, C, H, W), joined; batches are padded with zeros."""
        done: list[list[Field]] = []
        start = 0
        while start < len(x):
            part = slice(start, min(start + self.size, len(x)))
            found = self._attempt(x, part, work)
            if found is None:
                self._halve()  # outside of any `except`: a traceback keeps the activations of the failed batch alive
                continue
            done.append(found)
            start = part.stop
        return [np.concatenate(column) for column in zip(*done, strict=True)]

    def _attempt(self, x: Field, part: slice, work: Work) -> list[Field] | None:
        """Results for some of the items, nothing where the memory has ended."""
        n = part.stop - part.start
        try:
            batch = np.zeros((self.size, *x.shape[1:]), dtype=np.float32)
            batch[:n] = x[part]
            return [f[:n].cpu().numpy() for f in work(torch.from_numpy(batch), part)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _halve(self) -> None:
        if self.size == 1:
            problem = "the device has too little memory for a single map"
            raise RunError("RN55", "device", problem, "take a smaller `patch`, a `window`, or another device")
        self.size //= 2
        logger.warning("the device's memory has ended: going on with a micro-batch of %d", self.size)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether an error is the end of memory: torch's own kind, numpy's, or one that libraries tell by words alone."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


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
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not tried:
                raise
            break
        tried.append((size, rate))
        if len(tried) > 2 and rate < gain * max(r for _, r in tried[:-1]):
            break
        size *= 2
    best = max(rate for _, rate in tried)
    return next(s for s, rate in tried if rate >= best / max(gain, 1.0)), tried
