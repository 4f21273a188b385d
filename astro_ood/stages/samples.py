"""From latents to new maps: proposals that meet the criteria, decoded into physical units."""

from __future__ import annotations

from contextlib import closing

import numpy as np

from astro_ood._log import logger
from astro_ood._pipeline import prefetch
from astro_ood.api import generate
from astro_ood.api.types import FittedPrior, Origin
from astro_ood.config import Config
from astro_ood.diffusion.batching import MicroBatch
from astro_ood.diffusion.engine import decode_blocks, finite_items
from astro_ood.latents import prior
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
from astro_ood.stages.latents import both_latents
from astro_ood.stores import ArraySpec, RunPaths, StoreWriter, Variable, complete_shards, open_store, write_store


def propose(config: Config, *, overwrite: bool = False) -> None:
    """Make new latents that meet the criteria; write `proposals`."""
    paths = RunPaths(config.run)
    latents, _ = both_latents(paths)
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
            "z": Variable(proposals.z, LATENT_DIMS),
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
        inputs=inputs(paths, paths.prior, *complete_shards(paths.root / "latents")),
        model={"name": proposals.origin.model, "sha256": proposals.origin.model_sha256},
        seed=config.seed,
        overwrite=overwrite,
    )
    logger.info("propose: %d of %d candidates accepted", proposals.tally["accepted"], proposals.tally["candidates"])


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
    parts = list(blocks(items, batches.size))
    kept: list[int] = []
    with (
        share_in_network(f"decode shard {shard}", model),
        StoreWriter(
            paths.samples(shard),
            specs,
            stage="samples",
            settings=config.only("seed", "model", "decoding"),
            inputs=inputs(paths, paths.proposals),
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
            frame=origin.frame,
            total=len(items),
            eta=settings.eta,
            seed=config.seed,
            micro_batch=batches,
            label=f"decode shard {shard}",
        )
        for block, (x, spread) in zip(parts, found, strict=True):
            good = finite_items(x)
            writer.write("field", len(kept), origin.stretch.inverse(x[good]).astype(origin.stretch.dtype))
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
                "micro_batch_used": batches.size,
            },
        )
