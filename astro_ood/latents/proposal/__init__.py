r"""Proposals: how a candidate latent is made from the inverted ones.

From a prior: ``gaussian``, ``shell``, ``parent``; from a map: ``forward`` (`draws`). On a path between two latents: ``lerp``, ``slerp`` (published),
``norm_path`` (`paths`). By linear combination: ``lol``, ``bands``, ``low_high`` (`mixtures`). Candidate ``i`` depends on the seed and on
``i`` alone, and says which latents it was made from, with which weights. docs/latents.md measures what each does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from numpy.typing import NDArray

from astro_ood.errors import ConfigError, RunError
from astro_ood.latents.prior import LatentPrior
from astro_ood.latents.proposal.draws import Start, forward, gaussian, parent, shell
from astro_ood.latents.proposal.mixtures import bands, lol, low_high
from astro_ood.latents.proposal.paths import lerp, norm_path, slerp
from astro_ood.latents.proposal.seeds import Candidates, Seeds

__all__ = [
    "KINDS",
    "Candidates",
    "Kind",
    "Seeds",
    "Start",
    "bands",
    "forward",
    "gaussian",
    "lerp",
    "lol",
    "low_high",
    "maker",
    "norm_path",
    "parent",
    "shell",
    "slerp",
    "source",
]

Kind = Literal["gaussian", "shell", "parent", "forward", "lerp", "slerp", "norm_path", "lol", "bands", "low_high"]
KINDS = ("gaussian", "shell", "parent", "forward", "lerp", "slerp", "norm_path", "lol", "bands", "low_high")
FROM_PRIOR = ("gaussian", "shell", "parent")

Maker = Callable[[int, int], Candidates]


def maker(
    kind: str,
    z: NDArray[Any],
    prior: LatentPrior | None,
    seed: int,
    k: int = 3,
    *,
    reach: float = 1.0,
    noise: float = 0.5,
    start: Start | None = None,
) -> Maker:
    """The proposal `kind` as a function ``(first, m) -> Candidates``.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    z : ndarray, shape (N, C, H, W)
        Inverted latents, in any precision: float64 copies are made of the parents alone.
    prior : LatentPrior or None
        For ``gaussian``, ``shell`` and ``parent``.
    seed : int
        Of all streams.
    k : int
        ``lol``, ``bands``: latents combined; no more than there are.
    reach : float
        ``lerp``, ``slerp``, ``norm_path``: the middle part of the path that is taken, 0 to 1 (1: up to the parents, as published).
    noise : float
        ``parent``: share of the draw, 0 to 1.
    start : Start, optional
        ``forward``: the maps, and the time at which candidates stand (which may be another than that of `z`).

    Raises
    ------
    ConfigError
        Unknown kind; `reach` or `noise` outside 0 to 1; ``forward`` without a start.
    RunError
        Too few latents for the proposal, or no prior for one that draws.
    """
    if kind not in KINDS:
        raise ConfigError("CF12", "proposal.kind", f"there is no proposal '{kind}'", f"choose one of {', '.join(KINDS)}")
    for name, value in {"reach": reach, "noise": noise}.items():
        if not 0 <= value <= 1:
            raise ConfigError("CF12", f"proposal.{name}", f"found {value}, expected 0 to 1", "correct it")
    if kind in FROM_PRIOR and prior is None:
        raise RunError("RN12", "proposal", f"{kind} proposals need a fitted prior", "fit one first")
    if kind == "forward":
        if start is None:
            raise ConfigError("CF12", "proposal", "forward proposals need the noise of the network's times", "give the network")
        return partial(forward, start, seed=seed)
    if kind == "gaussian" and prior is not None:
        return partial(gaussian, prior, seed=seed)
    if len(z) < 2:
        raise RunError("IN40", "proposal", f"{len(z)} latents, {kind} needs at least 2", "invert more maps")
    seeds = Seeds.of(z)
    k = min(k, len(z))
    ways: dict[str, Maker] = {
        "lerp": partial(lerp, seeds, seed=seed, reach=reach),
        "slerp": partial(slerp, seeds, seed=seed, reach=reach),
        "norm_path": partial(norm_path, seeds, seed=seed, reach=reach),
        "lol": partial(lol, seeds, seed=seed, k=k),
        "bands": partial(bands, seeds, seed=seed, k=k),
        "low_high": partial(low_high, seeds, seed=seed),
    }
    if prior is not None:
        ways["shell"] = partial(shell, seeds, prior, seed=seed)
        ways["parent"] = partial(parent, seeds, prior, seed=seed, noise=noise)
    return ways[kind]


def source(kind: str, prior: LatentPrior | None) -> str:
    """What makes the candidates, in words."""
    return f"the {prior.kind} prior ({kind})" if prior is not None and kind in FROM_PRIOR else f"the proposal {kind}"
