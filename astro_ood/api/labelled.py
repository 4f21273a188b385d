"""Runs as xarray: arrays whose axes have names, places and units, read when they are used.

Real maps and samples have dimensions of their own, ``item`` and ``sample``. ``y`` and ``x`` are offsets of pixel centres from the
centre of the map along its own axes, which is what maps of different places of the sky have in common; the WCS of each map is in
`View.wcs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from astro_ood._version import __version__
from astro_ood.errors import ConfigError
from astro_ood.maps.stretch import Stretch
from astro_ood.stores import ShardedStore, complete_shards, open_shards

if TYPE_CHECKING:
    import dask.array as da
    import xarray as xr

    from astro_ood.api.run import Run, View

_PER_ITEM = {"ids": "item", "regions": "region", "split": "split"}


def array(view: View, item: str = "item") -> xr.DataArray:
    """DataArray of a view.

    Parameters
    ----------
    view : View
    item : str
        Name of its first dimension.
    """
    attrs = {"units": view.unit} if view.unit else {}
    dims = (item, *view.dims[1:])
    return _xarray().DataArray(view.data, dims=dims, coords=_coordinates(view, item), attrs=attrs, name=view.name)


def dataset(run: Run) -> xr.Dataset:
    """Dataset of everything that a run holds so far."""
    xr = _xarray()
    fields = run.fields
    stretch = Stretch.from_dict(fields.attrs["stretch"])
    ends = f"from {stretch.low:.6g} to {stretch.high:.6g}"
    found = xr.Dataset(
        {"field": array(fields).assign_attrs(long_name="real maps")},
        attrs={"title": run.root.name, "source": f"astro_ood {__version__}", "stretch": f"{stretch.label(fields.unit)}, {ends}"},
    )
    if complete_shards(run.root / "latents"):
        store = open_shards(run.root / "latents", "latents")
        for name, (dims, meaning) in _LATENTS.items():
            found[name] = (dims, _aligned(store, name, len(fields)), _attrs(meaning, store.unit(name)))
    if complete_shards(run.root / "samples"):
        store = open_shards(run.root / "samples", "samples")
        found = found.assign(synthetic=array(run.samples, "sample").assign_attrs(long_name="synthetic maps"))
        names = np.asarray(store.attrs["parent_ids"])
        found["parents"] = (("sample", "parent"), store["parents"], _attrs("row of `parent_ids`; -1 for none", ""))
        found["weights"] = (("sample", "parent"), store["weights"], _attrs("coefficient of each parent", ""))
        found = found.assign_coords(parent_ids=("inverted", names))
    return found


_LATENTS = {
    "z": (("item", "latent_channel", "latent_y", "latent_x"), "latents"),
    "reconstruction": (("item", "channel", "y", "x"), "maps decoded again from their latents"),
    "round_trip": (("item",), "RMSE of the reconstruction over the standard deviation of the map"),
    "latent_error": (("item",), "RMSE of the latent over its standard deviation, extrapolated from half the step"),
}


def _attrs(meaning: str, unit: str) -> dict[str, str]:
    return {"long_name": meaning, **({"units": unit} if unit else {})}


def _aligned(store: ShardedStore, name: str, n: int) -> da.Array:
    """Rows of an array in the order of the real maps, NaN where a map has none."""
    import dask.array as da

    values = store[name]
    if len(store.items) == n:
        return values
    rows = np.full(n, len(store.items))
    rows[store.items] = np.arange(len(store.items))
    return da.concatenate([values, da.full((1, *values.shape[1:]), np.nan, dtype=values.dtype)])[rows]


def _coordinates(view: View, item: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        (item if name == "item" else name): (item, np.asarray(view.attrs[key]))
        for key, name in _PER_ITEM.items()
        if key in view.attrs
    }
    scale = view.attrs.get("pixel_scale")
    for axis, name in enumerate(("y", "x")):
        if name in view.dims:
            n = view.shape[view.dims.index(name)]
            offsets = (np.arange(n) - (n - 1) / 2) * (scale[axis] if scale else 1.0)
            attrs = {"units": "arcmin" if scale else "pixel", "long_name": f"offset from the centre along axis {name} of the image"}
            found[name] = (name, offsets, attrs)
    return found


def _xarray() -> Any:
    try:
        import xarray
    except ImportError:
        raise ConfigError("CF04", "xarray", "it is not installed", "pip install 'astro-ood[notebook]'") from None
    return xarray
