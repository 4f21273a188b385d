r"""Acceptance of candidate latents by numbers that the inverted latents have in common (`astro_ood.latents.measures`).

A candidate is kept where each number lies in its band. The published bands (distance 611.4 +- 0.3, angles 88.0 +- 0.1 and 60 +- 0.1
degrees in 196,608 dimensions) hold for one data set; ``calibrated`` bands come from the user's own latents: each is left out in turn and
measured against the rest, and the band is the normal-theory prediction interval for one more latent. The stated rate of false rejections
is divided among the criteria, and a criterion that is a distance has an upper end only.

Measured on coloured Gaussian latents (32 x 32, power about k^-2, amplitudes scattered by 5 %), rejected of true latents at 5 % stated:

===============  =======  ========  ========  ========
criteria         n = 6    n = 12    n = 24    n = 48
===============  =======  ========  ========  ========
published three  5.6      4.9       3.8       3.7
default          7.2      6.2       5.2       4.8
all six          5.6      4.8       4.1       3.6
===============  =======  ========  ========  ========

(``python benchmarks/latent_criteria.py``: 200 trials of 40 latents each.) The default leaves out ``pair_angle`` and ``radius``, which
follow from distance and angle at the origin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from astro_ood._log import Progress, logger
from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.measures import GEOMETRIC, LOGARITHMIC, NAMES, ONE_SIDED, References, measure
from astro_ood.latents.proposal import Candidates

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
MakeCandidates = Callable[[int, int], Candidates]

# two of geometry, which the others follow from (measured: docs/latents.md), and the two that know neighbours
DEFAULT = ("distance", "origin_angle", "spectrum", "whiteness")
PUBLISHED_DIMENSION = 3 * 256 * 256
_PUBLISHED = {"distance": (611.4, 0.3), "origin_angle": (88.0, 0.1), "pair_angle": (60.0, 0.1)}
_REFERENCES = 10
# cost grows with the square of their number, and bands are no better for more
MOST_REFERENCES = 512
# of the candidates tried, the last ones whose numbers a run that ends without success tells
_TOLD = 4096


@dataclass(frozen=True)
class Band:
    """Interval of one criterion, in the unit of its number (`measures`)."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Criteria:
    """Bands, and the references that candidates are measured against.

    Attributes
    ----------
    kind : str
        ``calibrated``, ``paper`` or ``none``.
    bands : tuple of Band
    references : ndarray, shape (N, C, H, W)
    rows : ndarray of int, shape (N,)
        Which of the inverted latents the references are.
    false_reject : float or None
        Stated rate at which a true latent is rejected, all criteria together; None where it is unknown.
    """

    kind: str
    bands: tuple[Band, ...]
    references: Array
    rows: NDArray[np.int64]
    false_reject: float | None

    @classmethod
    def calibrate(cls, z: Array, false_reject: float = 0.05, names: Sequence[str] = DEFAULT) -> Criteria:
        """Bands from latents (N, C, H, W) left out in turn; fewer than four calibrate nothing and reject nothing."""
        n = len(z)
        if n < 4:
            logger.warning("criteria: %d latents cannot calibrate any band, so every candidate is accepted", n)
            return cls("none", (), z, np.arange(n), None)
        return cls("calibrated", intervals(left_out(z, names), false_reject), z, np.arange(n), false_reject)

    @classmethod
    def paper(cls, z: Array, seed: int = 0) -> Criteria:
        """The published bands, with ten random references.

        Their centres hold in 196,608 dimensions; elsewhere the published half-widths stand around the latents' own mean values.
        """
        chosen = np.sort(np.random.default_rng(seed).permutation(len(z))[:_REFERENCES])
        if len(z) < 3:
            logger.warning("criteria: %d latents have no third one to measure an angle at, so every candidate is accepted", len(z))
            return cls("none", (), z, np.arange(len(z)), None)
        centres = {name: centre for name, (centre, _) in _PUBLISHED.items()}
        if z[0].size != PUBLISHED_DIMENSION:
            centres = {name: float(np.mean(values)) for name, values in left_out(z, GEOMETRIC).items()}
        bands = tuple(Band(name, centres[name] - half, centres[name] + half) for name, (_, half) in _PUBLISHED.items())
        return cls("paper", bands, z[chosen], chosen, None)

    @property
    def names(self) -> tuple[str, ...]:
        """Which numbers have a band."""
        return tuple(band.name for band in self.bands)

    @cached_property
    def _known(self) -> References:
        return References.of(self.references)

    def measure(self, z: Array, parents: NDArray[np.int64] | None = None) -> dict[str, Array]:
        """Numbers of latents (M, C, H, W), made from `parents` (M, K), by criterion, each of shape (M,)."""
        if not self.bands:
            return {}
        return measure(z, self._known, None if parents is None else _positions(parents, self.rows), self.names)

    def outside(self, values: dict[str, Array]) -> dict[str, Mask]:
        """Which of these numbers lie outside the bands."""
        # not (inside): a number that is none is outside
        return {b.name: ~((values[b.name] >= b.low) & (values[b.name] <= b.high)) for b in self.bands}

    def accept(self, z: Array, parents: NDArray[np.int64] | None = None) -> tuple[Mask, dict[str, Mask]]:
        """Which latents (M, C, H, W), made from `parents` (M, K), lie in every band, and which fail each criterion."""
        failed = self.outside(self.measure(z, parents))
        return ~np.any([np.zeros(len(z), dtype=bool), *failed.values()], axis=0), failed

    def to_dict(self) -> dict[str, Any]:
        """Bands and rates, without the references."""
        return {"kind": self.kind, "bands": [asdict(b) for b in self.bands], "false_reject": self.false_reject}


def intervals(values: dict[str, Array], false_reject: float) -> tuple[Band, ...]:
    """Prediction intervals for one more latent, from numbers (N,) by criterion, that miss it at the stated rate all together."""
    bands = []
    for name, x in values.items():
        x = np.log(np.maximum(x, 1e-300)) if name in LOGARITHMIC else x
        tail = false_reject / len(values) / (1 if name in ONE_SIDED else 2)
        half = stats.t.ppf(1 - tail, len(x) - 1) * np.sqrt(1 + 1 / len(x)) * x.std(ddof=1)
        ends = np.array([x.mean() - half, x.mean() + half])
        low, high = np.exp(ends) if name in LOGARITHMIC else ends
        bands.append(Band(name, 0.0 if name in ONE_SIDED else float(low), float(high)))
    return tuple(bands)


def left_out(z: Array, names: Sequence[str] = NAMES) -> dict[str, Array]:
    """Numbers (N,) by name of latents (N, C, H, W), each measured against the rest."""
    n, known, found = len(z), References.of(z), []
    with Progress("calibrate", n, "latent") as progress:
        for i in range(n):
            found.append(measure(z[i : i + 1], known, np.array([[i]]), tuple(names)))
            progress.advance()
    return {name: np.array([values[name][0] for values in found]) for name in names}


def _positions(parents: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each parent among the references, -1 where it is none of them."""
    place = np.full(max(int(parents.max(initial=-1)), int(rows.max())) + 2, -1)
    place[rows] = np.arange(len(rows))
    return place[parents]


def reference_rows(n: int) -> NDArray[np.int64]:
    """Which of `n` latents are the references: all, or `MOST_REFERENCES` of them, evenly spread."""
    return np.arange(n) if n <= MOST_REFERENCES else np.arange(MOST_REFERENCES) * n // MOST_REFERENCES


def make(
    kind: str,
    z: NDArray[Any],
    *,
    names: Sequence[str] = DEFAULT,
    false_reject: float = 0.05,
    seed: int = 0,
    rows: NDArray[np.int64] | None = None,
) -> Criteria:
    """Criteria by name for inverted latents.

    Parameters
    ----------
    kind : str
        ``calibrated``, ``paper`` or ``none``.
    z : ndarray, shape (N, C, H, W)
        Latents to calibrate on and to measure against.
    names : sequence of str
        For ``calibrated``: which of `astro_ood.latents.measures.NAMES`.
    false_reject : float
        For ``calibrated``: rate at which a true latent is rejected, all criteria together.
    seed : int
        For ``paper``: which latents are the references.
    rows : ndarray of int, shape (N,), optional
        Numbers of `z` among all inverted latents, to which the parents of candidates refer; 0, 1, ... by default.

    Raises
    ------
    ConfigError
        Unknown kind, unknown names, none, or one twice.
    """
    if not names or not set(names) <= set(NAMES) or len(set(names)) < len(names):
        known = ", ".join(NAMES)
        raise ConfigError("CF13", "criteria.names", f"found {list(names)}, expected some of {known}", "correct it")
    z = np.asarray(z, dtype=np.float64)
    if kind == "calibrated":
        found = Criteria.calibrate(z, false_reject, names)
    elif kind == "paper":
        found = Criteria.paper(z, seed)
    elif kind == "none":
        found = Criteria("none", (), z, np.arange(len(z)), 0.0)
    else:
        raise ConfigError("CF13", "criteria.kind", f"there are no criteria '{kind}'", "choose one of calibrated, paper, none")
    return found if rows is None else replace(found, rows=rows[found.rows])


@dataclass(frozen=True)
class Draw:
    """Accepted candidates and the account of the rest.

    Attributes
    ----------
    accepted : Candidates
        Exactly as many as were asked for.
    mask : ndarray of bool, shape (tried,)
        Every candidate tried, in order.
    tally : dict
        ``candidates, accepted`` and, for each criterion, how many failed it (one candidate may fail several).
    """

    accepted: Candidates
    mask: Mask
    tally: dict[str, int]


class Draws:
    """Candidates made until `n` are accepted; iterating gives the accepted ones batch by batch.

    Parameters
    ----------
    make_candidates : callable
        ``(first, m) -> Candidates``.
    criteria : Criteria
        Bands to meet.
    n : int
        How many to accept.
    budget : int, optional
        Candidates tried at the most; 100 for each one asked for, and at least 2,000, by default.
    batch : int
        Candidates made at once.
    source : str
        What makes the candidates, for the message of a budget that ended.

    Attributes
    ----------
    masks : list of ndarray of bool
        Which candidates were accepted, every one tried so far, in order.
    tally : dict
        As of `Draw`, so far.

    Raises
    ------
    RunError
        RN13, while iterating: the budget ended first; the message says which bands the candidates miss, and by how much.
    """

    def __init__(
        self,
        make_candidates: MakeCandidates,
        criteria: Criteria,
        n: int,
        *,
        budget: int | None = None,
        batch: int = 64,
        source: str = "this proposal",
    ) -> None:
        self.make_candidates, self.criteria, self.n, self.batch, self.source = make_candidates, criteria, n, batch, source
        self.budget = max(2_000, 100 * n) if budget is None else budget
        self.masks: list[Mask] = []
        self.tally = {"candidates": 0, "accepted": 0, **dict.fromkeys(criteria.names, 0)}
        self._seen: dict[str, deque[float]] = {name: deque(maxlen=_TOLD) for name in criteria.names}

    def __iter__(self) -> Iterator[Candidates]:
        with Progress("propose", self.n, "latent") as progress:
            while self.tally["accepted"] < self.n and self.tally["candidates"] < self.budget:
                accepted = self._next()
                progress.advance(len(accepted.z))
                if len(accepted.z):
                    yield accepted
        if self.tally["accepted"] < self.n:
            raise self._exhausted()

    def _next(self) -> Candidates:
        tried, missing = self.tally["candidates"], self.n - self.tally["accepted"]
        m = min(self.batch, self.budget - tried)
        candidates = self.make_candidates(tried, m)
        values = self.criteria.measure(candidates.z, candidates.parents)
        failed = self.criteria.outside(values)
        mask = ~np.any([np.zeros(m, dtype=bool), *failed.values()], axis=0)
        if mask.sum() > missing:
            m = int(np.argmin(np.cumsum(mask) <= missing))
            mask = mask[:m]
        self.masks.append(mask)
        self.tally["candidates"] += m
        self.tally["accepted"] += int(mask.sum())
        for name, fails in failed.items():
            self.tally[name] += int(fails[:m].sum())
            self._seen[name].extend(values[name][:m])
        return Candidates(candidates.z[:m][mask], candidates.parents[:m][mask], candidates.weights[:m][mask])

    def _exhausted(self) -> RunError:
        tried, found = self.tally["candidates"], self.tally["accepted"]
        cannot = "cannot meet" if found == 0 else "seldom meets"
        bands = sorted(self.criteria.bands, key=lambda band: -self.tally[band.name])
        reasons = ", ".join(self._reason(band) for band in bands if self.tally[band.name])
        problem = f"{found:,} of {tried:,} candidates accepted, {self.n:,} wanted: {self.source} {cannot} these bands, because of {reasons}"
        remedy = "choose another proposal or prior, or wider criteria"
        return RunError("RN13", f"criteria {self.criteria.kind}", problem, remedy)

    def _reason(self, band: Band) -> str:
        missed, median = self.tally[band.name], float(np.median(self._seen[band.name]))
        return f"{band.name} ({missed:,} outside; candidates' median {median:.4g}, band {band.low:.4g} to {band.high:.4g})"


def draw(
    make_candidates: MakeCandidates,
    criteria: Criteria,
    n: int,
    *,
    budget: int | None = None,
    batch: int = 64,
    source: str = "this proposal",
) -> Draw:
    """Make candidates until `n` are accepted, all in memory; see `Draws`."""
    draws = Draws(make_candidates, criteria, n, budget=budget, batch=batch, source=source)
    kept = list(draws)
    whole = Candidates(*(np.concatenate([getattr(c, part) for c in kept]) for part in ("z", "parents", "weights")))
    return Draw(whole, np.concatenate(draws.masks), draws.tally)
