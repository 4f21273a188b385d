r"""Bandwidth: the room around a trajectory within which decoding still gives the map.

For a state :math:`x_t` on the trajectory of a map and its decoding :math:`D(x_t)`,

.. math:: B(t; \tau) = \max \{ r : \mathrm{rms}(D(x_t + r u) - D(x_t)) \le \tau\, \mathrm{sd}(D(x_t)) \}

along unit directions :math:`u`: random ones (`radius`), and the one towards the state of another inverted map (`real`). The crossing is
bracketed between :math:`10^{-4}` and 2 times :math:`|x_t|` and narrowed along the assumption that the deviation is proportional to
:math:`r` (false position in the logarithms, bisection where that leaves the bracket); in a linear flow it is, and
:math:`B = \tau\, \mathrm{sd} \sqrt{d} / |D u|` is found at the first step. Where the deviation is not monotone, it is one of its crossings.

**Choice of t_0.** The ratio :math:`B / B_\mathrm{real}` says how much more the decoded map forgives noise than it forgives a step towards
another map of the same domain. Above 1 what distinguishes maps outweighs what a proposal gets wrong at random; at 1 the network hears both
alike. `choose_t_0` takes the *largest* time at which the lower end of the ratio's 95 % interval is above 1 (later times leave more to be
new), and where there is none, the time of the largest ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._judgement import Judgement
from astro_ood._random import stream
from astro_ood.diffusion.batching import MICRO_BATCH
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.diagnostics.intervals import median_over_maps
from astro_ood.diffusion.engine import decode, invert
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.presets import Preset, choose
from astro_ood.errors import InputError

Array = NDArray[np.float64]
REACH = (1e-4, 2.0)
DIRECTIONS, NARROW = 4, 6


@dataclass(frozen=True)
class Bandwidth:
    """Room around the trajectories of maps at one time.

    Attributes
    ----------
    t, tau : float
        Time, and the deviation allowed, in standard deviations of the decoded map.
    radius : ndarray, shape (N, D)
        Along random directions; infinite where twice the norm of the state was not enough to leave the map, 0 where the smallest step was.
    real : ndarray, shape (N,)
        Towards the state of another map.
    gap : ndarray, shape (N,)
        Distance of that state.
    norm : ndarray, shape (N,)
        Of the state itself.
    evaluations : int
        Network evaluations for each map.
    """

    t: float
    tau: float
    radius: Array
    real: Array
    gap: Array
    norm: Array
    evaluations: int

    @property
    def ratio(self) -> Array:
        """Room along noise over room towards another map, (N, D); 1 where both have no end."""
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self.radius / self.real[:, None]
        return np.where(np.isnan(found), 1.0, found)


@dataclass(frozen=True)
class Choice:
    """A proposed `t_0`, and why."""

    t_0: float
    times: tuple[float, ...]
    ratios: tuple[tuple[float, float, float], ...]
    words: str


def compute_bandwidth(
    denoiser: Denoiser,
    z: Field,
    preset: Preset,
    *,
    tau: float = 0.1,
    n_directions: int = DIRECTIONS,
    narrow: int = NARROW,
    frame: Frame | None = None,
    seed: int = 0,
    micro_batch: int = MICRO_BATCH,
) -> Bandwidth:
    """Bandwidth around states of inverted maps.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    z : ndarray, shape (N, C, H, W)
        States at ``preset.t_0``, of N >= 2 maps.
    preset : Preset
        How they are decoded.
    tau : float
        Deviation allowed, in standard deviations of the decoded map.
    n_directions : int
        Random directions of each map.
    narrow : int
        Steps towards the crossing, each a decoding of N (n_directions + 1) states.
    frame : Frame, optional
        How the maps met the network.
    seed : int
        Of the directions; those of a map depend on its row alone.

    Raises
    ------
    InputError
        IN40: fewer than two states.
    """
    if len(z) < 2:
        raise InputError("IN40", "bandwidth", f"{len(z)} latents, expected at least 2", "invert more maps")
    frame = frame or Frame.of(denoiser, z.shape[1:])
    directions, gap = _directions(z, n_directions, seed)
    norm = np.linalg.norm(z.reshape(len(z), -1).astype(np.float64), axis=1)

    def maps(states: NDArray[Any]) -> Array:
        found, _ = decode(denoiser, states.astype(np.float32), preset, frame=frame, micro_batch=micro_batch, label="bandwidth")
        return found.astype(np.float64)

    centre = maps(z)
    allowed = tau * centre.std(axis=(1, 2, 3))[:, None]

    def excess(ln_r: Array) -> Array:
        """Logarithm of the deviation over what is allowed, (N, K)."""
        moved = z[:, None] + np.exp(ln_r)[:, :, None, None, None] * directions
        around = maps(moved.reshape(-1, *z.shape[1:])).reshape(*ln_r.shape, *centre.shape[1:])
        deviation = np.sqrt(np.mean((around - centre[:, None]) ** 2, axis=(2, 3, 4)))
        return np.asarray(np.log(np.maximum(deviation, 1e-30) / allowed))

    ends = [np.log(part * norm)[:, None] + np.zeros(directions.shape[:2]) for part in REACH]
    radius = _crossing(excess, ends[0], ends[1], narrow)
    evaluations = preset.evaluations_down * (1 + (2 + narrow) * directions.shape[1])
    return Bandwidth(preset.t_0, tau, radius[:, :-1], radius[:, -1], gap, norm, evaluations)


def scan_bandwidth(
    denoiser: Denoiser, maps: Field, times: Sequence[float], name: str = "fast", *, n_steps: int | None = None, **options: float
) -> Iterator[Bandwidth]:
    """Bandwidth of maps (N, C, H, W) in [-1, 1] at several times: inverted to each and decoded; `options` as `compute_bandwidth`."""
    for t in times:
        preset = choose(name, denoiser.schedule, n_steps=n_steps, t_0=t)
        z = invert(denoiser, maps, preset, estimate_error=False, label=f"invert to {t:g}").z
        yield compute_bandwidth(denoiser, z, preset, **options)  # type: ignore[arg-type]


def _directions(z: Field, n: int, seed: int) -> tuple[Array, Array]:
    """Unit directions (N, n + 1, C, H, W), the last towards another row; and the distance of that row (N,)."""
    out = np.empty((len(z), n + 1, *z.shape[1:]))
    for i, state in enumerate(z):
        rng = stream(seed, "bandwidth", i)
        out[i, :n] = rng.standard_normal((n, *z.shape[1:]))
        other = (i + 1 + rng.integers(len(z) - 1)) % len(z)
        out[i, n] = z[other].astype(np.float64) - state
    length = np.linalg.norm(out.reshape(*out.shape[:2], -1), axis=2)
    return out / np.maximum(length, 1e-300)[:, :, None, None, None], length[:, -1]


def _crossing(excess: Callable[[Array], Array], low: Array, high: Array, steps: int) -> Array:
    """Radii at which `excess` crosses 0 between the logarithms `low` and `high`; 0 and infinity where it does not."""
    below, above = excess(low), excess(high)
    never, always = above <= 0, below > 0
    at, value = low.copy(), below
    for _ in range(steps):
        guess = at - value
        inside = (guess > low) & (guess < high)
        at = np.where(inside, guess, 0.5 * (low + high))
        value = excess(at)
        low, high = np.where(value <= 0, at, low), np.where(value > 0, at, high)
    # the last guess is the crossing where deviations are proportional, and inside the bracket otherwise
    found = np.exp(np.clip(at - value, low, high))
    return np.where(never, np.inf, np.where(always, 0.0, found))


def judge_bandwidth(found: Bandwidth) -> Judgement:
    """Whether noise is forgiven more than steps towards other maps: the ratio of both rooms, median over maps and directions."""
    ratio, low, high = median_over_maps(found.ratio)
    passed = True if low > 1 else False if high < 1 else None
    room, *_ = median_over_maps(found.radius / found.norm[:, None])
    words = (
        f"at t = {found.t:g} decoding stays within {found.tau:g} standard deviations for noise of {room:.3g} times the norm of the state, "
        f"{ratio:.3g} (95 %: {low:.3g} to {high:.3g}) times as far as towards another map"
    )
    return Judgement("bandwidth", passed, ratio, low, high, nan, words, claim=True)


def choose_t_0(found: Sequence[Bandwidth]) -> Choice:
    """`t_0` by the rule of this module, from the bandwidths at several times.

    Raises
    ------
    InputError
        IN40: no time.
    """
    if not found:
        raise InputError("IN40", "choose_t_0", "no time", "scan at least one")
    scanned = sorted(found, key=lambda one: one.t)
    ratios = tuple(median_over_maps(one.ratio) for one in scanned)
    clear = [i for i, (_, low, _) in enumerate(ratios) if low > 1]
    best = clear[-1] if clear else int(np.argmax([ratio for ratio, *_ in ratios]))
    why = "the largest time at which" if clear else "at no time is the ratio above 1 beyond doubt; the largest ratio is where"
    ratio, low, high = ratios[best]
    words = (
        f"t_0 = {scanned[best].t:g}: {why} noise has {ratio:.3g} ({low:.3g} to {high:.3g}) times the room of a step to another map"
    )
    return Choice(scanned[best].t, tuple(one.t for one in scanned), ratios, words)
