"""Domains: maps of one kind, divided into those that are inverted and those that are held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.config import Data, expand
from astro_ood.errors import InputError
from astro_ood.maps import FieldBatch, Stretch, read_maps, split_regions
from astro_ood.maps.synthetic import gaussian_field
from astro_ood.study.settings import Effort, Synthetic

Field = NDArray[np.float32]
LEAST = 4
# standard deviation of ln of a log-normal field: the peaks of a set are some five times its mean
_SPREAD = 0.5
# the range of a normalised map, in standard deviations of a Gaussian field
_REACH = 4.0


@dataclass(frozen=True)
class Domain:
    """Normalised maps (N, 1, H, W) in about [-1, 1].

    Attributes
    ----------
    inverted, held_out : ndarray of float32
    regions, regions_held_out : tuple of str
        Regions of the sky, the exchangeable units.
    unit : str
    """

    inverted: Field
    held_out: Field
    regions: tuple[str, ...]
    regions_held_out: tuple[str, ...]
    unit: str = ""


def read_domain(section: Data | Synthetic, patch: int, effort: Effort, seed: int) -> Domain:
    """Maps of a domain in patches of one size, at most as many as the effort says, evenly over the regions.

    Raises
    ------
    InputError
        What reading maps raises; IN40 where fewer than four are left on a side.
    """
    return _synthetic(section, patch, effort, seed) if isinstance(section, Synthetic) else _real(section, patch, effort)


def _synthetic(section: Synthetic, patch: int, effort: Effort, seed: int) -> Domain:
    n = effort.inverted + effort.held_out
    # cut from fields of twice the side: real maps are not periodic
    fields = gaussian_field(n, 2 * patch, section.slope, stream(seed, f"domain {section.kind} {section.slope}"))[:, :patch, :patch]
    x = (fields / _REACH if section.kind == "gaussian" else _lognormal(fields))[:, None].astype(np.float32)
    names = tuple(f"field-{i:04d}" for i in range(n))
    return Domain(x[: effort.inverted], x[effort.inverted :], names[: effort.inverted], names[effort.inverted :])


def _lognormal(fields: NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.exp(_SPREAD * fields)
    return np.asarray(2 * values / np.quantile(values, 0.999) - 1)


def _real(data: Data, patch: int, effort: Effort) -> Domain:
    maps = read_maps(expand(data.files), patch, on_error=data.on_error, **data.reading)
    most = min(effort.inverted, data.max_inverted or effort.inverted)
    inside, outside = split_regions(maps, data.inverted, max_inverted=most)
    inverted, rest = [maps[i] for i in inside], [maps[i] for i in outside]
    # the held-out maps are thinned as the inverted ones are
    kept, _ = split_regions(rest, sorted({m.region for m in rest}), max_inverted=effort.held_out, min_held_out=0)
    held_out = [rest[i] for i in kept]
    if min(len(inverted), len(held_out)) < LEAST:
        text = f"{len(inverted)} inverted and {len(held_out)} held-out maps of {patch} x {patch} pixels"
        raise InputError("IN40", ", ".join(data.files), text, f"a study needs {LEAST} of each: choose a smaller patch")
    batch = FieldBatch.from_maps([*inverted, *held_out], Stretch.fit(inverted, data.stretch))
    n = len(inverted)
    return Domain(batch.x[:n], batch.x[n:], batch.regions[:n], batch.regions[n:], batch.unit)
