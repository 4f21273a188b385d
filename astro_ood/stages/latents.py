"""From maps to latents: what a probe of the maps decides, the inversion, the prior that is fitted to its latents."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood._pipeline import prefetch
from astro_ood.api import generate
from astro_ood.api.run import load_latents
from astro_ood.api.types import Latents, Origin
from astro_ood.config import Config
from astro_ood.diffusion import engine, presets
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.probe import parse_tolerance
from astro_ood.diffusion.probe import probe as probe_solvers
from astro_ood.latents import criteria, geometry
from astro_ood.maps import Stretch
from astro_ood.stages.common import (
    LATENT_DIMS,
    MAP_DIMS,
    blocks,
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
    complete_shards,
    open_shards,
    open_store,
    write_store,
)

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser
    from astro_ood.diffusion.presets import Preset

LARGEST_PILOT = 8
PER_MAP = ("round_trip", "latent_error", "latent_scale", "channel_spread")


def frame_of(model: Denoiser, fields: Store) -> Frame:
    """How the maps of a run meet the network."""
    attrs, shape = fields.attrs, tuple(fields.manifest.arrays["field"].shape[1:])
    # three maps in one image were stacked before
    return Frame.of(model, shape, "error" if attrs["channels"] == "stack" else attrs["channels"], attrs["fit"])


def normalised(fields: Store, items: NDArray[np.int64]) -> Field:
    """Some maps of a run in [-1, 1], shape (n, C, H, W)."""
    return Stretch.from_dict(fields.attrs["stretch"]).forward(fields.load("field", items)).astype(np.float32)


def probe(config: Config, *, overwrite: bool = False) -> None:
    """Choose what the configuration leaves to a probe (solver and steps for a tolerance, micro-batch); write `probe`."""
    paths, settings = RunPaths(config.run), config.inversion
    fields, model = open_store(paths.fields, stage="fields"), network(config)
    frame = frame_of(model, fields)
    pilot = frame.to_network(normalised(fields, np.flatnonzero(np.array(fields.attrs["split"]) == "inverted")[:LARGEST_PILOT]))
    chosen = presets.choose("fast", model.schedule, t_0=settings.t_0)
    attrs: dict[str, Any] = {}
    rows: dict[str, Variable] = {}
    if settings.preset == "tolerance":
        tolerance = parse_tolerance(settings.tolerance)
        found = probe_solvers(model, pilot, tolerance, t_0=settings.t_0)
        chosen = found.preset
        table = [asdict(row) for row in found.rows]
        rows = {key: Variable(np.array([row[key] for row in table]), ("tried",)) for key in table[0]}
        attrs |= {"tolerance": tolerance, "met": found.met}
        if not found.met:
            logger.warning("probe: nothing within the cap meets %.3g; going on with the best", tolerance)
    micro_batch = config.model.micro_batch
    if micro_batch == "auto":
        micro_batch, tried = engine.largest_micro_batch(model, pilot, chosen.t_0)
        attrs["micro_batches"] = tried
    attrs |= {"solver": chosen.solver, "n_steps": chosen.n_steps, "t_0": chosen.t_0, "micro_batch": micro_batch}
    write_store(
        paths.probe,
        rows,
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
    settings = config.inversion
    found = open_store(paths.probe, stage="probe").attrs if config.probes else {}
    if settings.preset == "tolerance":
        solver, n_steps = found["solver"], found["n_steps"]
    else:
        solver, n_steps = settings.solver, settings.n_steps
    chosen = presets.choose(settings.preset, model.schedule, n_steps=n_steps, t_0=settings.t_0, solver=solver)
    return chosen, int(found.get("micro_batch", config.model.micro_batch))


def invert(config: Config, shard: int, *, overwrite: bool = False) -> None:
    """Invert one shard of the maps; write `latents/<shard>`."""
    paths, settings = RunPaths(config.run), config.inversion
    fields = open_store(paths.fields, stage="fields")
    attrs, stretch = fields.attrs, Stretch.from_dict(fields.attrs["stretch"])
    items = shard_items(len(attrs["ids"]), settings.shards, shard)
    model = network(config)
    frame = frame_of(model, fields)
    chosen, micro_batch = way(config, paths, model)
    batches = engine.MicroBatch(micro_batch)
    times = [presets.published_t_0(model.schedule)] if settings.check_t_0 is None else settings.check_t_0
    checks = [presets.choose(chosen.name, model.schedule, n_steps=chosen.n_steps, t_0=t, solver=chosen.solver) for t in times]
    scale = attrs["pixel_scale"]
    origin = Origin(
        preset=chosen.name,
        solver=chosen.solver,
        n_steps=chosen.n_steps,
        t_0=chosen.t_0,
        model=model.name,
        model_sha256=model.sha256,
        micro_batch=micro_batch,
        frame=frame,
        stretch=stretch,
        unit=fields.unit("field"),
        header=attrs["headers"][0],
        pixel_scale=tuple(scale) if scale else None,
    )
    drop_surplus(paths.root / "latents", settings.shards)
    n = len(items)
    specs = {
        "z": ArraySpec((n, *frame.network_shape), np.float32, LATENT_DIMS),
        "reconstruction": ArraySpec((n, *frame.shape), stretch.dtype, MAP_DIMS, fields.unit("field")),
        **{name: ArraySpec((n,), np.float64, ("item",)) for name in PER_MAP},
        "round_trip_check": ArraySpec((n, len(times)), np.float64, ("item", "check_t_0")),
    }
    kept: list[int] = []
    with (
        share_in_network(f"invert shard {shard}", model),
        StoreWriter(
            paths.latents(shard),
            specs,
            stage="latents",
            settings=config.only("model", "inversion"),
            inputs=inputs(paths, paths.fields, *([paths.probe] if config.probes else [])),
            model=identity(model),
            overwrite=overwrite,
        ) as writer,
        closing(
            _inversions(model, fields, items, chosen, frame, batches, settings.estimates, f"invert shard {shard}")
        ) as inversions,
    ):
        seen = 0
        for block, x, found in inversions:
            good = found.require_usable()
            trips = np.full((len(block), len(times)), np.nan)
            n_checked = max(0, min(len(block), settings.estimates - seen))
            for column, preset in enumerate(checks if n_checked else ()):
                label = f"check at t_0 = {preset.t_0:g}"
                trips[:n_checked, column] = engine.invert(
                    model, x[:n_checked], preset, frame=frame, micro_batch=batches, estimate_error=False, label=label
                ).round_trip
            values = {
                "z": found.z,
                "reconstruction": stretch.inverse(found.reconstruction).astype(stretch.dtype),
                **{name: getattr(found, name) for name in PER_MAP},
                "round_trip_check": trips,
            }
            for name, rows in values.items():
                writer.write(name, len(kept), rows[good])
            kept.extend(int(i) for i in block[good])
            seen += len(block)
        writer.finish(
            rows=len(kept),
            attrs={
                "items": kept,
                "left_out": sorted(set(items.tolist()) - set(kept)),
                "n_shards": settings.shards,
                "ids": [attrs["ids"][i] for i in kept],
                "origin": origin.to_dict(),
                "evaluations": chosen.evaluations_up,
                "micro_batch_used": batches.size,
                "check_t_0": times,
                "model_card": {key: model.card[key] for key in ("licence", "parameters", "trained_on") if key in model.card},
            },
        )
    trips = open_store(paths.latents(shard), stage="latents").load("round_trip")
    logger.info("invert: round trip %.2f %% (median of shard %d)", 100 * np.median(trips), shard)


def _inversions(
    model: Denoiser,
    fields: Store,
    items: NDArray[np.int64],
    chosen: Preset,
    frame: Frame,
    batches: engine.MicroBatch,
    estimates: int,
    label: str,
) -> Generator[tuple[NDArray[np.int64], Field, engine.Inversion]]:
    """Items, maps and inversions, block by block, the next block read ahead."""
    passed: list[tuple[NDArray[np.int64], Field]] = []

    def maps(ahead: Iterable[tuple[NDArray[np.int64], Field]]) -> Iterator[Field]:
        for block, x in ahead:
            passed.append((block, x))
            yield x

    with closing(prefetch((block, normalised(fields, block)) for block in blocks(items, batches.size))) as ahead:
        for inversion in engine.invert_blocks(
            model, maps(ahead), chosen, frame=frame, total=len(items), micro_batch=batches, estimates=estimates, label=label
        ):
            block, x = passed.pop()
            yield block, x, inversion


def fit_prior(config: Config, *, overwrite: bool = False) -> None:
    """Fit the prior and calibrate the criteria on the inverted latents; write `prior`."""
    paths = RunPaths(config.run)
    latents, held_out = both_latents(paths)
    fitted = generate.fit_prior(latents, config.prior.kind)
    z = latents.z.astype(np.float64)
    bands = criteria.make(config.criteria.kind, z, false_reject=config.criteria.false_reject, seed=config.seed)
    accepted, _ = bands.accept(held_out.z.astype(np.float64))
    write_store(
        paths.prior,
        {
            name: Variable(values, tuple(f"{name}_{i}" for i in range(values.ndim)))
            for name, values in fitted.prior.arrays().items()
        },
        stage="prior",
        attrs={
            "kind": fitted.kind,
            "criteria": bands.to_dict(),
            "geometry": asdict(geometry.describe(z)),
            "held_out_accepted": [int(accepted.sum()), len(held_out)],
            "fitted_to": latents.ids,
        },
        settings=config.only("seed", "prior", "criteria"),
        inputs=inputs(paths, *complete_shards(paths.root / "latents")),
        model={"name": latents.origin.model, "sha256": latents.origin.model_sha256},
        seed=config.seed,
        overwrite=overwrite,
    )
    logger.info(
        "fit-prior: %s prior from %d latents; %d of %d held-out latents accepted",
        fitted.kind,
        len(latents),
        accepted.sum(),
        len(held_out),
    )


def both_latents(paths: RunPaths) -> tuple[Latents, Latents]:
    """Latents of the inverted and of the held-out maps."""
    fields = open_store(paths.fields, stage="fields")
    store = open_shards(paths.root / "latents", "latents")
    latents = load_latents(store, fields)
    inverted = np.array(fields.attrs["split"])[store.items] == "inverted"
    return latents[inverted], latents[~inverted]
