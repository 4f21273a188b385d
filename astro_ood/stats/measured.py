"""What is kept of a set of maps: the statistics of each map, measured a few maps at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from astro_ood.errors import InputError
from astro_ood.stats._arrays import BoolArray, FloatArray
from astro_ood.stats.features import Feature, concatenated, features, joined
from astro_ood.stats.fingerprint import fingerprints
from astro_ood.stats.spectrum import PixelScale
from astro_ood.stats.stack import Stack, filled

ImageFeatures = Callable[[FloatArray], ArrayLike]


@dataclass(frozen=True)
class Measured:
    """Statistics of a set.

    Attributes
    ----------
    features : dict of str to Feature
    vectors : dict of str to ndarray (N, K)
        In which the set is compared as a whole: ``joint``, and ``image`` where there are features of images.
    prints : ndarray, shape (V, N, K)
        See `fingerprint.fingerprints`.
    """

    features: dict[str, Feature]
    vectors: dict[str, FloatArray]
    prints: FloatArray


@dataclass(frozen=True)
class Gauge:
    """How sets are measured.

    Attributes
    ----------
    pixel_scale : float, (float, float) or None
    unit : str
        Of the values that are compared.
    n_bins : int
        Bins of the power spectrum.
    galaxies : bool
        Whether the shapes of galaxies are measured.
    image_features : callable or None
        ``image_features(maps)`` of maps (M, H, W), missing pixels filled, returns vectors (M, D).
    """

    pixel_scale: PixelScale = None
    unit: str = ""
    n_bins: int = 8
    galaxies: bool = False
    image_features: ImageFeatures | None = None

    def __call__(self, maps: Stack) -> Measured:
        """Measure a set block by block.

        Raises
        ------
        InputError
            As `Stack.blocks`; IN18 for a map without an observed pixel; IN25 for features of images that are no vectors.
        """
        parts = [self._block(x, missing, log=maps.log) for x, missing in maps.blocks()]
        vectors = {name: np.concatenate([part.vectors[name] for part in parts]) for name in parts[0].vectors}
        prints = np.concatenate([part.prints for part in parts], axis=1)
        return Measured(concatenated([part.features for part in parts]), vectors, prints)

    def _block(self, x: FloatArray, missing: BoolArray | None, *, log: bool) -> Measured:
        flux = None if not self.galaxies else 10**x if log else x
        found = features(x, self.pixel_scale, self.unit, self.n_bins, flux=flux, mask=missing)
        image = {} if self.image_features is None else {"image": _embedded(x, missing, self.image_features)}
        return Measured(found, {"joint": joined(found), **image}, fingerprints(x, self.pixel_scale, missing))


def _embedded(x: FloatArray, missing: BoolArray | None, image_features: ImageFeatures) -> FloatArray:
    """Vectors of maps by a function that is not ours."""
    found = np.asarray(image_features(x.copy() if missing is None else filled(x, missing)), dtype=np.float64)
    if found.ndim != 2 or len(found) != len(x):
        raise InputError("IN25", "image_features", f"shape {found.shape} for {len(x)} maps", "return one vector a map, (M, D)")
    return found
