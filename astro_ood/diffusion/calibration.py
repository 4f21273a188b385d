r"""Whether a frozen network is what its card says, tested without its training pictures.

A wrong schedule, parameterisation or range raises no error; it makes maps that look odd after hours. But a network knows its domain:
what it decodes from noise *is* such pictures, if the card is right. Noised again at known log signal-to-noise ratios
:math:`\lambda = \ln(\alpha^2 / \sigma^2)` they hold the network against itself:

- it must find the noise far better than a filter that knows only the variance :math:`v` of the pictures, which leaves
  :math:`\alpha^2 v / (\alpha^2 v + \sigma^2)` of it, and nearly as well where next to nothing but noise is left. A wrong card
  decodes odd pictures, which the network does not know;
- no other reading of the same answers may find more of it, and no time that stands for another :math:`\lambda`: the loss is least
  where the network's noise is the noise that is there (Ho et al. 2020, arXiv:2006.11239);
- the pictures must fill the range of values that the card claims;
- inverted again, they must become latents of the scale of noise, near those that they came from.

Where the network does not agree with itself, cards that differ in one entry are tried until one makes it. The limits stand between
what ten trained networks reach under their right cards and what wrong ones do. Not seen: log signal-to-noise ratios that are wrong by
less than about 0.3, times wrong by one of many steps, and a schedule that ends too early or late in noise. A network of nearly white maps fails: such a
filter is all it can be.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from astro_ood._random import stream
from astro_ood.diffusion.denoiser import PARAMETERISATIONS, Denoiser, Parameterisation
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.schedule import Array, NoiseSchedule, make_schedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import ModelError

Line = tuple[str, bool]

AS_IF = "the network answers as if"

LEVELS = (4.0, 2.0, 0.0, -2.0)  # log signal-to-noise ratios at which pictures are noised
SHIFTS = (0.0, -1.0, -0.5, 0.5, 1.0)  # of the time that the network is told; the claimed one first
NOISIEST = -6.0  # beyond, a state holds next to nothing of its picture, and the division by alpha enlarges every error
STEPS = 16
MEANS = 5  # iterations to the mean of the pictures that the network expects
PIXELS = 16_384  # of all pictures together, where that makes 4 to 16 of them
WORST_RESIDUE, WORST_RESIDUE_OF_NOISE, WORST_GAIN, WORST_END = 0.6, 2.5, 1.2, -4.0
WORST_MISFIT, WORST_ROUND_TRIP = 0.5, 0.7
SCALES, SCALES_OF_MAPS = (0.8, 1.25), (0.5, 2.0)
USUAL_RANGES = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
USUAL_SCHEDULES: tuple[dict[str, Any], ...] = (
    {"kind": "linear"},
    {"kind": "cosine"},
    {"kind": "vp", "last": 1.0, "linear": 0.1, "quadratic": 9.95},
    {"kind": "vp", "last": 10.0},
    *({"kind": kind, "n": n} for n in (4000, 2000, 500, 300, 100) for kind in ("linear", "cosine")),
)


class Evidence:
    """What a network makes of noise under one card, and how well it knows that again.

    Parameters
    ----------
    denoiser : Denoiser
        The network, read as its card says.
    n : int
        Pictures to decode.

    Attributes
    ----------
    start : Tensor, shape (n, C, H, W)
        Noisiest states: noise about the mean of the pictures that the network expects, which need not be 0.
    decoded : ndarray, shape (n, C, H, W)
        Pictures, in the network's own range of values.
    pictures : ndarray, shape (n, C, H, W)
        The same, cut off far outside the claimed range: decoding may have diverged.
    losses : dict of ndarray, shape (L,)
        `reading_losses` of the pictures.
    """

    def __init__(self, denoiser: Denoiser, n: int) -> None:
        self.denoiser = denoiser
        self.times = denoiser.schedule.timesteps(STEPS, float(denoiser.schedule.time_of(NOISIEST)), "log_snr")
        last = float(self.times[-1])
        z = torch.from_numpy(stream(0, "calibration").standard_normal((n, *denoiser.shape), dtype=np.float32))
        alpha, sigma = float(denoiser.schedule.alpha(last)), float(denoiser.schedule.sigma(last))
        self.start = sigma * z
        for _ in range(MEANS):
            self.start = alpha * denoiser(self.start, last).cpu().mean(dim=(0, 2, 3), keepdim=True) + sigma * z
        self.decoded = _carry(denoiser, self.start, self.times[::-1])
        low, high = denoiser.data_range
        far = 1000 * (high - low)
        self.pictures: Field = np.clip(np.nan_to_num(self.decoded, nan=low), low - far, high + far)
        self.losses = reading_losses(denoiser, self.pictures)

    @property
    def diverged(self) -> bool:
        """Whether decoding left every sensible range of values."""
        return not np.array_equal(self.pictures, self.decoded)

    @cached_property
    def residue(self) -> float:
        """Loss over that of a filter that knows the variance of the pictures alone, mean over the levels; infinite where diverged."""
        losses = self.losses[self.denoiser.parameterisation]
        return np.inf if self.diverged else float(np.mean(losses / filter_losses(self.denoiser, self.pictures, LEVELS)))

    @cached_property
    def residue_of_noise(self) -> float:
        """The same at the noisiest state, where that filter is nearly perfect."""
        loss = noise_loss(self.denoiser, self.pictures, NOISIEST)
        return float(loss / filter_losses(self.denoiser, self.pictures, (NOISIEST,))[0])

    @property
    def best_reading(self) -> Parameterisation:
        """Parameterisation under which the answers leave least of the noise."""
        return min(self.losses, key=lambda reading: float(self.losses[reading].sum()))

    @cached_property
    def curves(self) -> Array:
        """Loss where the network is told the time of a shifted log signal-to-noise ratio, (L, S)."""
        x, d = self.pictures, self.denoiser
        return np.array([[noise_loss(d, x, level, shift) for shift in SHIFTS] for level in LEVELS])

    @property
    def gain(self) -> float:
        """How many times the loss at the claimed time is that at the best one; largest over the levels."""
        return float(np.max(self.curves[:, 0] / self.curves.min(axis=1)))

    @property
    def end(self) -> float:
        """Log signal-to-noise ratio at the last time: decoding begins with noise, so little else may be left there."""
        return float(self.denoiser.schedule.log_snr(self.denoiser.schedule.last))

    @property
    def agrees(self) -> bool:
        """Whether the network finds its noise, no other reading or time finds more, and its schedule ends in noise."""
        found = self.residue < WORST_RESIDUE and self.residue_of_noise < WORST_RESIDUE_OF_NOISE and self.end < WORST_END
        return found and self.best_reading == self.denoiser.parameterisation and self.gain < WORST_GAIN


def check_model(denoiser: Denoiser, pictures: Field | None = None) -> Iterator[Line]:
    """Test whether a network behaves as its card says.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network: 4 to 16 pictures of its own shape, 62 evaluations of each, and about as many again for every card that is
        tried where it does not agree with its own.
    pictures : ndarray, shape (N, C, H, W), optional
        Maps in [-1, 1] of the network's shape: how far it knows them is measured too.

    Yields
    ------
    line : str
        What was measured and what was expected.
    passed : bool
    """
    yield _weights(denoiser)
    _, h, w = denoiser.shape
    n = int(np.clip(PIXELS // (h * w), 4, 16))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        evidence = Evidence(denoiser, n)
        yield from (_noise(evidence), _reading(evidence), _schedule(evidence), _range(evidence))
        yield _latents(denoiser, evidence.pictures, evidence.times, SCALES, evidence.start)
        if not evidence.agrees:
            yield _diagnosis(denoiser, n)
        if pictures is not None:
            yield from _maps(denoiser, pictures, evidence.times)


def refusal(denoiser: Denoiser, failed: Sequence[str], where: object) -> ModelError:
    """The lines of a check that failed as one error, MD53 (MD52 where only the weights are at fault).

    Parameters
    ----------
    denoiser : Denoiser
        The network that was checked.
    failed : sequence of str
        Lines of `check_model` that did not pass, at least one.
    where : object
        Name or file of the network.
    """
    names = [line.partition(":")[0] for line in failed]
    if names == ["weights"]:
        return ModelError("MD52", where, failed[0], "fetch the weights again")
    low, high = denoiser.data_range
    claimed = f"{denoiser.parameterisation}, range [{low:g}, {high:g}], schedule {json.dumps(denoiser.card.get('schedule'))}"
    likely = [line[line.index(AS_IF) :] for line in failed if AS_IF in line]
    found = f"found failures of {', '.join(dict.fromkeys(names))}" + "".join(f"; {guess}" for guess in likely)
    remedy = "correct its card to that" if likely else "compare schedule, parameterisation and range with those it was trained with"
    return ModelError("MD53", where, f"{found}; expected a network as its card says ({claimed})", remedy)


def noise_loss(denoiser: Denoiser, x: Field, level: float, shift: float = 0.0) -> float:
    """Error of the predicted noise, in units of its variance.

    Parameters
    ----------
    denoiser : Denoiser
        Frozen network.
    x : ndarray, shape (N, C, H, W)
        Pictures in its own range of values.
    level : float
        Log signal-to-noise ratio at which they are noised; as near as the schedule goes.
    shift : float
        What is added to it in the time that the network is told.
    """
    x_t, eps, t = _noised(denoiser.schedule, x, level)
    told = float(denoiser.schedule.time_of(float(denoiser.schedule.log_snr(t)) + shift))
    return _mse(denoiser.eps(x_t, told), eps)


class _Constant:
    """A network that has answered already."""

    def __init__(self, raw: Tensor) -> None:
        self.raw = raw

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        return self.raw


def reading_losses(denoiser: Denoiser, x: Field) -> dict[Parameterisation, Array]:
    """`noise_loss` at every level, for every parameterisation that the same answers could have, (L,)."""
    found: dict[Parameterisation, list[float]] = {reading: [] for reading in PARAMETERISATIONS}
    for level in LEVELS:
        x_t, eps, t = _noised(denoiser.schedule, x, level)
        raw = denoiser.raw(x_t, t)
        for reading, losses in found.items():
            read = Denoiser(_Constant(raw), denoiser.schedule, denoiser.shape, parameterisation=reading)
            losses.append(_mse(read.to(denoiser.device).eps(x_t, t), eps))
    return {reading: np.array(losses) for reading, losses in found.items()}


def filter_losses(denoiser: Denoiser, x: Field, levels: Sequence[float]) -> Array:
    """`noise_loss` of the best filter that knows only mean and variance of pictures `x` (N, C, H, W), at every level (L,)."""
    t = denoiser.schedule.time_of(levels)
    signal = denoiser.schedule.alpha(t) ** 2 * x.var(dtype=np.float64)
    return np.asarray(signal / (signal + denoiser.schedule.sigma(t) ** 2))


def misfit(values: Field, data_range: tuple[float, float]) -> float:
    """Distance between the extremes of values and the ends of a range, in units of its width."""
    low, high = data_range
    return float((abs(values.min() - low) + abs(values.max() - high)) / (high - low))


def _noised(schedule: NoiseSchedule, x: Field, level: float) -> tuple[Tensor, Field, float]:
    """Pictures noised to a level, the noise and its time."""
    t = float(schedule.time_of(level))
    eps = stream(0, "calibration-noise", round(10 * level) % 1000).standard_normal(x.shape, dtype=np.float32)
    return torch.from_numpy(float(schedule.alpha(t)) * x + float(schedule.sigma(t)) * eps).float(), eps, t


def _mse(found: Tensor, eps: Field) -> float:
    return float(np.mean((found.cpu().numpy().astype(np.float64) - eps) ** 2))


def _carry(denoiser: Denoiser, x: Tensor, times: Array) -> Field:
    y: Field = integrate(SOLVERS["ab2"].make(denoiser), x.to(denoiser.device), times).x.cpu().numpy()
    return y


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{v:.2g}" for v in values)


def _weights(denoiser: Denoiser) -> Line:
    if not isinstance(denoiser.net, torch.nn.Module):
        return "weights: the network is a function, whose weights cannot be seen", True
    tensors = [p for p in denoiser.net.state_dict().values() if p.is_floating_point()]
    bad = sum(int((~torch.isfinite(p)).sum()) for p in tensors)
    return f"weights: {sum(p.numel() for p in tensors):,} numbers, of which {bad} are not finite, expected 0", bad == 0


def _noise(evidence: Evidence) -> Line:
    line = (
        f"noise: {_numbers(evidence.losses[evidence.denoiser.parameterisation])} of its variance are not found at log SNR "
        f"{_numbers(LEVELS)}, which is {evidence.residue:.2g} of what a filter leaves that knows only the variance of the "
        f"pictures, expected below {WORST_RESIDUE:g}; {evidence.residue_of_noise:.2g} at log SNR {NOISIEST:g}, expected below "
        f"{WORST_RESIDUE_OF_NOISE:g}" + ("; decoding diverged" if evidence.diverged else "")
    )
    return line, evidence.residue < WORST_RESIDUE and evidence.residue_of_noise < WORST_RESIDUE_OF_NOISE


def _reading(evidence: Evidence) -> Line:
    claimed, best = evidence.denoiser.parameterisation, evidence.best_reading
    rest = ", ".join(f"{losses.mean():.2g} read as {reading}" for reading, losses in evidence.losses.items())
    return f"parameterisation: {rest} of the noise are not found, expected least for {claimed}", best == claimed


def _schedule(evidence: Evidence) -> Line:
    best = np.array(LEVELS) + np.array(SHIFTS)[evidence.curves.argmin(axis=1)]
    line = (
        f"schedule: at log SNR {_numbers(LEVELS)} the network answers best when told {_numbers(best)}; there the error is up to "
        f"{evidence.gain:.2f} times smaller, expected below {WORST_GAIN:g}; it ends at {evidence.end:.1f}, expected below {WORST_END:g}"
    )
    return line, evidence.gain < WORST_GAIN and evidence.end < WORST_END


def _range(evidence: Evidence) -> Line:
    values, claimed = evidence.decoded, evidence.denoiser.data_range
    low, high = float(values.min()), float(values.max())
    line = f"range: decoded pictures have values from {low:.2f} to {high:.2f}, the card says {claimed[0]:g} to {claimed[1]:g}"
    best = min((claimed, *USUAL_RANGES), key=lambda usual: misfit(values, usual))
    passed = best == claimed and misfit(values, claimed) < WORST_MISFIT
    if passed or not evidence.agrees:
        return line, passed
    likely = best if misfit(values, best) < WORST_MISFIT else (low, high)
    return f"{line}; {AS_IF} its range were [{likely[0]:.3g}, {likely[1]:.3g}]", passed


def _latents(denoiser: Denoiser, x: Field, times: Array, expected: tuple[float, float], start: Tensor | None = None) -> Line:
    """Scale of the latents of pictures, and how far they lie from those that the pictures came from."""
    z = _carry(denoiser, torch.from_numpy(x).float(), times).astype(np.float64)
    alpha, sigma = (float(f(times[-1])) for f in (denoiser.schedule.alpha, denoiser.schedule.sigma))
    scale = float(z.std() / np.sqrt(alpha**2 * x.var(dtype=np.float64) + sigma**2))
    line = f"latents: standard deviation {scale:.2f} of its expectation, expected {expected[0]:g} to {expected[1]:g}"
    passed = expected[0] < scale < expected[1]
    if start is None:
        return line, passed
    error = float(np.sqrt(np.mean((z - start.numpy()) ** 2)) / start.std())
    return f"{line}; round trip {error:.1%}, expected below {WORST_ROUND_TRIP:.0%}", passed and error < WORST_ROUND_TRIP


def _diagnosis(denoiser: Denoiser, n: int) -> Line:
    """First card that differs in one entry and lets the network agree with itself."""
    for entry, value in _other_entries(denoiser):
        schedule = make_schedule(value) if entry == "schedule" else denoiser.schedule
        reading = value if entry == "parameterisation" else denoiser.parameterisation
        rival = Denoiser(denoiser.raw, schedule, denoiser.shape, parameterisation=reading, data_range=denoiser.data_range)
        if _agrees(rival.to(denoiser.device), n):
            return f'card: {AS_IF} it said "{entry}": {json.dumps(value)}', False
    return "card: no change of its schedule or parameterisation alone lets the network know its own pictures", False


def _agrees(rival: Denoiser, n: int) -> bool:
    try:
        return Evidence(rival, n).agrees
    except (ValueError, IndexError, RuntimeError):  # a network may refuse times that are not its own
        return False


def _other_entries(denoiser: Denoiser) -> Iterator[tuple[str, Any]]:
    yield from (("parameterisation", reading) for reading in PARAMETERISATIONS if reading != denoiser.parameterisation)
    yield from (("schedule", schedule) for schedule in USUAL_SCHEDULES)


def _maps(denoiser: Denoiser, pictures: Field, times: Array) -> Iterator[Line]:
    x = Frame.of(denoiser, pictures.shape[1:]).to_network(pictures.astype(np.float32))
    losses = np.array([noise_loss(denoiser, x, level) for level in LEVELS])
    left = float(np.mean(losses / filter_losses(denoiser, x, LEVELS)))
    yield (
        f"given maps: {_numbers(losses)} of the noise are not found, {left:.2g} of what that filter leaves, expected below 1",
        left < 1,
    )
    line, passed = _latents(denoiser, x, times, SCALES_OF_MAPS)
    yield f"given maps: {line}", passed
