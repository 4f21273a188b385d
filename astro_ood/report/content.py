"""What a report is made from: plain numbers and words, gathered by the caller.

The page reads no store and computes no statistic; what it shows is what it was given. Maps are in physical units; spectra and
densities are those of the compared quantity (log10 of the maps where `Gallery.log` says so).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Status = Literal["usable", "limited", "undecided", "fails", "copies"]
Row = Mapping[str, Any]

HELD_OUT = "real (held out)"
INVERTED = "real (inverted)"
RECONSTRUCTED = "reconstructed"
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Verdict:
    """The answer, in words.

    Attributes
    ----------
    status : {"usable", "limited", "undecided", "fails", "copies"}
    headline : str
        One sentence.
    sentences : sequence of str
        What it rests on.
    """

    status: Status
    headline: str
    sentences: Sequence[str] = ()


@dataclass(frozen=True)
class DataCard:
    """The maps that went in.

    Attributes
    ----------
    unit : str
        Astropy's spelling; empty where none is known.
    patch : int or tuple of int
        Side of the maps, pixels.
    pixel_scale : (float, float) or None
        Height and width of a pixel, arcmin.
    stretch : mapping
        ``kind``, ``low``, ``high`` and whatever else defines the monotone map to [-1, 1].
    stretch_label : str
        The same in words; made from `stretch` where empty.
    projection : str
        ``CTYPE1`` of the maps' headers; empty where they have none.
    regions : mapping
        ``"inverted"`` and ``"held_out"``: names of sky regions or sources.
    n_inverted, n_held_out : int
        Numbers of maps.
    files, skipped : sequence of mappings
        ``path, sha256, bytes``; ``path, message``.
    notes : sequence of str
        Remarks of the readers.
    """

    unit: str
    patch: int | tuple[int, int]
    pixel_scale: tuple[float, float] | None
    stretch: Mapping[str, Any]
    regions: Mapping[str, Sequence[str]]
    n_inverted: int
    n_held_out: int
    files: Sequence[Row] = ()
    skipped: Sequence[Row] = ()
    notes: Sequence[str] = ()
    stretch_label: str = ""
    projection: str = ""


@dataclass(frozen=True)
class InversionCard:
    """How well maps come back from their latents.

    Attributes
    ----------
    preset : str
    t_0 : float
        Time inverted to, in the network's own steps.
    n_steps, evaluations : int
        Steps, and network evaluations per direction.
    rows : sequence of mappings
        ``id, split, round_trip, latent_error`` of each map: RMSE over the map's standard deviation, as a fraction;
        ``round_trip`` maps t_0 to it.
    solver : str
        Name of the numerical method; empty where it is not known.
    frame : mapping
        ``shape, network_shape``: (C, H, W) of the maps and of the network's arrays.
    """

    preset: str
    t_0: float
    n_steps: int
    evaluations: int
    rows: Sequence[Row]
    solver: str = ""
    frame: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LatentCard:
    """Where the latents of the maps lie, and how new ones were made.

    Attributes
    ----------
    geometry : mapping
        ``d, n, mu, s, distance, distance_predicted, angle, angle_predicted, std, kurtosis, lag_1, effective_dimension, separation``.
    k : ndarray, shape (K,)
        Cycles per pixel.
    power_inverted, power_proposed : ndarray, shapes (N, K) and (M, K)
        Radial spectra of the latents; white unit noise has 1 everywhere.
    prior : str
        Kind of the fitted distribution.
    proposal, criteria : mapping
        ``kind, k, n``; ``kind, bands`` (each ``name, low, high``), ``false_reject``.
    tally : mapping
        ``candidates, accepted`` and, by criterion, how many lay outside.
    held_out_accepted : (int, int) or None
        How many of the held-out maps' latents meet the criteria, of how many.
    """

    geometry: Mapping[str, float]
    k: FloatArray
    power_inverted: FloatArray
    power_proposed: FloatArray
    prior: str
    proposal: Mapping[str, Any]
    criteria: Mapping[str, Any]
    tally: Mapping[str, int]
    held_out_accepted: tuple[int, int] | None = None


@dataclass(frozen=True)
class DiagnosticsCard:
    """What the latents are like.

    Attributes
    ----------
    judgements : sequence of mappings
        ``name, verdict, value, low, high, p, words``; `verdict` is a key of `words.TONES`.
    curves : mapping
        What the figures show, as in `diagnostics.json`.
    record : mapping
        ``settings, settings_hash, seed, versions`` of what made them.
    """

    judgements: Sequence[Row]
    curves: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Gallery:
    """Maps in physical units, each set of shape (n, H, W).

    Attributes
    ----------
    real_held_out, real_inverted, reconstructed, synthetic : ndarray
        `reconstructed` in the order of `real_inverted`.
    names : mapping
        Set (``"real (held out)"``, ...) to the names of its maps.
    log : bool
        Whether maps are shown, and compared, as log10.
    """

    real_held_out: FloatArray
    real_inverted: FloatArray
    reconstructed: FloatArray
    synthetic: FloatArray
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    log: bool = False

    def sets(self) -> dict[str, FloatArray]:
        """The sets by their names, in the order in which they are shown."""
        return {
            HELD_OUT: self.real_held_out,
            INVERTED: self.real_inverted,
            RECONSTRUCTED: self.reconstructed,
            SYNTHETIC: self.synthetic,
        }


@dataclass(frozen=True)
class Spectra:
    """Power spectra of every set.

    Attributes
    ----------
    k : ndarray, shape (K,)
    k_unit, power_unit : str
    power : mapping
        Set or baseline -> (N, K).
    floor : ndarray, shape (K,)
        Standard deviation of the difference of mean ln P between two groups of real maps of the sizes compared.
    """

    k: FloatArray
    k_unit: str
    power: Mapping[str, FloatArray]
    floor: FloatArray
    power_unit: str = ""


@dataclass(frozen=True)
class Pdf:
    """One-point densities.

    Attributes
    ----------
    edges : ndarray, shape (B + 1,)
        Of the compared quantity (its log10 where `Gallery.log`).
    density : mapping
        Set or baseline -> (N, B), each row of unit integral.
    """

    edges: FloatArray
    density: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Pairs:
    """Samples beside the inverted maps nearest to them.

    Attributes
    ----------
    synthetic, inverted : ndarray, shape (P, H, W)
        Physical units.
    distance : ndarray, shape (P,)
    names : sequence of (str, str)
    """

    synthetic: FloatArray
    inverted: FloatArray
    distance: FloatArray
    names: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Nearness:
    """Distances to the nearest inverted maps, of samples and of held-out maps.

    Attributes
    ----------
    ratio : float
        Median distance of samples over that of held-out maps.
    copy_rate : float
        Fraction of samples closer than `threshold`.
    threshold : float
    samples, reference : ndarray
    closest : Pairs or None
        The closest ones.
    """

    ratio: float
    copy_rate: float
    threshold: float
    samples: FloatArray
    reference: FloatArray
    closest: Pairs | None = None


@dataclass(frozen=True)
class NoveltyCard(Nearness):
    """How close the new maps come to those that they were made from, pixel by pixel.

    Attributes
    ----------
    scattering : Nearness or None
        The same in scattering coefficients; its copies are twins, maps with the statistics of one inverted map.
    parent_correlation : ndarray or None, shape (N,)
        Largest correlation of each sample with its main parent, where parents are known.
    """

    scattering: Nearness | None = None
    parent_correlation: FloatArray | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything that one report shows.

    Attributes
    ----------
    name, title, created, version : str
        Of the run; `created` in ISO 8601.
    commands : sequence of str
        Shell lines that repeat the run.
    model : mapping
        ``name, sha256, licence`` and further facts of the network (``parameters``, ``trained_on``, ...).
    rows : sequence of mappings
        Scores with the keys of `scores.COLUMNS`. A row without `scale` stands for its statistic; the others are its scales.
        `verdict` is a key of `words.TONES`; `set` is ``synthetic`` or the name of a baseline.
    provenance : sequence of mappings
        ``stage, created, settings_hash, seed, versions, model, inputs_ok`` of each store.
    """

    name: str
    title: str
    created: str
    version: str
    commands: Sequence[str]
    verdict: Verdict
    data: DataCard
    inversion: InversionCard
    model: Mapping[str, Any]
    latents: LatentCard
    gallery: Gallery
    spectra: Spectra
    rows: Sequence[Row]
    provenance: Sequence[Row]
    pdf: Pdf | None = None
    novelty: NoveltyCard | None = None
    diagnostics: DiagnosticsCard | None = None

    @property
    def n_synthetic(self) -> int:
        """Number of maps made, of which the gallery may hold the first ones only."""
        return int(self.latents.proposal.get("n", len(self.gallery.synthetic)))
