"""The prior that is fitted to the inverted latents, and the criteria that they calibrate; latents are read block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.api.generate import usable_rows
from astro_ood.api.types import Origin
from astro_ood.config import Config
from astro_ood.latents import criteria, geometry, prior
from astro_ood.stages.common import inputs
from astro_ood.stores import RunPaths, ShardedStore, Variable, complete_shards, open_shards, open_store, write_store

BLOCK = 32


@dataclass(frozen=True)
class StoredLatents:
    """Some latents of a run, on disk; iterating gives blocks (b, C, H, W) in float32.

    Attributes
    ----------
    store : ShardedStore
        All latents of the run.
    rows : ndarray of int, shape (N,)
        Which of its rows these are.
    """

    store: ShardedStore
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self.rows), BLOCK):
            yield self[start : start + BLOCK]

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return self.store.load("z", self.rows[index])

    @cached_property
    def ids(self) -> list[str]:
        """Names of the maps."""
        names = self.store.attrs["ids"]
        return [names[row] for row in self.rows]

    @cached_property
    def origin(self) -> Origin:
        """Where the latents come from."""
        return Origin.from_dict(self.store.attrs["origin"])


def stored_latents(paths: RunPaths) -> tuple[StoredLatents, StoredLatents]:
    """Usable latents of the inverted maps, and all of the held-out ones.

    Raises
    ------
    RunError
        RN61: no latent of an inverted map is usable.
    """
    store = open_shards(paths.root / "latents", "latents")
    inverted = np.array(open_store(paths.fields, stage="fields").attrs["split"])[store.items] == "inverted"
    rows = np.flatnonzero(inverted)
    usable = rows[usable_rows(store.load("latent_scale", rows))]
    return StoredLatents(store, usable), StoredLatents(store, np.flatnonzero(~inverted))


def criteria_of(latents: StoredLatents, config: Config) -> criteria.Criteria:
    """Criteria as configured; of many latents some are the references."""
    rows = criteria.reference_rows(len(latents))
    settings = config.criteria
    return criteria.make(
        settings.kind,
        latents[rows],
        names=settings.names,
        false_reject=settings.false_reject,
        seed=config.seed,
        rows=rows,
    )


def fit_prior(config: Config, *, overwrite: bool = False) -> None:
    """Fit the prior and calibrate the criteria on the inverted latents; write `prior`."""
    paths = RunPaths(config.run)
    latents, held_out = stored_latents(paths)
    fitted = prior.fit(latents, config.prior.kind)
    bands = criteria_of(latents, config)
    accepted = sum(int(bands.accept(block.astype(np.float64))[0].sum()) for block in held_out)
    write_store(
        paths.prior,
        {name: Variable(values, tuple(f"{name}_{i}" for i in range(values.ndim))) for name, values in fitted.arrays().items()},
        stage="prior",
        attrs={
            "kind": fitted.kind,
            "criteria": bands.to_dict(),
            "geometry": asdict(geometry.describe(latents[criteria.reference_rows(len(latents))])),
            "held_out_accepted": [accepted, len(held_out)],
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
        accepted,
        len(held_out),
    )
