"""Training of the project's own network on photographs: the frozen model of the embedded runs.

The photographs are those that the wheel of scikit-image carries and that their authors released as CC0 or into the public domain,
without the astronomical, medical and drawn ones: the network must never have seen anything like the maps that it is used on.
Every batch is drawn from a generator seeded with ``(seed, step)``, so a run that was interrupted goes on exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from astro_ood.diffusion.nets import SmallUNet
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.errors import ModelError

PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "clock", "coins", "grass", "gravel", "rocket")
"""Photographs trained on (names in `skimage.data`)."""

HELD_OUT = "coffee"
"""Photograph kept for the held-out loss."""

_SCALES = (1.0, 0.71, 0.5, 0.35, 0.25)


@dataclass(frozen=True)
class TrainingPlan:
    """How to train: recorded whole in the model card."""

    steps: int = 16_000
    batch: int = 32
    learning_rate: float = 5e-4
    warmup: int = 500
    ema: float = 0.9995
    seed: int = 0
    large_crops: float = 0.3
    width: int = 32
    multipliers: tuple[int, ...] = (1, 2, 3)


def load_photographs(names: tuple[str, ...] = PHOTOGRAPHS) -> list[list[Tensor]]:
    """Read photographs as pyramids of five scales.

    Returns
    -------
    list of list of Tensor, each (3, H, W) in [-1, 1]
    """
    import skimage.data

    pyramids = []
    for name in names:
        picture = np.atleast_3d(getattr(skimage.data, name)())
        x = torch.from_numpy(np.broadcast_to(picture, (*picture.shape[:2], 3)).copy()).permute(2, 0, 1).float() / 127.5 - 1
        pyramids.append(
            [
                F.interpolate(x[None], scale_factor=s, mode="bilinear", antialias=True)[0] if s < 1 else x
                for s in _SCALES
                if s * min(x.shape[1:]) >= 72
            ]
        )
    return pyramids


def crops(pyramids: list[list[Tensor]], n: int, size: int, rng: np.random.Generator) -> Tensor:
    """Cut random square crops, flipped and turned, of one random mixture of the colour channels.

    Returns
    -------
    Tensor, shape (n, 1, size, size), in [-1, 1]
    """
    out = torch.empty(n, 1, size, size)
    for i in range(n):
        pyramid = pyramids[rng.integers(len(pyramids))]
        x = pyramid[rng.integers(len(pyramid))]
        top, left = rng.integers(x.shape[1] - size + 1), rng.integers(x.shape[2] - size + 1)
        weights = torch.from_numpy(rng.dirichlet(np.ones(3))).float()
        crop = torch.einsum("c,chw->hw", weights, x[:, top : top + size, left : left + size])
        crop = torch.rot90(crop, int(rng.integers(4)))
        out[i, 0] = crop.flip(0) if rng.integers(2) else crop
    return out


def _noised(x_0: Tensor, schedule: NoiseSchedule, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Noise maps at stratified times; return ``x_t, t, eps``."""
    n = len(x_0)
    t = np.floor((rng.permutation(n) + rng.random(n)) / n * schedule.alpha_bar.size)
    eps = torch.from_numpy(rng.standard_normal(x_0.shape, dtype=np.float32))
    alpha, sigma = (torch.from_numpy(f(t)).float()[:, None, None, None] for f in (schedule.alpha, schedule.sigma))
    return alpha * x_0 + sigma * eps, torch.from_numpy(t).float(), eps


def eps_loss(
    net: torch.nn.Module, pyramids: list[list[Tensor]], schedule: NoiseSchedule, *, n: int = 256, size: int = 32, seed: int = 0
) -> float:
    """Mean squared error of predicted noise over `n` noised crops: 1 for a network that predicts nothing."""
    rng = np.random.default_rng((seed, 1))
    with torch.inference_mode():
        total = 0.0
        for _ in range(0, n, 32):
            x_t, t, eps = _noised(crops(pyramids, 32, size, rng), schedule, rng)
            total += float((net(x_t, t) - eps).square().mean()) * 32
    return total / (math.ceil(n / 32) * 32)


def _recorded(plan: TrainingPlan) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(plan).items()}


def train(plan: TrainingPlan, checkpoint: Path, *, every: int = 500) -> Iterator[dict[str, Any]]:
    """Train, saving `checkpoint` (and continuing from it where it exists).

    Yields
    ------
    dict
        ``step, loss, held_out, seconds`` every `every` steps. The exponential moving average of the weights is in the checkpoint
        under ``ema``.
    """
    torch.manual_seed(plan.seed)
    net = SmallUNet(1, plan.width, plan.multipliers)
    optimiser = torch.optim.Adam(net.parameters(), lr=plan.learning_rate, betas=(0.9, 0.99))
    ema = {k: v.detach().clone() for k, v in net.state_dict().items()}
    first, history = 0, []
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["plan"] != _recorded(plan):
            raise ModelError(
                "MD57", checkpoint, "a checkpoint of another training plan", "delete it, or give the same steps and seed"
            )
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        ema, first, history = state["ema"], state["step"], state["history"]
    schedule = NoiseSchedule.linear()
    photographs, held_out = load_photographs(), load_photographs((HELD_OUT,))
    running, start = 0.0, time.monotonic()
    for step in range(first, plan.steps):
        rng = np.random.default_rng((plan.seed, 0, step))
        large = rng.random() < plan.large_crops
        size, n = (64, plan.batch // 4) if large else (32, plan.batch)
        x_t, t, eps = _noised(crops(photographs, n, size, rng), schedule, rng)
        for group in optimiser.param_groups:
            progress = step / plan.steps
            group["lr"] = (
                plan.learning_rate * min(1.0, (step + 1) / plan.warmup) * (0.02 + 0.98 * math.cos(0.5 * math.pi * progress) ** 2)
            )
        with torch.autocast("cpu", torch.bfloat16):
            prediction = net(x_t, t)
        loss = (prediction.float() - eps).square().mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        decay = min(plan.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            for k, v in net.state_dict().items():
                ema[k].lerp_(v, 1 - decay)
        running += float(loss.detach())
        if (step + 1) % every == 0 or step + 1 == plan.steps:
            average = SmallUNet(1, plan.width, plan.multipliers).eval()
            average.load_state_dict(ema)
            row = {
                "step": step + 1,
                "loss": running / (step % every + 1),
                "held_out": eps_loss(average, held_out, schedule),
                "seconds": time.monotonic() - start,
            }
            history.append(row)
            running = 0.0
            state = {
                "plan": _recorded(plan),
                "net": net.state_dict(),
                "optimiser": optimiser.state_dict(),
                "ema": ema,
                "step": step + 1,
                "history": history,
            }
            partial = checkpoint.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(checkpoint)
            yield row
