r"""Are the samples new in their statistics? Nearest neighbours in scattering coefficients.

The logarithms of all S1 and S2 of a map of unit variance, angle by angle, are its fingerprint: some 180 numbers for 64 x 64 pixels, the same for a
shifted map as far as borders allow. Two maps are at distance

.. math:: d = \min_o \| W (f_o - g) \| / \sqrt{2 K},

o the flips and turns of one of them, which only permute angles, W the whitening of `ruler` for the *inverted* maps in all orientations (robust scale,
correlations shrunk, so fewer maps than coefficients suffice). Given the inverted maps, samples that were made without them and held-out maps are
independent draws, so a plain permutation tests whether samples are closer; a **twin** is a sample below `novelty.copy_threshold` of the held-out
distances. Other real maps are called closer at nominal 5 % in 4.5 to 5.2 % of 400 trials on N(HI) (8 / 8 / 8, 8 / 32 / 8 and 16 / 16 / 16 inverted,
new, held out) and in 3.5 to 6 % on Gaussian fields (8 / 32 / 8, 24 / 96 / 24, 50 / 100 / 50); never were twins claimed of a set (`rows.is_copying`).

Without held-out maps the reference is each inverted map against the others, in a scale that does not know it either (16 folds): in a scale that did,
new maps would be 1.2 (50 maps) to 2 times (8) as far away as these. They depend on one another, and a permutation would reject new maps in 6 to 23 % of
trials. So there is no p then, but twins alone: 0 to 0.14 % of new maps, no set.

**What it adds to `novelty`.** Maps that look different but are one map in all that is measured, as scattering synthesis makes them. What it loses: a
shifted cut-out of the same sky is another map here, and one map tells its coefficients only to within the scatter of its few large structures.
Twins found, in per cent of samples (log N(HI) of 32 x 32, 16 inverted, 16 held out; 8 divisions), beside copies by pixels:

==========================================  =======  ======
samples                                     twins    copies
==========================================  =======  ======
other real maps                             1        0
inverted maps, turned, 3 % of noise         100      100
inverted maps, 10 % of noise                69       100
the same, flipped, turned, shifted          16       100
0.95 of one map and 0.3 of another          67       5
scattering synthesis                        100      0
==========================================  =======  ======
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray
from astro_ood.stats.novelty import Novelty, copy_threshold
from astro_ood.stats.ruler import fit_scale
from astro_ood.stats.scattering import scattering
from astro_ood.stats.spectrum import PixelScale, pixel_steps

# Of even number, so that turns by 90 degrees permute them.
N_ANGLES = 4
_LEAST = 1e-12
# A scale is fitted for each; with as many, what is left out hardly matters.
_FOLDS = 16


def fingerprints(x: ArrayLike, pixel_scale: PixelScale = None, mask: ArrayLike | None = None) -> FloatArray:
    """Logarithms of the normalised scattering coefficients of maps, in every orientation.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx).
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing.

    Returns
    -------
    ndarray, shape (V, N, K)
        V = 4 for square maps of square pixels (half turns change nothing), else 2; the maps as they are first.
    """
    found = scattering(x, pixel_scale, n_angles=N_ANGLES, normalise=True, mask=mask)
    dy, dx = pixel_steps(pixel_scale)
    height, width = np.shape(x)[-2:]
    angle = np.arange(N_ANGLES)
    turns = (0, N_ANGLES // 2) if height == width and dy == dx else (0,)
    views = []
    for order in ((sign * angle + turn) % N_ANGLES for turn in turns for sign in (1, -1)):
        parts = found.s1[:, :, order], found.s2[:, :, order][:, :, :, order]
        views.append(np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1))
    return np.log(np.maximum(np.stack(views), _LEAST))


def fingerprint_novelty(
    samples: FloatArray, inverted: FloatArray, held_out: FloatArray | None = None, regions: ArrayLike | None = None
) -> Novelty:
    """Compare the distances of samples and of held-out maps to the inverted maps.

    Parameters
    ----------
    samples, inverted, held_out : ndarray, shapes (V, N, K), (V, M, K), (V, L, K)
        From `fingerprints`. Without `held_out`, the reference is each inverted map against the others (leave one out).
    regions : array_like, shape (M,), optional
        Regions of the inverted maps, for the leave-one-out distances.

    Returns
    -------
    Novelty
        Distances of unrelated maps are of order 1.

    Raises
    ------
    InputError
        IN40 where all inverted maps are of one region and none is held out.
    """
    found = _distances(samples, inverted)
    reference = _left_out(inverted, regions) if held_out is None else _distances(held_out, inverted).min(axis=1)
    return Novelty(found.min(axis=1), reference, np.argmin(found, axis=1).astype(np.int64), copy_threshold(reference))


def _distances(prints: FloatArray, inverted: FloatArray) -> FloatArray:
    """Distances (N, M), in the scale of the second set."""
    scale = fit_scale(inverted.reshape(-1, inverted.shape[2]), whiten=True)
    own = scale(prints[0])
    return np.asarray(np.min([cdist(own, scale(view)) for view in inverted], axis=0) / np.sqrt(2 * own.shape[1]))


def _left_out(inverted: FloatArray, regions: ArrayLike | None) -> FloatArray:
    """Nearest distance (M,) of each map to maps of other regions, in a scale that does not know it."""
    n = inverted.shape[1]
    units = np.arange(n) if regions is None else np.unique(np.asarray(regions), return_inverse=True)[1]
    if units.max() == 0:
        raise InputError("IN40", "regions", "all maps are of one region", "give maps of at least two regions, or no regions")
    fold = units % _FOLDS
    nearest = np.empty(n)
    for i in np.unique(fold):
        nearest[fold == i] = _distances(inverted[:, fold == i], inverted[:, fold != i]).min(axis=1)
    return nearest
