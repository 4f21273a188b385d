r"""Acceptance of candidate latents by their geometry.

Three numbers of a candidate are compared with bands: its mean distance to the inverted latents (the references), its mean angle
to them at the origin, and the mean angle at a reference between the candidate and another reference. The published bands
(611.4 +- 0.3, 88.0 +- 0.1 and 60 +- 0.1 degrees in 196,608 dimensions) hold for one data set; ``calibrated`` bands come from the
user's own latents: each is left out in turn and measured against the rest, and the band is the normal-theory prediction interval
for one more latent, so that it rejects a true latent at about the stated rate (measured on coloured Gaussian latents at 5 %: 7 % for
6 latents, 4 % for 12 and 24).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from astro_ood._log import Progress, logger
from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.geometry import angles_between
from astro_ood.latents.proposal import Candidates

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
MakeCandidates = Callable[[int, int], Candidates]

NAMES = ("distance", "origin_angle", "pair_angle")
PUBLISHED_DIMENSION = 3 * 256 * 256
_PUBLISHED = {"distance": (611.4, 0.3), "origin_angle": (88.0, 0.1), "pair_angle": (60.0, 0.1)}
_REFERENCES = 10
# cost grows with the square of their number, and bands are no better for more
MOST_REFERENCES = 512


@dataclass(frozen=True)
class Band:
    """Interval of one criterion: distance in latent units, angles in degrees."""

    name: str
    low: float
    high: float


def measure(z: Array, references: Array, parents: NDArray[np.int64] | None = None) -> dict[str, Array]:
    """Distance and angles (degrees) of latents to references, each averaged over the references.

    Parameters
    ----------
    z : ndarray, shape (M, ...)
    references : ndarray, shape (N, ...), N >= 2
    parents : ndarray of int, shape (M, K), optional
        References that each latent was made from (-1 for none). They are left out where two others remain: closeness to a parent is
        what novelty measures, and the published references are strangers too.
    """
    a, r = (v.reshape(len(v), -1).astype(np.float64) for v in (z, references))
    out = {name: np.empty(len(a)) for name in NAMES}
    for row, candidate in enumerate(a):
        strangers = r if parents is None else np.delete(r, parents[row][parents[row] >= 0], axis=0)
        strangers = strangers if len(strangers) >= 2 else r
        sides = candidate - strangers
        out["distance"][row] = np.mean(np.linalg.norm(sides, axis=1))
        out["origin_angle"][row] = np.mean(angles_between(candidate[None], strangers))
        # neighbouring references in a ring: every reference is a corner once
        out["pair_angle"][row] = np.mean(angles_between(sides, np.roll(strangers, -1, axis=0) - strangers))
    return out


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
    def calibrate(cls, z: Array, false_reject: float = 0.05) -> Criteria:
        """Bands from latents (N, C, H, W) left out in turn; fewer than four calibrate nothing and reject nothing."""
        n = len(z)
        if n < 4:
            logger.warning("criteria: %d latents cannot calibrate any band, so every candidate is accepted", n)
            return cls("none", (), z, np.arange(n), None)
        left_out = []
        with Progress("calibrate", n, "latent") as progress:
            for i in range(n):
                left_out.append(measure(z[i : i + 1], np.delete(z, i, axis=0)))
                progress.advance()
        factor = stats.t.ppf(1 - false_reject / (2 * len(NAMES)), n - 1) * np.sqrt(1 + 1 / n)
        bands = []
        for name in NAMES:
            values = np.array([m[name][0] for m in left_out])
            half = factor * values.std(ddof=1)
            bands.append(Band(name, float(values.mean() - half), float(values.mean() + half)))
        return cls("calibrated", tuple(bands), z, np.arange(n), false_reject)

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
            rest = [measure(z[i : i + 1], np.delete(z, i, axis=0)) for i in range(len(z))]
            centres = {name: float(np.mean([m[name] for m in rest])) for name in NAMES}
        bands = tuple(Band(name, centres[name] - half, centres[name] + half) for name, (_, half) in _PUBLISHED.items())
        return cls("paper", bands, z[chosen], chosen, None)

    def accept(self, z: Array, parents: NDArray[np.int64] | None = None) -> tuple[Mask, dict[str, Mask]]:
        """Which latents (M, C, H, W), made from `parents` (M, K), lie in every band, and which fail each criterion."""
        if not self.bands:
            return np.ones(len(z), dtype=bool), {}
        own = None if parents is None else _positions(parents, self.rows)
        values = measure(z, self.references, own)
        failed = {b.name: (values[b.name] < b.low) | (values[b.name] > b.high) for b in self.bands}
        return ~np.logical_or.reduce(list(failed.values())), failed

    def to_dict(self) -> dict[str, Any]:
        """Bands and rates, without the references."""
        return {"kind": self.kind, "bands": [asdict(b) for b in self.bands], "false_reject": self.false_reject}


def _positions(parents: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of each parent among the references, -1 where it is none of them."""
    place = np.full(max(int(parents.max(initial=-1)), int(rows.max())) + 2, -1)
    place[rows] = np.arange(len(rows))
    return place[parents]


def reference_rows(n: int) -> NDArray[np.int64]:
    """Which of `n` latents are the references: all, or `MOST_REFERENCES` of them, evenly spread."""
    return np.arange(n) if n <= MOST_REFERENCES else np.arange(MOST_REFERENCES) * n // MOST_REFERENCES


def make(
    kind: str, z: NDArray[Any], *, false_reject: float = 0.05, seed: int = 0, rows: NDArray[np.int64] | None = None
) -> Criteria:
    """Criteria by name for inverted latents.

    Parameters
    ----------
    kind : str
        ``calibrated``, ``paper`` or ``none``.
    z : ndarray, shape (N, C, H, W)
        Latents to calibrate on and to measure against.
    false_reject : float
        For ``calibrated``: rate at which a true latent is rejected.
    seed : int
        For ``paper``: which latents are the references.
    rows : ndarray of int, shape (N,), optional
        Numbers of `z` among all inverted latents, to which the parents of candidates refer; 0, 1, ... by default.

    Raises
    ------
    ConfigError
        Unknown kind.
    """
    z = np.asarray(z, dtype=np.float64)
    if kind == "calibrated":
        found = Criteria.calibrate(z, false_reject)
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

    Attributes
    ----------
    masks : list of ndarray of bool
        Which candidates were accepted, every one tried so far, in order.
    tally : dict
        As of `Draw`, so far.

    Raises
    ------
    RunError
        RN13, while iterating: the budget ended first; the message carries the tally.
    """

    def __init__(
        self, make_candidates: MakeCandidates, criteria: Criteria, n: int, *, budget: int | None = None, batch: int = 64
    ) -> None:
        self.make_candidates, self.criteria, self.n, self.batch = make_candidates, criteria, n, batch
        self.budget = max(2_000, 100 * n) if budget is None else budget
        self.masks: list[Mask] = []
        self.tally = {"candidates": 0, "accepted": 0, **dict.fromkeys((b.name for b in criteria.bands), 0)}

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
        mask, failed = self.criteria.accept(candidates.z, candidates.parents)
        if mask.sum() > missing:
            m = int(np.argmin(np.cumsum(mask) <= missing))
            mask = mask[:m]
        self.masks.append(mask)
        self.tally["candidates"] += m
        self.tally["accepted"] += int(mask.sum())
        for name, fails in failed.items():
            self.tally[name] += int(fails[:m].sum())
        return Candidates(candidates.z[:m][mask], candidates.parents[:m][mask], candidates.weights[:m][mask])

    def _exhausted(self) -> RunError:
        tried, found, *_ = self.tally.values()
        reasons = ", ".join(f"{band.name} {self.tally[band.name]}" for band in self.criteria.bands)
        problem = f"{found} of {tried} candidates accepted, {self.n} wanted (outside the bands: {reasons})"
        remedy = "choose another proposal or prior, or wider criteria"
        return RunError("RN13", f"criteria {self.criteria.kind}", problem, remedy)


def draw(make_candidates: MakeCandidates, criteria: Criteria, n: int, *, budget: int | None = None, batch: int = 64) -> Draw:
    """Make candidates until `n` are accepted, all in memory; see `Draws`."""
    draws = Draws(make_candidates, criteria, n, budget=budget, batch=batch)
    kept = list(draws)
    whole = Candidates(*(np.concatenate([getattr(c, part) for c in kept]) for part in ("z", "parents", "weights")))
    return Draw(whole, np.concatenate(draws.masks), draws.tally)
