r"""Mode interference: how often a trajectory is captured by the network's own domain, against the stochasticity of decoding.

**When a sample is captured.** In a space of features that the caller gives, standardised by the scatter within both groups, a map has
the score :math:`\ln d_\mathrm{own} - \ln d_\mathrm{net}` of its mean distances to the `k` nearest of the user's maps and of the network's samples
(as many of either). It is captured where its score exceeds a threshold: 0 (nearer to the network's samples), or more where the user's own maps, each
left out in turn, would be called captured at more than the stated rate. The share of the network's samples that the same rule calls
captured, each left out in turn, is its sensitivity: where that is below 0.8 nothing is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

from astro_ood._judgement import Judgement
from astro_ood.diffusion.batching import MICRO_BATCH
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.diagnostics.intervals import wilson
from astro_ood.diffusion.engine import decode
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.presets import Preset
from astro_ood.errors import InputError

Array = NDArray[np.float64]
Features = Callable[[Field], Array]
SENSITIVE = 0.8


@dataclass(frozen=True)
class CaptureRule:
    """When a map counts as the network's.

    Attributes
    ----------
    own, net : ndarray, shape (n, F)
        Standardised features of the user's maps and of the network's samples.
    scale : ndarray, shape (F,)
        What features are divided by.
    k : int
        Nearest neighbours.
    threshold : float
        Score above which a map is captured.
    false_capture, sensitivity : float
        Shares of the user's maps and of the network's samples that are called captured, each left out in turn.
    """

    own: Array
    net: Array
    scale: Array
    k: int
    threshold: float
    false_capture: float
    sensitivity: float

    @classmethod
    def fit(cls, own: Array, net: Array, k: int = 5, false_capture: float = 0.05) -> CaptureRule:
        """Rule from features (N, F) of the user's maps and (M, F) of the network's samples.

        Raises
        ------
        InputError
            IN40: fewer than four of either.
        """
        n = min(len(own), len(net))
        if n < 4:
            raise InputError("IN40", "interference", f"{n} maps, expected at least 4 of either kind", "give more")
        own, net = np.asarray(own[:n], dtype=np.float64), np.asarray(net[:n], dtype=np.float64)
        scale = np.sqrt(0.5 * (own.var(axis=0, ddof=1) + net.var(axis=0, ddof=1)))
        scale = np.where(scale > 0, scale, 1.0)
        own, net, k = own / scale, net / scale, min(k, n - 1)
        scores = np.sort(_scores(own, own, net, k, out=0))
        kept = min(int(np.ceil((n + 1) * (1 - false_capture))), n)
        threshold = max(0.0, float(scores[kept - 1]))
        caught = _scores(net, own, net, k, out=1) > threshold
        return cls(own, net, scale, k, threshold, float(np.mean(scores > threshold)), float(np.mean(caught)))

    def score(self, features: Array) -> Array:
        """Scores (M,) of maps with features (M, F)."""
        return _scores(np.asarray(features, dtype=np.float64) / self.scale, self.own, self.net, self.k)


def _scores(x: Array, own: Array, net: Array, k: int, out: int | None = None) -> Array:
    """Logarithm of the distance to `own` over that to `net`; `x` is the first (0) or second (1) of them and does not count itself."""
    near = []
    for i, group in enumerate((own, net)):
        distance = np.linalg.norm(x[:, None] - group[None], axis=2)
        if i == out:
            np.fill_diagonal(distance, np.inf)
        near.append(np.sort(distance, axis=1)[:, :k].mean(axis=1))
    return np.asarray(np.log(np.maximum(near[0], 1e-300)) - np.log(np.maximum(near[1], 1e-300)))


@dataclass(frozen=True)
class Interference:
    """Capture against stochasticity.

    Attributes
    ----------
    etas : ndarray, shape (E,)
    score : ndarray, shape (E, N)
        Of each latent's map at each eta.
    fraction : ndarray, shape (E, 3)
        Captured, and the ends of its 95 % Wilson interval.
    rule : CaptureRule
    """

    etas: Array
    score: Array
    fraction: Array
    rule: CaptureRule

    @property
    def captured(self) -> NDArray[np.bool_]:
        """Which maps (E, N) are captured."""
        return np.asarray(self.score > self.rule.threshold)


def compute_interference(
    denoiser: Denoiser,
    z: Field,
    preset: Preset,
    etas: Sequence[float],
    *,
    features: Features,
    own: Field,
    net: Field,
    k: int = 5,
    false_capture: float = 0.05,
    frame: Frame | None = None,
    seed: int = 0,
    micro_batch: int = MICRO_BATCH,
) -> Interference:
    """Captured fraction of decoded latents against eta.

    Parameters
    ----------
    denoiser, z, preset, frame, seed, micro_batch
        As for `astro_ood.diffusion.engine.decode`.
    etas : sequence of float
        Stochasticities, 0 to 1; the same latents are decoded at each.
    features : callable
        ``maps (N, C, H, W) -> (N, F)``: what maps are compared in.
    own, net : ndarray, shape (N, C, H, W)
        The user's maps and samples of the network's domain, in [-1, 1].
    k, false_capture
        Of the rule.
    """
    rule = CaptureRule.fit(features(own), features(net), k, false_capture)
    options = {"frame": frame, "micro_batch": micro_batch}
    maps = (decode(denoiser, z, preset, eta=eta, seed=seed, label=f"eta {eta:g}", **options)[0] for eta in etas)  # type: ignore[arg-type]
    score = np.array([rule.score(features(x)) for x in maps])
    counts = (score > rule.threshold).sum(axis=1)
    fraction = np.array([[count / len(z), *wilson(count, len(z))] for count in counts])
    return Interference(np.asarray(etas, dtype=np.float64), score, fraction, rule)


def judge_interference(found: Interference) -> Judgement:
    """Whether capture grows from the smallest to the largest eta: the difference of the fractions, with Newcombe's interval (1998, method 10)."""
    first, last = found.fraction[np.argmin(found.etas)], found.fraction[np.argmax(found.etas)]
    rise = float(last[0] - first[0])
    low = rise - float(np.hypot(last[0] - last[1], first[2] - first[0]))
    high = rise + float(np.hypot(last[2] - last[0], first[0] - first[1]))
    rule = found.rule
    # a rise of less than a tenth is none that matters
    passed = None if rule.sensitivity < SENSITIVE else True if low > 0 else False if high < 0.1 else None
    words = (
        f"captured: {first[0]:.0%} at eta {found.etas.min():g}, {last[0]:.0%} at {found.etas.max():g} (rise 95 %: {low:+.2f} to {high:+.2f}); the rule "
        f"calls {rule.false_capture:.0%} of the user's maps and {rule.sensitivity:.0%} of the network's samples captured"
    )
    return Judgement("interference", passed, rise, low, high, nan, words, claim=True)
