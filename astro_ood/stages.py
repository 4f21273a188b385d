"""The stages of a run: each opens the stores it needs, computes through the calls of `astro_ood.api`, and writes one store.

A stage is one rule of the workflow and one verb of the command line. It reads its part of the configuration and nothing else; the
store that it writes records that part, the hashes of the stores it was made from, the network and the seed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.api import generate
from astro_ood.api.run import load_fields, load_latents, open_run, real_maps
from astro_ood.api.types import FittedPrior, Latents, Origin, Proposals
from astro_ood.api.validate import validate
from astro_ood.config import Config, expand, parse, write_effective
from astro_ood.diffusion import presets
from astro_ood.errors import ConfigError
from astro_ood.latents import criteria, geometry, prior
from astro_ood.maps import FieldBatch, Map, Readout, Stretch, collect, resolve, same_unit, sift, split_regions
from astro_ood.stores import RunPaths, Variable, complete_shards, manifest_hash, open_shards, open_store, write_store

MAP_DIMS = ("item", "channel", "y", "x")


def prepare(config: Config, *, overwrite: bool = False) -> None:
    """Read the maps, split them by region, fit the stretch to the inverted ones; write `fields`."""
    paths, data = RunPaths(config.run), config.data
    readout, maps, n_inverted = read(config)
    for line in [*readout.notes, *(message for _, message in readout.skipped)]:
        logger.warning("%s", line)
    stretch = Stretch.fit(maps[:n_inverted], data.stretch)
    batch = FieldBatch.from_maps(maps, stretch)
    outside = sum(stretch.clipped(m.data) for m in maps[n_inverted:])
    notes = list(readout.notes)
    if outside:
        notes.append(f"{outside} pixels of held-out maps lie outside the range of the stretch (they are kept)")
    sources = {m.source for m in maps}
    write_store(
        paths.fields,
        {"field": Variable(np.stack([m.data for m in maps]).astype(stretch.dtype), MAP_DIMS, batch.unit)},
        stage="fields",
        attrs={
            "items": list(range(len(maps))),
            "ids": batch.ids,
            "regions": batch.regions,
            "split": ["inverted"] * n_inverted + ["held_out"] * (len(maps) - n_inverted),
            "stretch": stretch.to_dict(),
            "headers": batch.headers,
            "pixel_scale": batch.pixel_scales[0],
            "sources": batch.sources,
            "files": [_fingerprint(name) for name in expand(data.files) if any(s.startswith(f"{name}[") for s in sources)],
            "skipped": readout.skipped,
            "notes": notes,
        },
        settings=config.only("data"),
        inputs={},
        overwrite=overwrite,
    )
    logger.info("prepare: %d maps to invert, %d held out, in %s", n_inverted, len(maps) - n_inverted, batch.unit or "no unit")


def read(config: Config) -> tuple[Readout, list[Map], int]:
    """Read the maps of a configuration; what `check` does too.

    Returns
    -------
    readout : Readout
        With what was skipped and noted.
    maps : list of Map
        In one unit, those to invert first.
    n_inverted : int
    """
    data = config.data
    # sorted: the order in which files are named changes nothing
    readout = collect(
        expand(data.files),
        data.patch,
        hdu=data.hdu,
        dataset=data.dataset,
        unit=data.unit,
        axis0=data.axis0,
        slice=data.slice,
        frame=data.frame,
        nan=data.nan,
        on_error=data.on_error,
        strict=data.strict,
        max_bytes=data.max_map_bytes,
    )
    if data.on_error == "skip":
        maps, odd = sift(readout.maps, positive=data.stretch == "log10")
        readout = replace(readout, maps=maps, skipped=[*readout.skipped, *odd])
    inverted, held_out = split_regions(readout.maps, data.inverted, max_inverted=data.max_inverted, min_held_out=0)
    return readout, same_unit([readout.maps[i] for i in (*inverted, *held_out)]), len(inverted)


def invert(config: Config, shard: int, *, overwrite: bool = False) -> None:
    """Invert one shard of the maps; write `latents/<shard>`."""
    paths, settings = RunPaths(config.run), config.inversion
    fields = open_store(paths.fields, stage="fields")
    batch = load_fields(fields)
    items = _shard(len(batch), settings.shards, shard)
    model = generate.open_model(config.model.name, device=config.model.device)
    part = batch[items]
    latents = generate.invert(
        part,
        model,
        settings.preset,
        n_steps=settings.n_steps,
        t_0=settings.t_0,
        device=config.model.device,
        micro_batch=config.model.micro_batch,
        label=f"invert shard {shard}",
    )
    check_t_0 = [presets.published_t_0(model.schedule)] if settings.check_t_0 is None else settings.check_t_0
    checks = [_round_trip(config, model, part, t_0) for t_0 in check_t_0]
    origin = replace(latents.origin, header=batch.headers[0])
    _drop_surplus(paths.root / "latents", settings.shards)
    write_store(
        paths.latents(shard),
        {
            "z": Variable(latents.z, MAP_DIMS),
            "reconstruction": Variable(replace(part, x=latents.reconstruction).physical, MAP_DIMS, batch.unit),
            "round_trip": Variable(latents.round_trip, ("item",)),
            "latent_error": Variable(latents.latent_error, ("item",)),
            "round_trip_check": Variable(np.array(checks).reshape(len(checks), len(items)).T, ("item", "check_t_0")),
        },
        stage="latents",
        attrs={
            "items": items,
            "n_shards": settings.shards,
            "ids": latents.ids,
            "origin": origin.to_dict(),
            "evaluations": latents.evaluations,
            "check_t_0": check_t_0,
            "model_card": {key: model.card[key] for key in ("licence", "parameters", "trained_on") if key in model.card},
        },
        settings=config.only("model", "inversion"),
        inputs=_inputs(paths, paths.fields),
        model=_model(origin, model.device.type),
        overwrite=overwrite,
    )
    logger.info("invert: round trip %.2f %% (median of shard %d)", 100 * np.median(latents.round_trip), shard)


def _round_trip(config: Config, model: Any, part: FieldBatch, t_0: float) -> NDArray[np.float64]:
    return generate.invert(
        part,
        model,
        config.inversion.preset,
        n_steps=config.inversion.n_steps,
        t_0=t_0,
        device=config.model.device,
        micro_batch=config.model.micro_batch,
        estimate_error=False,
        label=f"check at t_0 = {t_0:g}",
    ).round_trip


def fit_prior(config: Config, *, overwrite: bool = False) -> None:
    """Fit the prior and calibrate the criteria on the inverted latents; write `prior`."""
    paths = RunPaths(config.run)
    latents, held_out = _latents(paths)
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
        inputs=_inputs(paths, *complete_shards(paths.root / "latents")),
        model=_model(latents.origin),
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


def propose(config: Config, *, overwrite: bool = False) -> None:
    """Make new latents that meet the criteria; write `proposals`."""
    paths = RunPaths(config.run)
    latents, _ = _latents(paths)
    store = open_store(paths.prior, stage="prior")
    restored = prior.restore(store.attrs["kind"], {name: store.load(name) for name in store})
    wanted = config.proposal
    proposals = generate.sample(
        FittedPrior(restored, latents),
        wanted.n,
        config.seed,
        wanted.kind,
        config.criteria.kind,
        k=wanted.k,
        false_reject=config.criteria.false_reject,
        budget=wanted.budget,
    )
    write_store(
        paths.proposals,
        {
            "z": Variable(proposals.z, MAP_DIMS),
            "parents": Variable(proposals.parents, ("item", "parent")),
            "weights": Variable(proposals.weights, ("item", "parent")),
            "accepted": Variable(proposals.accepted, ("candidate",)),
        },
        stage="proposals",
        attrs={
            "items": list(range(len(proposals))),
            "ids": [f"synth-{i:05d}" for i in range(len(proposals))],
            "kind": proposals.kind,
            "tally": proposals.tally,
            "criteria": proposals.criteria,
            "parent_ids": latents.ids,
            "origin": proposals.origin.to_dict(),
        },
        settings=config.only("seed", "proposal", "criteria"),
        inputs=_inputs(paths, paths.prior, *complete_shards(paths.root / "latents")),
        model=_model(proposals.origin),
        seed=config.seed,
        overwrite=overwrite,
    )
    logger.info("propose: %d of %d candidates accepted", proposals.tally["accepted"], proposals.tally["candidates"])


def decode(config: Config, shard: int, *, overwrite: bool = False) -> None:
    """Decode one shard of the proposals into maps in physical units; write `samples/<shard>`."""
    paths = RunPaths(config.run)
    store = open_store(paths.proposals, stage="proposals")
    items = _shard(len(store.attrs["ids"]), config.decoding.shards, shard)
    proposals = _proposals(store, items)
    model = generate.open_model(config.model.name, device=config.model.device)
    fields = generate.decode(
        proposals,
        model,
        eta=config.decoding.eta,
        seed=config.seed,
        device=config.model.device,
        items=items,
        label=f"decode shard {shard}",
    )
    _drop_surplus(paths.root / "samples", config.decoding.shards)
    write_store(
        paths.samples(shard),
        {
            "field": Variable(fields.physical, MAP_DIMS, fields.unit),
            "parents": Variable(proposals.parents, ("item", "parent")),
            "weights": Variable(proposals.weights, ("item", "parent")),
        },
        stage="samples",
        attrs={
            "items": items,
            "n_shards": config.decoding.shards,
            "ids": fields.ids,
            "header": fields.headers[0],
            "stretch": fields.stretch.to_dict(),
            "pixel_scale": fields.pixel_scales[0],
            "parent_ids": store.attrs["parent_ids"],
            "proposal": proposals.kind,
            "eta": config.decoding.eta,
        },
        settings=config.only("seed", "model", "decoding"),
        inputs=_inputs(paths, paths.proposals),
        model=_model(proposals.origin, model.device.type),
        seed=config.seed,
        overwrite=overwrite,
    )


def evaluate(config: Config) -> None:
    """Compare the synthetic maps with the held-out ones; write `scores.csv` and `scores.json`."""
    run = open_run(config.run)
    real, held_out = real_maps(run)
    samples = open_shards(run.paths.root / "samples", "samples")
    heaviest = np.argmax(np.abs(samples.load("weights")), axis=1)[:, None]
    parents = np.take_along_axis(samples.load("parents"), heaviest, axis=1)[:, 0]
    scores = validate(
        real,
        run.samples.to_maps(),
        held_out if len(held_out) > 1 else None,
        log=run.fields.attrs["stretch"]["kind"] == "log10" if config.validation.log is None else config.validation.log,
        parents=parents if (parents >= 0).all() else None,
        n_permutations=config.validation.permutations,
        seed=config.seed,
    )
    scores.save(run.paths.root)
    logger.info("evaluate: %s", scores.verdict)


def report(config: Config) -> None:
    """Write `report.html`."""
    from astro_ood.api.report import collect_report
    from astro_ood.report.page import write_report

    run = open_run(config.run)
    # every route to a finished run leaves the configuration that repeats it
    made = [entry["settings"] for entry in run.provenance["stores"] if "settings" in entry]
    write_effective(
        parse(
            {key: value for settings in (*made, config.only("title", "seed", "validation")) for key, value in settings.items()},
            run.root,
        )
    )
    write_report(collect_report(run, config.title), run.paths.report)
    logger.info("report: %s", run.paths.report)


def check_shards(n: int, shards: int, key: str) -> None:
    """Refuse shards that would be empty."""
    if shards > n:
        raise ConfigError("CF44", key, f"{shards} shards for {n} maps", f"take at most {n}")


def _shard(n: int, shards: int, shard: int) -> NDArray[np.int64]:
    """Items of one shard: contiguous, sizes equal within one."""
    check_shards(n, shards, "shards")
    if not 0 <= shard < shards:
        raise ConfigError(
            "CF44", "shard", f"found {shard}, expected 0 to {shards - 1}", "the configuration sets the number of shards"
        )
    return np.array_split(np.arange(n), shards)[shard]


def _drop_surplus(directory: Path, shards: int) -> None:
    """Remove what an earlier run with more shards left; no job of this one writes there."""
    for surplus in complete_shards(directory):
        if int(surplus.name) >= shards:
            shutil.rmtree(surplus, ignore_errors=True)


def _latents(paths: RunPaths) -> tuple[Latents, Latents]:
    """Latents of the inverted and of the held-out maps."""
    fields = open_store(paths.fields, stage="fields")
    latents = load_latents(open_shards(paths.root / "latents", "latents"), fields)
    inverted = np.array(fields.attrs["split"]) == "inverted"
    return latents[inverted], latents[~inverted]


def _proposals(store: Any, items: Sequence[int] | NDArray[np.int64]) -> Proposals:
    attrs = store.attrs
    return Proposals(
        z=store.load("z")[items],
        accepted=store.load("accepted"),
        tally=attrs["tally"],
        parents=store.load("parents")[items],
        weights=store.load("weights")[items],
        criteria=attrs["criteria"],
        kind=attrs["kind"],
        seed=int(store.manifest.seed or 0),
        origin=Origin.from_dict(attrs["origin"]),
    )


def _inputs(paths: RunPaths, *directories: Path) -> dict[str, str]:
    """Manifest hashes of the stores that a store is made from, by their path relative to the run."""
    return {d.relative_to(paths.root).as_posix(): manifest_hash(d) for d in directories}


def _model(origin: Origin, device: str | None = None) -> Mapping[str, str]:
    """The network, and the kind of device that ran it: shards of different kinds are no one result."""
    return {"name": origin.model, "sha256": origin.model_sha256, **({"device": device} if device else {})}


def _fingerprint(name: str) -> dict[str, Any]:
    path = resolve(name)
    if path.is_dir():
        return {"path": name, "sha256": None, "bytes": None}
    with path.open("rb") as file:
        return {"path": name, "sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}
