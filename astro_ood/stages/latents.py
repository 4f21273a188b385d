"""From maps to latents: what a probe of the maps decides, and the inversion."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood._pipeline import prefetch
from astro_ood.api.types import Origin
from astro_ood.config import Config
from astro_ood.diffusion import presets
from astro_ood.diffusion.batching import MicroBatch, largest_micro_batch
from astro_ood.diffusion.engine import Census, invert_blocks
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.presets import TOLERANCE
from astro_ood.diffusion.probe import PILOT, parse_tolerance, pilot_rows
from astro_ood.diffusion.probe import probe as race
from astro_ood.maps import Stretch
from astro_ood.stages.common import (
    LATENT_DIMS,
    MAP_DIMS,
    blocks,
    configured,
    drop_surplus,
    identity,
    inputs,
    network,
    shard_items,
    share_in_network,
)
from astro_ood.stores import (
    ArraySpec,
    RunPaths,
    Store,
    StoreWriter,
    Variable,
    open_store,
    write_store,
)

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser
    from astro_ood.diffusion.engine import Inversion
    from astro_ood.diffusion.presets import Preset

PER_MAP = ("round_trip", "latent_error", "latent_scale", "channel_spread")


def frame_of(model: Denoiser, fields: Store) -> Frame:
    """How the maps of a run meet the network."""
    return Frame.of(model, tuple(fields.manifest.arrays["field"].shape[1:]), fields.attrs["channels"], fields.attrs["fit"])


def normalised(fields: Store, items: NDArray[np.int64]) -> Field:
    """Some maps of a run in [-1, 1], shape (n, C, H, W)."""
    return Stretch.from_dict(fields.attrs["stretch"]).forward(fields.load("field", items)).astype(np.float32)


def probe(config: Config, *, overwrite: bool = False) -> None:
    """Choose what the configuration leaves to a probe (solver and steps for a tolerance, micro-batch); write `probe`."""
    paths, settings, micro_batch = RunPaths(config.run), config.inversion, config.model.micro_batch
    fields, model = open_store(paths.fields, stage="fields"), network(config)
    inverted = np.flatnonzero(np.array(fields.attrs["split"]) == "inverted")
    rows = inverted[pilot_rows(len(inverted), PILOT if micro_batch == "auto" else micro_batch)]
    pilot = frame_of(model, fields).to_network(normalised(fields, rows))
    attrs: dict[str, Any] = {}
    variables: dict[str, Variable] = {}
    if settings.preset == TOLERANCE:
        tolerance = parse_tolerance(settings.tolerance)
        found = race(model, pilot, tolerance, t_0=settings.t_0, solver=settings.solver, most_evaluations=settings.n_steps)
        chosen = found.preset
        table = [asdict(row) for row in found.rows]
        variables = {key: Variable(np.array([row[key] for row in table]), ("tried",)) for key in table[0]}
        attrs |= {"tolerance": tolerance, "met": found.met}
    else:
        chosen = configured(config, model)
    if micro_batch == "auto":
        micro_batch, attrs["micro_batches"] = largest_micro_batch(model, pilot, chosen.t_0)
    attrs |= {"solver": chosen.solver, "n_steps": chosen.n_steps, "t_0": chosen.t_0, "micro_batch": micro_batch}
    write_store(
        paths.probe,
        variables,
        stage="probe",
        attrs=attrs,
        settings=config.only("model", "inversion"),
        inputs=inputs(paths, paths.fields),
        model=identity(model),
        overwrite=overwrite,
    )
    logger.info("probe: %s with %d steps, %d maps per network call", chosen.solver, chosen.n_steps, micro_batch)


def way(config: Config, paths: RunPaths, model: Denoiser) -> tuple[Preset, int]:
    """Solver, grid and micro-batch of a run: as configured, or as its probe chose."""
    if not config.probes:
        assert config.model.micro_batch != "auto"
        return configured(config, model), config.model.micro_batch
    found = open_store(paths.probe, stage="probe").attrs
    name = config.inversion.preset
    chosen = presets.choose(name, model.schedule, n_steps=found["n_steps"], t_0=found["t_0"], solver=found["solver"])
    return chosen, int(found["micro_batch"])


def invert(config: Config, shard: int, *, overwrite: bool = False) -> None:
    """Invert one shard of the maps; write `latents/<shard>`."""
    paths, settings, label = RunPaths(config.run), config.inversion, f"invert shard {shard}"
    fields, model = open_store(paths.fields, stage="fields"), network(config)
    items = shard_items(len(fields.attrs["ids"]), settings.shards, shard)
    chosen, micro_batch = way(config, paths, model)
    times = [presets.published_t_0(model.schedule)] if settings.check_t_0 is None else settings.check_t_0
    checks = [presets.choose(chosen.name, model.schedule, n_steps=chosen.n_steps, t_0=t, solver=chosen.solver) for t in times]
    origin = _origin(fields, model, chosen, micro_batch)
    batches, census = MicroBatch(micro_batch), Census("inversion", len(items))
    parts = list(blocks(items, micro_batch))
    kept: list[int] = []
    drop_surplus(paths.root / "latents", settings.shards)
    with (
        share_in_network(label, model),
        StoreWriter(
            paths.latents(shard),
            _arrays(origin, len(items), len(times)),
            stage="latents",
            settings=config.only("model", "inversion"),
            inputs=inputs(paths, paths.fields, *([paths.probe] if config.probes else [])),
            model=identity(model),
            overwrite=overwrite,
        ) as writer,
        closing(prefetch(normalised(fields, block) for block in parts)) as maps,
    ):
        inversions = invert_blocks(
            model,
            maps,
            chosen,
            frame=origin.frame,
            total=len(items),
            checks=checks,
            micro_batch=batches,
            estimates=settings.estimates,
            label=label,
        )
        for block, found in zip(parts, inversions, strict=True):
            good = census.usable(found)
            for name, rows in _rows(found, origin).items():
                writer.write(name, len(kept), rows[good])
            kept.extend(int(i) for i in block[good])
        writer.finish(
            rows=len(kept),
            attrs={
                "items": kept,
                "left_out": sorted(set(items.tolist()) - set(kept)),
                "n_shards": settings.shards,
                "ids": [fields.attrs["ids"][i] for i in kept],
                "origin": origin.to_dict(),
                "evaluations": chosen.evaluations_up,
                "micro_batch_used": batches.size,
                "check_t_0": times,
                "model_card": {key: model.card[key] for key in ("licence", "parameters", "trained_on") if key in model.card},
            },
        )
    trips = open_store(paths.latents(shard), stage="latents").load("round_trip")
    logger.info("invert: round trip %.2f %% (median of shard %d)", 100 * np.median(trips), shard)


def _origin(fields: Store, model: Denoiser, chosen: Preset, micro_batch: int) -> Origin:
    scale = fields.attrs["pixel_scale"]
    return Origin.of(
        model,
        chosen,
        micro_batch=micro_batch,
        frame=frame_of(model, fields),
        stretch=Stretch.from_dict(fields.attrs["stretch"]),
        unit=fields.unit("field"),
        header=fields.attrs["headers"][0],
        pixel_scale=tuple(scale) if scale else None,
    )


def _arrays(origin: Origin, n: int, n_checks: int) -> dict[str, ArraySpec]:
    """Arrays of a store of latents."""
    assert origin.stretch is not None
    return {
        "z": ArraySpec((n, *origin.frame.network_shape), np.float32, LATENT_DIMS),
        "reconstruction": ArraySpec((n, *origin.frame.shape), origin.stretch.dtype, MAP_DIMS, origin.unit),
        **{name: ArraySpec((n,), np.float64, ("item",)) for name in PER_MAP},
        "round_trip_check": ArraySpec((n, n_checks), np.float64, ("item", "check_t_0")),
    }


def _rows(found: Inversion, origin: Origin) -> dict[str, NDArray[Any]]:
    """Rows of those arrays, the reconstructions in physical units."""
    assert origin.stretch is not None
    return {
        "z": found.z,
        "reconstruction": origin.stretch.inverse(found.reconstruction).astype(origin.stretch.dtype),
        **{name: getattr(found, name) for name in PER_MAP},
        "round_trip_check": found.checks,
    }
