"""A finished run, opened lazily: nothing is read before it is used, and no network library is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood.api.types import Latents, Origin, Scores, table
from astro_ood.errors import StoreError
from astro_ood.maps import Map
from astro_ood.maps.channels import unstack
from astro_ood.stores import RunPaths, ShardedStore, Store, open_shards, open_store
from astro_ood.stores.provenance import provenance

if TYPE_CHECKING:
    import dask.array as da
    from astropy.wcs import WCS


@dataclass(frozen=True)
class View:
    """One array of a run, with what its axes and values mean.

    Attributes
    ----------
    data : dask array
        Read and checked when it is computed; ``np.asarray(view)`` does both.
    dims : tuple of str
        Names of the axes.
    unit : str
        Unit of the values, in astropy's spelling; empty for normalised ones.
    attrs : dict
        What was stored beside the array: ids, regions, split, stretch, headers, parents, ...
    """

    data: da.Array
    dims: tuple[str, ...]
    unit: str
    attrs: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.data.shape)

    @property
    def ids(self) -> list[str]:
        """Name of each item."""
        return list(self.attrs["ids"])

    @property
    def headers(self) -> list[dict[str, Any]]:
        """WCS cards of each item; synthetic maps share those of a template."""
        return [dict(h) for h in self.attrs.get("headers") or [self.attrs.get("header", {})] * len(self)]

    @property
    def wcs(self) -> list[WCS | None]:
        """Astropy WCS of each item, None where there is none."""
        return [Map(np.zeros((1, 16, 16), dtype=np.float32), header=h).wcs for h in self.headers]

    def __len__(self) -> int:
        return int(self.data.shape[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.data.compute(), dtype=dtype)

    def to_maps(self) -> list[Map]:
        """Physical maps, read into memory."""
        values, scale = np.asarray(self), self.attrs.get("pixel_scale")
        regions = self.attrs.get("regions", self.ids)
        rows = zip(values, self.ids, regions, self.headers, strict=True)
        return [Map(x, self.unit, name, region, "", h, None, tuple(scale) if scale else None) for x, name, region, h in rows]

    def _repr_html_(self) -> str:
        return table(
            "View", {"shape": dict(zip(self.dims, self.shape, strict=True)), "unit": self.unit or "none", "items": len(self)}
        )


def _view(store: Store | ShardedStore, name: str) -> View:
    return View(store[name], store.dims(name), store.unit(name), store.attrs)


@dataclass(frozen=True)
class Run:
    """Directory of a run.

    Attributes
    ----------
    root : Path
        ``results/<name>``.
    """

    root: Path

    @property
    def paths(self) -> RunPaths:
        """Where its parts lie."""
        return RunPaths(self.root)

    @cached_property
    def fields(self) -> View:
        """Real maps in physical units, inverted and held-out ones (``attrs["split"]``)."""
        return _view(open_store(self.paths.fields, stage="fields"), "field")

    @cached_property
    def latents(self) -> View:
        """Latents of all real maps."""
        return _view(open_shards(self.root / "latents", "latents"), "z")

    @cached_property
    def samples(self) -> View:
        """Synthetic maps in physical units."""
        return _view(open_shards(self.root / "samples", "samples"), "field")

    @cached_property
    def scores(self) -> Scores:
        """Comparison of the synthetic with the held-out maps."""
        path = self.paths.scores_json
        if not path.is_file():
            raise StoreError("ST01", path, "there are no scores yet", "let the run finish")
        record = json.loads(path.read_text(encoding="utf-8"))
        return Scores(**{key: record[key] for key in ("rows", "verdict", "sentences", "status", "curves")})

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made each store of the run, and from what."""
        return provenance(self.root)

    def _repr_html_(self) -> str:
        done = [stage for stage in ("fields", "latents", "prior", "proposals", "samples") if (self.root / stage).is_dir()]
        verdict = self.scores.verdict if self.paths.scores_json.is_file() else "not yet"
        return table(f"Run {self.root.name}", {"stages": ", ".join(done) or "none", "verdict": verdict})


def open_run(path: str | Path) -> Run:
    """Open the directory of a run.

    Raises
    ------
    StoreError
        Where there is no such directory, or no store of maps in it.
    """
    root = Path(path)
    if not root.is_dir():
        raise StoreError("ST01", root, "no such directory", "give results/<name> of a run")
    run = Run(root)
    open_store(run.paths.fields, stage="fields")
    return run


def real_maps(run: Run) -> tuple[list[Map], list[Map]]:
    """The inverted and the held-out maps of a run, every channel as a map of its own."""
    maps, split = run.fields.to_maps(), run.fields.attrs["split"]
    parts = ([m for m, s in zip(maps, split, strict=True) if s == name] for name in ("inverted", "held_out"))
    inverted, held_out = (unstack(part) for part in parts)
    return inverted, held_out


def load_latents(store: ShardedStore, fields: Store) -> Latents:
    """Latents of all maps of a run."""
    origin = Origin.from_dict(store.attrs["origin"])
    assert origin.stretch is not None
    return Latents(
        z=store.load("z"),
        round_trip=store.load("round_trip"),
        latent_error=store.load("latent_error"),
        latent_scale=store.load("latent_scale"),
        channel_spread=store.load("channel_spread"),
        reconstruction=origin.stretch.forward(store.load("reconstruction")).astype(np.float32),
        ids=list(store.attrs["ids"]),
        regions=[fields.attrs["regions"][i] for i in store.items],
        evaluations=int(store.attrs["evaluations"]),
        origin=origin,
    )
