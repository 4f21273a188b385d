"""Surrogates: maps that share chosen statistics with real ones and nothing else. They are the baselines that a generator must beat.

`iaaft` (Schreiber & Schmitz 1996, Phys. Rev. Lett. 77, 635) makes a map with the pixel values of its parent, exactly, and with
its power spectrum, nearly, but random phases: alternately the Fourier amplitudes and the ranks are imposed, ranks last. Amplitudes
include their direction dependence. Maps are not periodic, and the jump across opposite borders would enter the amplitudes as a
bright cross; they are therefore taken from the periodic component of the periodic-plus-smooth decomposition (Moisan 2011, J. Math.
Imaging Vis. 39, 161), which differs from the map by a harmonic function that carries nothing but the jump. A gradient
across the whole map is part of what is removed, and no periodic surrogate can have one. Its variance is given to the fundamental
frequencies, the nearest that a periodic map has; otherwise the ranks, which impose the full variance, would raise *every*
frequency (by factors of 2 to 3 for P ~ k^-3).

`gaussian` makes Gaussian random fields with the mean spectrum of a set: what is known of the maps when two-point statistics are all that
is known.

Give the log map where the log is the natural variable: the spectrum that is kept is that of the values given.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from astro_ood.stats._arrays import FloatArray, IntArray, as_stack


def periodic_component(x: ArrayLike) -> FloatArray:
    """Periodic part of each map; the rest is smooth and has the jumps of the map across its borders.

    Parameters
    ----------
    x : array_like, shape (N, H, W)

    Returns
    -------
    ndarray, shape (N, H, W)
    """
    maps = as_stack(x)
    height, width = maps.shape[1:]
    jumps = np.zeros_like(maps)
    rows, columns = maps[:, -1] - maps[:, 0], maps[:, :, -1] - maps[:, :, 0]
    jumps[:, 0] += rows
    jumps[:, -1] -= rows
    jumps[:, :, 0] += columns
    jumps[:, :, -1] -= columns
    ky = 2 * np.cos(2 * np.pi * np.arange(height) / height)[:, None]
    kx = 2 * np.cos(2 * np.pi * np.arange(width // 2 + 1) / width)[None, :]
    laplacian = ky + kx - 4
    laplacian[0, 0] = 1.0
    smooth = scipy.fft.rfft2(jumps) / laplacian
    smooth[:, 0, 0] = 0.0
    return np.asarray(maps - scipy.fft.irfft2(smooth, s=(height, width)))


def iaaft(x: ArrayLike, n: int, rng: np.random.Generator, *, iterations: int = 100) -> tuple[FloatArray, IntArray]:
    """Phase-randomised surrogates with the values and the power spectrum of a parent.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
        Parents.
    n : int
        Number of surrogates; each has one parent, chosen at random.
    rng : numpy.random.Generator
    iterations : int
        Passes of amplitudes and ranks.

    Returns
    -------
    maps : ndarray, shape (n, H, W)
        Each holds exactly the pixel values of its parent.
    parents : ndarray of int, shape (n,)
    """
    maps = as_stack(x)
    height, width = maps.shape[1:]
    parents = rng.integers(len(maps), size=n)
    values = np.sort(maps.reshape(len(maps), -1), axis=1)[parents]
    amplitude = _amplitudes(maps)[parents]
    order = rng.permuted(np.broadcast_to(np.arange(height * width), (n, height * width)), axis=1)
    result = _by_rank(order.reshape(n, height, width).astype(np.float64), values)
    for _ in range(iterations):
        transform = scipy.fft.rfft2(result)
        size = np.abs(transform)
        phase = np.where(size > 0, transform / np.where(size > 0, size, 1.0), 1.0)
        result = _by_rank(scipy.fft.irfft2(amplitude * phase, s=(height, width)), values)
    return result, parents.astype(np.int64)


def gaussian(x: ArrayLike, n: int, rng: np.random.Generator) -> FloatArray:
    """Gaussian random fields with the mean power spectrum of a set of maps.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
        Maps; their spectrum is averaged over the set and over mirror images, direction dependence along the axes included.
    n : int
        Number of fields.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n, H, W)
        Periodic; their means are normal, with the mean and the scatter of those of the maps.
    """
    maps = as_stack(x)
    height, width = maps.shape[1:]
    power = np.mean(_amplitudes(maps) ** 2, axis=0)
    power = 0.5 * (power + np.roll(power[::-1], 1, axis=0))  # ky and -ky
    white = scipy.fft.rfft2(rng.standard_normal((n, height, width))) / np.sqrt(height * width)
    white[:, 0, 0] = 0.0
    centres = maps.mean(axis=(1, 2))
    scatter = centres.std(ddof=1) if len(maps) > 1 else 0.0
    level = centres.mean() + scatter * rng.standard_normal(n)
    return np.asarray(scipy.fft.irfft2(white * np.sqrt(power), s=(height, width)) + level[:, None, None])


def augment(x: ArrayLike, n: int, rng: np.random.Generator, *, max_shift: float = 0.25) -> tuple[FloatArray, IntArray]:
    """Flipped, rotated and shifted real maps: the baseline that costs nothing and is never new.

    Parameters
    ----------
    x : array_like, shape (N, H, W)
        Maps whose sides differ are flipped and turned by 180 degrees only.
    n : int
        Number of maps to make.
    rng : numpy.random.Generator
    max_shift : float
        Largest shift as a fraction of a side; what enters is the mirror image at the border.

    Returns
    -------
    maps : ndarray, shape (n, H, W)
    parents : ndarray of int, shape (n,)
    """
    maps = as_stack(x)
    height, width = maps.shape[1:]
    parents = rng.integers(len(maps), size=n)
    reach = int(max_shift * height), int(max_shift * width)
    result = np.empty((n, height, width))
    for i, parent in enumerate(parents):
        turned = _turn(maps[parent], rng)
        padded = np.pad(turned, [(r, r) for r in reach], mode="symmetric")
        top, left = (int(rng.integers(2 * r + 1)) for r in reach)
        result[i] = padded[top : top + height, left : left + width]
    return result, parents.astype(np.int64)


def _amplitudes(maps: FloatArray) -> FloatArray:
    """Fourier amplitudes (N, H, W // 2 + 1) of the periodic components, with the variance of the maps."""
    height, width = maps.shape[1:]
    size = height * width
    amplitude = np.abs(scipy.fft.rfft2(periodic_component(maps)))
    amplitude[:, 0, 0] = np.abs(maps.sum(axis=(1, 2)))
    weight = np.full(amplitude.shape[1:], 2.0)
    weight[:, 0] = 1.0
    if width % 2 == 0:
        weight[:, -1] = 1.0
    weight[0, 0] = 0.0
    lowest = np.zeros_like(weight)
    lowest[np.ix_([0, 1, -1], [0, 1])] = weight[np.ix_([0, 1, -1], [0, 1])]
    missing = np.maximum(maps.var(axis=(1, 2)) * size**2 - (weight * amplitude**2).sum(axis=(1, 2)), 0.0)
    own = np.maximum((lowest * amplitude**2).sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    gain = np.sqrt(1 + missing / own)
    return np.asarray(np.where(lowest > 0, amplitude * gain[:, None, None], amplitude))


def _turn(x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One of the flips and rotations that keep the shape."""
    if x.shape[0] == x.shape[1] and rng.integers(2):
        x = x.T
    return x[:: int(rng.choice([-1, 1])), :: int(rng.choice([-1, 1]))]


def _by_rank(x: FloatArray, values: FloatArray) -> FloatArray:
    """Put sorted `values` (N, H W) where `x` (N, H, W) has the same rank."""
    flat = x.reshape(len(x), -1)
    result = np.empty_like(flat)
    np.put_along_axis(result, np.argsort(flat, axis=1, kind="stable"), values, axis=1)
    return result.reshape(x.shape)
