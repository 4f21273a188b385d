r"""Numbers of a candidate latent that the criteria put bands around.

Three compare it with the inverted latents as points of a space of `d` dimensions, as published (arXiv:2310.09213): its mean ``distance``
to them, its mean angle to them at the origin (``origin_angle``), and the mean angle at one of them between it and another
(``pair_angle``, 60 degrees whatever the domain). All three follow from inner products; a fourth is its own: the ``radius`` :math:`|z|`.
None of them knows which pixel is whose neighbour; two more do:

* ``spectrum``: how far its band powers lie from theirs,
  :math:`\big(\tfrac1B \sum_b (\ln P_b - m_b)^2 / s_b^2\big)^{1/2}` over half octaves of wavenumber and channels, with the mean :math:`m`
  and variance :math:`s^2` of the latents' own. The variances are drawn, as by eight more latents, to the sampling variance of a Gaussian
  band plus one scatter common to all bands, so that six latents give usable ones. About 1 for one more of them;
* ``whiteness``: what is left beside the radial spectrum. The candidate is whitened by its own spectrum, ring by ring, and the correlations
  :math:`\rho` of that residual, and of its square, between neighbours along rows, columns and both diagonals are added up:
  :math:`(H W\, \overline{\rho^2})^{1/2}`. About 0.9 for an isotropic Gaussian field of one channel (0.75 in the mean square: the
  whitening takes half of the first kind away); more for stripes, and for structure that is strong in one place and weak in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma

from astro_ood.latents.prior.bases import Fourier

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

GEOMETRIC = ("distance", "origin_angle", "pair_angle")
NAMES = (*GEOMETRIC, "radius", "spectrum", "whiteness")
LOGARITHMIC = ("radius", "spectrum", "whiteness")
ONE_SIDED = ("spectrum",)
_LAGS = ((0, 1), (1, 0), (1, 1), (1, -1))
_PSEUDO = 8.0
# squared lengths below this share of what they are the difference of are rounding
_NOTHING = 1e-12


@dataclass(frozen=True)
class References:
    """Latents to measure against, with all that is computed of them once.

    Attributes
    ----------
    flat : ndarray, shape (N, d)
    products : ndarray, shape (N, N)
        Their inner products.
    ln_power : ndarray, shape (N, C, B)
        Logarithms of their band powers.
    sampling : ndarray, shape (C B,)
        Variance of these for a Gaussian field of one spectrum.
    """

    flat: Array
    products: Array
    ln_power: Array
    sampling: Array

    @classmethod
    def of(cls, z: NDArray[Any]) -> References:
        """References from latents (N, C, H, W), N >= 2."""
        z = np.asarray(z, dtype=np.float64)
        flat = z.reshape(len(z), -1)
        members = np.bincount(bands(*z.shape[2:]).ravel() + 1)[1:]
        return cls(flat, flat @ flat.T, ln_band_power(z), np.tile(polygamma(1, members / 2), z.shape[1]))

    def __len__(self) -> int:
        return len(self.flat)


def measure(
    z: NDArray[Any],
    references: NDArray[Any] | References,
    parents: Rows | None = None,
    names: tuple[str, ...] = NAMES,
) -> dict[str, Array]:
    """Numbers of latents by name, angles in degrees, each of shape (M,).

    Parameters
    ----------
    z : ndarray, shape (M, C, H, W)
    references : ndarray, shape (N, C, H, W), or References; N >= 2
    parents : ndarray of int, shape (M, K), optional
        References that each latent was made from (-1 for none). They are left out where two others remain: closeness to a parent is
        what novelty measures, and the published references are strangers too.
    names : tuple of str
        Which of `NAMES`.

    Notes
    -----
    O(M N d) for the products, O(M d log d) for the spectra; the references' own products are computed once.
    """
    z = np.asarray(z, dtype=np.float64)
    known = references if isinstance(references, References) else References.of(references)
    kept = _strangers(len(z), len(known), parents)
    out: dict[str, Array] = {}
    if set(names) & set(GEOMETRIC):
        out |= _geometry(z.reshape(len(z), -1), known, kept)
    if "radius" in names:
        out["radius"] = np.linalg.norm(z.reshape(len(z), -1), axis=1)
    if "spectrum" in names:
        out["spectrum"] = _spectrum(ln_band_power(z), known, kept)
    if "whiteness" in names:
        out["whiteness"] = whiteness(z)
    return {name: out[name] for name in names}


def _strangers(m: int, n: int, parents: Rows | None) -> NDArray[np.bool_]:
    """Which references (M, N) each latent is measured against."""
    kept = np.ones((m, n), dtype=bool)
    if parents is not None:
        row, column = np.nonzero(parents >= 0)
        kept[row, parents[row, column]] = False
        kept[kept.sum(axis=1) < 2] = True
    return kept


def _geometry(a: Array, known: References, kept: NDArray[np.bool_]) -> dict[str, Array]:
    inner, own, theirs = a @ known.flat.T, np.einsum("ij,ij->i", a, a), np.diag(known.products)
    squared = _length(own[:, None] + theirs - 2 * inner, own[:, None] + theirs)
    n = kept.sum(axis=1)
    out = {
        "distance": np.sqrt(squared).sum(axis=1, where=kept) / n,
        "origin_angle": _degrees(inner, own[:, None] * theirs).sum(axis=1, where=kept) / n,
        "pair_angle": np.empty(len(a)),
    }
    for row, mask in enumerate(kept):
        # neighbouring references in a ring: every reference is a corner once
        corner = np.flatnonzero(mask)
        other = np.roll(corner, -1)
        between = known.products[corner, other]
        product = inner[row, other] - inner[row, corner] - between + theirs[corner]
        step = _length(theirs[corner] + theirs[other] - 2 * between, theirs[corner] + theirs[other])
        out["pair_angle"][row] = np.mean(_degrees(product, squared[row, corner] * step))
    return out


def _length(squared: Array, terms: Array) -> Array:
    return np.where(squared > _NOTHING * terms, squared, 0.0)


def _degrees(products: Array, squared_norms: Array) -> Array:
    """Angles; 90 degrees to a vector of no length."""
    norms = np.sqrt(squared_norms)
    cosine = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def bands(h: int, w: int) -> NDArray[np.int64]:
    """Half octave of wavenumber that each Fourier mode (H, W) is in, from 0 without gaps; -1 for the constant.

    The first two, of four modes each, count as one: the logarithm of a power in so few modes is far from normal.
    """
    k = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.fftfreq(w)[None]) * max(h, w)
    half_octave = np.maximum(np.rint(2 * np.log2(np.maximum(k, 1))), 1)
    half_octave[0, 0] = 0
    return np.unique(half_octave, return_inverse=True)[1].reshape(h, w).astype(np.int64) - 1


def ln_band_power(z: Array) -> Array:
    """Logarithms (N, C, B) of the mean power of latents (N, C, H, W) in the bands of `bands`."""
    n, c, h, w = z.shape
    index = bands(h, w).ravel()
    members = np.bincount(index + 1)[1:]
    out = np.empty((n, c, len(members)))
    for i, latent in enumerate(z):
        power = np.abs(np.fft.fft2(latent, norm="ortho")).reshape(c, -1) ** 2
        out[i] = [np.bincount(index + 1, row)[1:] / members for row in power]
    return np.asarray(np.log(np.maximum(out, 1e-300)))


def _spectrum(own: Array, known: References, kept: NDArray[np.bool_]) -> Array:
    """Distances (M,) of log powers (M, C, B) from those of the references that count for each."""
    a, r = own.reshape(len(own), -1), known.ln_power.reshape(len(known), -1)
    middle = r.mean(axis=0)
    a, r, count = a - middle, r - middle, kept.sum(axis=1, keepdims=True)
    mean = kept @ r / count
    squares = np.maximum(kept @ r**2 - count * mean**2, 0.0)
    common = np.maximum((squares / (count - 1) - known.sampling).mean(axis=1, keepdims=True), 0.0)
    variance = (squares + _PSEUDO * (known.sampling + common)) / (count - 1 + _PSEUDO)
    return np.asarray(np.sqrt(np.mean((a - mean) ** 2 / variance, axis=1)))


def whiteness(z: Array) -> Array:
    """Correlation left in latents (N, C, H, W) beside their radial spectra, shape (N,)."""
    h, w = z.shape[-2:]
    ring = Fourier().groups(h, w).ravel()
    members = np.bincount(ring)
    out = np.empty(len(z))
    for i, latent in enumerate(z):
        modes = np.fft.fft2(latent - latent.mean(axis=(-2, -1), keepdims=True))
        power = np.array([np.bincount(ring, row) / members for row in np.abs(modes.reshape(len(modes), -1)) ** 2])
        modes /= np.sqrt(np.maximum(power, 1e-300))[:, ring].reshape(modes.shape)
        residual = np.fft.ifft2(modes).real
        squared = np.concatenate([_lag_correlations(residual), _lag_correlations(residual**2)])
        out[i] = np.sqrt(h * w * np.mean(squared**2))
    return out


def _lag_correlations(x: Array) -> Array:
    """Correlations of neighbours in fields (C, H, W), averaged over channels, one for each lag."""
    x = x - x.mean(axis=(-2, -1), keepdims=True)
    variance = np.maximum(np.mean(x**2, axis=(-2, -1)), 1e-300)
    return np.array([np.mean(np.mean(x * np.roll(x, lag, axis=(-2, -1)), axis=(-2, -1)) / variance) for lag in _LAGS])
