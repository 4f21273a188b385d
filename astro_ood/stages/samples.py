"""From latents to new maps: proposals that meet the criteria, decoded into physical units."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood._pipeline import prefetch
from astro_ood.api import generate
from astro_ood.api.propose import forward_start
from astro_ood.api.types import Origin
from astro_ood.config import Config
from astro_ood.diffusion.batching import MicroBatch
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.engine import decode_blocks, finite_items
from astro_ood.diffusion.guidance import Guidance, Targets
from astro_ood.latents import prior, proposal
from astro_ood.latents.criteria import Draws
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
from astro_ood.stages.latents import normalised
from astro_ood.stages.prior import StoredLatents, criteria_of, stored_latents
from astro_ood.stats.transfer import Transfer, fit_transfer
from astro_ood.stores import ArraySpec, RunPaths, Store, StoreWriter, Variable, complete_shards, open_store

if TYPE_CHECKING:
    from astro_ood.diffusion.presets import Preset

# samples that a transfer function is fitted to
CALIBRATING = 24


def propose(config: Config, *, overwrite: bool = False) -> None:
    """Make new latents that meet the criteria, and write each batch as it is accepted; write `proposals`."""
    paths, wanted = RunPaths(config.run), config.proposal
    latents, _ = stored_latents(paths)
    store = open_store(paths.prior, stage="prior")
    restored = prior.restore(store.attrs["kind"], {name: store.load(name) for name in store})
    bands, origin = criteria_of(latents, config), latents.origin
    start, keys = None, ["seed", "proposal", "criteria"]
    if wanted.kind == "forward":
        start, origin = _start(config, latents, bands.kind)
        keys.append("model")
    # proposals take their parents from memory, in float32
    make = proposal.maker(
        wanted.kind, latents[:], restored, config.seed, wanted.k, reach=wanted.reach, noise=wanted.noise, start=start
    )
    draws = Draws(make, bands, wanted.n, budget=wanted.budget, source=proposal.source(wanted.kind, restored))
    parents: list[NDArray[np.int64]] = []
    weights: list[NDArray[np.float64]] = []
    with StoreWriter(
        paths.proposals,
        {"z": ArraySpec((wanted.n, *origin.frame.network_shape), np.float32, LATENT_DIMS)},
        stage="proposals",
        settings=config.only(*keys),
        inputs=inputs(paths, paths.prior, *complete_shards(paths.root / "latents")),
        model={"name": origin.model, "sha256": origin.model_sha256},
        seed=config.seed,
        overwrite=overwrite,
    ) as writer:
        for accepted in draws:
            writer.write("z", sum(map(len, parents)), accepted.z.astype(np.float32))
            parents.append(accepted.parents)
            weights.append(accepted.weights)
        writer.finish(
            {
                "parents": Variable(np.concatenate(parents), ("item", "parent")),
                "weights": Variable(np.concatenate(weights), ("item", "parent")),
                "accepted": Variable(np.concatenate(draws.masks), ("candidate",)),
            },
            attrs={
                "items": list(range(wanted.n)),
                "ids": [f"synth-{i:05d}" for i in range(wanted.n)],
                "kind": wanted.kind,
                "tally": draws.tally,
                "criteria": bands.to_dict(),
                "parent_ids": latents.ids,
                "origin": origin.to_dict(),
            },
        )
    logger.info("propose: %d of %d candidates accepted", draws.tally["accepted"], draws.tally["candidates"])


def _start(config: Config, latents: StoredLatents, kind: str) -> tuple[proposal.Start, Origin]:
    """Maps and time of a forward start."""
    origin, store = latents.origin, latents.store
    assert origin.stretch is not None
    maps = origin.stretch.forward(store.load("reconstruction", latents.rows))
    return forward_start(network(config), origin, maps, config.proposal.t, criteria=kind)


def decode(config: Config, shard: int, *, overwrite: bool = False) -> None:
    """Decode one shard of the proposals into maps in physical units; write `samples/<shard>`."""
    paths, settings = RunPaths(config.run), config.decoding
    store = open_store(paths.proposals, stage="proposals")
    attrs, origin = store.attrs, Origin.from_dict(store.attrs["origin"])
    assert origin.stretch is not None
    items = shard_items(len(attrs["ids"]), settings.shards, shard)
    model = network(config)
    chosen = generate.preset_of(origin, model)
    batches = MicroBatch(origin.micro_batch)
    drop_surplus(paths.root / "samples", settings.shards)
    specs = {
        "field": ArraySpec((len(items), *origin.frame.shape), origin.stretch.dtype, MAP_DIMS, origin.unit),
        "channel_spread": ArraySpec((len(items),), np.float64, ("item",)),
    }
    fields = [paths.fields] if settings.guidance or settings.transfer else []
    parts = list(blocks(items, batches.size))
    way: dict[str, Any] = {
        "frame": origin.frame,
        "eta": settings.eta,
        "seed": config.seed,
        "guided": _targets(config, paths, origin, model),
    }
    transfer = _transfer(paths, store, model, chosen, batches, way) if settings.transfer else None
    kept: list[int] = []
    with (
        share_in_network(f"decode shard {shard}", model),
        StoreWriter(
            paths.samples(shard),
            specs,
            stage="samples",
            settings=config.only("seed", "model", "decoding"),
            inputs=inputs(paths, paths.proposals, *fields),
            model=identity(model),
            seed=config.seed,
            overwrite=overwrite,
        ) as writer,
        closing(prefetch((store.load("z", block), block) for block in parts)) as latents,
    ):
        found = decode_blocks(
            model,
            latents,
            chosen,
            total=len(items),
            micro_batch=batches,
            label=f"decode shard {shard}",
            **way,
        )
        for block, (x, spread) in zip(parts, found, strict=True):
            good = finite_items(x)
            made = x[good] if transfer is None else transfer(x[good]).astype(np.float32)
            writer.write("field", len(kept), origin.stretch.inverse(made).astype(origin.stretch.dtype))
            writer.write("channel_spread", len(kept), spread[good])
            kept.extend(int(i) for i in block[good])
        writer.finish(
            {name: Variable(store.load(name, kept), ("item", "parent")) for name in ("parents", "weights")},
            rows=len(kept),
            attrs={
                "items": kept,
                "left_out": sorted(set(items.tolist()) - set(kept)),
                "n_shards": settings.shards,
                "ids": [attrs["ids"][i] for i in kept],
                "header": origin.header,
                "stretch": origin.stretch.to_dict(),
                "pixel_scale": origin.pixel_scale,
                "parent_ids": attrs["parent_ids"],
                "proposal": attrs["kind"],
                "eta": settings.eta,
                "transfer": None if transfer is None else transfer.to_dict(),
                "micro_batch_used": batches.size,
            },
        )


def _targets(config: Config, paths: RunPaths, origin: Origin, model: Denoiser) -> Targets | None:
    """Statistics of the inverted maps, where decoding is guided by them."""
    wanted = config.decoding.guidance
    if wanted is None:
        return None
    fields = open_store(paths.fields, stage="fields")
    inverted = np.flatnonzero(np.array(fields.attrs["split"]) == "inverted")
    how = wanted.model_dump() | {"statistics": tuple(wanted.statistics)}
    how["t_from"] = origin.t_0 if wanted.t_from is None else wanted.t_from
    return Targets(normalised(fields, inverted), Guidance(**how), config.seed, model.device)


def _transfer(paths: RunPaths, store: Store, model: Denoiser, chosen: Preset, batches: MicroBatch, way: dict[str, Any]) -> Transfer:
    """Transfer function from the first samples to the inverted maps: the same in every shard, which therefore decodes them too."""
    fields = open_store(paths.fields, stage="fields")
    inverted = np.flatnonzero(np.array(fields.attrs["split"]) == "inverted")
    parts = list(blocks(np.arange(min(CALIBRATING, len(store.attrs["ids"]))), batches.size))
    latents = ((store.load("z", block), block) for block in parts)
    found = decode_blocks(
        model, latents, chosen, total=sum(map(len, parts)), micro_batch=batches, label="decode for the transfer function", **way
    )
    samples = np.concatenate([x[finite_items(x)] for x, _ in found])
    return fit_transfer(normalised(fields, inverted), samples)
