r"""Do two numbers predict the geometry of latents, and does the lemma hold?

`astro_ood.latents.geometry` predicts the mean distance and the mean angle at the origin of latents from :math:`|\mu|` and :math:`s`. Here the
predictions get intervals (jackknife over latents) and a judgement.

Latents of one spread lie at predicted distances. If their amplitudes scatter, the mean of square roots falls below the root of the mean, by
about an eighth of the variance of squared distances: what the prediction misses is mostly that.

The paper's lemma has the mean of forward-diffused maps at time t be :math:`\alpha_t` times the mean map. Inverted latents need not follow: the
comparison of :math:`|\mu|` and :math:`s` of both at each t shows by how much they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_ood._judgement import Judgement
from astro_ood.latents.diagnostics.intervals import ALPHA, LEAST_LATENTS, Array, jackknife

WITHIN = 0.001

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Prediction:
    """Measured against predicted geometry; each number with its interval at 95 %.

    Attributes
    ----------
    n, d : int
        Number of latents, and dimensions.
    mu_2, s : tuple of float
        Debiased ``|mu|^2`` and spread.
    distance, angle : tuple of float
        ``measured / predicted - 1``.
    distances, angles : ndarray, shape (n (n - 1) / 2,)
        Of all pairs; angles in degrees.
    predicted : tuple of float
        Distance and angle.
    """

    n: int
    d: int
    mu_2: Interval
    s: Interval
    distance: Interval
    angle: Interval
    distances: Array
    angles: Array
    predicted: tuple[float, float]


@dataclass(frozen=True)
class AgainstForward:
    """Inverted against forward-diffused latents at each time; every entry has shape (T, 3): value, low, high.

    Attributes
    ----------
    t : ndarray, shape (T,)
    mu_inverted, mu_forward : ndarray
        ``|mu|``; 0 where the debiased square is negative.
    s_inverted, s_forward : ndarray
    mu_2_difference, s_difference : ndarray
        Inverted less forward-diffused, of ``|mu|^2`` and `s`; intervals cover all times together (Bonferroni).
    mu_lemma : ndarray, shape (T,)
        ``alpha_t`` times the debiased norm of the mean map; NaN where the maps were not given.
    """

    t: Array
    mu_inverted: Array
    mu_forward: Array
    s_inverted: Array
    s_forward: Array
    mu_2_difference: Array
    s_difference: Array
    mu_lemma: Array


def compute_prediction(z: NDArray[Any]) -> Prediction:
    """Geometry of latents against its prediction.

    Parameters
    ----------
    z : ndarray, shape (N, C, H, W)
        N >= 3.

    Raises
    ------
    ValueError
        Fewer than three latents.
    """
    if len(z) < 3:
        raise ValueError(f"{len(z)} latents; the jackknife needs at least 3")
    flat = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    n, d = flat.shape
    gram = flat @ flat.T
    norms, (i, j) = np.diag(gram), np.triu_indices(n, 1)
    squared = norms[:, None] + norms - 2 * gram
    distance = np.sqrt(np.maximum(squared, 0.0))
    angle = np.degrees(np.arccos(np.clip(gram / np.maximum(np.sqrt(np.multiply.outer(norms, norms)), 1e-300), -1.0, 1.0)))
    mean_distance, mean_angle, product = (_pairs(x) for x in (distance, angle, gram))
    square = _leaving_one_out(norms)
    variance = square - product  # s^2 d, of all and without each
    predicted = np.sqrt(2 * np.maximum(variance, 1e-300))
    predicted_angle = np.degrees(np.arccos(np.clip(product / np.maximum(square, 1e-300), -1.0, 1.0)))
    return Prediction(
        n,
        d,
        mu_2=_interval(product),
        s=_interval(np.sqrt(np.maximum(variance, 0.0) / d)),
        distance=_interval(mean_distance / predicted - 1),
        angle=_interval(mean_angle / np.maximum(predicted_angle, 1e-300) - 1),
        distances=distance[i, j],
        angles=angle[i, j],
        predicted=(float(predicted[0]), float(predicted_angle[0])),
    )


def judge_prediction(found: Prediction, within: float = WITHIN) -> Judgement:
    """Whether distance and angle lie within a fraction of their prediction, by their intervals."""
    rows = (found.distance, found.angle)
    worst = max(rows, key=lambda row: abs(row[0]))
    most = max(max(abs(low), abs(high)) for _, low, high in rows)
    least = max(max(low, -high, 0.0) for _, low, high in rows)
    text = "; ".join(
        f"{name} is off by {value:+.3%} ({low:+.3%} to {high:+.3%})"
        for name, (value, low, high) in zip(("the mean distance", "the mean angle"), rows, strict=True)
    )
    if least > within:
        passed, words = False, f"two numbers do not predict the geometry within {within:.1%}: {text}"
    elif most <= within and found.n >= LEAST_LATENTS:
        passed, words = True, f"two numbers predict the geometry within {within:.1%}: {text}"
    else:
        passed, words = None, f"{found.n} latents cannot show whether two numbers predict the geometry within {within:.1%}: {text}"
    return Judgement("geometry", passed, *worst, nan, words)


def compare_with_forward(
    inverted: Mapping[float, NDArray[Any]],
    forward: Mapping[float, NDArray[Any]],
    *,
    maps: NDArray[Any] | None = None,
    alpha: Mapping[float, float] | None = None,
) -> AgainstForward:
    """Centre and spread of inverted and of forward-diffused latents at each time.

    Parameters
    ----------
    inverted, forward : mapping
        Latents (N, C, H, W) by time, at the same times, of the same maps in the same order: differences are taken map by map.
    maps : ndarray, shape (N, C, H, W), optional
        The clean maps as the network saw them.
    alpha : mapping, optional
        Amplitude of the map at each time, for the lemma.

    Raises
    ------
    ValueError
        Times or numbers of latents that differ, or fewer than three latents.
    """
    times = sorted(inverted)
    if times != sorted(forward) or any(len(inverted[t]) != len(forward[t]) for t in times):
        raise ValueError("inverted and forward-diffused latents are needed at the same times, of the same maps")
    clean = np.sqrt(max(_centres(maps)[0][0], 0.0)) if maps is not None else nan
    rows: dict[str, list[Any]] = {key: [] for key in AgainstForward.__dataclass_fields__}
    level = 1 - ALPHA / max(2 * len(times), 1)
    for t in times:
        (mu_a, s_a), (mu_b, s_b) = _centres(inverted[t]), _centres(forward[t])
        rows["t"].append(t)
        for key, centre, spread in (("inverted", mu_a, s_a), ("forward", mu_b, s_b)):
            rows[f"mu_{key}"].append(np.sqrt(np.maximum(_interval(centre), 0.0)))
            rows[f"s_{key}"].append(_interval(spread))
        rows["mu_2_difference"].append(_interval(mu_a - mu_b, level))
        rows["s_difference"].append(_interval(s_a - s_b, level))
        rows["mu_lemma"].append(alpha[t] * clean if alpha is not None else nan)
    return AgainstForward(**{key: np.array(value, dtype=np.float64) for key, value in rows.items()})


def judge_against_forward(found: AgainstForward, n: int) -> Judgement:
    """Whether inverted and forward-diffused latents of `n` maps have one centre and one spread at every time."""
    off = [key for key in ("mu_2_difference", "s_difference") for _, low, high in getattr(found, key) if low > 0 or high < 0]
    at = int(np.argmax(np.abs(found.mu_inverted[:, 0] - found.mu_forward[:, 0])))
    value, low, high = (float(x) for x in found.mu_2_difference[at])
    text = f"largest at t = {found.t[at]:g}: |mu| {found.mu_inverted[at, 0]:.3g} inverted, {found.mu_forward[at, 0]:.3g} forward-diffused"
    if np.isfinite(found.mu_lemma[at]):
        text += f", {found.mu_lemma[at]:.3g} by the lemma"
    text += f"; s {found.s_inverted[at, 0]:.4f} and {found.s_forward[at, 0]:.4f}"
    if off:
        where = " and ".join(name for key, name in (("mu_2_difference", "centre"), ("s_difference", "spread")) if key in off)
        return Judgement("against forward", False, value, low, high, nan, f"inverted latents differ in {where}: {text}")
    few = n < LEAST_LATENTS
    words = f"{n} maps cannot show a difference: {text}" if few else f"no difference from forward-diffused latents detected: {text}"
    return Judgement("against forward", None if few else True, value, low, high, nan, words)


def _centres(z: NDArray[Any]) -> tuple[Array, Array]:
    """``|mu|^2`` and `s`, each of all latents and without each, shape (N + 1,)."""
    if len(z) < 3:
        raise ValueError(f"{len(z)} latents; the jackknife needs at least 3")
    flat = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    gram = flat @ flat.T
    product, square = _pairs(gram), _leaving_one_out(np.diag(gram))
    return product, np.sqrt(np.maximum(square - product, 0.0) / flat.shape[1])


def _pairs(matrix: Array) -> Array:
    """Mean off-diagonal entry of (N, N), of all and without each row and column, shape (N + 1,)."""
    n = len(matrix)
    rows = matrix.sum(axis=1) - np.diag(matrix)
    total = rows.sum()
    return np.append(total / (n * (n - 1)), (total - 2 * rows) / ((n - 1) * (n - 2)))


def _leaving_one_out(values: Array) -> Array:
    """Mean of values (N,), of all and without each, shape (N + 1,)."""
    n = len(values)
    return np.append(values.mean(), (values.sum() - values) / (n - 1))


def _interval(values: Array, level: float = 1 - ALPHA) -> Interval:
    return jackknife(float(values[0]), values[1:], level)
