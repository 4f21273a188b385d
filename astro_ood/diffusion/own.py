"""Maps that a frozen network draws itself, from pure noise: samples of the domain that it has learned."""

from __future__ import annotations

import numpy as np

from astro_ood._random import stream
from astro_ood.diffusion.batching import MICRO_BATCH
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.engine import decode
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.errors import RunError

# evaluations down from pure noise
STEPS = 50
# last time of the published schedule: schedules that end in less signal divide by next to nothing there
_PURE, _PUBLISHED = 999.0, NoiseSchedule.linear()
# maps of a network keep to about [-1, 1], and vary
_LARGEST, _FLAT = 1.5, 1e-3


def own_maps(model: Denoiser, frame: Frame, n: int, seed: int, micro_batch: int = MICRO_BATCH) -> Field:
    """Maps that a network draws itself; the noise of each depends on the seed and its number alone.

    Parameters
    ----------
    model : Denoiser
        Frozen network.
    frame : Frame
        How maps meet it.
    n : int
        How many to draw.
    seed : int
    micro_batch : int
        Maps per network call.

    Returns
    -------
    ndarray, shape (m, C, H, W)
        In about [-1, 1], in the shape of the frame's maps; those that do not vary are left out.

    Raises
    ------
    RunError
        RN61: fewer than half of them vary.
    """
    last = choose("fast", model.schedule, t_0=model.schedule.equivalent_time(_PURE, _PUBLISHED), n_steps=STEPS)
    z = np.stack([stream(seed, "own", i).standard_normal(frame.network_shape) for i in range(n)])
    x = decode(model, z.astype(np.float32), last, frame=frame, micro_batch=micro_batch, label="own maps")[0]
    x = np.clip(x, -_LARGEST, _LARGEST)
    varied = x.std(axis=(1, 2, 3)) > _FLAT
    if 2 * varied.sum() < n:
        problem = f"{varied.sum()} of {n} maps that the network draws itself vary"
        raise RunError("RN61", model.name, problem, "run `astro-ood models check`: it may not be what its card says")
    return x[varied]
