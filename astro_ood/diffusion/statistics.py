r"""Statistics of maps that can be steered: differentiable, batched, on the network's device.

Of a map :math:`x` continued by its mirror image beyond its borders (so that nothing is tapered, and no border is left free):

* ``spectrum``: :math:`\ln P` in bands of the cosine transform, up to the corner of the Fourier plane;
* ``pdf``: means of the sorted values in groups of equal number, over the standard deviation of a typical map;
* ``scattering``: :math:`\ln S_1[j]` and :math:`\ln (S_2[j_1, j_2, \theta] / S_1[j_1])`, the vector of `astro_ood.stats.scattering`, with
  the same Morlet wavelets: how strong the structures of a scale are, how they cluster on larger ones, threads or blobs;
* ``phases``: the correlation of the envelope of the structures of a scale with the structures of a larger one,
  :math:`\mathrm{Re} \langle (|x * \psi_1| * \psi_2)\, \overline{x * \psi_2} \rangle` over the norms (the skewness-like part of the
  scattering spectra of Cheng et al. 2024, arXiv:2306.17210): whether bright or faint places are rough, which no S2 knows.

All are averages over the map, blind to where things are, and but for ``pdf`` to flips and quarter turns as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astro_ood.errors import ConfigError, InputError

Array = NDArray[np.float64]
Vector = dict[str, Tensor]
NAMES = ("spectrum", "pdf", "scattering", "phases")
# constants of the wavelets: those of `astro_ood.stats`, which has no torch and cannot be asked for them
WIDTH, WAVE_NUMBER = 0.8, 0.75 * np.pi
_REACH, _LEAST_POINTS, _LEAST_SIDE = 5.0, 8, 8
# added to what a logarithm is taken of, for maps of unit variance: well below what float32 leaves of a faint band
_LEAST_S, _LEAST_P = 1e-7, 1e-12


class Statistics:
    """Statistics of maps (N, H, W) of one shape.

    Parameters
    ----------
    shape : (int, int)
        (H, W), at least 8 pixels each.
    names : sequence of str
        Which of ``spectrum``, ``pdf``, ``scattering`` and ``phases``.
    scale : float
        Standard deviation of a typical map, in whose unit values are counted.
    n_angles : int
        Orientations of the wavelets in half a turn.
    bands : int
        Bands of the spectrum in an octave.
    groups : int
        Groups of sorted values, at the most.
    device, dtype
        Of the matrices.

    Raises
    ------
    ConfigError
        Unknown statistics, or none.
    InputError
        Maps too small for a wavelet.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        names: Sequence[str] = NAMES,
        *,
        scale: float = 1.0,
        n_angles: int = 4,
        bands: int = 2,
        groups: int = 256,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        unknown = [name for name in names if name not in NAMES]
        if unknown or not names:
            raise ConfigError("CF44", "statistics", f"found {list(names)}, expected some of {', '.join(NAMES)}", "correct it")
        if min(shape) < _LEAST_SIDE:
            raise InputError(
                "IN16", "guidance", f"maps have {shape[0]} x {shape[1]} pixels", f"statistics need {_LEAST_SIDE} x {_LEAST_SIDE}"
            )
        self.shape, self.names, self.scale, self.n_angles, self.groups = shape, tuple(names), float(scale), n_angles, groups
        self.device, self.dtype = device or torch.device("cpu"), dtype
        scales = max(1, int(np.log2(min(shape)) + 1e-9) - 1)
        self.pairs = list(combinations(range(scales), 2))
        with torch.inference_mode(mode=False):
            self._cosines = [self._tensor(cosine_matrix(n)) for n in shape]
            self._make_bands(bands)
            self._make_wavelets(scales)

    def __call__(self, x: Tensor) -> Vector:
        """Statistics (N, K) by name, of maps (N, H, W)."""
        z = x / self.scale
        found: Vector = {}
        if "spectrum" in self.names:
            found["spectrum"] = torch.log(self.band_power(self.cosine(z)) + _LEAST_P)
        if "pdf" in self.names:
            found["pdf"] = self._sorted(z)
        if "scattering" in self.names or "phases" in self.names:
            scattering, phases = self._wavelets(z - z.mean(dim=(1, 2), keepdim=True))
            found |= {k: v for k, v in (("scattering", scattering), ("phases", phases)) if k in self.names}
        return found

    def cosine(self, x: Tensor) -> Tensor:
        """Orthonormal cosine transform of maps (N, H, W): the Fourier transform of maps continued by their mirror image."""
        return self._cosines[0] @ x @ self._cosines[1].T

    def inverse_cosine(self, c: Tensor) -> Tensor:
        """Inverse of `cosine`."""
        return self._cosines[0].T @ c @ self._cosines[1]

    def band_power(self, c: Tensor) -> Tensor:
        """Mean square (N, B) of coefficients (N, H, W) in each band; the constant is in none."""
        return c.flatten(1).square() @ self._averages.T

    def filtered(self, x: Tensor, gain: Tensor) -> Tensor:
        """Maps (N, H, W) with the amplitudes of each band multiplied by (N or 1, B); their means stay."""
        factor = torch.cat([torch.ones_like(gain[:, :1]), gain], dim=1)[:, self._band]
        return self.inverse_cosine(self.cosine(x) * factor.reshape(-1, *self.shape))

    def with_power(self, x: Tensor, ln_power: Tensor) -> Tensor:
        """Maps (N, H, W) with the power (N, B) in each band, in closed form: amplitudes times one factor a band."""
        power = self.band_power(self.cosine(x / self.scale))
        return self.filtered(x, torch.exp(0.5 * (ln_power - torch.log(power + _LEAST_P))))

    def amplitude(self, ln_power: Tensor, shape: tuple[int, int]) -> Tensor:
        """Root of the spectrum (N, h, w // 2 + 1) on the half plane of a periodic box, from the power in bands (N, B)."""
        k = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
        at = np.interp(np.log2(np.maximum(k, 1e-9)), self._octave, np.arange(len(self._octave)))
        low = np.clip(np.floor(at).astype(int), 0, max(len(self._octave) - 2, 0))
        part = self._tensor(at - low)
        index = torch.from_numpy(low).to(self.device)
        above = torch.clamp(index + 1, max=ln_power.shape[1] - 1)
        return torch.exp(0.5 * ((1 - part) * ln_power[:, index] + part * ln_power[:, above]))

    def _sorted(self, z: Tensor) -> Tensor:
        """Means of the sorted values in groups of equal number (N, G)."""
        values = z.flatten(1).sort(dim=1).values
        edges = np.linspace(0, values.shape[1], min(self.groups, values.shape[1]) + 1).round().astype(int)
        total = torch.nn.functional.pad(values.cumsum(dim=1, dtype=torch.float64), (1, 0))[:, edges]
        return (total.diff(dim=1) / self._tensor(np.diff(edges)).double()).to(z.dtype)

    def _wavelets(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Reduced scattering coefficients and phases of maps (N, H, W) of mean 0."""
        first = [bank(z) for bank in self._first]
        s1 = torch.stack([f.abs().mean(dim=(-2, -1)) for f in first], dim=1) + _LEAST_S
        ratios, phases = [], []
        for a, b in self.pairs:
            again = self._second[a, b](first[a].abs())
            # (N, l1, l2, h, w), by relative angle
            s2 = again.abs().mean(dim=(-2, -1)) + _LEAST_S
            ratios.append(torch.log(self._by_turn(s2) / s1[:, a].mean(dim=1, keepdim=True)))
            large = first[b][:, None]
            product = (again.real * large.real + again.imag * large.imag).mean(dim=(-2, -1))
            norm = _square(again).mean(dim=(-2, -1)) * _square(large).mean(dim=(-2, -1))
            phases.append(self._by_turn(product / torch.sqrt(norm + _LEAST_S**4)))
        ln_s1 = torch.log(s1.mean(dim=2))
        if not self.pairs:
            return ln_s1, ln_s1[:, :0]
        return torch.cat([ln_s1, *ratios], dim=1), torch.cat(phases, dim=1)

    def _by_turn(self, values: Tensor) -> Tensor:
        """Means (N, T) over pairs of angles (N, L, L) with the same angle between them."""
        return values.flatten(1) @ self._turns

    def _make_bands(self, per_octave: int) -> None:
        k = 0.5 * np.hypot(np.arange(self.shape[0])[:, None] / self.shape[0], np.arange(self.shape[1])[None] / self.shape[1])
        octave = np.log2(k.ravel()[1:])
        _, band = np.unique(np.round(per_octave * (octave - octave.min())), return_inverse=True)
        members = np.zeros((int(band.max()) + 1, k.size))
        members[band, np.arange(1, k.size)] = 1.0
        members /= members.sum(axis=1, keepdims=True)
        self._averages, self._octave = self._tensor(members), members[:, 1:] @ octave
        self._band = torch.from_numpy(np.append(0, band + 1)).to(self.device)

    def _make_wavelets(self, scales: int) -> None:
        grids = [(_points(self.shape[0], j), _points(self.shape[1], j)) for j in range(scales)]
        sides = (float(self.shape[0]), float(self.shape[1]))
        self._first = [_Bank(self, self.shape, grids[j], sides, j) for j in range(scales)]
        self._second = {(a, b): _Bank(self, grids[a], grids[b], sides, b) for a, b in self.pairs}
        angle = np.arange(self.n_angles)
        turn = (angle[None] - angle[:, None]) % self.n_angles
        turn = np.minimum(turn, self.n_angles - turn).ravel()
        same = (turn[:, None] == np.arange(self.n_angles // 2 + 1)).astype(np.float64)
        self._turns = self._tensor(same / same.sum(axis=0))

    def _tensor(self, values: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float64)).to(self.dtype).to(self.device)


class _Bank:
    """The wavelets of one scale, all angles, from one grid of points to another that covers the same map."""

    def __init__(
        self, owner: Statistics, points: tuple[int, int], grid: tuple[int, int], sides: tuple[float, float], scale: int
    ) -> None:
        width, wave_number = WIDTH * 2.0**scale, WAVE_NUMBER / 2**scale
        turns = np.pi * np.arange(owner.n_angles) / owner.n_angles
        axes = list(zip(points, grid, sides, strict=True))
        waves = [
            [mirrored_filter(*axis, width, wave_number * part) for part in parts]
            for axis, parts in zip(axes, (np.sin(turns), np.cos(turns)), strict=True)
        ]
        low = [mirrored_filter(*axis, width).real for axis in axes]
        mean = [(y.sum(axis=1).mean() * x.sum(axis=1).mean()).real for y, x in zip(*waves, strict=True)]
        y, x = (np.stack(w) for w in waves)
        # the Gaussian that makes the mean zero is one more product, of which each wavelet takes its multiple
        self._y = owner._tensor(np.concatenate([y.real.reshape(-1, points[0]), y.imag.reshape(-1, points[0]), low[0]]))
        self._x = owner._tensor(np.stack([np.concatenate([f.real, f.imag]) for f in x])).mT.contiguous()
        self._low = owner._tensor(low[1]).mT.contiguous()
        self._mean = owner._tensor(np.asarray(mean))[:, None, None]
        self._n, self._grid = owner.n_angles, grid

    def __call__(self, u: Tensor) -> Tensor:
        """Complex fields (..., L, h, w) of fields (..., H, W)."""
        n, (h, w) = self._n, self._grid
        rows = self._y @ u
        waves, low = rows[..., : 2 * n * h, :], rows[..., 2 * n * h :, :] @ self._low
        both = waves.reshape(*waves.shape[:-2], 2, n, h, waves.shape[-1]) @ self._x
        real, imag = both[..., 0, :, :, :], both[..., 1, :, :, :]
        even = real[..., :w] - imag[..., w:] - self._mean * low[..., None, :, :]
        return torch.complex(even, real[..., w:] + imag[..., :w])


def cosine_matrix(n: int) -> Array:
    """Orthonormal cosine transform of `n` values (type II)."""
    k, at = np.arange(n)[:, None], (np.arange(n) + 0.5)[None]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * k * at / n)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix)


def mirrored_filter(n_in: int, n_out: int, side: float, width: float, wave_number: float = 0.0) -> NDArray[np.complex128]:
    """Gaussian of unit sum times a wave, from `n_in` to `n_out` points of a side continued by its mirror image: (n_out, n_in)."""
    step = side / n_in
    beyond = int(np.ceil(_REACH * width / step)) + 1
    points = np.arange(-beyond, n_in + beyond)
    lag = ((np.arange(n_out) + 0.5) * (side / n_out))[:, None] - (points + 0.5) * step
    gauss = np.where(np.abs(lag) <= _REACH * width, np.exp(-0.5 * (lag / width) ** 2), 0.0)
    wave = gauss / gauss.sum(axis=1, keepdims=True) * np.exp(1j * wave_number * lag)
    fold = points % (2 * n_in)
    fold = np.minimum(fold, 2 * n_in - 1 - fold)
    matrix = np.zeros((n_in, n_out), np.complex128)
    np.add.at(matrix, fold, wave.T)
    return matrix.T


def _points(side: int, scale: int) -> int:
    """Points along a side on which the modulus of a scale is computed."""
    return min(side, max(_LEAST_POINTS, int(np.ceil(side / 2**scale - 1e-9))))


def _square(field: Tensor) -> Tensor:
    return field.real.square() + field.imag.square()
