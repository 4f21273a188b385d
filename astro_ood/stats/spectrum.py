r"""Isotropic power spectrum of maps.

For a map x of pixels of area A = dy dx, with window w,

.. math:: P(k) = A \, \frac{|\mathrm{FFT}(w (x - \bar x))|^2}{\sum w^2},

averaged over the modes of an annulus of |k|. White noise of variance s^2 has P = s^2 A whatever the window, and without a window
the sum of P over all modes, divided by N A, is the variance of the map (Parseval). Frequencies are in cycles per arcmin if the
pixel scale is known, else in cycles per pixel; pixels need not be square.

Observed maps are not periodic: without a window the jump between opposite borders puts a k^-2 cross into the transform and hides
anything steeper. The Hann window removes it, at the price of a resolution of about two fundamental frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from astro_ood.errors import ConfigError
from astro_ood.stats._arrays import FloatArray, IntArray, as_stack

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

    @property
    def wavelength_unit(self) -> str:
        """Unit of 1/k."""
        return self.k_unit.removeprefix("cycles/")


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
        self.k: FloatArray = self._mean @ radius
        self.edges: FloatArray = np.stack([limits[:-1], limits[1:]], axis=1)[kept]
        self.modes: IntArray = np.rint(total[kept]).astype(np.int64)

    def mean(self, plane: FloatArray) -> FloatArray:
        """Average (N, H, W // 2 + 1) over annuli: (N, K)."""
        return np.asarray((self._mean @ plane.reshape(len(plane), -1).T).T)


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

    Returns
    -------
    Spectrum
    """
    maps = as_stack(x)
    height, width = maps.shape[1:]
    steps = pixel_steps(pixel_scale)
    bins = RadialBins((height, width), pixel_scale, n_bins, spacing, edges)
    taper = hann2d((height, width)) if window == "hann" else np.ones((height, width))
    centred = (maps - maps.mean(axis=(1, 2), keepdims=True)) * taper
    plane = np.abs(scipy.fft.rfft2(centred)) ** 2 * (steps[0] * steps[1] / np.sum(taper**2))
    return Spectrum(bins.k, bins.mean(plane), bins.edges, bins.modes, "cycles/pixel" if pixel_scale is None else "cycles/arcmin")


def log_power(power: FloatArray) -> FloatArray:
    """ln P, with the powers of (nearly) constant maps held at 1e-30 of the largest so that the logarithm exists."""
    return np.asarray(np.log(np.maximum(power, max(1e-30 * float(power.max(initial=0.0)), np.finfo(np.float64).tiny))))


def _edges(shape: tuple[int, int], steps: tuple[float, float], n_bins: int, spacing: str) -> FloatArray:
    """Edges from the lowest fundamental to the lowest Nyquist frequency, both included despite rounding."""
    if n_bins < 1:
        raise ConfigError("CF44", "n_bins", f"found {n_bins}, expected at least 1", "give more bins")
    low = min(1.0 / (n * d) for n, d in zip(shape, steps, strict=True)) * (1 - 1e-9)
    high = min(0.5 / d for d in steps) * (1 + 1e-9)
    return np.asarray(np.geomspace(low, high, n_bins + 1) if spacing == "log" else np.linspace(low, high, n_bins + 1))
