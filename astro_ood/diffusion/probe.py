"""The cheapest way to invert these maps to a tolerance, found on a few of them.

How many evaluations an accuracy costs depends on the network and, out of its domain, on the maps. So a pilot of the maps is inverted
and decoded with few steps, then with twice as many, until both errors that can be measured without the truth meet the tolerance: the
round trip, and the difference between the latents of ``n`` and of ``2n`` steps. The solution with half the step is also the next
candidate, so nothing is solved twice. Solvers race side by side; who falls far behind is dropped. Where doubling has gone too far, the
geometric middle is tried last.

An item counts by the larger of its two errors, a candidate by the median of the items; it must stay below `MARGIN` times the tolerance,
for the maps that are not in the pilot. A race to ``n`` evaluations per direction spends about ``6 n`` evaluations a map and solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.frame import Field
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.presets import TOLERANCE, Preset, choose
from astro_ood.diffusion.schedule import Array
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ConfigError

CANDIDATES = ("dpm2m", "ab2")
COARSEST = 6
"""Steps of the first candidates."""
MOST_EVALUATIONS = 100
"""Most evaluations per direction of a candidate."""
MARGIN = 0.7
"""Share of the tolerance that the pilot may use up."""
LAG = 4.0
"""A solver whose error is so many times the best at equal steps leaves the race."""
PILOT = 8
"""Most maps of a pilot."""

Errors = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One candidate of a probe.

    Attributes
    ----------
    solver : str
        Key of `SOLVERS`.
    evaluations : int
        Network evaluations per direction.
    round_trip, round_trip_worst : float
        RMSE of the decoded map over the standard deviation of the map: median and largest of the pilot.
    latent_error, latent_error_worst : float
        RMSE between this latent and that of a finer solution over the standard deviation of the latter: median and largest.
    error : float
        Median of the larger of the two, item by item.
    """

    solver: str
    evaluations: int
    round_trip: float
    round_trip_worst: float
    latent_error: float
    latent_error_worst: float
    error: float


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    Attributes
    ----------
    preset : Preset
        The choice; its name is ``tolerance``.
    tolerance : float
        What was asked for.
    met : bool
        Whether the choice meets it on the pilot, with the margin; otherwise it is the most accurate that was tried.
    rows : tuple of Row
        All candidates, the cheapest first.
    evaluations : int
        Network evaluations per map of the probe itself.
    """

    preset: Preset
    tolerance: float
    met: bool
    rows: tuple[Row, ...]
    evaluations: int


def parse_tolerance(value: float | str) -> float:
    """A tolerance such as ``0.01`` or ``"1%"``.

    Raises
    ------
    ConfigError
        CF44: anything but a number or a percentage between 0 and 1.
    """
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not 0 < number < 1:
        raise ConfigError("CF44", "tolerance", f"found {value!r}, expected a share between 0 and 1", "give 0.01 or 1%")
    return number


def pilot_rows(n: int, micro_batch: int = PILOT) -> NDArray[np.int64]:
    """Rows of a pilot of `n` maps, evenly over them: at most `PILOT`, and no more than a micro-batch."""
    return np.linspace(0, n - 1, min(n, micro_batch, PILOT)).round().astype(np.int64)


def probe(
    denoiser: Denoiser,
    x: Field,
    tolerance: float,
    *,
    t_0: float | None = None,
    solver: str | None = None,
    most_evaluations: int | None = None,
) -> Probe:
    """Choose solver and number of evaluations for a tolerance.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    x : ndarray, shape (N, C, H, W)
        Maps in the network's own frame, one micro-batch at most; of more than `PILOT`, as many are taken, evenly.
    tolerance : float
        Largest round trip and latent error, in standard deviations of map and latent.
    t_0 : float, optional
        Time inverted to, in the network's own time; the preset's by default.
    solver : str, optional
        Key of `SOLVERS`, instead of a race of the `CANDIDATES`.
    most_evaluations : int, optional
        Most evaluations per direction, `MOST_EVALUATIONS` by default.

    Returns
    -------
    Probe

    Raises
    ------
    ConfigError
        CF44: fewer evaluations than the coarsest candidate takes.
    """
    pilot = x[pilot_rows(len(x))]
    most_evaluations = MOST_EVALUATIONS if most_evaluations is None else most_evaluations
    presets = [choose("fast", denoiser.schedule, t_0=t_0, solver=name) for name in ([solver] if solver else CANDIDATES)]
    runners = [_Runner(denoiser, pilot, replace(preset, name=TOLERANCE)) for preset in presets]
    least = min(runner.cost(COARSEST) for runner in runners)
    if most_evaluations < least:
        raise ConfigError("CF44", "n_steps", f"found {most_evaluations}, expected at least {least}", "allow more")
    _race(runners, MARGIN * tolerance, most_evaluations)
    tried = [(row, runner) for runner in runners for row in runner.rows]
    enough = [(row.evaluations, row.error, i) for i, (row, _) in enumerate(tried) if row.error <= MARGIN * tolerance]
    closest = min((row.error, row.evaluations, i) for i, (row, _) in enumerate(tried))
    row, runner = tried[min(enough, default=closest)[-1]]
    rows = tuple(row for row, _ in sorted(tried, key=lambda pair: pair[0].evaluations))
    if not enough:
        logger.warning("no solver within %d evaluations meets %.3g; going on with the best", most_evaluations, tolerance)
    return Probe(runner.preset(row.evaluations), tolerance, bool(enough), rows, sum(runner.spent for runner in runners))


def _race(runners: list[_Runner], limit: float, most_evaluations: int) -> None:
    """Double the steps until one is good enough or all have left; then try the middle of the last doubling."""
    steps = COARSEST
    while runners := [runner for runner in runners if runner.cost(steps) <= most_evaluations]:
        errors = [runner.run(steps, 2 * steps).error for runner in runners]
        if min(errors) <= limit:
            if steps > COARSEST:
                runners[errors.index(min(errors))].run(round(steps / math.sqrt(2)), 2 * steps)
            return
        runners = [runner for runner, error in zip(runners, errors, strict=True) if error <= LAG * min(errors)]
        steps *= 2


class _Runner:
    """One solver on the pilot: remembers its latents by number of steps."""

    def __init__(self, denoiser: Denoiser, pilot: Field, preset: Preset) -> None:
        self.denoiser, self.pilot, self._base = denoiser, pilot, preset
        self.rows: list[Row] = []
        self.spent = 0
        self._latents: dict[int, Field] = {}

    def cost(self, steps: int) -> int:
        """Evaluations per direction."""
        return max(SOLVERS[self._base.solver].evaluations(steps))

    def preset(self, evaluations: int) -> Preset:
        """The way that takes so many evaluations."""
        return replace(self._base, n_steps=evaluations)

    def run(self, steps: int, finer: int) -> Row:
        """Try a number of steps; the latent is compared with that of `finer` steps."""
        z, fine = self._latent(steps), self._latent(finer)
        preset = self.preset(self.cost(steps))
        back = self._solve(preset, z, preset.times_down(self.denoiser.schedule))
        round_trip, latent_error = _relative_error(back, self.pilot), _relative_error(z, fine)
        each = (round_trip, latent_error, np.maximum(round_trip, latent_error))
        (trip, error, both), (worst_trip, worst_error, _) = ([float(f(e)) for e in each] for f in (np.median, np.max))
        row = Row(self._base.solver, self.cost(steps), trip, worst_trip, error, worst_error, both)
        self.rows.append(row)
        return row

    def _latent(self, steps: int) -> Field:
        if steps not in self._latents:
            preset = self.preset(self.cost(steps))
            self._latents[steps] = self._solve(preset, self.pilot, preset.times_up(self.denoiser.schedule))
        return self._latents[steps]

    def _solve(self, preset: Preset, x: Field, times: Array) -> Field:
        solver = preset.make_solver(self.denoiser)
        found = integrate(solver, torch.from_numpy(x).to(self.denoiser.device), times)
        self.spent += found.evaluations
        return found.x.cpu().numpy()


def _relative_error(a: Field, b: Field) -> Errors:
    """Root mean square of ``a - b`` over the standard deviation of ``b``, item by item; infinite where it is no number."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        error = np.sqrt(np.mean((a.astype(np.float64) - b) ** 2, axis=(1, 2, 3))) / np.std(b.astype(np.float64), axis=(1, 2, 3))
    return np.where(np.isfinite(error), error, np.inf)
