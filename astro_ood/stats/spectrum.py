r"""Isotropic power and cross spectra of maps, and their slope.

For a map x of pixels of area A = dy dx, with window w,

.. math:: P(k) = A \, \frac{|\mathrm{FFT}(w (x - \bar x))|^2}{\sum w^2},

averaged over the modes of an annulus of |k|. White noise of variance s^2 has P = s^2 A whatever the window, and without a window
the sum of P over all modes, divided by N A, is the variance of the map (Parseval). Frequencies are in cycles per arcmin if the
pixel scale is known, else in cycles per pixel; pixels need not be square.

Observed maps are not periodic: without a window the jump between opposite borders puts a k^-2 cross into the transform and hides
anything steeper. The Hann window removes it, at the price of a resolution of about two fundamental frequencies.

A mask multiplies the window: missing pixels have weight 0, the mean is that of the observed pixels (weighted with the apodised
mask, not with the window, so that a mask that hides nothing changes nothing), and the sum of w^2 corrects for the missing area.
This is the pseudo spectrum with the f_sky correction (Hivon et al. 2002, astro-ph/0105302, without the inversion of their coupling
matrix). It is unbiased for white noise, but **modes couple**: it is P convolved with the power of the mask, and holes carry power
of the large scales to all k. Eight round holes of radius 4 pixels in 128 x 128 raise the highest k of P ~ k^-2 by 1 % and of k^-3
by 23 %; 1 % of single pixels missing raise it by 4 % and 71 %. A smooth edge (`apodisation`) confines the leak to k below the
reciprocal of its width (k^-3, holes of radius 4 with edges of 6 pixels: less than 2 % in the upper two of eight bins, up to 27 %
half-way down). Two sets under the same masks may be compared all the same; a slope under a mask should be compared with that of an
unmasked map under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from astro_ood.errors import ConfigError
from astro_ood.stats._arrays import BoolArray, FloatArray, IntArray, as_stack, in_chunks
from astro_ood.stats._fit import fit_line, floored_log
from astro_ood.stats._weights import centre, mask_weight, total

PixelScale = float | tuple[float, float] | None
Window = Literal["hann"] | None


@dataclass(frozen=True)
class Spectrum:
    """Binned spectra of a stack of maps.

    Attributes
    ----------
    k : ndarray, shape (K,)
        Mean |k| of the modes of each bin, in `k_unit`.
    power : ndarray, shape (N, K)
        In unit^2 times pixel area (arcmin^2, or pixel).
    edges : ndarray, shape (K, 2)
        Lower and upper edge of each bin.
    modes : ndarray of int, shape (K,)
        Number of modes of the full Fourier plane in each bin.
    k_unit : str
        ``"cycles/arcmin"`` or ``"cycles/pixel"``.
    """

    k: FloatArray
    power: FloatArray
    edges: FloatArray
    modes: IntArray
    k_unit: str


@dataclass(frozen=True)
class CrossSpectrum:
    """Binned cross spectra of pairs of maps.

    Attributes
    ----------
    cross : ndarray, shape (N, K)
        Real part of <X Y*>, in unit_x unit_y times pixel area; the imaginary part averages to 0 over every annulus of a real map.
    first, second : Spectrum
        Power spectra of either map.
    """

    cross: FloatArray
    first: Spectrum
    second: Spectrum

    @property
    def coherence(self) -> FloatArray:
        """Correlation coefficient per bin, (N, K) in [-1, 1]; 0 where either map has no power."""
        norm = np.sqrt(self.first.power) * np.sqrt(self.second.power)
        return np.asarray(np.clip(np.where(norm > 0, self.cross / np.where(norm > 0, norm, 1.0), 0.0), -1.0, 1.0))


@dataclass(frozen=True)
class PowerLaw:
    """Power laws P ~ k^slope fitted to spectra.

    Attributes
    ----------
    slope, error : ndarray, shape (N,)
        Per map, with its standard error.
    k_range : tuple of float
        Mean k of the lowest and the highest bin in the fit, in `k_unit`.
    n_bins : int
    k_unit : str
    """

    slope: FloatArray
    error: FloatArray
    k_range: tuple[float, float]
    n_bins: int
    k_unit: str


class RadialBins:
    """Annuli of |k| on the half plane of a real Fourier transform (`scipy.fft.rfft2`).

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the maps.
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin; None measures in pixels.
    n_bins : int
        Number of annuli between the fundamental and the Nyquist frequency; those without a mode are left out.
    spacing : {"log", "linear"}
    edges : array_like, shape (n_bins + 1,), optional
        Edges to take instead, half open on the right.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_scale: PixelScale = None,
        n_bins: int = 8,
        spacing: Literal["log", "linear"] = "log",
        edges: ArrayLike | None = None,
    ) -> None:
        steps = pixel_steps(pixel_scale)
        height, width = shape
        ky, kx = scipy.fft.fftfreq(height, steps[0]), scipy.fft.rfftfreq(width, steps[1])
        radius = np.hypot(ky[:, None], kx[None, :]).ravel()
        limits = np.asarray(edges, np.float64) if edges is not None else _edges(shape, steps, n_bins, spacing)
        # The half plane holds one of each conjugate pair, except in its first and (for even width) last column.
        paired = np.full((height, len(kx)), 2.0)
        paired[:, 0] = 1.0
        if width % 2 == 0:
            paired[:, -1] = 1.0
        weight = paired.ravel()
        bins = np.searchsorted(limits, radius, side="right") - 1
        inside = np.flatnonzero((bins >= 0) & (bins < len(limits) - 1) & (radius > 0))
        total = np.bincount(bins[inside], weight[inside], minlength=len(limits) - 1)
        kept = np.flatnonzero(total)
        rank = np.searchsorted(kept, bins[inside])
        self._mean = csr_array((weight[inside] / total[kept][rank], (rank, inside)), shape=(len(kept), len(radius)))
        self._shape = paired.shape
        self.k: FloatArray = self._mean @ radius
        self.edges: FloatArray = np.stack([limits[:-1], limits[1:]], axis=1)[kept]
        self.modes: IntArray = np.rint(total[kept]).astype(np.int64)

    def mean(self, plane: FloatArray) -> FloatArray:
        """Average (N, H, W // 2 + 1) over annuli: (N, K)."""
        return np.stack([self._mean @ one for one in plane.reshape(len(plane), -1)])

    def members(self, i: int) -> BoolArray:
        """Which modes of the half plane lie in annulus `i`: (H, W // 2 + 1)."""
        plane = np.zeros(self._shape, np.bool_)
        plane.flat[self._mean.indices[self._mean.indptr[i] : self._mean.indptr[i + 1]]] = True
        return plane


def pixel_steps(pixel_scale: PixelScale) -> tuple[float, float]:
    """Pixel size as (dy, dx), both positive; (1, 1) if unknown."""
    if pixel_scale is None:
        return 1.0, 1.0
    steps = (pixel_scale, pixel_scale) if isinstance(pixel_scale, int | float) else tuple(pixel_scale)
    if len(steps) != 2 or not all(np.isfinite(s) and s > 0 for s in steps):
        raise ConfigError(
            "CF26", "pixel_scale", f"found {pixel_scale}, expected one or two positive numbers", "give arcmin per pixel"
        )
    return float(steps[0]), float(steps[1])


def hann2d(shape: tuple[int, int]) -> FloatArray:
    """Separable Hann window (H, W), zero just outside the map and positive on every pixel."""
    one = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in shape]
    return np.asarray(np.outer(one[0], one[1]))


def power_spectrum(
    x: ArrayLike,
    pixel_scale: PixelScale = None,
    n_bins: int = 8,
    *,
    window: Window = "hann",
    spacing: Literal["log", "linear"] = "log",
    edges: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    apodisation: float = 0.0,
) -> Spectrum:
    """Isotropic power spectrum of each map, its mean removed.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
    pixel_scale : float, (float, float) or None
        Pixel size, or (dy, dx), in arcmin.
    n_bins, spacing, edges
        See `RadialBins`.
    window : {"hann", None}
        None for periodic maps.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel is missing.
    apodisation : float
        Distance from the next missing pixel at which a pixel has its full weight, in arcmin, or in pixels without a scale.

    Returns
    -------
    Spectrum
        Of a constant map: 0, but for rounding.
    """
    bins = _bins(x, pixel_scale, n_bins, spacing, edges)
    steps = pixel_steps(pixel_scale)

    def compute(maps: FloatArray, observed: BoolArray | None) -> tuple[FloatArray]:
        factor = _apply_window(window, mask_weight(observed, steps, apodisation), steps, maps)
        return (bins.mean(np.abs(scipy.fft.rfft2(maps)) ** 2 * factor),)

    (power,) = in_chunks(compute, x, mask=mask)
    return Spectrum(bins.k, power, bins.edges, bins.modes, _k_unit(pixel_scale))


def cross_spectrum(
    x: ArrayLike,
    y: ArrayLike,
    pixel_scale: PixelScale = None,
    n_bins: int = 8,
    *,
    window: Window = "hann",
    spacing: Literal["log", "linear"] = "log",
    edges: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    apodisation: float = 0.0,
) -> CrossSpectrum:
    """Isotropic cross spectrum of each map of `x` with that of `y` at the same place in the stack.

    Parameters
    ----------
    x, y : array_like, shape (N, H, W)
        Two quantities on the same sky.
    mask : array_like of bool, shape (N, H, W) or (H, W), optional
        True where a pixel of either map is missing.
    pixel_scale, n_bins, window, spacing, edges, apodisation
        As in `power_spectrum`.

    Returns
    -------
    CrossSpectrum
    """
    bins = _bins(x, pixel_scale, n_bins, spacing, edges)
    steps = pixel_steps(pixel_scale)

    def compute(one: FloatArray, two: FloatArray, observed: BoolArray | None) -> tuple[FloatArray, ...]:
        factor = _apply_window(window, mask_weight(observed, steps, apodisation), steps, one, two)
        first, second = scipy.fft.rfft2(one), scipy.fft.rfft2(two)
        return tuple(bins.mean(_products(a, b)) * factor[..., 0] for a, b in ((first, second), (first, first), (second, second)))

    cross, *powers = in_chunks(compute, x, y, mask=mask, planes=12)
    one, two = (Spectrum(bins.k, power, bins.edges, bins.modes, _k_unit(pixel_scale)) for power in powers)
    return CrossSpectrum(cross, one, two)


def slope(spectrum: Spectrum, k_range: tuple[float, float] | None = None) -> PowerLaw:
    """Slope of ln P against ln k of each map, by least squares.

    Bins weigh as their number of modes, the reciprocal of the variance of ln P of a Gaussian field; the standard error follows from
    the scatter of the bins about the line, so that it covers departures from a power law too. For periodic maps it agrees with the
    scatter between Gaussian fields within 2 %; the Hann window correlates neighbouring bins, and the error is then too small by 10
    to 20 % (6 to 12 bins of 64 x 64).

    Parameters
    ----------
    spectrum : Spectrum
    k_range : (float, float), optional
        Lowest and highest mean k of the bins to take, at least three, in the unit of the spectrum; by default all.

    Returns
    -------
    PowerLaw
        A map without any power has slope 0.
    """
    low, high = (0.0, np.inf) if k_range is None else k_range
    taken = np.flatnonzero((spectrum.k >= low) & (spectrum.k <= high))
    if len(taken) < 3:
        raise ConfigError("CF44", "k_range", f"{len(taken)} bins in {k_range}, expected at least 3", "widen it, or take more bins")
    k, modes, power = spectrum.k[taken], spectrum.modes[taken], spectrum.power[:, taken]
    value, error = fit_line(np.log(k), floored_log(power), modes.astype(np.float64))
    return PowerLaw(value, error, (float(k[0]), float(k[-1])), len(k), spectrum.k_unit)


def window2d(shape: tuple[int, int], window: Window) -> FloatArray:
    """Window (H, W): Hann, or ones."""
    return hann2d(shape) if window == "hann" else np.ones(shape)


def log_power(power: FloatArray) -> FloatArray:
    """ln P, with the powers of (nearly) constant maps held at 1e-30 of the largest so that the logarithm exists."""
    return np.asarray(np.log(np.maximum(power, max(1e-30 * float(power.max(initial=0.0)), np.finfo(np.float64).tiny))))


def _bins(
    x: ArrayLike, pixel_scale: PixelScale, n_bins: int, spacing: Literal["log", "linear"], edges: ArrayLike | None
) -> RadialBins:
    shape = np.shape(x)
    if len(shape) < 2 or 0 in shape[-2:]:
        as_stack(x)
    return RadialBins((shape[-2], shape[-1]), pixel_scale, n_bins, spacing, edges)


def _k_unit(pixel_scale: PixelScale) -> str:
    return "cycles/pixel" if pixel_scale is None else "cycles/arcmin"


def _apply_window(window: Window, shown: FloatArray | None, steps: tuple[float, float], *stacks: FloatArray) -> FloatArray:
    """Centre and window stacks (N, H, W) in place; the factor, (N or 1, 1, 1), that makes squared transforms a spectrum."""
    shape = (stacks[0].shape[1], stacks[0].shape[2])
    taper = window2d(shape, window)[None] if shown is None else window2d(shape, window) * shown
    for maps in stacks:
        centre(maps, shown)
        maps *= taper
    return np.asarray(steps[0] * steps[1] / total(taper**2))


def _products(a: NDArray[np.complex128], b: NDArray[np.complex128]) -> FloatArray:
    """Real part of a b*."""
    plane = a.real * b.real
    plane += a.imag * b.imag
    return plane


def _edges(shape: tuple[int, int], steps: tuple[float, float], n_bins: int, spacing: str) -> FloatArray:
    """Edges from the lowest fundamental to the lowest Nyquist frequency, both included despite rounding."""
    if n_bins < 1:
        raise ConfigError("CF44", "n_bins", f"found {n_bins}, expected at least 1", "give more bins")
    low = min(1.0 / (n * d) for n, d in zip(shape, steps, strict=True)) * (1 - 1e-9)
    high = min(0.5 / d for d in steps) * (1 + 1e-9)
    return np.asarray(np.geomspace(low, high, n_bins + 1) if spacing == "log" else np.linspace(low, high, n_bins + 1))
