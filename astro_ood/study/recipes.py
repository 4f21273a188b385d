"""Ways to make new maps of a domain: latents and their decoding, with and without guidance, and methods that need no network.

Names read as they are made: ``lol, t 300, guided`` combines three latents at the time 300 of the published schedule and guides the decoding.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.diffusion import engine
from astro_ood.diffusion.guidance import Guidance, Targets, move
from astro_ood.errors import ConfigError
from astro_ood.latents import prior, proposal
from astro_ood.latents.proposal import Start
from astro_ood.stats.surrogates import augment, iaaft
from astro_ood.stats.surrogates import gaussian as gaussian_surrogates
from astro_ood.stats.synthesis import synthesise
from astro_ood.study.domains import Field
from astro_ood.study.material import Material

Make = Callable[[], Field]
REFERENCE = "inverted maps"
ISOTROPIC = "isotropic"
SEEDED = ("slerp", "lol", "bands", "low_high", "parent")
GUIDED = (ISOTROPIC, "spectral", "lol", "bands")
EARLY = 300.0
_TOGETHER = 8


def new_latents(cell: Material, kind: str, time: float, n: int) -> Field:
    """Latents (n, C', H', W') of a prior, or of a proposal from the inverted latents, without any criteria."""
    z = cell.latents[time].inverted.astype(np.float64)
    drawn = kind in prior.PRIORS
    fitted = prior.fit(z, kind) if drawn else prior.fit(z, "spectral") if kind in proposal.FROM_PRIOR else None
    start = Start(cell.frame.to_network(cell.maps.inverted), *cell.amplitudes(time)) if kind == "forward" else None
    make = proposal.maker("gaussian" if drawn else kind, z, fitted, cell.seed, 3, start=start)
    return make(0, n).z.astype(np.float32)


def decoded(cell: Material, kind: str, time: float | None = None, *, how: Guidance | None = None, eta: float = 0.0) -> Field:
    """New maps of new latents."""
    time = cell.effort.t_0 if time is None else time
    z, preset = new_latents(cell, kind, time, cell.effort.samples), cell.preset(time)
    guided = None if how is None else Targets(cell.maps.inverted, how, cell.seed, cell.model.device)
    return engine.decode(cell.model, z, preset, frame=cell.frame, eta=eta, seed=cell.seed, guided=guided, label=kind)[0]


def guidance(cell: Material, time: float | None = None, aim: str = "parent", *, at_the_end: bool = False) -> Guidance:
    """The defaults of guided decoding, all the way or with as many steps at its end only."""
    t_from = cell.preset(time).t_0
    usual = Guidance(t_from, aim=aim)  # type: ignore[arg-type]
    budget = usual.last + usual.steps * cell.effort.n_steps
    return Guidance(t_from, steps=0, last=budget, aim=usual.aim) if at_the_end else usual


def without_network(targets: Targets, n: int, steps: int, seed: int) -> Field:
    """The descent of guided decoding from `n` Gaussian fields with the spectra aimed at, which knows no network."""
    statistics, (h, w) = targets.statistics, targets.shape
    made = []
    for first in range(0, n, _TOGETHER):
        items = range(first, min(n, first + _TOGETHER))
        aim = targets.at(targets.weights(items))
        white = np.stack([stream(seed, "white", i).standard_normal((2 * h, 2 * w)) for i in items])
        noise = torch.fft.rfft2(torch.from_numpy(white).float().to(statistics.device))
        start = torch.fft.irfft2(noise * statistics.amplitude(aim["spectrum"], (2 * h, 2 * w)), s=(2 * h, 2 * w))[:, :h, :w]
        made.append(move(statistics, start * statistics.scale, aim, steps)[:, None].cpu().numpy())
    return np.concatenate(made)


def _descended(cell: Material) -> Field:
    how = guidance(cell, at_the_end=True)
    targets = Targets(cell.maps.inverted, how, cell.seed, cell.model.device)
    return without_network(targets, cell.effort.samples, how.last, cell.seed)


def surrogates(
    cell: Material, make: Callable[[NDArray[np.float64], int, np.random.Generator], NDArray[np.float64]], name: str
) -> Field:
    """Maps of a method that knows the inverted maps alone."""
    flat = cell.maps.inverted[:, 0].astype(np.float64)
    return make(flat, cell.effort.samples, stream(cell.seed, name))[:, None].astype(np.float32)


def recipes(cell: Material) -> dict[str, Make]:
    """Name to what makes the maps (n, 1, H, W); those of the inverted maps themselves come first.

    Raises
    ------
    ConfigError
        CF44: the effort names a recipe that does not exist.
    """
    early = min((t for t in cell.latents if t >= EARLY), default=min(cell.latents))
    made: dict[str, Make] = {REFERENCE: lambda: cell.maps.inverted}
    for kind in (*prior.PRIORS, *SEEDED):
        made[kind] = partial(decoded, cell, kind)
    for kind in ("spectral", "lol", "parent", "forward"):
        made[f"{kind}, t {early:g}"] = partial(decoded, cell, kind, early)
    for kind in ("spectral", "lol", "parent"):
        made[f"{kind}, eta 0.3"] = partial(decoded, cell, kind, eta=0.3)
    for kind in GUIDED:
        made[f"{kind}, guided"] = partial(decoded, cell, kind, how=guidance(cell))
    made["lol, guided, draw"] = partial(decoded, cell, "lol", how=guidance(cell, aim="draw"))
    made["lol, guided at the end"] = partial(decoded, cell, "lol", how=guidance(cell, at_the_end=True))
    for kind in ("lol", "forward"):
        made[f"{kind}, t {early:g}, guided"] = partial(decoded, cell, kind, early, how=guidance(cell, early))
    made["no network"] = partial(_descended, cell)
    made["scattering synthesis"] = partial(surrogates, cell, lambda x, n, rng: synthesise(x, n, rng)[0], "synthesis")
    made["IAAFT"] = partial(surrogates, cell, lambda x, n, rng: iaaft(x, n, rng)[0], "iaaft")
    made["Gaussian field"] = partial(surrogates, cell, gaussian_surrogates, "gaussian")
    made["augmentation"] = partial(surrogates, cell, lambda x, n, rng: augment(x, n, rng)[0], "augment")
    wanted = cell.effort.recipes
    if unknown := set(wanted or ()) - set(made):
        raise ConfigError(
            "CF44", "effort.recipes", f"there is no recipe {', '.join(sorted(unknown))}", f"choose of {'; '.join(made)}"
        )
    return made if wanted is None else {name: make for name, make in made.items() if name in {*wanted, REFERENCE, ISOTROPIC}}
