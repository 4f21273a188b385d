"""The model card of a trained network: what it was trained on, how well it denoises and how well it inverts its own domain."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from astro_ood._log import logger
from astro_ood.diffusion import engine, presets
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Field
from astro_ood.diffusion.nets import SmallUNet
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.train import HELD_OUT, PHOTOGRAPHS, TrainingPlan, crops, eps_loss, load_photographs, train

_T_0 = (300.0, 700.0, 900.0)


def train_and_describe(out: Path, *, steps: int = 16_000, seed: int = 0) -> None:
    """Train, and write the weights, their card (JSON) and in-domain samples (PNG).

    A checkpoint beside `out` lets an interrupted training go on.

    Parameters
    ----------
    out : Path
        Weights, `.safetensors`.
    """
    plan = TrainingPlan(steps=steps, seed=seed)
    checkpoint = out.with_suffix(".checkpoint")
    for row in train(plan, checkpoint):
        logger.info("train: step %(step)d, loss %(loss).4f, held-out loss %(held_out).4f, %(seconds).0f s", row)
    describe(plan, checkpoint, out)
    checkpoint.unlink()


def describe(plan: TrainingPlan, checkpoint: Path, out: Path, *, n: int = 16) -> dict[str, Any]:
    """Write weights, card and samples from a training checkpoint; errors are medians over `n` held-out crops. Return the card."""
    state = torch.load(checkpoint, weights_only=True)
    save_file({k: v.contiguous() for k, v in state["ema"].items()}, out)
    net = SmallUNet(1, plan.width, plan.multipliers)
    net.load_state_dict(state["ema"])
    net.eval().requires_grad_(requires_grad=False)
    schedule = NoiseSchedule.linear()
    denoiser = Denoiser(net, schedule, (1, 32, 32), stride=net.stride, name=out.stem)
    held_out = load_photographs((HELD_OUT,))
    x = crops(held_out, n, 64, np.random.default_rng(plan.seed)).numpy()
    card = {
        "name": out.stem,
        "summary": "DDPM on photographs, one channel, fully convolutional",
        "arch": "small_unet",
        "network": net.config,
        "schedule": {"kind": "linear", "n": schedule.alpha_bar.size, "beta_first": 1e-4, "beta_last": 0.02},
        "parameterisation": "eps",
        "range": [-1, 1],
        "shape": [1, 32, 32],
        "parameters": sum(p.numel() for p in net.parameters()),
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "licence": "MIT",
        "trained_on": {
            "photographs": list(PHOTOGRAPHS),
            "source": "scikit-image wheel (skimage.data)",
            "licence": "CC0 or public domain, photograph by photograph",
            "held_out": HELD_OUT,
        },
        "training": {**asdict(plan), "seconds": sum(_durations(state["history"])), "device": "cpu, bfloat16 autocast"},
        "held_out_eps_loss": {str(size): eps_loss(net, held_out, schedule, n=512, size=size) for size in (32, 64)},
        "in_domain": {f"t_0={t_0:g}": _round_trips(denoiser, x, t_0) for t_0 in _T_0},
        "loss_curve": [{k: row[k] for k in ("step", "loss", "held_out")} for row in state["history"]],
    }
    out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    draw_samples(denoiser, out.with_suffix(".png"), n=n, seed=plan.seed)
    return card


def _durations(history: list[dict[str, Any]]) -> list[float]:
    """Seconds of each uninterrupted part of the training: the clock starts again after an interruption."""
    seconds = [row["seconds"] for row in history]
    return [s for s, following in zip(seconds, [*seconds[1:], 0.0], strict=True) if following < s]


def _round_trips(denoiser: Denoiser, x: Field, t_0: float) -> dict[str, float]:
    found = engine.invert(denoiser, x, presets.choose("fast", denoiser.schedule, t_0=t_0))
    return {
        "round_trip_median": float(np.median(found.round_trip)),
        "latent_error_median": float(np.median(found.latent_error)),
        "latent_std": float(found.z.std()),
    }


def draw_samples(denoiser: Denoiser, path: Path, *, n: int = 16, seed: int = 0) -> None:
    """Write a picture of `n` samples of the network's own domain."""
    from matplotlib.image import imsave

    z = np.random.default_rng(seed).standard_normal((n, 1, 64, 64), dtype=np.float32)
    x, _ = engine.decode(denoiser, z, presets.choose("fast", denoiser.schedule, n_steps=50, t_0=denoiser.schedule.last))
    rows = x[:, 0].reshape(2, n // 2, 64, 64).transpose(0, 2, 1, 3).reshape(128, -1)
    imsave(path, np.clip(rows, -1, 1), cmap="gray", vmin=-1, vmax=1)
