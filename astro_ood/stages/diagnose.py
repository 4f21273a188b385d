"""What the latents of a run are like; made beside the prior, from the stored latents, and by the network where it is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.api import diagnose as api
from astro_ood.api.generate import usable_rows
from astro_ood.api.types import Origin
from astro_ood.config import Config
from astro_ood.stages.common import network
from astro_ood.stages.latents import normalised
from astro_ood.stages.prior import StoredLatents, stored_latents
from astro_ood.stores import RunPaths, open_store
from astro_ood.stores.manifest import made_by

if TYPE_CHECKING:
    from astro_ood.api.trajectories import Trajectories

Field = NDArray[Any]
MOST = api.MOST


def diagnose(config: Config) -> None:
    """Diagnose the inverted latents; write `diagnostics.json`.

    They are told from white noise and from the latents of held-out maps, and compared with their maps as reconstructed. Where the
    configuration wants trajectories, the network is asked as well.

    Raises
    ------
    RunError
        RN61: no latent of an inverted map is usable; maps that the network draws do not vary.
    ModelError
        MD56: the network is not the one that inverted.
    """
    paths = RunPaths(config.run)
    latents, held_out = (_some(part) for part in stored_latents(paths))
    held_out = StoredLatents(held_out.store, held_out.rows[usable_rows(held_out.store.load("latent_scale", held_out.rows))])
    origin = latents.origin
    assert origin.stretch is not None
    back = origin.stretch.forward(latents.store.load("reconstruction", latents.rows)).astype(np.float32)
    others = {"held-out maps": np.asarray(held_out[:])} if len(held_out) > 1 else {}
    z = latents[:]
    asked = None
    if config.diagnostics.trajectories and len(z) >= api.LEAST:
        asked = _asked(config, origin, z, back, _maps(paths, held_out))
    found = api.diagnose_arrays(z, origin.frame.to_network(back), others, asked, seed=config.seed)
    replace(found, record=made_by(config.only(*config.diagnosed_by), config.seed)).save(paths.diagnostics)
    for judged in found.judgements:
        logger.info("diagnose: %s: %s", judged.name, judged.words)


def _asked(config: Config, origin: Origin, z: Field, back: Field, held_out: Field) -> Trajectories:
    """What the network answers; held-out maps stand for the domain where there are enough of them."""
    from astro_ood.api.trajectories import LEAST, follow

    wanted = config.diagnostics
    return follow(
        network(config),
        origin,
        z,
        back,
        references=held_out if len(held_out) >= LEAST else None,
        n_maps=wanted.maps,
        etas=wanted.etas,
        n_own=wanted.own,
        seed=config.seed,
    )


def _maps(paths: RunPaths, latents: StoredLatents) -> Field:
    """Maps of latents as they were prepared, in [-1, 1]."""
    return normalised(open_store(paths.fields, stage="fields"), np.asarray(latents.store.items)[latents.rows])


def _some(latents: StoredLatents) -> StoredLatents:
    """At most `MOST` of them, evenly spread."""
    n = len(latents)
    if n <= MOST:
        return latents
    return StoredLatents(latents.store, latents.rows[np.linspace(0, n - 1, MOST).round().astype(np.int64)])
