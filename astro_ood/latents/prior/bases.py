r"""Orthonormal bases in which the covariance of a prior is block-diagonal: one C x C matrix for each coefficient.

``Pixels`` knows where the variance is, ``Fourier`` at which wavenumber (a stationary field), ``Wavelets`` both, at the resolution of
octaves. Because each is orthonormal, a density in its coefficients is a density of the pixels, and white noise is white in all.
The wavelets are Daubechies' with four vanishing moments (Daubechies 1992, table 6.1), periodic, as deep as the sides halve evenly;
they have three orientations per octave.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_DAUBECHIES_4 = np.array(
    [
        0.23037781330889650,
        0.71484657055291570,
        0.63088076792985890,
        -0.02798376941685985,
        -0.18703481171909309,
        0.03084138183556076,
        0.03288301166688520,
        -0.01059740178506903,
    ]
)


class Basis(Protocol):
    """An orthonormal transform of the last two axes."""

    paired: ClassVar[bool]
    """Whether coefficients come in conjugate pairs; they are real otherwise."""

    def forward(self, x: Array) -> Array:
        """Coefficients (..., H, W) of images (..., H, W)."""

    def inverse(self, coefficients: Array) -> Array:
        """Images (..., H, W) of coefficients (..., H, W)."""

    def groups(self, h: int, w: int) -> NDArray[np.int64]:
        """Number of the group of alike coefficients that each belongs to, shape (H, W), from 0 without gaps."""

    def holds_constant(self, h: int, w: int) -> bool:
        """Whether the first coefficient is the mean of the image, and the others do not see it."""


class Pixels:
    """The pixels themselves, one group."""

    paired: ClassVar[bool] = False

    def forward(self, x: Array) -> Array:
        """Return the images."""
        return x

    def inverse(self, coefficients: Array) -> Array:
        """Return the coefficients."""
        return coefficients

    def groups(self, h: int, w: int) -> NDArray[np.int64]:
        """One group."""
        return np.zeros((h, w), dtype=np.int64)

    def holds_constant(self, h: int, w: int) -> bool:
        """Every pixel sees the mean."""
        return h * w == 1


class Fourier:
    """Modes of the orthonormal Fourier transform, grouped in rings of equal wavenumber."""

    paired: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        """Complex modes."""
        return np.asarray(np.fft.fft2(x, norm="ortho"))

    def inverse(self, coefficients: Array) -> Array:
        """Real part of the image."""
        return np.asarray(np.fft.ifft2(coefficients, norm="ortho").real)

    def groups(self, h: int, w: int) -> NDArray[np.int64]:
        """Wavenumber in cycles per image, rounded."""
        ring = np.rint(np.hypot(np.fft.fftfreq(h)[:, None] * h, np.fft.fftfreq(w)[None] * w)).astype(np.int64)
        return _without_gaps(ring)

    def holds_constant(self, h: int, w: int) -> bool:
        """The mode of wavenumber 0."""
        return True


class Wavelets:
    """Periodic orthonormal wavelets, grouped by octave and orientation."""

    paired: ClassVar[bool] = False

    def forward(self, x: Array) -> Array:
        """Coefficients, the coarsest first."""
        out = np.array(x, dtype=np.float64)
        for h, w in octaves(*out.shape[-2:]):
            out[..., :h, :w] = step(h) @ out[..., :h, :w] @ step(w).T
        return out

    def inverse(self, coefficients: Array) -> Array:
        """Images."""
        out = np.array(coefficients, dtype=np.float64)
        for h, w in reversed(octaves(*out.shape[-2:])):
            out[..., :h, :w] = step(h).T @ out[..., :h, :w] @ step(w)
        return out

    def groups(self, h: int, w: int) -> NDArray[np.int64]:
        """Octave and orientation; what is left of the image at the coarsest is a group of its own."""
        out = np.zeros((h, w), dtype=np.int64)
        for level, (a, b) in enumerate(reversed(octaves(h, w))):
            out[a // 2 : a, : b // 2] = 3 * level + 1
            out[: a // 2, b // 2 : b] = 3 * level + 2
            out[a // 2 : a, b // 2 : b] = 3 * level + 3
        return out

    def holds_constant(self, h: int, w: int) -> bool:
        """Where the sides halve down to one pixel."""
        sides = octaves(h, w)
        return bool(sides) and sides[-1] == (2, 2)


def octaves(h: int, w: int) -> list[tuple[int, int]]:
    """Sides of the image at each octave, the finest first, while both are even."""
    found = []
    while h % 2 == 0 and w % 2 == 0:
        found.append((h, w))
        h, w = h // 2, w // 2
    return found


@lru_cache(maxsize=64)
def step(n: int) -> NDArray[np.float64]:
    """One octave of the periodic transform as an orthonormal matrix (n, n): the upper half smooths, the lower differs."""
    matrix = np.zeros((n, n))
    for row in range(n // 2):
        for tap, value in enumerate(_DAUBECHIES_4):
            column = (2 * row + tap) % n
            matrix[row, column] += value
            matrix[n // 2 + row, column] += (-1) ** tap * _DAUBECHIES_4[::-1][tap]
    return matrix


def _without_gaps(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(numbers, return_inverse=True)[1].reshape(numbers.shape).astype(np.int64)
