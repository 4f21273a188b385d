"""From maps to latents and back: invert, fit, decode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.api.types import FittedPrior, Latents, Origin, Proposals
from astro_ood.diffusion import engine, presets, probe
from astro_ood.diffusion.batching import MICRO_BATCH, MicroBatch
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import pick_device
from astro_ood.diffusion.frame import Channels, Fit, Frame, usable_scale
from astro_ood.diffusion.guidance import Guidance, Targets
from astro_ood.diffusion.presets import TOLERANCE
from astro_ood.errors import ConfigError, InputError, ModelError, RunError
from astro_ood.latents import prior as prior_
from astro_ood.maps import FieldBatch, Map, Stretch
from astro_ood.maps.channels import crop, stack
from astro_ood.maps.inspection import suggest_stretch
from astro_ood.maps.stretch import Kind
from astro_ood.stats.transfer import Transfer

LARGEST = 3.0
Fields = FieldBatch | Sequence[Map] | NDArray[Any]


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


def _arranged(batch: FieldBatch, model: Denoiser, channels: Channels, fit: Fit) -> FieldBatch:
    """Batch with three maps in one image (`stack`), or cut to sides that the network takes (`crop`), where that was asked for."""
    if channels != "stack" and fit != "crop":
        return batch
    maps = batch.to_maps()
    maps = stack(maps, model.shape[0]) if channels == "stack" else maps
    return FieldBatch.from_maps(crop(maps, model.stride) if fit == "crop" else maps, batch.stretch)


def invert(
    batch: Fields,
    model: Denoiser,
    preset: str = "fast",
    *,
    n_steps: int | None = None,
    t_0: float | None = None,
    solver: str | None = None,
    tolerance: float | str = "1%",
    channels: Channels = "error",
    fit: Fit = "error",
    device: str = "auto",
    micro_batch: int = MICRO_BATCH,
    estimate_error: bool = True,
    label: str = "invert",
) -> Latents:
    """Invert maps through a frozen network along its deterministic probability flow.

    Parameters
    ----------
    batch : FieldBatch, list of Map, or ndarray (N, C, H, W) in [-1, 1]
        Maps; a list is normalised by a stretch fitted to it.
    model : Denoiser
        Frozen network.
    preset : str
        ``fast``, ``accurate``, ``paper`` (arXiv:2310.09213), or ``tolerance``: chosen by a probe on the first maps.
    n_steps : int, optional
        For `paper` the number of grid points S (S - 1 evaluations up, S down); otherwise the most evaluations per direction.
    t_0 : float, optional
        Time inverted to, in the network's own time.
    solver : str, optional
        Solver instead of the preset's; for `tolerance` the only one tried.
    tolerance : float or str
        For the preset of that name: largest round-trip and latent error (``0.01`` or ``"1%"``).
    channels : {"error", "replicate", "stack"}
        What one-channel maps are to a network of several: refused, the same map in each, or so many maps in one image.
    fit : {"error", "pad", "crop"}
        What maps are whose sides the network cannot take: refused, padded by reflection and cut again, or cropped.
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
        Of all maps; those that have not the scale of noise are said not to be `usable`.

    Raises
    ------
    InputError
        IN31 sides, IN32 channels that do not fit.
    RunError
        RN60: more than 1 % of the latents are no numbers.
    """
    require(channels in get_args(Channels), "channels", channels, "error, replicate or stack")
    require(fit in get_args(Fit), "fit", fit, "error, pad or crop")
    require(micro_batch >= 1, "micro_batch", micro_batch, "at least 1")
    fields = _arranged(as_batch(batch), model, channels, fit)
    model = model if device == "auto" else model.to(pick_device(device))
    frame = Frame.of(model, fields.x.shape[1:], channels, fit)
    if preset == TOLERANCE:
        pilot, wanted = frame.to_network(fields.x[probe.pilot_rows(len(fields.x), micro_batch)]), probe.parse_tolerance(tolerance)
        chosen = probe.probe(model, pilot, wanted, t_0=t_0, solver=solver, most_evaluations=n_steps).preset
    else:
        chosen = presets.choose(preset, model.schedule, n_steps=n_steps, t_0=t_0, solver=solver)
    batches = MicroBatch(micro_batch)
    found = engine.invert(model, fields.x, chosen, frame=frame, micro_batch=batches, estimate_error=estimate_error, label=label)
    origin = Origin.of(
        model,
        chosen,
        micro_batch=batches.size,
        frame=frame,
        stretch=fields.stretch,
        unit=fields.unit,
        header=fields.headers[0],
        pixel_scale=fields.pixel_scales[0],
    )
    latents = Latents(
        z=found.z,
        round_trip=found.round_trip,
        latent_error=found.latent_error,
        latent_scale=found.latent_scale,
        channel_spread=found.channel_spread,
        reconstruction=found.reconstruction,
        ids=list(fields.ids),
        regions=list(fields.regions),
        evaluations=found.evaluations,
        origin=origin,
    )
    if not latents.usable.all():
        remedy = "priors and proposals leave them out; `astro-ood models check` may say why"
        logger.warning("%d of %d latents have not the scale of noise: %s", (~latents.usable).sum(), len(latents), remedy)
    return latents


def require(good: bool, name: str, value: object, expected: str) -> None:
    """Refuse an argument of a call.

    Raises
    ------
    ConfigError
        CF44.
    """
    if not good:
        raise ConfigError("CF44", name, f"found {value}, expected {expected}", "correct it")


def fit_prior(latents: Latents, kind: str = "spectral") -> FittedPrior:
    """Fit a Gaussian prior to latents.

    Parameters
    ----------
    latents : Latents
        Usable ones are fitted.
    kind : str
        ``isotropic`` (published), ``isotropic_corrected``, ``diagonal``, ``spectral`` (stationary), ``lowrank`` or ``wavelet``; see
        `astro_ood.latents.prior`.
    """
    return FittedPrior(prior_.fit(latents.z[usable_rows(latents.latent_scale)], kind), latents)


def usable_rows(latent_scale: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of the latents that have the scale of noise.

    Raises
    ------
    RunError
        RN61: there are none.
    """
    rows = np.flatnonzero(usable_scale(latent_scale))
    if not rows.size:
        scale = float(np.median(latent_scale))
        problem = f"none of {len(latent_scale)} latents has the scale of noise (median {scale:.2g}, expected about 1)"
        raise RunError("RN61", "latents", problem, "run `astro-ood models check`, take a smaller t_0 or more steps")
    return rows


def decode(
    latents: Latents | Proposals,
    model: Denoiser,
    preset: str | None = None,
    eta: float = 0.0,
    *,
    seed: int | None = None,
    device: str = "auto",
    items: NDArray[np.int64] | None = None,
    guidance: Guidance | None = None,
    inverted: Fields | None = None,
    transfer: Transfer | None = None,
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
    guidance : Guidance, optional
        Move the maps towards the statistics of the inverted ones on the way.
    inverted : FieldBatch, list of Map, or ndarray (N, C, H, W) in [-1, 1]
        The maps that were inverted, which `guidance` needs; those of which `latents` are left out as not usable may be among them.
    transfer : Transfer, optional
        Filter of the decoded maps, fitted by `astro_ood.stats.transfer.fit_transfer` to the inverted ones.
    label : str
        Name in the progress line.

    Returns
    -------
    FieldBatch
        Normalised maps; ``.to_maps()`` gives them in physical units.
    """
    origin = latents.origin
    require(0 <= eta <= 1, "eta", eta, "0 to 1")
    model = model if device == "auto" else model.to(pick_device(device))
    chosen = preset_of(origin, model, preset)
    first_seed = latents.seed if isinstance(latents, Proposals) else 0
    seed = first_seed if seed is None else seed
    x, _ = engine.decode(
        model,
        latents.z,
        chosen,
        frame=origin.frame,
        eta=eta,
        seed=seed,
        items=items,
        guided=None if guidance is None else _targets(guidance, inverted, origin, model, seed),
        micro_batch=origin.micro_batch,
        label=label,
    )
    x = x if transfer is None else transfer(x).astype(np.float32)
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


def _targets(guidance: Guidance, inverted: Fields | None, origin: Origin, model: Denoiser, seed: int) -> Targets:
    """What guided samples aim at: statistics of the inverted maps as they were normalised for the inversion."""
    if inverted is None:
        raise ConfigError("CF44", "inverted", "guidance needs the maps that were inverted", "give them, never held-out ones")
    stretch = origin.stretch
    if isinstance(inverted, FieldBatch) and stretch not in (None, inverted.stretch):
        inverted = inverted.to_maps()
    if not isinstance(inverted, FieldBatch | np.ndarray) and stretch is not None:
        inverted = FieldBatch.from_maps(list(inverted), stretch)
    fields = as_batch(inverted)
    return Targets(fields.x, guidance, seed, model.device)


def preset_of(origin: Origin, model: Denoiser, preset: str | None = None) -> presets.Preset:
    """How latents of some origin are decoded: as they were inverted, or by another preset down from the same time.

    Raises
    ------
    ModelError
        MD56: another network.
    """
    if (model.name, model.sha256) != (origin.model, origin.model_sha256):
        problem = f"the maps were inverted through {origin.model} ({origin.model_sha256[:12]}), this is {model.name} ({model.sha256[:12]})"
        raise ModelError("MD56", "decode", problem, "decode with the network that inverted")
    same = preset is None or preset == origin.preset
    return presets.choose(
        preset or origin.preset,
        model.schedule,
        n_steps=origin.n_steps if same else None,
        t_0=origin.t_0,
        solver=origin.solver if same else None,
    )
