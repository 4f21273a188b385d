"""What cheaper methods make from the same real maps: the sets that a network must beat.

Each makes as many maps as there are samples, so that all are judged alike. Scattering synthesis costs 0.14 s a map of 32 x 32, 0.37 s of
64 x 64, 1.2 s of 128 x 128 and 4.4 s of 256 x 256 (one core, 60 iterations), a hundred times as much as the others: by default it makes none of more
than `LARGEST` pixels, and fewer maps can be asked for. The number enters its tests as that of any set does, and as the inverted and the held-out maps
limit a comparison too, little is lost while these are few: between 6 inverted and 6 held-out maps, 16 synthetic ones widen the null by 6 % against
48; between 100 and 100 by 63 %.

Missing pixels of the real maps are filled smoothly before anything is made of them (`stack.filled`), and hidden again when the baselines are judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from astro_ood._random import stream
from astro_ood.errors import ConfigError
from astro_ood.stats.spectrum import PixelScale
from astro_ood.stats.stack import Stack
from astro_ood.stats.surrogates import augment, gaussian, iaaft
from astro_ood.stats.synthesis import synthesise

Array = NDArray[np.float64]

LARGEST = 128**2
# Against 100, the coefficients of log N(HI) maps of 64 x 64 come out 0.03 instead of 0.025 from their targets, in 0.6 of the time.
ITERATIONS = 60
AUGMENTATION, GAUSSIAN, IAAFT, SCATTERING = "augmentation", "Gaussian field", "IAAFT", "scattering synthesis"
# As configurations call them.
METHODS = {"augmentation": AUGMENTATION, "gaussian": GAUSSIAN, "iaaft": IAAFT, "scattering": SCATTERING}


def usual_methods(pixels: int) -> list[str]:
    """All of `METHODS`, without scattering synthesis for maps of more than `LARGEST` pixels."""
    return [name for name in METHODS if name != "scattering" or pixels <= LARGEST]


def make_baselines(
    real: Array | Stack,
    n: int,
    *,
    log: bool = False,
    seed: int,
    pixel_scale: PixelScale = None,
    methods: Sequence[str] | None = None,
    most_synthesised: int | None = None,
) -> dict[str, Array]:
    """Maps of each method that needs no network, from the same real maps; of the log map where that is compared.

    Parameters
    ----------
    real : ndarray or Stack, shape (N, H, W)
    n : int
        Maps of each method.
    log : bool
        Of arrays; a `Stack` knows it.
    seed : int
    pixel_scale : float, (float, float) or None
        (dy, dx) of a pixel.
    methods : sequence of str, optional
        Of `METHODS`; by default all, without scattering synthesis where maps have more than `LARGEST` pixels.
    most_synthesised : int, optional
        Maps of scattering synthesis at most.

    Returns
    -------
    dict of str to ndarray
        Name to maps (M, H, W).

    Raises
    ------
    ConfigError
        CF44 for a method that does not exist.
    """
    if methods is None:
        methods = usual_methods(math.prod(real.shape[1:]))
    for name in methods:
        if name not in METHODS:
            raise ConfigError("CF44", "baselines", f"found {name!r}", f"choose from {', '.join(METHODS)}")
    maps = real if isinstance(real, Stack) else Stack.of(real, "real", log=log)
    natural = np.concatenate(list(maps.filled()))
    few = n if most_synthesised is None else min(n, most_synthesised)
    make: dict[str, Callable[[np.random.Generator], Array]] = {
        "augmentation": lambda rng: augment(natural, n, rng)[0],
        "gaussian": lambda rng: gaussian(natural, n, rng),
        "iaaft": lambda rng: iaaft(natural, n, rng)[0],
        "scattering": lambda rng: synthesise(natural, few, rng, pixel_scale, iterations=ITERATIONS)[0],
    }
    made = {METHODS[name]: make[name](stream(seed, METHODS[name])) for name in METHODS if name in methods}
    return {name: 10**x if maps.log else x for name, x in made.items()}
