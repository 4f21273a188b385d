"""How far a set of maps is from held-out ones, statistic by statistic, and whether a difference would have been seen.

A statistic *agrees* only where its test finds nothing and would have found, in four of five comparisons of this size, both a change of the
small-scale power by 20 % and the maps of the published isotropic draw; otherwise nothing is *decided*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.stats.conditional import Comparison, compare, summary
from astro_ood.stats.features import Feature, features
from astro_ood.stats.fingerprint import fingerprint_novelty, fingerprints
from astro_ood.stats.novelty import Novelty, novelty
from astro_ood.study.domains import Domain, Field

ALPHA = 0.05
CHANGE = 0.2
# in cycles per pixel: half of the Nyquist frequency
SMALL = 0.25
STATISTICS = ("pdf", "spectrum", "increments", "bispectrum", "excursion", "scattering", "scatter")


@dataclass(frozen=True)
class Judged:
    """A set of maps beside the held-out ones.

    Attributes
    ----------
    compared : dict of str to Comparison
        By statistic.
    outcome : dict of str to str
        ``agrees``, ``undecided`` or ``differs``, by statistic.
    bias : dict of str to float
        Root mean square difference from the *inverted* maps, which samples aim at, in standard deviations between real sets.
    near, twins : Novelty
        Nearest inverted map by pixels under flips, turns and shifts, and by scattering coefficients.
    """

    compared: dict[str, Comparison]
    outcome: dict[str, str]
    bias: dict[str, float]
    near: Novelty
    twins: Novelty

    @property
    def worst(self) -> dict[str, float]:
        """Largest difference of each statistic, in standard deviations between real sets."""
        return {name: float(np.max(np.abs(departures(c)))) for name, c in self.compared.items()}

    @property
    def within(self) -> float:
        """Part of the k-bins in which ln P is within two standard deviations between real sets."""
        return float(np.mean(np.abs(departures(self.compared["spectrum"])) <= 2))


def departures(found: Comparison) -> NDArray[np.float64]:
    """Differences in standard deviations between real sets; scales without any are left at 0."""
    return np.asarray(found.difference / np.where(found.floor > 0, found.floor, np.inf))


class Judge:
    """Compares sets of maps with the held-out ones of a domain.

    Parameters
    ----------
    domain : Domain
    isotropic : ndarray, shape (n, 1, H, W)
        Maps of the published isotropic draw, one of the two changes that a test must see.
    seed, permutations : int
        Of the relabellings.
    """

    def __init__(self, domain: Domain, isotropic: Field, seed: int, permutations: int) -> None:
        self.domain, self.seed, self.permutations = domain, seed, permutations
        self.inverted, self.held_out = features(_flat(domain.inverted)), features(_flat(domain.held_out))
        self.prints = fingerprints(_flat(domain.inverted)), fingerprints(_flat(domain.held_out))
        planted = features(louder(_flat(domain.inverted))), features(_flat(isotropic))
        self.changes = {name: [_change(f[name], self.inverted[name]) for f in planted] for name in STATISTICS}

    def __call__(self, maps: Field) -> Judged:
        """Judge maps (n, 1, H, W)."""
        x = _flat(maps)
        own = features(x)
        compared = {name: self._compare(name, own) for name in STATISTICS}
        return Judged(
            compared,
            {name: self._outcome(name, found) for name, found in compared.items()},
            {name: self._bias(name, own, found) for name, found in compared.items()},
            novelty(x, _flat(self.domain.inverted), _flat(self.domain.held_out)),
            fingerprint_novelty(fingerprints(x), *self.prints),
        )

    def _compare(self, name: str, own: Mapping[str, Feature]) -> Comparison:
        return compare(
            self.held_out[name].values,
            own[name].values,
            stream(self.seed, name),
            inverted=self.inverted[name].values,
            units_a=self.domain.regions_held_out,
            units_inverted=self.domain.regions,
            kind=own[name].kind,
            n_permutations=self.permutations,
        )

    def _outcome(self, name: str, found: Comparison) -> str:
        if found.p < ALPHA:
            return "differs"
        seen = all(bool(np.any(np.abs(change) >= found.detectable)) for change in self.changes[name])
        return "agrees" if seen and found.p_min < ALPHA else "undecided"

    def _bias(self, name: str, own: Mapping[str, Feature], found: Comparison) -> float:
        change = _change(own[name], self.inverted[name])
        return float(np.sqrt(np.mean((change / np.where(found.floor > 0, found.floor, np.inf)) ** 2)))


def louder(maps: NDArray[np.float64], change: float = CHANGE) -> NDArray[np.float64]:
    """Maps (N, H, W) with so much more power at the small scales; mirrored before, so that their borders do not join."""
    h, w = maps.shape[1:]
    whole = np.concatenate([maps, maps[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    k = np.hypot(np.fft.fftfreq(2 * h)[:, None], np.fft.rfftfreq(2 * w)[None])
    gain = np.where(k >= SMALL, np.sqrt(1 + change), 1.0)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(whole) * gain, s=(2 * h, 2 * w))[:, :h, :w])


def _change(found: Feature, reference: Feature) -> NDArray[np.float64]:
    a, b = (summary(f.values, np.ones((1, len(f.values))), f.kind)[0] for f in (reference, found))
    return np.asarray(b - a)


def _flat(maps: Field) -> NDArray[np.float64]:
    return maps[:, 0].astype(np.float64)
