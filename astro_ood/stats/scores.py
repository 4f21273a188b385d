"""The table of scores: every statistic of the samples beside what real maps do among themselves.

Statistics are compared between samples and *held-out* maps, copies are sought among the *inverted* ones. Without held-out maps the
samples are compared with the very maps that they were made from: agreement then says that the generator is faithful to
those maps, not that the maps are typical.

One row without scale per statistic carries its p-value, one row per scale the p-value of that scale, corrected for the number of scales. The
family that Holm's correction covers is the list of statistics of one set: the field statistics of `features`, the scatter of all of them between
maps, their correlations, the distances between the sets as wholes, and the nearest neighbours in pixels and, where maps are held out, in scattering
coefficients: 12 of them, 14 with galaxies and image features. Baselines are judged in the same way, each as a family of its own.

With m p-values and B divisions the smallest corrected p is m / (B + 1): so B is 100 m at least, and exactly that for distances and correlations, one
division of which costs a hundred times as much as one of a mean. Fewer than 100 m distinct divisions exist for few maps only, and these
(`rows.LEAST_MAPS`) leave everything undecided: eight maps against eight allow a corrected p of 0.002 for m = 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_ood._log import Progress
from astro_ood._random import stream
from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray
from astro_ood.stats.conditional import Comparison, compare
from astro_ood.stats.correlation import compare_correlations
from astro_ood.stats.features import Feature
from astro_ood.stats.fingerprint import fingerprint_novelty
from astro_ood.stats.measured import Gauge, ImageFeatures, Measured
from astro_ood.stats.novelty import Novelty, novelty
from astro_ood.stats.pool import STATISTICS
from astro_ood.stats.rows import Row, comparison_rows, fingerprint_rows, novelty_rows, set_rows
from astro_ood.stats.setresult import SetComparison, WholeComparison
from astro_ood.stats.sets import compare_sets
from astro_ood.stats.spectrum import PixelScale
from astro_ood.stats.stack import Sliceable, Stack
from astro_ood.stats.testing import holm, partitions

# Divisions for each p-value of a set.
DIVISIONS = 100
# Vectors of images are long: distances that need their covariance or discriminants, or count neighbours, are left out.
SET_STATISTICS = {"joint": STATISTICS, "image": ("energy", "mmd_gaussian", "mmd_rq", "kid", "sliced")}
# Distances between sets take a matrix of all pairs; of more samples, so many are taken evenly.
MOST_SAMPLES = 1000


@dataclass(frozen=True)
class _Design:
    """The real maps of a validation, and how p-values are to be computed."""

    reference: Stack
    inverted: Stack
    real: Measured
    behind: Measured
    held_out: bool
    regions: ArrayLike | None
    regions_reference: ArrayLike | None
    n_effective: int
    n_tests: int
    n_permutations: int
    seed: int

    @property
    def null(self) -> dict[str, Any]:
        """What comparisons of whole sets need for their null, but for the inverted maps."""
        return {
            "n_effective": None if self.held_out else self.n_effective,
            "units_real": self.regions_reference,
            "units_inverted": self.regions if self.held_out else None,
            "n_permutations": DIVISIONS * self.n_tests,
        }

    @property
    def several_regions(self) -> ArrayLike | None:
        """Regions of the inverted maps, if there are several."""
        return self.regions if self.regions is not None and len(np.unique(np.asarray(self.regions))) > 1 else None


@dataclass(frozen=True)
class Validation:
    """What a comparison found.

    Attributes
    ----------
    rows : list of dict
        Keys: set, statistic, scale (None on the row of a statistic), scale_unit, value, low, high, floor, p, p_adjusted, p_min,
        detectable, verdict, unit, n_real, n_inverted, n_synthetic, held_out. Numbers that do not exist are None.
        Spectra are differences of mean ln P, scatters of ln sd(ln P). The row of a statistic is that of its farthest scale, with its interval, in
        standard deviations of the floor; of distances between sets, of the least likely one, in standard deviations of its null.
    novelty, twins : Novelty
        Nearest neighbours of the samples in pixels, and in scattering coefficients.
    sets : dict of str to Stack
        What was compared: ``real`` (the inverted maps), ``held_out``, ``synthetic`` and the baselines.
    """

    rows: list[Row]
    novelty: Novelty
    twins: Novelty
    sets: dict[str, Stack]


@dataclass(frozen=True)
class _Tests:
    """All tests of one set; p and the smallest p of nearest neighbours in pixels and in scattering coefficients (NaN where there is no test)."""

    fields: dict[str, Comparison]
    whole: dict[str, WholeComparison]
    novelty: Novelty
    twins: Novelty
    p_near: tuple[float, float]
    p_twins: tuple[float, float]

    @property
    def p_adjusted(self) -> dict[str, float]:
        """By Holm."""
        fields, whole = {s: c.p for s, c in self.fields.items()}, {s: c.p_any for s, c in self.whole.items()}
        p = {**fields, **whole, "near": self.p_near[0], "twins": self.p_twins[0]}
        return dict(zip(p, map(float, holm(list(p.values()))), strict=True))


def validate_sets(
    real: ArrayLike | Sliceable,
    synthetic: ArrayLike | Sliceable,
    *,
    held_out: ArrayLike | Sliceable | None = None,
    inverted: ArrayLike | Sliceable | None = None,
    pixel_scale: PixelScale = None,
    unit: str = "",
    log: bool = False,
    regions: ArrayLike | None = None,
    regions_held_out: ArrayLike | None = None,
    parents: ArrayLike | None = None,
    baselines: Mapping[str, ArrayLike | Sliceable] | None = None,
    n_effective: int | None = None,
    n_permutations: int = 1999,
    n_bins: int = 8,
    galaxies: bool = False,
    image_features: ImageFeatures | None = None,
    masks: Mapping[str, ArrayLike] | None = None,
    seed: int = 0,
) -> Validation:
    """Score samples, and baselines, against real maps.

    Parameters
    ----------
    real, synthetic : array_like or Sliceable, shapes (N, H, W) and (M, H, W)
        Physical values, or values that are logarithms already. Sets that are read where they are sliced are measured a few maps at a time.
    held_out : array_like, shape (L, H, W), optional
        Real maps that nothing was fitted to; then `real` are the inverted maps.
    inverted : array_like, optional
        The inverted maps, where they are not `real`. Given without `held_out`, `real` is held out.
    pixel_scale : float, (float, float) or None
        Arcmin per pixel, or (dy, dx).
    unit : str
        Unit of the maps.
    log : bool
        Compare log10 of the maps.
    regions, regions_held_out : array_like, optional
        Sky region or source of each inverted (or real) and each held-out map; regions, not maps, are then exchanged.
    parents : array_like of int, shape (M,), optional
        Inverted map behind each sample.
    baselines : mapping of str to array_like, optional
        Other sets, (M, H, W) each, made from the same inverted maps.
    n_effective : int, optional
        Number of independent maps behind the samples, used without `held_out`; by default that of `real`.
    n_permutations : int
        Divisions of a field statistic: raised to 100 for each p-value of a set, which is what distances and correlations always take.
    n_bins : int
        Bins of the power spectrum.
    galaxies : bool
        Compare concentration, asymmetry, Gini and M20 as well: of physical values, one galaxy a map.
    image_features : callable, optional
        ``image_features(maps)`` of maps (M, H, W), as they are compared, returns vectors (M, D): of some network, say. The sets are then
        compared by distances in these as well.
    masks : mapping of str to array_like of bool, optional
        True where a pixel is missing, (H, W) or one a map, of ``real``, ``held_out``, ``inverted`` and ``synthetic``, as far as there are any.
        Samples and baselines are given those of the maps that they are compared with.
    seed : int

    Returns
    -------
    Validation
    """
    given: dict[str, ArrayLike | None] = dict(masks or {})
    if held_out is None and inverted is not None:
        real, held_out = inverted, real
        given |= {"real": given.get("inverted"), "held_out": given.get("real")}
    elif inverted is not None:
        real, given["real"] = inverted, given.get("inverted")
    behind = Stack.of(real, "real maps", given.get("real"), log=log, least=2)
    reference = behind if held_out is None else Stack.of(held_out, "held-out maps", given.get("held_out"), log=log, least=2)
    sets = {
        name: Stack.of(maps, name, given.get(name), log=log, least=2).dealt(reference, stream(seed, f"validate {name} masks"))
        for name, maps in {"synthetic": synthetic, **(baselines or {})}.items()
    }
    _one_shape({"real maps": behind, "held-out maps": reference, **sets})
    shown = (f"log10({unit})" if unit else "log10") if log else unit
    gauge = Gauge(pixel_scale, shown, n_bins, galaxies, image_features)
    behind_found = gauge(behind)
    real_found = behind_found if held_out is None else gauge(reference)
    # correlations and nearest neighbours in pixels beside those that are listed
    n_tests = len(real_found.features) + len(real_found.vectors) + 2 + (held_out is not None)
    design = _Design(
        reference,
        behind,
        real_found,
        behind_found,
        held_out is not None,
        regions,
        regions if held_out is None else regions_held_out,
        len(behind) if n_effective is None else n_effective,
        n_tests,
        max(n_permutations, DIVISIONS * n_tests),
        seed,
    )
    rows: list[Row] = []
    found: dict[str, _Tests] = {}
    with Progress("evaluate", len(sets), "set") as progress:
        for name, maps in sets.items():
            own = parents if name == "synthetic" else None
            measured = gauge(maps)
            found[name] = _tested(name, maps, measured, design, own)
            rows += _rows_of(name, len(maps), found[name], measured, design)
            progress.advance()
    compared = {"real": behind, **({} if held_out is None else {"held_out": reference}), **sets}
    return Validation(rows, found["synthetic"].novelty, found["synthetic"].twins, compared)


def _tested(name: str, maps: Stack, own: Measured, design: _Design, parents: ArrayLike | None) -> _Tests:
    """All tests of one set."""
    real, behind = design.real, design.behind
    fields = {
        statistic: compare(
            real.features[statistic].values,
            feature.values,
            stream(design.seed, f"validate {name} {statistic}"),
            inverted=behind.features[statistic].values if design.held_out else None,
            n_effective_b=None if design.held_out else design.n_effective,
            units_a=design.regions_reference,
            units_inverted=design.regions if design.held_out else None,
            kind=feature.kind,
            n_permutations=design.n_permutations,
        )
        for statistic, feature in own.features.items()
    }
    whole: dict[str, WholeComparison] = {"correlation": _correlations(own.features, real.features, behind.features, design, name)}
    for kind, vectors in own.vectors.items():
        whole[kind] = _distances(kind, real.vectors[kind], vectors, behind.vectors[kind], design, name)
    rng, regions = stream(design.seed, f"validate {name} novelty"), design.several_regions
    near = novelty(maps, design.inverted, design.reference if design.held_out else None, parents=parents, regions=regions)
    twins = fingerprint_novelty(own.prints, behind.prints, real.prints if design.held_out else None, regions=regions)
    p_near = _closer_p(near, design.n_permutations, rng)
    # Each of the inverted maps lies in the reference of the others: of such distances a permutation rejects too often.
    p_twins = _closer_p(twins, design.n_permutations, rng) if design.held_out else (np.nan, np.nan)
    return _Tests(fields, whole, near, twins, p_near, p_twins)


def _rows_of(name: str, n_maps: int, tests: _Tests, own: Measured, design: _Design) -> list[Row]:
    """All rows of one set, Holm's correction applied."""
    adjusted, m = tests.p_adjusted, design.n_tests
    rows: list[Row] = []
    for statistic, result in tests.fields.items():
        rows += comparison_rows(statistic, own.features[statistic], result, adjusted[statistic], m)
    for statistic, distances in tests.whole.items():
        unit = "rms difference of coefficients" if statistic == "correlation" else "of standardised features"
        rows += set_rows(statistic, distances, adjusted[statistic], m, unit)
    rng = stream(design.seed, f"validate {name} intervals")
    rows += novelty_rows(tests.novelty, tests.p_near[0], adjusted["near"], tests.p_near[1], m, rng)
    rows += fingerprint_rows(tests.twins, tests.p_twins[0], adjusted["twins"], tests.p_twins[1], m, rng)
    sizes = {
        "n_real": len(design.reference),
        "n_inverted": len(design.inverted),
        "n_synthetic": n_maps,
        "held_out": design.held_out,
    }
    return [{"set": name, **row, **sizes} for row in rows]


def _distances(kind: str, real: FloatArray, own: FloatArray, behind: FloatArray, design: _Design, name: str) -> SetComparison:
    """Distances between sets of vectors."""
    return compare_sets(
        real,
        own[_some(own)],
        stream(design.seed, f"validate {name} {kind}"),
        inverted=behind if design.held_out else None,
        statistics=SET_STATISTICS[kind],
        # without parents: a mixture has none, and the heaviest in its place makes the p too small
        **design.null,
    )


def _correlations(
    own: Mapping[str, Feature], real: Mapping[str, Feature], behind: Mapping[str, Feature], design: _Design, name: str
) -> WholeComparison:
    """Correlations over maps between the columns of the field statistics."""
    sets = [{k: feature.values for k, feature in found.items() if feature.kind == "mean"} for found in (real, own, behind)]
    return compare_correlations(
        sets[0],
        {statistic: values[_some(values)] for statistic, values in sets[1].items()},
        stream(design.seed, f"validate {name} correlation"),
        inverted=sets[2] if design.held_out else None,
        **design.null,
    )


def _some(values: FloatArray) -> NDArray[np.intp]:
    return np.unique(np.linspace(0, len(values) - 1, MOST_SAMPLES).astype(np.intp))


def _closer_p(found: Novelty, n_permutations: int, rng: np.random.Generator) -> tuple[float, float]:
    """One-sided p that samples are closer to the inverted maps than held-out maps are, and its minimum.

    Given the inverted maps, samples and held-out maps are independent draws: here a plain permutation is valid.
    """
    n = len(found.reference)
    values = np.log(np.maximum(np.concatenate([found.reference, found.samples]), 1e-3))
    member, exact = partitions(n, len(found.samples), n_permutations, rng)
    null = member @ values / n - (values.sum() - member @ values) / len(found.samples)
    observed = values[:n].mean() - values[n:].mean()
    extra = 0 if exact else 1
    p = (np.count_nonzero(null >= observed - 1e-9) + extra) / (len(null) + extra)
    return float(p), 1.0 / (len(null) + extra)


def _one_shape(sets: Mapping[str, Stack]) -> None:
    shapes = {name: maps.shape[1:] for name, maps in sets.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError("IN25", "validate", f"maps of different shapes: {listed}", "cut all maps to one shape")
