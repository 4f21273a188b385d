"""New latents that meet the criteria: from a prior, from other latents, or from maps and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.generate import preset_of, require, usable_rows
from astro_ood.api.types import FittedPrior, Latents, Origin, Proposals
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.errors import ConfigError
from astro_ood.latents import criteria as criteria_
from astro_ood.latents import prior as prior_
from astro_ood.latents import proposal as proposal_


def sample(
    source: FittedPrior | Latents,
    n: int,
    seed: int = 0,
    proposal: str | None = None,
    criteria: str = "calibrated",
    *,
    k: int = 3,
    reach: float = 1.0,
    noise: float = 0.5,
    t: float | None = None,
    model: Denoiser | None = None,
    criteria_names: Sequence[str] = criteria_.DEFAULT,
    false_reject: float = 0.05,
    budget: int | None = None,
) -> Proposals:
    """Make `n` new latents that meet the criteria.

    Parameters
    ----------
    source : FittedPrior or Latents
        A prior to draw from, or latents to combine.
    n : int
        Exactly how many.
    seed : int
        Candidate ``i`` depends on ``(seed, i)`` alone.
    proposal : str, optional
        ``gaussian``, ``shell`` or ``parent`` (from the prior), ``forward`` (a map and noise), ``lerp``, ``slerp`` or ``norm_path`` (between two latents), ``lol``,
        ``bands`` or ``low_high`` (combinations); by default gaussian for a prior and lol for latents.
    criteria : str
        ``calibrated``, ``paper`` or ``none``.
    k : int
        Latents combined by ``lol`` and ``bands``.
    reach : float
        ``lerp``, ``slerp``, ``norm_path``: middle part of the path that is taken, 0 to 1.
    noise : float
        ``parent``: amplitude of the noise, 0 to 1.
    t : float, optional
        ``forward``: time at which candidates start and are decoded from, in the network's own time; by default that of the latents.
    model : Denoiser, optional
        ``forward``: the network that inverted the maps.
    criteria_names : sequence of str
        Calibrated criteria that are applied; see `astro_ood.latents.measures`.
    false_reject : float
        Rate at which calibrated criteria reject a true latent, all together.
    budget : int, optional
        Candidates tried at the most.

    Raises
    ------
    ConfigError
        ``forward`` without its network, or with criteria that were calibrated at another time.
    RunError
        Too few latents, or the budget ended first (the message says which bands the candidates miss).
    """
    require(n >= 1, "n", n, "at least 1")
    require(seed >= 0, "seed", seed, "at least 0")
    fitted = source if isinstance(source, FittedPrior) else None
    latents = fitted.latents if fitted else source
    assert isinstance(latents, Latents)
    kind = proposal or ("gaussian" if fitted else "lol")
    rows = usable_rows(latents.latent_scale)
    z = latents.z[rows]
    prior = fitted.prior if fitted else (prior_.fit(z) if kind in proposal_.FROM_PRIOR else None)
    references = criteria_.reference_rows(len(z))
    bands = criteria_.make(criteria, z[references], names=criteria_names, false_reject=false_reject, seed=seed, rows=references)
    start, origin = None, latents.origin
    if kind == "forward" and model is not None:
        start, origin = forward_start(model, origin, latents.reconstruction[rows], t, criteria=bands.kind)
    make = proposal_.maker(kind, z, prior, seed, k, reach=reach, noise=noise, start=start)
    drawn = criteria_.draw(make, bands, n, budget=budget, source=proposal_.source(kind, prior))
    return Proposals(
        z=drawn.accepted.z.astype(np.float32),
        accepted=drawn.mask,
        tally=drawn.tally,
        parents=np.where(drawn.accepted.parents < 0, -1, rows[drawn.accepted.parents]),
        weights=drawn.accepted.weights,
        criteria=bands.to_dict(),
        kind=kind,
        seed=seed,
        origin=origin,
    )


def forward_start(
    model: Denoiser, origin: Origin, maps: NDArray[Any], t: float | None = None, *, criteria: str = "none"
) -> tuple[proposal_.Start, Origin]:
    """Maps (N, C, H, W) in [-1, 1] at a time of the forward process, and the origin of what starts there.

    Parameters
    ----------
    model : Denoiser
        The network that inverted the maps.
    origin : Origin
        Of their latents.
    maps : ndarray, shape (N, C, H, W)
        Their reconstructions: what the trajectory does not carry is not taken from the maps either.
    t : float, optional
        Time of the start, in the network's own time; by default that of the latents.
    criteria : str
        Kind of the criteria that the candidates must meet.

    Raises
    ------
    ConfigError
        CF12: criteria that were calibrated at another time; CF44: `t` is none of the network's.
    ModelError
        MD56: another network.
    """
    there = replace(origin, t_0=origin.t_0 if t is None else float(t))
    there = replace(there, t_0=preset_of(there, model).t_0)
    if criteria != "none" and there.t_0 != origin.t_0:
        problem = f"candidates stand at {there.t_0:g}, the latents that give the criteria their bands at {origin.t_0:g}"
        raise ConfigError("CF12", "proposal.t", problem, "set the criteria to none, or invert to that time (t_0)")
    alpha, sigma = (float(f(there.t_0)) for f in (model.schedule.alpha, model.schedule.sigma))
    return proposal_.Start(origin.frame.to_network(np.asarray(maps, dtype=np.float32)), alpha, sigma), there
