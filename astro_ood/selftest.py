"""A test that a user can run anywhere: solvers against the linear-Gaussian oracle, stores against a flipped bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from astro_ood.diffusion.denoiser import Denoiser, GaussianDenoiser
from astro_ood.diffusion.presets import PRESETS, choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import DDIM, Multistep, integrate
from astro_ood.errors import StoreError
from astro_ood.maps import gaussian_field
from astro_ood.stores import Variable, open_store, write_store


def gaussian_oracle(size: int = 32, seed: int = 0) -> tuple[GaussianDenoiser, torch.Tensor]:
    """Exact denoiser of a coloured field, and four maps of it (float64)."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    power = torch.from_numpy(0.3 / (1 + (20 * k) ** 2))
    white = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, 1, size, size)))
    maps = torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real
    return GaussianDenoiser(power, NoiseSchedule.linear()), maps


def convergence_order(solver: type[DDIM] | type[Multistep], coarse: int = 40, t_0: float = 700.0) -> float:
    """Measured order: logarithm to base 2 of the ratio of latent errors at `coarse` and twice as many steps."""
    oracle, maps = gaussian_oracle()
    exact = oracle.exact(maps, 0.0, t_0)
    errors = []
    for steps in (coarse, 2 * coarse):
        times = oracle.schedule.timesteps(steps + 1, t_0, "log_snr")
        errors.append(float((integrate(solver(oracle), maps, times).x - exact).square().mean().sqrt()))
    return float(np.log2(errors[0] / errors[1]))


def check_model(denoiser: Denoiser) -> Iterator[tuple[str, bool]]:
    """Whether a network behaves as its card says: it predicts noise, and its latents have unit variance.

    A wrong schedule, range or parameterisation shows in one of the two. The pictures are smooth random fields, which no network was
    trained on; the bounds are wide for that.
    """
    from astro_ood.diffusion import engine

    c, h, w = denoiser.shape
    x = 0.5 * gaussian_field(8 * c, max(h, w), -3.0, np.random.default_rng(0)).reshape(8, c, max(h, w), max(h, w)).astype(
        np.float32
    )
    losses = []
    for t in np.linspace(0.1, 0.9, 5) * (denoiser.schedule.T - 1):
        eps = np.random.default_rng(int(t)).standard_normal(x.shape, dtype=np.float32)
        x_t = float(denoiser.schedule.alpha(t)) * x + float(denoiser.schedule.sigma(t)) * eps
        losses.append(float(np.mean((denoiser.eps(torch.from_numpy(x_t), float(t)).cpu().numpy() - eps) ** 2)))
    loss = float(np.mean(losses))
    yield f"error of the predicted noise {loss:.3f} of its variance, expected below 0.3", loss < 0.3
    found = engine.invert(denoiser, x, choose("fast", denoiser.schedule), estimate_error=False, label="check")
    std = float(found.z.std())
    yield f"standard deviation of latents {std:.2f}, expected 0.7 to 1.3", 0.7 < std < 1.3
    error = float(np.median(found.round_trip))
    yield f"round trip {error:.1%} with {found.evaluations} evaluations per direction, expected below 20 %", error < 0.2


def run_selftest() -> Iterator[tuple[str, bool]]:
    """Yield one line for each check, and whether it passed."""
    for solver, expected in ((DDIM, 1), (Multistep, 2)):
        order = convergence_order(solver)
        yield f"{solver.__name__}: order {order:.2f} on the Gaussian oracle, expected {expected}", abs(order - expected) < 0.2
    oracle, maps = gaussian_oracle()
    for name in PRESETS:
        yield _round_trip(name, oracle, maps)
    yield _flipped_bit()


def _round_trip(name: str, oracle: Denoiser, maps: torch.Tensor) -> tuple[str, bool]:
    preset = choose(name, oracle.schedule)
    latent = integrate(preset.solver(oracle), maps, preset.times_up(oracle.schedule))
    back = integrate(preset.solver(oracle), latent.x, preset.times_down(oracle.schedule))
    error = float((back.x - maps).square().mean().sqrt() / maps.std())
    # the published pairing takes the clean map as the state at t = 0: modes fainter than that noise do not come back
    limit = 0.3 if preset.to_clean_end else 0.01
    line = f"{name}: round trip {error:.2%} with {latent.evaluations} + {back.evaluations} evaluations, expected below {limit:.0%}"
    return line, error < limit


def _flipped_bit() -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "fields"
        data = Variable(np.arange(4096.0).reshape(16, 16, 16), ("item", "y", "x"))
        write_store(directory, {"x": data}, stage="fields", attrs={}, settings={}, inputs={})
        chunk = max(directory.glob("data.zarr/x/c/**/*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
        raw = bytearray(chunk.read_bytes())
        raw[len(raw) // 2] ^= 1
        chunk.write_bytes(bytes(raw))
        try:
            open_store(directory).load("x")
        except StoreError:
            return "a flipped bit in a store is found", True
        return "a flipped bit in a store is NOT found", False
