r"""Maps larger than a network: overlapping windows, joined in every evaluation.

Decoding windows apart and pasting the maps leaves seams, for each ends in another map. Here the *noise* is joined: at every time the
network sees all windows of the one state, and their answers are averaged with smooth weights,

.. math:: \epsilon(x) = \sum_i w_i\, \epsilon(x|_i) \Big/ \sum_i w_i ,

so that there is one state and one trajectory (the idea of MultiDiffusion, Bar-Tal et al. 2023, arXiv:2302.08113).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution
from astro_ood.errors import ModelError

OVERLAP = 0.5


class Windowed(Denoiser):
    """A denoiser for maps of any size not below its window.

    Parameters
    ----------
    inner : Denoiser
        Frozen network.
    window : int
        Side of the windows, pixels: its own side for a network of fixed size.
    overlap : float
        Fraction of a window that neighbours share at the least.
    batch : int
        Windows per network call.

    Raises
    ------
    ModelError
        MD60: a window that the network cannot take.
    """

    def __init__(self, inner: Denoiser, window: int, overlap: float = OVERLAP, batch: int = 16) -> None:
        own = inner.shape[1:]
        if (inner.fixed_size and (window, window) != own) or window % inner.stride or not 0 < overlap < 1:
            expected = f"{own[0]}" if inner.fixed_size else f"a multiple of {inner.stride}"
            raise ModelError(
                "MD60", inner.name, f"windows of {window} pixels with overlap {overlap:g}", f"take {expected}, and 0.5"
            )
        self.inner, self.window, self.overlap, self.batch = inner, window, overlap, batch
        super().__init__(
            inner.raw,
            inner.schedule,
            (inner.shape[0], window, window),
            parameterisation=inner.parameterisation,
            data_range=inner.data_range,
            smallest=window,
            name=inner.name,
            sha256=inner.sha256,
            card=inner.card,
        )
        self.runner = inner.runner

    def to(self, device: torch.device, execution: Execution | None = None) -> Denoiser:
        """Make the inner network ready; this one only joins."""
        self.inner.to(device, execution)
        self.runner = self.inner.runner
        return self

    def starts(self, side: int) -> list[int]:
        """First pixels of the windows along a side: evenly spread, the last ends with the map."""
        steps = int(np.ceil((side - self.window) / ((1 - self.overlap) * self.window)))
        return [round(i * (side - self.window) / steps) for i in range(steps + 1)] if steps > 0 else [0]

    def eps(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Predicted noise, shape (N, C, H, W)."""
        size = self.window
        corners = [(i, j) for i in self.starts(x_t.shape[2]) for j in self.starts(x_t.shape[3])]
        x = x_t.to(self.device)
        weight = self._weight(x)
        total, norm = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        tasks = [(n, i, j) for n in range(len(x)) for i, j in corners]
        times = torch.as_tensor(t, dtype=torch.float32).reshape(-1)
        for first in range(0, len(tasks), self.batch):
            part = tasks[first : first + self.batch]
            views = torch.zeros((self.batch, *x.shape[1:2], size, size), dtype=x.dtype, device=x.device)
            for row, (n, i, j) in zip(views, part, strict=False):
                row.copy_(x[n, :, i : i + size, j : j + size])
            time = times if len(times) == 1 else times[[*(n for n, _, _ in part), *[0] * (self.batch - len(part))]]
            for eps, (n, i, j) in zip(self.inner.eps(views, time if len(times) > 1 else float(time)), part, strict=False):
                total[n, :, i : i + size, j : j + size] += weight * eps
        for i, j in corners:
            norm[:, :, i : i + size, j : j + size] += weight
        return total / norm

    def _weight(self, like: Tensor) -> Tensor:
        """Smooth and positive: a map's border has no other window."""
        ramp = torch.sin(torch.pi * (torch.arange(self.window, dtype=torch.float64) + 0.5) / self.window).square()
        return (ramp[:, None] * ramp[None, :]).to(like.dtype).to(like.device)
