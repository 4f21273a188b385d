"""All diagnostics of latents in one call, and their record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._html import table
from astro_ood._random import stream
from astro_ood.api.types import Latents
from astro_ood.errors import InputError, StoreError
from astro_ood.latents import diagnostics
from astro_ood.latents.diagnostics import Gaussianity, Judgement, LatentSpectrum, Prediction, Separability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from astro_ood.api.trajectories import Trajectories
    from astro_ood.diffusion.denoiser import Denoiser

LEAST = 4
# Latents that are looked at, at most; numbers in them at most (spectrum and geometry; those that are repeated for surrogates and relabellings).
MOST, MOST_REPEATED = 512, 64
_NUMBERS, _NUMBERS_REPEATED = 2**24, 2**18
_LARGE = 2**16
WHITE, OWN = "white noise", "own maps of the network"


@dataclass(frozen=True)
class Diagnostics:
    """What latents are like.

    Attributes
    ----------
    judgements : list of Judgement
        One a diagnostic: `name`, `verdict` (``no difference detected``, ``different``, ``undecided``), `value`, `low`, `high`, `p`, `words`.
    curves : dict
        What the figures show, in plain values.
    record : dict
        What made them in a run: ``settings, settings_hash, seed, versions``; empty for those of a call.
    """

    judgements: list[Judgement]
    curves: dict[str, Any] = field(default_factory=dict, repr=False)
    record: dict[str, Any] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Judgement:
        return {one.name: one for one in self.judgements}[name]

    def plot(self, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
        """Departures from a Gaussian, spectrum, separability against number, variance by smoothness; where a network was asked, bandwidth and capture.

        Parameters
        ----------
        axes : four Axes (six where a network was asked), optional
            Where to draw; a new figure, which a notebook shows, where none are given.

        Returns
        -------
        ndarray of Axes, shape (4,) or (6,)
        """
        from astro_ood.api import plots

        return plots.diagnostics(self.curves, axes)

    def save(self, path: str | Path) -> None:
        """Write them as JSON, whole or not at all; what is not finite is null."""
        from astro_ood.report.scores import write_text

        content = {"judgements": [one.to_dict() for one in self.judgements], "curves": self.curves, "record": self.record}
        write_text(Path(path), json.dumps(_finite(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Diagnostics:
        """Read what `save` wrote.

        Raises
        ------
        StoreError
            ST01: no such file; ST02: it cannot be read as diagnostics.
        """
        path = Path(path)
        if not path.is_file():
            raise StoreError("ST01", path, "there are no diagnostics yet", "let the run finish, or call `astro-ood diagnose`")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            judged = [Judgement.from_dict(one) for one in content["judgements"]]
            return cls(judged, dict(content["curves"]), dict(content.get("record", {})))
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                "ST02", path, f"cannot be read as diagnostics ({error})", "delete it and let the run finish again"
            ) from None

    def _repr_html_(self) -> str:
        return table("Diagnostics of latents", {one.name: f"{one.verdict}: {one.words}" for one in self.judgements})


def diagnose(
    latents: Latents | NDArray[Any],
    maps: NDArray[Any] | None = None,
    *,
    others: Mapping[str, Latents | NDArray[Any]] | None = None,
    model: Denoiser | None = None,
    references: NDArray[Any] | None = None,
    n_maps: int = 6,
    etas: Sequence[float] = (0.0, 0.3, 1.0),
    n_own: int = 16,
    n_surrogates: int | None = None,
    seed: int = 0,
) -> Diagnostics:
    """What latents are like: Gaussian, white, as two numbers predict, blind to smooth areas, told from others (docs/diagnostics.md).

    Parameters
    ----------
    latents : Latents or ndarray, shape (N, C, H, W)
        Of `Latents` the usable ones. Of many, some are looked at, evenly spread.
    maps : ndarray, shape (N, M, H, W), optional
        The maps as the network saw them, in the order of the latents; those reconstructed from `Latents` where none are given.
    others : mapping, optional
        Further latents by name (inverted in-domain maps, forward-diffused or held-out ones): each is tested for being Gaussian, and told from
        the first ones. White noise is always one of those they are told from.
    model : Denoiser, optional
        The network that inverted `Latents`: it is asked for maps of its own, whose latents join `others`, for bandwidth and for mode
        interference. Some hundred evaluations for each map.
    references, n_maps, etas, n_own
        With `model`: see `astro_ood.api.trajectories.follow`.
    n_surrogates : int, optional
        Gaussian surrogates, and relabellings; 99 where none are given, 39 for latents of more than 65,536 numbers.
    seed : int

    Raises
    ------
    InputError
        IN33: latents of several shapes, maps that do not belong to them, or a network and latents of unknown origin.
    ModelError
        MD56: `model` is not the network that inverted.
    """
    z, clean = _arrays(latents)
    clean = clean if maps is None else np.asarray(maps)
    beside = {name: _arrays(other)[0] for name, other in (others or {}).items()}
    asked = None
    if model is not None:
        from astro_ood.api.trajectories import follow

        if not isinstance(latents, Latents):
            raise InputError("IN33", "latents", "an array, whose origin is not known", "give what ao.invert returned")
        if len(z) >= LEAST:
            inverted = latents.reconstruction[latents.usable]
            asked = follow(
                model, latents.origin, z, inverted, references=references, n_maps=n_maps, etas=etas, n_own=n_own, seed=seed
            )
    return diagnose_arrays(z, clean, beside, asked, n_surrogates=n_surrogates, seed=seed)


def diagnose_arrays(
    z: NDArray[Any],
    clean: NDArray[Any] | None,
    others: Mapping[str, NDArray[Any]],
    asked: Trajectories | None = None,
    *,
    n_surrogates: int | None = None,
    seed: int = 0,
) -> Diagnostics:
    """The same of arrays, with what the network has answered."""
    beside = {**others, **({OWN: asked.own} if asked is not None and len(asked.own) else {})}
    _require_shapes(z, clean, beside)
    if len(z) < LEAST:
        words = f"{len(z)} latents are too few to diagnose; {LEAST} are needed"
        return Diagnostics([Judgement("latents", None, nan, nan, nan, nan, words)])
    if n_surrogates is None:
        n_surrogates = 99 if z[0].size <= _LARGE else 39
    many, few = _spread(z, MOST, _NUMBERS), _spread(z, MOST_REPEATED, _NUMBERS_REPEATED)
    gaussian = diagnostics.compute_gaussianity(z[few], n_surrogates=n_surrogates, seed=seed)
    spectrum = diagnostics.compute_spectrum(z[many], seed=seed)
    prediction = diagnostics.compute_prediction(z[many])
    subsets = {name: other[_spread(other, MOST_REPEATED, _NUMBERS_REPEATED)] for name, other in beside.items() if len(other) >= 2}
    controlled = {name: other for name, other in subsets.items() if len(other) >= LEAST}
    controls = {name: diagnostics.compute_gaussianity(x, n_surrogates=n_surrogates, seed=seed) for name, x in controlled.items()}
    compared = _compared(z[few], subsets, n_surrogates, seed)
    judged = [
        diagnostics.judge_gaussianity(gaussian, controls),
        diagnostics.judge_spectrum(spectrum),
        diagnostics.judge_prediction(prediction),
        *(
            diagnostics.judge_separability(found, f"told from {name}", _controls(name, subsets, n_surrogates, seed))
            for name, found in compared.items()
        ),
    ]
    curves = _curves(gaussian, spectrum, prediction, compared)
    if clean is not None:
        smooth = diagnostics.compute_smooth_areas(z[many], clean[many], seed=seed)
        judged.append(diagnostics.judge_smooth_areas(smooth))
        curves["smooth_areas"] = {"deciles": smooth.deciles, "n": len(many), "p": smooth.p}
    if asked is not None:
        judged += asked.judgements
        curves |= asked.curves
    return Diagnostics(judged, _plain(curves))


def _arrays(latents: Latents | NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Latents, and their maps in the network's frame where they are known."""
    if not isinstance(latents, Latents):
        return np.asarray(latents), None
    usable = latents.usable
    return latents.z[usable], latents.origin.frame.to_network(latents.reconstruction[usable])


def _require_shapes(z: NDArray[Any], maps: NDArray[Any] | None, others: Mapping[str, NDArray[Any]]) -> None:
    if z.ndim != 4:
        raise InputError("IN33", "latents", f"an array of shape {z.shape}", "give (N, C, H, W)")
    for name, other in others.items():
        if other.shape[1:] != z.shape[1:]:
            raise InputError("IN33", name, f"latents of shape {other.shape[1:]} beside {z.shape[1:]}", "invert them alike")
    if maps is not None and (maps.ndim != 4 or len(maps) != len(z) or maps.shape[2:] != z.shape[2:]):
        raise InputError("IN33", "maps", f"shape {maps.shape} for latents {z.shape}", "give the maps as the network saw them")


def _spread(z: NDArray[Any], most: int, numbers: int) -> NDArray[np.int64]:
    """Rows evenly spread, few enough for their size."""
    size = max(1, int(np.prod(z.shape[1:])))
    n = min(len(z), most, max(8, numbers // size))
    return np.unique(np.linspace(0, len(z) - 1, n).round().astype(np.int64))


def _compared(z: NDArray[Any], others: Mapping[str, NDArray[Any]], n_permutations: int, seed: int) -> dict[str, Separability]:
    """Latents told from white noise, and from each of the others."""
    white = stream(seed, "white latents").standard_normal(z.shape)
    return {
        name: diagnostics.compute_separability(z, other, n_permutations=n_permutations, seed=seed)
        for name, other in {WHITE: white, **others}.items()
    }


def _controls(name: str, others: Mapping[str, NDArray[Any]], n_permutations: int, seed: int) -> dict[str, Separability]:
    """Latents of the network's own maps, told from white noise: no others should be told from it better."""
    own = others.get(OWN)
    if name != WHITE or own is None:
        return {}
    white = stream(seed, "white latents").standard_normal(own.shape)
    return {OWN: diagnostics.compute_separability(own, white, n_permutations=n_permutations, sizes=(), seed=seed)}


def _curves(
    gaussian: Gaussianity, spectrum: LatentSpectrum, prediction: Prediction, compared: Mapping[str, Separability]
) -> dict[str, Any]:
    """What the figures show."""
    normal = {key: getattr(gaussian, key) for key in ("n", "p", "names", "values", "scores", "detectable", "rejected")}
    colour = {key: getattr(spectrum, key) for key in ("k", "mean", "low", "high", "coherence")}
    return {
        "gaussianity": {**normal, "rejected_null": gaussian.rejected_null.mean()},
        "spectrum": {**colour, "n": len(spectrum.power)},
        "geometry": {key: getattr(prediction, key) for key in ("distance", "angle", "mu_2", "s")},
        "separability": {name: _curve(found) for name, found in compared.items()},
    }


def _curve(found: Separability) -> dict[str, Any]:
    return {
        "sizes": found.sizes,
        "value": found.curve,
        "low": found.curve_low,
        "high": found.curve_high,
        "norm": found.norm.value,
        "direction": found.direction.value,
        "separation": found.separation,
    }


def _plain(value: Any) -> Any:
    """Arrays and their scalars as lists and numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
