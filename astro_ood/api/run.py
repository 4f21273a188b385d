"""A finished run, opened lazily: nothing is read before it is used, and no network library is loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._html import extent, table
from astro_ood.api import plots
from astro_ood.api.types import Latents, Origin, Scores
from astro_ood.errors import StoreError
from astro_ood.maps import Map
from astro_ood.maps.channels import unstack
from astro_ood.stores import RunPaths, ShardedStore, Store, open_shards, open_store
from astro_ood.stores.provenance import provenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dask.array as da
    import xarray as xr
    from astropy.wcs import WCS
    from matplotlib.axes import Axes

    from astro_ood.api.diagnose import Diagnostics

_PER_ITEM = ("ids", "regions", "split", "headers")


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
    name : str
        What it is: ``fields``, ``latents`` or ``samples``.
    """

    data: da.Array
    dims: tuple[str, ...]
    unit: str
    attrs: dict[str, Any] = field(repr=False)
    name: str = "view"

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

    def rows(self, index: NDArray[np.int64]) -> View:
        """Some of the items, not read yet."""
        own = {
            k: [v[i] for i in index]
            for k, v in self.attrs.items()
            if isinstance(v, list) and len(v) == len(self) and k in _PER_ITEM
        }
        together = len(index) > 0 and (np.diff(index) == 1).all()
        data = self.data[index[0] : index[-1] + 1] if together else self.data[index]
        return replace(self, data=data, attrs={**self.attrs, **own})

    def to_maps(self) -> list[Map]:
        """Physical maps, read into memory."""
        values, scale = np.asarray(self), self.attrs.get("pixel_scale")
        regions = self.attrs.get("regions", self.ids)
        rows = zip(values, self.ids, regions, self.headers, strict=True)
        return [Map(x, self.unit, name, region, "", h, None, tuple(scale) if scale else None) for x, name, region, h in rows]

    def to_xarray(self) -> xr.DataArray:
        """The same as an xarray DataArray, lazily: names of the items, offsets from the centre in arcmin, unit.

        Raises
        ------
        ConfigError
            xarray is not installed (CF04).
        """
        from astro_ood.api.labelled import array

        return array(self)

    def _repr_html_(self) -> str:
        scale = self.attrs.get("pixel_scale")
        rows = {
            "shape": extent(self.dims, self.shape),
            "unit": self.unit or "none",
            "pixel": f"{scale[0]:.4g} x {scale[1]:.4g} arcmin" if scale else "scale not known",
            "size": f"{self.data.nbytes / 1e6:.1f} MB, read when it is used",
        }
        return table(self.name, rows)


def _view(store: Store | ShardedStore, array: str, name: str) -> View:
    return View(store[array], store.dims(array), store.unit(array), store.attrs, name)


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
        return _view(open_store(self.paths.fields, stage="fields"), "field", "fields")

    @cached_property
    def latents(self) -> View:
        """Latents of all real maps."""
        return _view(open_shards(self.root / "latents", "latents"), "z", "latents")

    @cached_property
    def samples(self) -> View:
        """Synthetic maps in physical units."""
        return _view(open_shards(self.root / "samples", "samples"), "field", "samples")

    @cached_property
    def scores(self) -> Scores:
        """Comparison of the synthetic with the held-out maps."""
        path = self.paths.scores_json
        if not path.is_file():
            raise StoreError("ST01", path, "there are no scores yet", "let the run finish")
        record = json.loads(path.read_text(encoding="utf-8"))
        scores = {key: record[key] for key in ("rows", "verdict", "sentences", "status", "curves")}
        return Scores(**scores, record=record.get("record", {}))

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """What the latents are like."""
        from astro_ood.api.diagnose import Diagnostics

        return Diagnostics.load(self.paths.diagnostics)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made each store of the run, and from what."""
        return provenance(self.root)

    def plot_spectra(self, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
        """Power spectra of all sets, and below them their difference from held-out maps over the floor.

        Parameters
        ----------
        axes : two Axes, optional
            Where to draw; a new figure, which a notebook shows, where none are given. The same holds for all plots.

        Returns
        -------
        ndarray of Axes, shape (2,)
        """
        return np.asarray(plots.spectra(self, axes))

    def plot_pdf(self, ax: Axes | None = None) -> Axes:
        """One-point densities of all sets."""
        return plots.pdf(self, ax)

    def plot_novelty(self, ax: Axes | None = None) -> Axes:
        """Distances to the nearest inverted map, of synthetic and of held-out maps."""
        return plots.novelty(self, ax)

    def plot_inversion(self, ax: Axes | None = None) -> Axes:
        """Round-trip error of every real map, and the error of its latent."""
        return plots.inversion(self, ax)

    def plot_latents(self, ax: Axes | None = None) -> Axes:
        """Radial spectra of the inverted and of the new latents; white noise is 1."""
        return plots.latents(self, ax)

    def plot_gallery(self, n: int = 6, axes: Any = None) -> NDArray[Any]:
        """The first maps of every set on one scale, with their colour bar.

        Parameters
        ----------
        n : int
            Maps of each set.
        axes : array of Axes, shape (sets, maps), optional
            Rows are held-out, inverted, reconstructed and synthetic maps, as far as there are any; fewer rows show fewer sets.

        Returns
        -------
        ndarray of Axes, shape (sets, maps)
        """
        return plots.gallery(self, n, axes)

    def to_xarray(self) -> xr.Dataset:
        """Maps, latents and samples with their names, coordinates and units, lazily.

        Returns
        -------
        Dataset
            Dimensions ``item`` (real maps; coordinates `region`, `split`) and ``sample`` (synthetic maps); ``y`` and ``x`` are offsets
            from the centre in arcmin, or in pixels where the scale is not known. It holds what the run has come to: ``field``, ``z``,
            ``reconstruction``, ``round_trip``, ``latent_error``, ``synthetic``, ``parents``, ``weights``. Rows of maps without a
            usable latent are NaN.

        Raises
        ------
        ConfigError
            xarray is not installed (CF04).
        """
        from astro_ood.api.labelled import dataset

        return dataset(self)

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


def real_views(run: Run) -> tuple[View, View]:
    """The inverted and the held-out maps of a run, not read yet."""
    split = np.array(run.fields.attrs["split"])
    inverted, held_out = (run.fields.rows(np.flatnonzero(split == name)) for name in ("inverted", "held_out"))
    return inverted, held_out


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
