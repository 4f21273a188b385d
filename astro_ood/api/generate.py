"""From maps to latents and back: open a network, invert, fit, sample, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.types import FittedPrior, Latents, Origin, Proposals
from astro_ood.diffusion import engine, hub, presets
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.errors import ConfigError, InputError, ModelError
from astro_ood.latents import criteria as criteria_
from astro_ood.latents import prior as prior_
from astro_ood.latents import proposal as proposal_
from astro_ood.maps import FieldBatch, Map, Stretch
from astro_ood.maps.inspection import suggest_stretch
from astro_ood.maps.stretch import Kind

LARGEST = 3.0
Fields = FieldBatch | Sequence[Map] | NDArray[Any]

open_model = hub.open_model


def as_batch(batch: Fields) -> FieldBatch:
    """Maps, a batch or an array (N, C, H, W) already in [-1, 1], as a batch."""
    if len(batch) == 0:
        raise InputError("IN40", "batch", "no map", "give at least one")
    if isinstance(batch, FieldBatch):
        return batch
    if isinstance(batch, np.ndarray):
        x = np.asarray(batch, dtype=np.float32)
        reach = float(np.abs(x).max())
        if not reach <= LARGEST:
            raise InputError(
                "IN17", "batch", f"values reach {reach:g}, an array must lie in about [-1, 1]", "give a list of Map instead"
            )
        names = tuple(f"map-{i:05d}" for i in range(len(x)))
        return FieldBatch(x, ids=names, regions=names, stretch=Stretch("linear", -1.0, 1.0), unit="")
    maps = list(batch)
    values = np.concatenate([m.data.ravel() for m in maps])
    return FieldBatch.from_maps(maps, Stretch.fit(maps, cast("Kind", suggest_stretch(values))))


def invert(
    batch: Fields,
    model: Denoiser,
    preset: str = "fast",
    *,
    n_steps: int | None = None,
    t_0: float | None = None,
    device: str = "auto",
    micro_batch: int = engine.MICRO_BATCH,
    estimate_error: bool = True,
    label: str = "invert",
) -> Latents:
    """Invert maps through a frozen network by deterministic DDIM or its second-order relative.

    Parameters
    ----------
    batch : FieldBatch, list of Map, or ndarray (N, C, H, W) in [-1, 1]
        Maps; a list is normalised by a stretch fitted to it.
    model : Denoiser
        Frozen network.
    preset : str
        ``fast``, ``accurate`` or ``paper`` (arXiv:2310.09213).
    n_steps : int, optional
        For `paper` the number of grid points S (S - 1 evaluations up, S down); otherwise the evaluations per direction.
    t_0 : float, optional
        Time inverted to, in the network's own steps.
    device : str
        ``cpu`` or ``cuda``; ``auto`` leaves the network where it is.
    micro_batch : int
        Maps per network call.
    estimate_error : bool
        Whether to solve again with half the step for `latent_error`.
    label : str
        Name in the progress line.

    Returns
    -------
    Latents
    """
    fields = as_batch(batch)
    _require(micro_batch >= 1, "micro_batch", micro_batch, "at least 1")
    model = model if device == "auto" else model.to(engine.pick_device(device))
    chosen = presets.choose(preset, model.schedule, n_steps=n_steps, t_0=t_0)
    found = engine.invert(model, fields.x, chosen, micro_batch=micro_batch, estimate_error=estimate_error, label=label)
    origin = Origin(
        preset=preset,
        n_steps=chosen.n_steps,
        t_0=chosen.t_0,
        model=model.name,
        model_sha256=model.sha256,
        micro_batch=micro_batch,
        stretch=fields.stretch,
        unit=fields.unit,
        header=fields.headers[0],
        pixel_scale=fields.pixel_scales[0],
    )
    return Latents(
        z=found.z,
        round_trip=found.round_trip,
        latent_error=found.latent_error,
        reconstruction=found.reconstruction,
        ids=list(fields.ids),
        regions=list(fields.regions),
        evaluations=found.evaluations,
        origin=origin,
    )


def _require(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ConfigError("CF44", name, f"found {value}, expected {expected}", "correct it")


def fit_prior(latents: Latents, kind: str = "spectral") -> FittedPrior:
    """Fit a Gaussian prior to latents: ``isotropic`` (published) or ``spectral`` (stationary, channels coupled)."""
    return FittedPrior(prior_.fit(latents.z.astype(np.float64), kind), latents)


def sample(
    source: FittedPrior | Latents,
    n: int,
    seed: int = 0,
    proposal: str | None = None,
    criteria: str = "calibrated",
    *,
    k: int = 3,
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
        ``gaussian``, ``slerp`` or ``lol``; by default gaussian for a prior and lol for latents.
    criteria : str
        ``calibrated``, ``paper`` or ``none``.
    k : int
        Latents combined by ``lol``.
    false_reject : float
        Rate at which calibrated criteria reject a true latent.
    budget : int, optional
        Candidates tried at the most.

    Raises
    ------
    RunError
        Too few latents, or the budget ended first (the message carries the tally).
    """
    _require(n >= 1, "n", n, "at least 1")
    _require(seed >= 0, "seed", seed, "at least 0")
    fitted = source if isinstance(source, FittedPrior) else None
    latents = fitted.latents if fitted else source
    assert isinstance(latents, Latents)
    kind = proposal or ("gaussian" if fitted else "lol")
    z = latents.z.astype(np.float64)
    prior = fitted.prior if fitted else (prior_.fit(z) if kind == "gaussian" else None)
    bands = criteria_.make(criteria, z, false_reject=false_reject, seed=seed)
    drawn = criteria_.draw(proposal_.maker(kind, z, prior, seed, k), bands, n, budget=budget)
    return Proposals(
        z=drawn.accepted.z.astype(np.float32),
        accepted=drawn.mask,
        tally=drawn.tally,
        parents=drawn.accepted.parents,
        weights=drawn.accepted.weights,
        criteria=bands.to_dict(),
        kind=kind,
        seed=seed,
        origin=latents.origin,
    )


def decode(
    latents: Latents | Proposals,
    model: Denoiser,
    preset: str | None = None,
    eta: float = 0.0,
    *,
    seed: int | None = None,
    device: str = "auto",
    items: NDArray[np.int64] | None = None,
    label: str = "decode",
) -> FieldBatch:
    """Decode latents into maps.

    Parameters
    ----------
    latents : Latents or Proposals
        With their origin: stretch, unit, `t_0`, steps.
    model : Denoiser
        The network that inverted the maps.
    preset : str, optional
        The one of the inversion by default.
    eta : float
        Stochasticity, 0 to 1.
    seed : int, optional
        For ``eta > 0``; the seed of the proposals by default.
    device : str
        ``cpu`` or ``cuda``; ``auto`` leaves the network where it is.
    items : ndarray of int, optional
        Global numbers of the items, for their random streams.
    label : str
        Name in the progress line.

    Returns
    -------
    FieldBatch
        Normalised maps; ``.to_maps()`` gives them in physical units.
    """
    origin = latents.origin
    _require(0 <= eta <= 1, "eta", eta, "0 to 1")
    if (model.name, model.sha256) != (origin.model, origin.model_sha256):
        problem = f"the maps were inverted through {origin.model} ({origin.model_sha256[:12]}), this is {model.name} ({model.sha256[:12]})"
        raise ModelError("MD56", "decode", problem, "decode with the network that inverted")
    model = model if device == "auto" else model.to(engine.pick_device(device))
    same = preset is None or preset == origin.preset
    chosen = presets.choose(preset or origin.preset, model.schedule, n_steps=origin.n_steps if same else None, t_0=origin.t_0)
    first_seed = latents.seed if isinstance(latents, Proposals) else 0
    x = engine.decode(
        model,
        latents.z,
        chosen,
        eta=eta,
        seed=first_seed if seed is None else seed,
        items=items,
        micro_batch=origin.micro_batch,
        label=label,
    )
    numbers = np.arange(len(x)) if items is None else items
    ids = tuple(latents.ids) if isinstance(latents, Latents) else tuple(f"synth-{i:05d}" for i in numbers)
    return FieldBatch(
        x,
        ids=ids,
        regions=tuple(latents.regions) if isinstance(latents, Latents) else ids,
        stretch=origin.stretch or Stretch("linear", -1.0, 1.0),
        unit=origin.unit,
        headers=(origin.header,) * len(ids),
        pixel_scales=(origin.pixel_scale,) * len(ids),
    )
