"""What the calls hand on to each other: latents, proposals and scores, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._html import extent, table
from astro_ood.diffusion.frame import Frame, usable_scale
from astro_ood.latents.prior import LatentPrior
from astro_ood.latents.prior.intervals import Intervals, Method, Quantity, intervals
from astro_ood.maps.stretch import Stretch
from astro_ood.maps.wcs import Cards

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser
    from astro_ood.diffusion.presets import Preset

Array = NDArray[np.float32]
Real = NDArray[np.float64]


@dataclass(frozen=True)
class Origin:
    """Where latents come from: all that decoding them into physical maps needs.

    Attributes
    ----------
    preset, solver, n_steps, t_0
        How the maps were inverted.
    model, model_sha256 : str
        The frozen network.
    micro_batch : int
        Maps per network call.
    frame : Frame
        How the maps met the network: channels, size, range of values.
    stretch : Stretch or None
        Normalisation of the maps; None where arrays in [-1, 1] were inverted.
    unit : str
        Unit of the maps.
    header : dict
        WCS cards of the first map, a template for synthetic ones.
    pixel_scale : tuple of float or None
        (dy, dx) in arcmin.
    """

    preset: str
    solver: str
    n_steps: int
    t_0: float
    model: str
    model_sha256: str
    micro_batch: int
    frame: Frame
    stretch: Stretch | None = None
    unit: str = ""
    header: Cards = field(default_factory=dict)
    pixel_scale: tuple[float, float] | None = None

    @classmethod
    def of(cls, model: Denoiser, preset: Preset, **others: Any) -> Origin:
        """Origin of latents that were made by a network along a preset; the other attributes by name."""
        return cls(preset.name, preset.solver, preset.n_steps, preset.t_0, model.name, model.sha256, **others)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for stores."""
        return {**asdict(self), "frame": self.frame.to_dict(), "stretch": self.stretch.to_dict() if self.stretch else None}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Origin:
        """Inverse of `to_dict`."""
        stretch, scale = record["stretch"], record["pixel_scale"]
        plain = {
            "frame": Frame.from_dict(record["frame"]),
            "stretch": Stretch.from_dict(stretch) if stretch else None,
            "pixel_scale": tuple(scale) if scale else None,
        }
        return cls(**{**record, **plain})


def _median(errors: Real) -> str:
    known = errors[np.isfinite(errors)]
    return f"{np.median(known):.2%}" if len(known) else "not measured"


_PER_ITEM = ("z", "round_trip", "latent_error", "latent_scale", "channel_spread", "reconstruction")


@dataclass(frozen=True)
class Latents:
    """Inverted maps.

    Attributes
    ----------
    z : ndarray, shape (N, C, H, W)
        Latents at time ``origin.t_0``.
    round_trip, latent_error : ndarray, shape (N,)
        RMSE of the reconstruction over the standard deviation of the map; estimated RMSE of the latent over its standard deviation
        (distance from a solution with half the step, times 1 / (1 - 2^-p) for a solver of order p).
    latent_scale : ndarray, shape (N,)
        Standard deviation of the latent over its expectation: about 1 where the network is what its card says.
    channel_spread : ndarray, shape (N,)
        How far channels that began equal disagree in the reconstruction, over the standard deviation of the map.
    reconstruction : ndarray, shape (N, C, H, W)
        Normalised maps decoded again from `z`.
    ids, regions : list of str
        Names of the maps and their regions of the sky.
    evaluations : int
        Network evaluations per map of the inversion.
    """

    z: Array
    round_trip: Real
    latent_error: Real
    latent_scale: Real
    channel_spread: Real
    reconstruction: Array
    ids: list[str]
    regions: list[str]
    evaluations: int
    origin: Origin

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which latents are finite and have the scale of noise; priors and proposals take no others."""
        return usable_scale(self.latent_scale)

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: Any) -> Latents:
        index = np.atleast_1d(np.arange(len(self))[rows])
        picked: dict[str, Any] = {key: [getattr(self, key)[i] for i in index] for key in ("ids", "regions")}
        picked |= {key: getattr(self, key)[index] for key in _PER_ITEM}
        return replace(self, **picked)

    def _repr_html_(self) -> str:
        return table(
            "Latents",
            {
                "shape": extent(("item", "channel", "y", "x"), self.z.shape),
                "preset": f"{self.origin.preset} ({self.origin.solver}), t_0 = {self.origin.t_0:g}, {self.evaluations} evaluations",
                "network": self.origin.model,
                "round trip, median": _median(self.round_trip),
                "latent error, median": _median(self.latent_error),
            },
        )


@dataclass(frozen=True)
class FittedPrior:
    """A prior with the latents that it was fitted to (they calibrate the acceptance of what is drawn from it)."""

    prior: LatentPrior
    latents: Latents

    @property
    def kind(self) -> str:
        """Name of the prior."""
        return self.prior.kind

    def sample(self, n: int, seed: int = 0) -> Real:
        """Draw latents (n, C, H, W), without any acceptance test."""
        return self.prior.sample(n, seed)

    def log_prob(self, z: NDArray[Any]) -> Real:
        """Log density of latents (N, C, H, W), shape (N,)."""
        return self.prior.log_prob(np.asarray(z, dtype=np.float64))

    def intervals(self, quantity: Quantity = "band power", method: Method = "jackknife", seed: int = 0) -> Intervals:
        """Band power, variance or norm of the centre of the usable latents, with 95 % intervals: `astro_ood.latents.prior.intervals`."""
        return intervals(self.latents.z[self.latents.usable], quantity, method=method, seed=seed)

    def _repr_html_(self) -> str:
        usable = int(self.latents.usable.sum())
        rows = {"latents": f"{usable} of {len(self.latents)} usable", "network": self.latents.origin.model}
        return table(f"FittedPrior, {self.kind}", rows)


@dataclass(frozen=True)
class Proposals:
    """New latents that met the criteria.

    Attributes
    ----------
    z : ndarray, shape (n, C, H, W)
    accepted : ndarray of bool, shape (tried,)
        Which candidates were accepted, in the order they were tried.
    tally : dict
        Candidates tried, accepted, and failing each criterion.
    parents : ndarray of int, shape (n, K)
        Rows of the inverted latents each was made from; -1 for none.
    weights : ndarray, shape (n, K)
    criteria : dict
        Bands and their stated false-reject rate.
    """

    z: Array
    accepted: NDArray[np.bool_]
    tally: dict[str, int]
    parents: NDArray[np.int64]
    weights: Real
    criteria: dict[str, Any]
    kind: str
    seed: int
    origin: Origin

    def __len__(self) -> int:
        return len(self.z)

    def _repr_html_(self) -> str:
        shape = extent(("item", "channel", "y", "x"), self.z.shape)
        return table("Proposals", {"shape": shape, "kind": self.kind, "seed": self.seed, **self.tally})


@dataclass(frozen=True)
class Scores:
    """Comparison of synthetic with real maps.

    Attributes
    ----------
    rows : list of dict
        One dict a statistic and scale: statistic, scale, set, value, low, high, floor, p, p_adjusted, p_min, detectable, verdict, unit.
    verdict : str
        The outcome in one sentence.
    sentences : list of str
        What is behind it.
    status : str
        ``usable``, ``limited``, ``undecided``, ``fails`` or ``copies``.
    curves : dict
        What the figures show: spectra, densities, distances.
    record : dict
        What made them in a run: ``settings, settings_hash, seed, versions``; empty for scores of a call.
    """

    rows: list[dict[str, Any]] = field(repr=False)
    verdict: str
    sentences: list[str]
    status: str
    curves: dict[str, Any] = field(default_factory=dict, repr=False)
    record: dict[str, Any] = field(default_factory=dict, repr=False)

    def save(self, directory: str | Path) -> None:
        """Write `scores.csv` and `scores.json` into a directory."""
        from astro_ood.report.scores import write_scores

        summary = {key: getattr(self, key) for key in ("verdict", "sentences", "status", "curves", "record")}
        write_scores(self.rows, Path(directory), summary)

    def _repr_html_(self) -> str:
        judged = self.rows[0]["set"] if self.rows else ""
        rows = {r["statistic"]: r["verdict"] for r in self.rows if r.get("scale") is None and r["set"] == judged}
        return table(self.verdict, rows)
