"""Named ways to invert and decode: solver, grid and number of evaluations belong together.

``paper`` repeats the published code: DDIM on the grid ``int(linspace(0, 1, 80) * 900)``; the clean map stands as the state at
``t = 0`` and is inverted with 79 evaluations, decoding takes 80 because it adds the step from 0 to the clean end. ``fast`` and
``accurate`` are second-order on real-valued times equidistant in the log signal-to-noise ratio, and decode the grid that they
inverted: a closed loop between the network's first time and ``t_0``. A fourth way, ``tolerance``, is found by a probe on the maps
themselves (`astro_ood.diffusion.probe`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.methods import SOLVERS, Method
from astro_ood.diffusion.schedule import Array, Grid, NoiseSchedule
from astro_ood.diffusion.solver import DDIM, Noise, Solver
from astro_ood.errors import ConfigError

_PUBLISHED = NoiseSchedule.linear()
TOLERANCE = "tolerance"


@dataclass(frozen=True)
class Preset:
    """Solver, grid and cost of inversion and decoding.

    Attributes
    ----------
    name : str
        ``paper``, ``fast``, ``accurate`` or ``tolerance``.
    solver : str
        A key of `SOLVERS`.
    grid : {"published", "log_snr"}
        Spacing of the times.
    n_steps : int
        Grid points for the published grid; otherwise the most evaluations per direction.
    t_0 : float
        Time inverted to.
    to_clean_end : bool
        Whether decoding ends with a step from 0 to the clean end.
    """

    name: str
    solver: str
    grid: Grid
    n_steps: int
    t_0: float
    to_clean_end: bool = False

    @property
    def _cost(self) -> Method:
        return SOLVERS[self.solver]

    @property
    def steps(self) -> int:
        """Steps of the grid: as many as the solver makes of the evaluations that it may use."""
        return self.n_steps - 1 if self.grid == "published" else self._cost.steps(self.n_steps)

    def times_up(self, schedule: NoiseSchedule) -> Array:
        """Times of the inversion, increasing from the network's first."""
        return schedule.timesteps(self.steps + 1, self.t_0, self.grid)

    def times_down(self, schedule: NoiseSchedule) -> Array:
        """Times of the decoding, decreasing to the network's first or to the clean end -1."""
        down = self.times_up(schedule)[::-1]
        return np.append(down, -1.0) if self.to_clean_end else down

    @property
    def evaluations_up(self) -> int:
        """Network evaluations of an inversion."""
        return self._cost.evaluations(self.steps)[0]

    @property
    def evaluations_down(self) -> int:
        """Network evaluations of a deterministic decoding."""
        return self._cost.evaluations(self.steps)[1] + int(self.to_clean_end)

    def make_solver(self, denoiser: Denoiser, eta: float = 0.0, noise: Noise | None = None) -> Solver:
        """A fresh solver; stochastic decoding (``eta > 0``) is DDIM's on the same grid in every preset."""
        return self._cost.make(denoiser) if eta == 0 else DDIM(denoiser, eta, noise)

    @property
    def error_of_difference(self) -> float:
        """Richardson's factor 1 / (1 - 2^-p): error of a latent over its distance from that of `refined`, for a solver of order p."""
        return 1 / (1 - 2.0**-self._cost.order)

    def refined(self) -> Preset:
        """The same way with steps half as long, for the estimate of the latent error."""
        steps = 2 * self.steps
        return replace(self, n_steps=steps + 1 if self.grid == "published" else max(self._cost.evaluations(steps)))


PRESETS = {
    "paper": Preset("paper", "ddim", "published", n_steps=80, t_0=900.0, to_clean_end=True),
    "fast": Preset("fast", "dpm2m", "log_snr", n_steps=24, t_0=700.0),
    "accurate": Preset("accurate", "ab2", "log_snr", n_steps=80, t_0=700.0),
}


def published_t_0(schedule: NoiseSchedule) -> float:
    """The published `t_0` in another network's time."""
    return schedule.equivalent_time(PRESETS["paper"].t_0, _PUBLISHED)


def choose(
    name: str,
    schedule: NoiseSchedule,
    *,
    n_steps: int | None = None,
    t_0: float | None = None,
    solver: str | None = None,
) -> Preset:
    """Preset by name, for one network.

    Parameters
    ----------
    name : str
        ``paper``, ``fast``, ``accurate``; or ``tolerance``, with the `n_steps` and `solver` that a probe chose.
    schedule : NoiseSchedule
        The network's own. The preset's `t_0` becomes the time of equal signal-to-noise ratio in it.
    n_steps, t_0, solver : optional
        Replace the preset's values; `t_0` in the network's own time, `solver` a key of `SOLVERS`.

    Raises
    ------
    ConfigError
        Unknown name or solver, a solver that has no single latent, fewer evaluations than the solver's first step takes, or `t_0`
        outside the network's times.
    """
    preset = _named(name, probed=n_steps is not None and solver is not None)
    time = schedule.equivalent_time(preset.t_0, _PUBLISHED) if t_0 is None else float(t_0)
    # the published grid knows whole steps only, where the network does
    whole = preset.grid == "published" and schedule.first == 0 and np.isfinite(time)
    preset = replace(
        preset,
        solver=_solver(solver, preset),
        n_steps=preset.n_steps if n_steps is None else n_steps,
        t_0=float(np.floor(time)) if whole else time,
    )
    return _possible(preset, schedule)


def _named(name: str, *, probed: bool) -> Preset:
    if name == TOLERANCE:
        if not probed:
            problem = "its solver and number of evaluations come from a probe of the maps"
            raise ConfigError("CF10", "preset", f"{TOLERANCE}: {problem}", "probe first, or choose fast or accurate")
        return replace(PRESETS["fast"], name=TOLERANCE)
    if name not in PRESETS:
        raise ConfigError("CF10", "preset", f"there is no preset '{name}'", f"choose one of {', '.join([*PRESETS, TOLERANCE])}")
    return PRESETS[name]


def _solver(name: str | None, preset: Preset) -> str:
    if name is None or name == preset.solver:
        return preset.solver
    known = ", ".join(latent_solvers())
    if name not in SOLVERS:
        raise ConfigError("CF45", "solver", f"there is no solver '{name}'", f"choose one of {known}")
    if not SOLVERS[name].latent:
        problem = f"'{name}' carries a pair of states and has no single latent: it serves for reconstruction only"
        raise ConfigError("CF45", "solver", problem, f"choose one of {known}")
    if preset.to_clean_end:
        raise ConfigError("CF45", "solver", f"the preset {preset.name} is DDIM, not '{name}'", "choose the preset fast or accurate")
    return name


def latent_solvers() -> list[str]:
    """Names of the solvers that give one latent a map."""
    return [name for name, method in SOLVERS.items() if method.latent]


def _possible(preset: Preset, schedule: NoiseSchedule) -> Preset:
    if preset.steps < 1:
        least = 2 if preset.grid == "published" else max(SOLVERS[preset.solver].evaluations(1))
        raise ConfigError("CF44", "n_steps", f"found {preset.n_steps}, expected at least {least}", "give more steps")
    if not schedule.first < preset.t_0 <= schedule.last:
        problem = f"found {preset.t_0:g}, expected {schedule.first:g} < t_0 <= {schedule.last:g}"
        raise ConfigError("CF44", "t_0", problem, "leave it out for the published one's equal")
    return preset
