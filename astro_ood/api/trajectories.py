"""Diagnostics that ask the network: maps of its own and their latents, room around trajectories, capture by its domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._judgement import Judgement
from astro_ood.api.generate import preset_of
from astro_ood.api.types import Origin
from astro_ood.diffusion import diagnostics, engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.diagnostics import Bandwidth, Interference
from astro_ood.diffusion.diagnostics.bandwidth import DIRECTIONS, NARROW
from astro_ood.diffusion.frame import usable_scale
from astro_ood.diffusion.own import STEPS, own_maps
from astro_ood.diffusion.presets import Preset
from astro_ood.stats.features import features, joined

Field = NDArray[Any]
ETAS = (0.0, 0.3, 1.0)
MAPS, OWN = 6, 16
LEAST = 4


@dataclass(frozen=True)
class Trajectories:
    """What a network says of latents that were inverted through it.

    Attributes
    ----------
    own : ndarray, shape (n, C', H', W')
        Usable latents of maps that the network drew itself, inverted as those of the user.
    judgements : list of Judgement
        Bandwidth, and mode interference.
    curves : dict
        What their figures show.
    """

    own: Field
    judgements: list[Judgement]
    curves: dict[str, Any]


def follow(
    model: Denoiser,
    origin: Origin,
    z: Field,
    maps: Field,
    *,
    references: Field | None = None,
    n_maps: int = MAPS,
    etas: Sequence[float] = ETAS,
    n_own: int = OWN,
    seed: int = 0,
) -> Trajectories:
    """Ask the network that inverted some maps.

    Parameters
    ----------
    model : Denoiser
        That network.
    origin : Origin
        Of the latents.
    z : ndarray, shape (N, C', H', W')
        Latents of at least four maps.
    maps : ndarray, shape (N, C, H, W)
        Their maps in [-1, 1], as reconstructed.
    references : ndarray, shape (M, C, H, W), optional
        Further maps of the same domain in [-1, 1] (held-out ones), which say what is not captured. Without them every second latent is decoded, and
        the maps of the others stand for the domain: a decoded map beside its own original would never be called captured.
    n_maps : int
        Maps around which the bandwidth is measured.
    etas : sequence of float
        Stochasticities, 0 to 1.
    n_own : int
        Maps that the network draws; as many latents are decoded at each eta.
    seed : int

    Raises
    ------
    ModelError
        MD56: another network.
    RunError
        RN61: maps that the network draws do not vary.
    """
    preset, batch = preset_of(origin, model), origin.micro_batch
    drawn = own_maps(model, origin.frame, n_own, seed, batch)
    inverted = engine.invert(
        model, drawn, preset, frame=origin.frame, micro_batch=batch, estimate_error=False, label="invert own maps"
    )
    few = z[_rows(len(z), n_maps)].astype(np.float32)
    room = diagnostics.compute_bandwidth(model, few, preset, frame=origin.frame, seed=seed, micro_batch=batch)
    judged, curves = [diagnostics.judge_bandwidth(room)], {"bandwidth": bandwidth_curve(room)}
    decoded = np.arange(len(z)) if references is not None else np.arange(0, len(z), 2)
    others = maps[1::2] if references is None else references
    if min(len(others), len(drawn)) < LEAST:
        words = f"{len(others)} maps of the domain that are not decoded themselves, and {len(drawn)} of the network; {LEAST} are needed of either"
        judged.append(Judgement("interference", None, nan, nan, nan, nan, words, claim=True))
    else:
        found = diagnostics.compute_interference(
            model,
            z[decoded[_rows(len(decoded), n_own)]].astype(np.float32),
            preset,
            etas,
            features=vectors,
            own=others,
            net=drawn,
            frame=origin.frame,
            seed=seed,
            micro_batch=batch,
        )
        judged.append(diagnostics.judge_interference(found))
        curves["interference"] = interference_curve(found)
    return Trajectories(inverted.z[usable_scale(inverted.latent_scale)], judged, curves)


def network_calls(preset: Preset, n: int, n_maps: int, n_etas: int, n_own: int, micro_batch: int) -> int:
    """Calls of a network that `follow` makes for `n` latents, so many maps each; about, for stochastic steps have their own solver."""
    up, down = preset.evaluations_up, preset.evaluations_down

    def calls(states: int) -> int:
        return -(-states // micro_batch)

    around = min(n, n_maps)
    room = calls(around) + (2 + NARROW) * calls(around * (1 + DIRECTIONS))
    return calls(n_own) * (STEPS + up + down) + down * (room + n_etas * calls(min(n, n_own)))


def vectors(maps: Field) -> NDArray[np.float64]:
    """Statistics (N, F) of maps (N, C, H, W), channel after channel."""
    return np.concatenate([joined(features(maps[:, c].astype(np.float64))) for c in range(maps.shape[1])], axis=1)


def bandwidth_curve(found: Bandwidth) -> dict[str, Any]:
    """Room of each map along noise (median over directions) and towards another map, and the distance of that map, all over the norm of the state."""
    noise = np.median(found.radius, axis=1)
    parts = {"noise": noise, "another": found.real, "gap": found.gap}
    return {"t": found.t, "tau": found.tau, **{name: part / found.norm for name, part in parts.items()}}


def interference_curve(found: Interference) -> dict[str, Any]:
    """Captured fraction with its interval at each eta, and what the rule says of maps whose domain is known."""
    part, low, high = found.fraction.T
    known = {"false_capture": found.rule.false_capture, "sensitivity": found.rule.sensitivity}
    return {"etas": found.etas, "fraction": part, "low": low, "high": high, "n": found.score.shape[1], **known}


def _rows(n: int, most: int) -> NDArray[np.int64]:
    """Rows evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(np.int64))
