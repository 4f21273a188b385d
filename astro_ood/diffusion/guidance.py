r"""Statistic-guided decoding: the network stays frozen, its estimate of the clean map is moved.

Whatever solver asks for the noise in :math:`x_t`, it is answered with

.. math:: \hat x_0 = \frac{x_t - \sigma_t \epsilon(x_t, t)}{\alpha_t}, \qquad
          \hat x_0' = \hat x_0 + \lambda\, (M(\hat x_0) - \hat x_0), \qquad
          \epsilon' = \frac{x_t - \alpha_t \hat x_0'}{\sigma_t},

where :math:`M` moves a map until its statistics (`astro_ood.diffusion.statistics`) are those aimed at. :math:`M` is a rescaling of
every band of the spectrum, in closed form, and some steps downhill of the squared differences of all statistics, in a variable in
which all bands are equally stiff: white noise on a periodic box of twice the side, filtered with the spectrum aimed at and cut. The
decoded map itself is moved once more at the end, where nothing follows that could spoil it.

**What is aimed at.** The statistics of the inverted maps alone; ``parent``: those of one of them, each as often as any other;
``draw``: their mean plus a random combination of their deviations, with the mean and covariance of the set (of rank n - 1: n maps
never say more than n - 1 numbers about a sample); ``mean``: their mean, with which the scatter between maps is lost. The choice for an
item depends on the seed and its number alone.

**Through noise.** A perfect estimate of the clean map from a noisy one is smooth: its mode k has the fraction
:math:`w = \alpha_t^2 P / (\alpha_t^2 P + \sigma_t^2)` of the amplitude that only noiseless maps have. With ``soft`` the targets at
time t are the statistics of inverted maps filtered with :math:`\sqrt w`, so that small scales are asked for when they can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astro_ood._random import stream
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.descent import descend
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.statistics import NAMES, Statistics, Vector
from astro_ood.errors import ConfigError, InputError

Aim = Literal["parent", "draw", "mean"]
_PARTS = 16


@dataclass(frozen=True)
class Guidance:
    """How decoding is guided.

    Attributes
    ----------
    t_from : float
        From this time on downwards, in the network's own time; 0 moves the decoded maps only.
    steps : int
        Steps downhill at each evaluation of the network.
    last : int
        Steps downhill of the decoded map.
    strength : float
        Part of the way that the estimate is moved at each evaluation, in (0, 1]; the decoded map is moved all the way.
    aim : {"parent", "draw", "mean"}
        Which statistics each sample aims at; samples that aim at one map come nearer to it in what is steered.
    statistics : tuple of str
        Which are steered, of ``spectrum``, ``pdf``, ``scattering`` and ``phases``. What is steered is no evidence for the samples.
    soft : bool
        Whether targets are seen through the noise of their time.

    Raises
    ------
    ConfigError
        CF44 for a value that is not possible.
    """

    t_from: float
    steps: int = 8
    last: int = 120
    strength: float = 1.0
    aim: Aim = "parent"
    statistics: tuple[str, ...] = NAMES
    soft: bool = True

    def __post_init__(self) -> None:
        _require(np.isfinite(self.t_from), "t_from", self.t_from, "a time of the network")
        _require(self.steps >= 0, "steps", self.steps, "at least 0")
        _require(self.last >= 0, "last", self.last, "at least 0")
        _require(0 < self.strength <= 1, "strength", self.strength, "above 0, at most 1")
        _require(self.aim in get_args(Aim), "aim", self.aim, ", ".join(get_args(Aim)))
        known = bool(self.statistics) and set(self.statistics) <= set(NAMES)
        _require(known, "statistics", list(self.statistics), f"some of {', '.join(NAMES)}")


class Targets:
    """Statistics of the inverted maps, and what each item aims at.

    Parameters
    ----------
    maps : ndarray, shape (n, 1, H, W)
        Inverted maps in [-1, 1]; never held-out ones.
    guidance : Guidance
    seed : int
        Seed of the choices.
    device, dtype
        Where statistics are computed.

    Raises
    ------
    InputError
        No maps, maps of several channels, maps that are not finite or do not vary.
    """

    def __init__(
        self,
        maps: Field,
        guidance: Guidance,
        seed: int = 0,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if maps.ndim != 4 or len(maps) == 0 or maps.shape[1] != 1:
            problem = f"inverted maps have shape {maps.shape}, expected (n, 1, H, W)"
            raise InputError("IN32", "guidance", problem, "statistics are those of one map an item: decode without guidance")
        if not np.isfinite(maps).all() or not (np.std(maps, axis=(1, 2, 3), dtype=np.float64) > 0).all():
            raise InputError("IN17", "guidance", "an inverted map is not finite or does not vary", "leave it out")
        self.guidance, self.seed, self.n = guidance, seed, len(maps)
        self.shape = (maps.shape[2], maps.shape[3])
        scale = float(np.sqrt(np.mean(np.var(maps, axis=(1, 2, 3), dtype=np.float64))))
        names = guidance.statistics if "spectrum" in guidance.statistics else ("spectrum", *guidance.statistics)
        self.statistics = Statistics(self.shape, names, scale=scale, device=device, dtype=dtype)
        with torch.inference_mode(mode=False), torch.no_grad():
            self._maps = torch.from_numpy(maps[:, 0].astype(np.float64)).to(dtype).to(self.statistics.device)
            self._seen = {0.0: self._measure(self._maps)}

    def weights(self, items: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Part (N, n) that each inverted map has in the target of each item."""
        n, rows = self.n, np.zeros((len(items), self.n))
        for row, item in zip(rows, items, strict=True):
            if self.guidance.aim == "parent":
                row[stream(self.seed, "guidance", int(item) // n).permutation(n)[int(item) % n]] = 1.0
            elif self.guidance.aim == "draw" and n > 1:
                row[:] = stream(self.seed, "guidance", int(item)).standard_normal(n) / np.sqrt(n - 1)
                row += (1 - row.sum()) / n
            else:
                row[:] = 1 / n
        return rows

    def at(self, weights: NDArray[np.float64], noise: float = 0.0) -> Vector:
        """Targets (N, K) by name: statistics of the maps as they are seen through white noise of this standard deviation."""
        with torch.inference_mode(mode=False), torch.no_grad():
            vectors = self._vectors(noise)
            mix = torch.from_numpy(weights).to(self._maps)
            found = {name: mix @ values for name, values in vectors.items()}
            if "pdf" in found:
                found["pdf"] = found["pdf"].sort(dim=1).values
        return found

    def _vectors(self, noise: float) -> Vector:
        """Statistics (n, K) of the inverted maps, smoothed as a perfect estimate from noisy ones is; kept, as times come again."""
        if noise not in self._seen:
            power = torch.exp(self._seen[0.0]["spectrum"]).mean(dim=0)
            part = power / (power + (noise / self.statistics.scale) ** 2)
            self._seen[noise] = self._measure(self.statistics.filtered(self._maps, part.sqrt()[None]))
        return self._seen[noise]

    def _measure(self, x: Tensor) -> Vector:
        parts = [self.statistics(x[i : i + _PARTS]) for i in range(0, len(x), _PARTS)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


class Guided(Denoiser):
    """A denoiser whose estimates are moved; for one micro-batch, whose items have their targets.

    Parameters
    ----------
    denoiser : Denoiser
    targets : Targets
    frame : Frame
        How maps meet the network: statistics are those of the map.
    items : sequence of int
        Numbers of the items of the batch.

    Raises
    ------
    InputError
        Several maps in one image (`stack`), or targets of another shape.
    """

    def __init__(self, denoiser: Denoiser, targets: Targets, frame: Frame, items: Sequence[int] | NDArray[np.int64]) -> None:
        if frame.shape != (1, *targets.shape):
            problem = f"maps of shape {frame.shape} are to aim at statistics of maps {(1, *targets.shape)}"
            raise InputError("IN32", "guidance", problem, "guide maps of one channel and of the size of the inverted ones")
        self.inner, self.targets, self.frame, self._weights = denoiser, targets, frame, targets.weights(items)
        super().__init__(
            denoiser.raw,
            denoiser.schedule,
            denoiser.shape,
            parameterisation=denoiser.parameterisation,
            data_range=denoiser.data_range,
            name=denoiser.name,
            sha256=denoiser.sha256,
            card=denoiser.card,
        )
        self.runner = denoiser.runner

    def eps(self, x_t: Tensor, t: float | Tensor) -> Tensor:
        """Noise (N, C, H, W) that goes with the moved estimate."""
        eps, guidance, time = self.inner.eps(x_t, t), self.targets.guidance, float(t)
        if time > guidance.t_from or guidance.steps == 0:
            return eps
        alpha, sigma = float(self.schedule.alpha(time)), float(self.schedule.sigma(time))
        x_t = x_t.to(eps.device)
        low, high = self.frame.data_range
        noise = sigma / alpha * 2 / (high - low) if guidance.soft else 0.0
        x0 = self.moved((x_t - sigma * eps) / alpha, guidance.steps, noise, guidance.strength)
        return (x_t - alpha * x0) / sigma

    def finish(self, y: Tensor) -> Tensor:
        """The decoded batch (N, C, H, W), moved to its targets."""
        return self.moved(y, self.targets.guidance.last, 0.0, 1.0) if self.targets.guidance.last else y

    def moved(self, y: Tensor, steps: int, noise: float, strength: float) -> Tensor:
        """Network arrays (N, C, H, W) whose maps have moved towards the targets; copies and margins move alike."""
        with torch.inference_mode(mode=False):
            y = y.clone()  # out of inference mode
            x = map_of(self.frame, y).to(self.targets.statistics.dtype)
            aim = self.targets.at(self._weights, noise)
            change = strength * (move(self.targets.statistics, x, aim, steps) - x)
            return y + to_network(self.frame, change.to(y.dtype))


def move(statistics: Statistics, x: Tensor, aim: Vector, steps: int) -> Tensor:
    """Maps (N, H, W) moved towards statistics.

    Parameters
    ----------
    statistics : Statistics
    x : Tensor, shape (N, H, W)
    aim : dict of Tensor
        Statistics (N, K) by name; ``spectrum`` is needed, for bands and stiffness.
    steps : int
        Steps downhill after the rescaling of bands.

    Returns
    -------
    Tensor, shape (N, H, W)
        Items that are not finite come back as they are.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        start = statistics.with_power(x, aim["spectrum"]) if "spectrum" in statistics.names else x
        height, width = statistics.shape
        box = (2 * height, 2 * width)
        amplitude = statistics.amplitude(aim["spectrum"], box) * statistics.scale

        def shifted(flat: Tensor) -> Tensor:
            noise = flat.reshape(-1, *box)
            return start + torch.fft.irfft2(torch.fft.rfft2(noise) * amplitude, s=box)[:, :height, :width]

        with torch.enable_grad():
            flat, _ = descend(lambda v: misfit(statistics(shifted(v)), aim), start.new_zeros((len(x), box[0] * box[1])), steps)
        return shifted(flat)


def misfit(found: Vector, aim: Vector) -> Tensor:
    """Squared differences (N,) from targets: the sum over statistics of their means."""
    return torch.stack(
        [(found[name] - aim[name]).square().mean(dim=1) for name in found if name in aim and found[name].shape[1]]
    ).sum(dim=0)


def map_of(frame: Frame, y: Tensor) -> Tensor:
    """Maps (N, H, W) in [-1, 1] in network arrays (N, C, H', W'): margins cut, the copies of one map averaged."""
    low, high = frame.data_range
    (top, _), (left, _) = frame.margins[2:]
    part = y[:, :, top : top + frame.shape[1], left : left + frame.shape[2]].mean(dim=1)
    return (part - low) * (2 / (high - low)) - 1


def to_network(frame: Frame, change: Tensor) -> Tensor:
    """Changes of maps (N, H, W) as changes of network arrays (N, C, H', W'): the same in each copy, mirrored in the margins."""
    low, high = frame.data_range
    change = change * ((high - low) / 2)
    for axis, margins in zip((1, 2), frame.margins[2:], strict=True):
        if any(margins):
            index = np.pad(np.arange(change.shape[axis]), margins, mode="symmetric")
            change = change.index_select(axis, torch.from_numpy(index).to(change.device))
    return change[:, None].expand(-1, frame.network_shape[0], -1, -1)


def _require(good: bool, name: str, value: object, expected: str) -> None:
    if not good:
        raise ConfigError("CF44", f"guidance.{name}", f"found {value}, expected {expected}", "correct it")
