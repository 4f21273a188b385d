r"""A linear transfer function: the simplest calibration of decoded maps, fitted and recorded.

Decoding may damp or raise a scale in every map alike. For maps :math:`x` and what came of decoding, :math:`y`, the gain of wavenumber is

.. math:: \ln g(k) = \tfrac12 \big( \langle \ln P_x(k) \rangle - \langle \ln P_y(k) \rangle \big),

in half octaves, linear in :math:`\ln k` between their centres and constant beyond. What is smaller than its own standard error is not corrected, and
what is larger is shrunk by it (the positive part of the James-Stein estimate, :math:`1 - \mathrm{se}^2 / (\ln g)^2`); no gain leaves
:math:`[1/4, 4]`. Maps are continued by their mirror image (cosine transform), so no border is carried to the opposite one; means stay.

A gain moves phases of none and makes no structure: it cannot be told from better decoding by a spectrum, only by all else. It is
fitted to the *inverted* maps; held-out ones judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from astro_ood.errors import InputError
from astro_ood.stats._arrays import FloatArray, IntArray

MOST = 4.0
_LEAST_POWER = 1e-30


@dataclass(frozen=True)
class Transfer:
    """Amplitudes by which a filter multiplies each wavenumber.

    Attributes
    ----------
    k : ndarray, shape (B,)
        Centres of the bands, cycles per pixel.
    gain : ndarray, shape (C, B)
        Factor of the amplitudes of each channel.
    error : ndarray, shape (C, B)
        Standard error of its logarithm before it was shrunk.
    """

    k: FloatArray
    gain: FloatArray
    error: FloatArray

    def __call__(self, maps: ArrayLike) -> FloatArray:
        """Filtered maps (N, C, H, W)."""
        x = _maps(maps, "maps")
        if x.shape[1] != len(self.gain):
            raise InputError(
                "IN32", "transfer", f"maps have {x.shape[1]} channels, the function {len(self.gain)}", "fit it to such maps"
            )
        k = wavenumbers(*x.shape[2:])
        at = np.log(np.maximum(k, self.k[0]))
        factor = np.exp([np.interp(at, np.log(self.k), row) for row in np.log(self.gain)])
        factor[:, 0, 0] = 1.0
        return np.asarray(_inverse_cosine(_cosine(x) * factor))

    def inverse(self) -> Transfer:
        """The filter that takes this one back: the untouched maps, up to rounding."""
        return Transfer(self.k, 1 / self.gain, self.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for stores."""
        return {"k": self.k.tolist(), "gain": self.gain.tolist(), "error": self.error.tolist()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Transfer:
        """Inverse of `to_dict`."""
        return cls(*(np.array(record[name], dtype=np.float64) for name in ("k", "gain", "error")))


def fit_transfer(real: ArrayLike, decoded: ArrayLike, *, paired: bool = False) -> Transfer:
    """Gain that gives decoded maps the mean log-spectrum of real ones.

    Parameters
    ----------
    real : array_like, shape (N, C, H, W)
        Maps as they were inverted, normalised.
    decoded : array_like, shape (M, C, H, W)
        What decoding makes: their reconstructions, or samples.
    paired : bool
        Whether `decoded` are the reconstructions of `real`, row by row: the scatter between maps is then no error.

    Raises
    ------
    InputError
        IN40 fewer than two maps; IN32 other channels or sizes, or pairs of different number; IN17 values that are no numbers.
    """
    x, y = _maps(real, "real", 2), _maps(decoded, "decoded", 2)
    if x.shape[1:] != y.shape[1:] or (paired and len(x) != len(y)):
        raise InputError("IN32", "transfer", f"real maps {x.shape}, decoded ones {y.shape}", "give maps of one shape")
    band, k = bands(*x.shape[2:])
    ln = [ln_band_power(maps, band) for maps in (x, y)]
    if paired:
        square = (ln[0] - ln[1]).var(axis=0, ddof=1) / len(x)
    else:
        square = sum(values.var(axis=0, ddof=1) / len(values) for values in ln)
    found, error = 0.5 * (ln[0].mean(axis=0) - ln[1].mean(axis=0)), 0.5 * np.sqrt(square)
    share = np.maximum(1 - np.divide(error, found, out=np.full_like(found, np.inf), where=found != 0) ** 2, 0.0)
    return Transfer(k, np.exp(np.clip(share * found, -np.log(MOST), np.log(MOST))), error)


def wavenumbers(h: int, w: int) -> FloatArray:
    """Wavenumber (H, W) of each coefficient of the cosine transform, cycles per pixel."""
    return np.asarray(0.5 * np.hypot(np.arange(h)[:, None] / h, np.arange(w)[None] / w))


def bands(h: int, w: int) -> tuple[IntArray, FloatArray]:
    """Half octave that each coefficient (H, W) is in, -1 for the constant, and the mean (in the logarithm) wavenumber of each."""
    k = wavenumbers(h, w).ravel()[1:]
    octave = np.log2(k / k.min())
    # the first octave has five coefficients in all: one band
    _, band = np.unique(np.maximum(np.rint(2 * octave), 2), return_inverse=True)
    centre = np.exp(np.bincount(band, np.log(k)) / np.bincount(band))
    return np.append(-1, band).reshape(h, w).astype(np.int64), centre


def ln_band_power(x: FloatArray, band: IntArray) -> FloatArray:
    """Log mean power of maps (N, C, H, W) in bands, shape (N, C, B)."""
    members = np.bincount(band.ravel() + 1)[1:]
    power = (_cosine(x) ** 2).reshape(-1, band.size)
    means = np.array([np.bincount(band.ravel() + 1, row)[1:] / members for row in power])
    return np.asarray(np.log(means + _LEAST_POWER).reshape(*x.shape[:2], -1))


def _cosine(x: FloatArray) -> FloatArray:
    return np.asarray(scipy.fft.dctn(x, axes=(-2, -1), norm="ortho"))


def _inverse_cosine(c: FloatArray) -> FloatArray:
    return np.asarray(scipy.fft.idctn(c, axes=(-2, -1), norm="ortho"))


def _maps(maps: ArrayLike, where: str, least: int = 0) -> FloatArray:
    x = np.asarray(maps, dtype=np.float64)
    if x.ndim != 4 or 0 in x.shape[1:] or x.shape[2:] == (1, 1):
        raise InputError("IN16", where, f"shape {x.shape}, expected (N, C, H, W)", "give one stack of maps")
    if len(x) < least:
        raise InputError("IN40", where, f"{len(x)} maps, expected at least {least}", "give more maps")
    if not np.isfinite(x).all():
        raise InputError("IN17", where, "some maps hold NaN or infinity", "drop them")
    return x
