"""Named ways to invert and decode: solver, grid and number of evaluations belong together.

``paper`` repeats the published code: DDIM on the grid ``int(linspace(0, 1, 80) * 900)``; the clean map stands as the state at
``t = 0`` and is inverted with 79 evaluations, decoding takes 80 because it adds the step from 0 to the clean end. ``fast`` and
``accurate`` are second-order on real-valued times equidistant in the log signal-to-noise ratio, and decode the grid that they
inverted: a closed loop between ``t = 0`` and ``t_0``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.schedule import Array, Grid, NoiseSchedule
from astro_ood.diffusion.solver import DDIM, Multistep, Noise, Solver
from astro_ood.errors import ConfigError

_PUBLISHED = NoiseSchedule.linear()


@dataclass(frozen=True)
class Preset:
    """Solver, grid and cost of inversion and decoding.

    Attributes
    ----------
    name : str
        ``paper``, ``fast`` or ``accurate``.
    multistep : bool
        Second-order multistep, else DDIM.
    grid : {"published", "log_snr"}
        Spacing of the times.
    n_steps : int
        Grid points for the published grid; otherwise evaluations per direction.
    t_0 : float
        Time inverted to.
    to_clean_end : bool
        Whether decoding ends with a step from 0 to the clean end.
    """

    name: str
    multistep: bool
    grid: Grid
    n_steps: int
    t_0: float
    to_clean_end: bool

    def times_up(self, schedule: NoiseSchedule) -> Array:
        """Times of the inversion, increasing from 0."""
        # The first multistep step costs two evaluations, so n evaluations make n - 1 steps, that is n grid points: the same count
        # that the published grid has.
        return schedule.timesteps(self.n_steps, self.t_0, self.grid)

    def times_down(self, schedule: NoiseSchedule) -> Array:
        """Times of the decoding, decreasing to 0 or the clean end -1."""
        down = self.times_up(schedule)[::-1]
        return np.append(down, -1.0) if self.to_clean_end else down

    @property
    def evaluations_up(self) -> int:
        """Network evaluations of an inversion."""
        return self.n_steps if self.multistep else self.n_steps - 1

    @property
    def evaluations_down(self) -> int:
        """Network evaluations of a deterministic decoding."""
        return self.evaluations_up + int(self.to_clean_end)

    def solver(self, denoiser: Denoiser, eta: float = 0.0, noise: Noise | None = None) -> Solver:
        """A fresh solver; stochastic decoding (``eta > 0``) is DDIM's on the same grid in every preset."""
        return Multistep(denoiser) if self.multistep and eta == 0 else DDIM(denoiser, eta, noise)

    def refined(self) -> Preset:
        """The same way with steps half as long, for the estimate of the latent error."""
        return replace(self, n_steps=2 * self.n_steps - 1)


PRESETS = {
    "paper": Preset("paper", multistep=False, grid="published", n_steps=80, t_0=900.0, to_clean_end=True),
    "fast": Preset("fast", multistep=True, grid="log_snr", n_steps=24, t_0=700.0, to_clean_end=False),
    "accurate": Preset("accurate", multistep=True, grid="log_snr", n_steps=80, t_0=700.0, to_clean_end=False),
}


def _translate(t: float, schedule: NoiseSchedule) -> float:
    """Time of equal signal-to-noise ratio for one of the published schedule."""
    return t if np.array_equal(schedule.alpha_bar, _PUBLISHED.alpha_bar) else schedule.equivalent_time(t, _PUBLISHED)


def published_t_0(schedule: NoiseSchedule) -> float:
    """The published `t_0` in another network's steps."""
    return _translate(PRESETS["paper"].t_0, schedule)


def choose(name: str, schedule: NoiseSchedule, *, n_steps: int | None = None, t_0: float | None = None) -> Preset:
    """Preset by name, for one network.

    Parameters
    ----------
    name : str
        ``paper``, ``fast`` or ``accurate``.
    schedule : NoiseSchedule
        The network's own. The preset's `t_0` becomes the time of equal signal-to-noise ratio in it.
    n_steps, t_0 : optional
        Replace the preset's values; `t_0` in the network's own steps.

    Raises
    ------
    ConfigError
        Unknown name, fewer than 2 steps, or `t_0` outside (0, T - 1].
    """
    if name not in PRESETS:
        raise ConfigError("CF10", "preset", f"there is no preset '{name}'", f"choose one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    time = _translate(preset.t_0, schedule) if t_0 is None else float(t_0)
    # the published grid knows whole steps only
    time = float(np.floor(time)) if preset.grid == "published" and np.isfinite(time) else time
    preset = replace(preset, n_steps=preset.n_steps if n_steps is None else n_steps, t_0=time)
    if preset.n_steps < 2:
        raise ConfigError("CF44", "n_steps", f"found {preset.n_steps}, expected at least 2", "give more steps")
    if not 0 < preset.t_0 <= schedule.T - 1:
        raise ConfigError(
            "CF44", "t_0", f"found {preset.t_0:g}, expected 0 < t_0 <= {schedule.T - 1}", "700 of 1000 is the default"
        )
    return preset
