"""Every solver by name, with what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.highorder import Heun, Multistep, RungeKutta4
from astro_ood.diffusion.reversible import BELM, Implicit
from astro_ood.diffusion.solver import DDIM, Solver


@dataclass(frozen=True)
class Method:
    """A solver and its cost.

    Attributes
    ----------
    make : callable
        Gives a fresh solver for a network.
    order : int
        Order of convergence p: halving the steps divides the error by 2^p.
    up, down : int
        Network evaluations of a step of inversion, of decoding.
    start : int
        Evaluations of the first step beyond those.
    latent : bool
        Whether the state is one latent, from which alone decoding can begin.
    """

    make: Callable[[Denoiser], Solver]
    order: int
    up: int = 1
    down: int = 1
    start: int = 0
    latent: bool = True

    def steps(self, evaluations: int) -> int:
        """Most steps that take no more than so many evaluations in either direction."""
        return (evaluations - self.start) // max(self.up, self.down)

    def evaluations(self, steps: int) -> tuple[int, int]:
        """Evaluations of an inversion and of a decoding in so many steps."""
        return self.start + self.up * steps, self.start + self.down * steps


SOLVERS: dict[str, Method] = {
    "ddim": Method(DDIM, 1),
    "heun": Method(Heun, 2, up=2, down=2),
    "rk4": Method(RungeKutta4, 4, up=4, down=4),
    "ab2": Method(partial(Multistep, order=2), 2, start=1),
    "ab3": Method(partial(Multistep, order=3), 3, start=1),
    "dpm2m": Method(partial(Multistep, order=2, predict="x0"), 2, start=1),
    "sqrt2m": Method(partial(Multistep, order=2, predict="x0", power=0.5), 2, start=1),
    "dpm3m": Method(partial(Multistep, order=3, predict="x0"), 3, start=1),
    "unipc": Method(partial(Multistep, order=2, predict="x0", corrected=True), 3, start=1),
    "implicit": Method(Implicit, 1, up=4),
    "belm": Method(BELM, 2, latent=False),
}
