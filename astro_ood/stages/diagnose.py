"""What the latents of a run are like; made beside the prior, from the stored latents alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from astro_ood._log import logger
from astro_ood.api import diagnose as api
from astro_ood.api.generate import usable_rows
from astro_ood.config import Config
from astro_ood.stages.prior import StoredLatents, stored_latents
from astro_ood.stores import RunPaths
from astro_ood.stores.manifest import made_by

MOST = api.MOST


def diagnose(config: Config) -> None:
    """Diagnose the inverted latents; write `diagnostics.json`.

    They are told from white noise and from the latents of held-out maps, and compared with their maps as reconstructed.

    Raises
    ------
    RunError
        RN61: no latent of an inverted map is usable.
    """
    paths = RunPaths(config.run)
    latents, held_out = (_some(part) for part in stored_latents(paths))
    held_out = StoredLatents(held_out.store, held_out.rows[usable_rows(held_out.store.load("latent_scale", held_out.rows))])
    origin = latents.origin
    assert origin.stretch is not None
    back = origin.stretch.forward(latents.store.load("reconstruction", latents.rows)).astype(np.float32)
    others = {"held-out maps": np.asarray(held_out[:])} if len(held_out) > 1 else {}
    found = api.diagnose(latents[:], origin.frame.to_network(back), others=others, seed=config.seed)
    replace(found, record=made_by(config.only("seed"), config.seed)).save(paths.diagnostics)
    for judged in found.judgements:
        logger.info("diagnose: %s: %s", judged.name, judged.words)


def _some(latents: StoredLatents) -> StoredLatents:
    """At most `MOST` of them, evenly spread."""
    n = len(latents)
    if n <= MOST:
        return latents
    return StoredLatents(latents.store, latents.rows[np.linspace(0, n - 1, MOST).round().astype(np.int64)])
