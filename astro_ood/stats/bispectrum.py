r"""Bispectrum of maps for three families of triangles: equilateral, folded and squeezed.

The bispectrum is the lowest statistic that the phases of a map decide: it vanishes for Gaussian fields and for phase-randomised
surrogates, whatever their power spectrum. For shells i, j, l of |k|, and F_i the map filtered to shell i,

.. math:: B_{ijl} = \frac{A^2}{\sum w^3} \, \frac{1}{T_{ijl}} \sum_{k_1 + k_2 + k_3 = 0} X(k_1) X(k_2) X(k_3)
          \propto \sum_r F_i(r) F_j(r) F_l(r),

for the sum over positions closes the triangles (Scoccimarro 2000, astro-ph/0004086, and 2015, arXiv 1506.02729): all T triangles at
the cost of one transform a shell. Sums of three frequencies wrap round the grid unless the shells stay below one third of the
sampling frequency (two thirds of the Nyquist frequency): there they end. A is the pixel area, w the window times the mask, as in
`spectrum`.

**Families**, labelled by the largest side k: *equilateral* (k, k, k), round blobs and voids; *folded* (k, k/2, k/2), sheets and
filaments, crests that are sharper than troughs; *squeezed* (k, k, k/4), small-scale power that is modulated by the large-scale
field. Shells tile |k| from the top downwards, with a whole number in an octave, so that k/2 and k/4 are shells as well.

**Skewness.** The dimensionless form is

.. math:: q_{ijl} = \frac{\langle F_i F_j F_l \rangle}{\sqrt{\langle F_i^2 \rangle \langle F_j^2 \rangle \langle F_l^2 \rangle}}
          \, \frac{\langle w^2 \rangle^{3/2}}{\langle w^3 \rangle},

for equilateral triangles the skewness of the band-passed map. It depends neither on the unit nor on the power spectrum nor, in the
mean, on the size of the map. A periodic Gaussian field has mean 0 and variance s T / (M_i M_j M_l), with M modes in a shell and
s = 6, 2 or 1 for three, two or no equal shells. A window couples neighbouring modes and changes that in no simple way:
`gaussian_scatter` measures it, and q in units of it has unit variance for Gaussian white noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from astro_ood.errors import ConfigError, InputError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray, as_stack, in_chunks
from astro_ood.stats._weights import mask_weight, standardise
from astro_ood.stats.spectrum import PixelScale, RadialBins, Window, pixel_steps, window2d

Family = Literal["equilateral", "folded", "squeezed"]
FAMILIES: tuple[Family, ...] = ("equilateral", "folded", "squeezed")
# Octaves by which the second and third side lie below the first.
_OCTAVES: dict[Family, tuple[int, int]] = {"equilateral": (0, 0), "folded": (1, 1), "squeezed": (0, 2)}


@dataclass(frozen=True)
class Bispectrum:
    """Binned bispectra of a stack of maps.

    Attributes
    ----------
    family : tuple of str, length K
        Shape of the triangles.
    k : ndarray, shape (K,)
        Mean |k| of the modes of the shell of the largest side, in `k_unit`.
    sides : ndarray, shape (K, 3)
        The same for all three sides.
    triangles : ndarray of int, shape (K,)
        Ordered closed triangles of modes of the full Fourier plane.
    skewness : ndarray, shape (N, K)
        Dimensionless q; 0 for constant maps.
    values : ndarray, shape (N, K)
        B, in unit^3 times pixel area squared (arcmin^4, or pixel^2).
    k_unit : str
        ``"cycles/arcmin"`` or ``"cycles/pixel"``.
    """

    family: tuple[Family, ...]
    k: FloatArray
    sides: FloatArray
    triangles: IntArray
    skewness: FloatArray
    values: FloatArray
    k_unit: str


def bispectrum(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    *,
    bins_per_octave: int = 2,
    window: Window = "hann",
    mask: ArrayLike | None = None,
    apodisation: float = 0.0,
) -> Bispectrum:
    """Bispectrum of each map, its mean removed.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    bins_per_octave : int
        Shells per factor 2 of k.
    window : {"hann", None}
        None for periodic maps.
    mask, apodisation
        As in `spectrum.power_spectrum`; missing pixels weigh 0.

    Returns
    -------
    Bispectrum

    Raises
    ------
    InputError
        For maps too small for any triangle.
    """
    shape, steps = _shape(x), pixel_steps(pixel_scale)
    bins = shells(shape, pixel_scale, bins_per_octave)
    filters = [bins.members(i) for i in range(len(bins.k))]
    family, sides, triangles = _triangles(filters, shape, bins_per_octave)
    if not family:
        raise InputError("IN16", "maps", f"{shape[0]} x {shape[1]} pixels hold no triangle of modes", "give larger maps")
    pixels = shape[0] * shape[1]
    taper = window2d(shape, window)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, FloatArray]:
        shown = mask_weight(observed, steps, apodisation)
        w = taper[None] if shown is None else taper * shown
        unit, scale = standardise(maps, shown)
        unit *= w
        plane = scipy.fft.rfft2(unit)
        band = np.empty_like(plane)
        bands = [scipy.fft.irfft2(np.multiply(plane, f, out=band), s=shape).reshape(len(maps), pixels) for f in filters]
        power = np.stack([np.vecdot(b, b) for b in bands], axis=1) / pixels
        third = np.stack([np.vecdot(bands[a] * bands[b], bands[c]) for a, b, c in sides.tolist()], axis=1) / pixels
        norm = np.sqrt(power[:, sides].prod(axis=2))
        flat = w.reshape(len(w), pixels)
        square, cube = (np.vecdot(flat * flat, other)[:, None] / pixels for other in (np.ones(pixels), flat))
        q = np.where(norm > 0, third / np.where(norm > 0, norm, 1.0), 0.0) * (square**1.5 / cube)
        physical = third * (scale[:, None] ** 3 * (steps[0] * steps[1]) ** 2 * pixels**2) / (cube * triangles)
        return q, physical

    skewness, values = in_chunks(compute, x, mask=mask, planes=2 * len(filters) + 8)
    unit = "cycles/pixel" if pixel_scale is None else "cycles/arcmin"
    return Bispectrum(family, bins.k[sides[:, 0]], bins.k[sides], triangles, skewness, values, unit)


def gaussian_scatter(
    shape: tuple[int, int],
    rng: np.random.Generator,
    pixel_scale: PixelScale = None,
    *,
    bins_per_octave: int = 2,
    window: Window = "hann",
    mask: ArrayLike | None = None,
    apodisation: float = 0.0,
    n_draws: int = 200,
) -> FloatArray:
    """Standard deviation between maps of the skewness q of Gaussian white noise, from `n_draws` drawn maps.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the maps.
    rng : numpy.random.Generator
    mask : array_like of bool, shape (H, W), optional
    n_draws : int
        The result is good to 1 / sqrt(2 n_draws).
    pixel_scale, bins_per_octave, window, apodisation
        As in `bispectrum`.

    Returns
    -------
    ndarray, shape (K,)
    """
    # A few maps at a time, for the draws may be more than memory holds.
    few = max(1, min(n_draws, 10**6 // (shape[0] * shape[1])))
    draws = [
        bispectrum(
            rng.standard_normal((few, *shape)),
            pixel_scale,
            bins_per_octave=bins_per_octave,
            window=window,
            mask=mask,
            apodisation=apodisation,
        ).skewness
        for _ in range(-(-n_draws // few))
    ]
    return np.sqrt(np.mean(np.concatenate(draws) ** 2, axis=0))


def shells(shape: tuple[int, int], pixel_scale: PixelScale, bins_per_octave: int) -> RadialBins:
    """Shells of |k| from a third of the sampling frequency down to about the fundamental frequency of the shorter side."""
    if bins_per_octave < 1:
        raise ConfigError("CF44", "bins_per_octave", f"found {bins_per_octave}, expected at least 1", "give a whole number")
    steps = pixel_steps(pixel_scale)
    highest = (1 - 1e-9) / (3 * max(steps))
    lowest = max(1 / (n * d) for n, d in zip(shape, steps, strict=True)) * (1 - 1e-9)
    count = max(1, int(bins_per_octave * np.log2(max(highest / lowest, 1.0))))
    return RadialBins(shape, pixel_scale, edges=highest * 2.0 ** (-np.arange(count, -1, -1) / bins_per_octave))


def _triangles(
    filters: list[BoolArray], shape: tuple[int, int], bins_per_octave: int
) -> tuple[tuple[Family, ...], IntArray, IntArray]:
    """Families, shells (K, 3) and numbers of triangles of all bins that hold any, k rising within a family."""
    bands = [scipy.fft.irfft2(member.astype(np.float64), s=shape) for member in filters]
    found: list[tuple[Family, tuple[int, int, int], int]] = []
    for family in FAMILIES:
        for first in range(len(filters)):
            second, third = (first - octaves * bins_per_octave for octaves in _OCTAVES[family])
            if min(second, third) < 0:
                continue
            closed = float(np.sum(bands[first] * bands[second] * bands[third])) * float(shape[0] * shape[1]) ** 2
            if round(closed):
                found.append((family, (first, second, third), round(closed)))
    names, sides, triangles = zip(*found, strict=True) if found else ((), (), ())
    return names, np.array(sides, np.int64).reshape(-1, 3), np.array(triangles, np.int64)


def _shape(x: ArrayLike) -> tuple[int, int]:
    shape = np.shape(x)
    if len(shape) not in (2, 3) or 0 in shape[-2:]:
        as_stack(x)
    return shape[-2], shape[-1]
