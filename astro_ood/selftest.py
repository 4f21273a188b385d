"""A test that a user can run anywhere: solvers against the linear-Gaussian oracle, stores against a flipped bit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from astro_ood.diffusion.denoiser import Denoiser, GaussianDenoiser
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.presets import PRESETS, choose
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate
from astro_ood.errors import StoreError
from astro_ood.stores import Variable, open_store, write_store


def gaussian_oracle(size: int = 32, seed: int = 0) -> tuple[GaussianDenoiser, torch.Tensor]:
    """Exact denoiser of a coloured field, and four maps of it (float64)."""
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    power = torch.from_numpy(0.3 / (1 + (20 * k) ** 2))
    white = torch.from_numpy(np.random.default_rng(seed).standard_normal((4, 1, size, size)))
    maps = torch.fft.ifft2(torch.fft.fft2(white) * power.sqrt()).real
    return GaussianDenoiser(power, NoiseSchedule.linear()), maps


def convergence_order(solver: str, coarse: int = 40, t_0: float = 700.0) -> float:
    """Measured order of a key of `SOLVERS`: logarithm to base 2 of the ratio of latent errors at `coarse` and twice as many steps."""
    oracle, maps = gaussian_oracle()
    exact = oracle.exact(maps, 0.0, t_0)
    errors = []
    for steps in (coarse, 2 * coarse):
        times = oracle.schedule.timesteps(steps + 1, t_0, "log_snr")
        errors.append(float((integrate(SOLVERS[solver].make(oracle), maps, times).x - exact).square().mean().sqrt()))
    return float(np.log2(errors[0] / errors[1]))


def run_selftest() -> Iterator[tuple[str, bool]]:
    """Yield one line for each check, and whether it passed."""
    for solver in ("ddim", "ab2", "dpm2m"):
        order, expected = convergence_order(solver), SOLVERS[solver].order
        yield f"{solver}: order {order:.2f} on the Gaussian oracle, expected {expected}", abs(order - expected) < 0.2
    oracle, maps = gaussian_oracle()
    for name in PRESETS:
        yield _round_trip(name, oracle, maps)
    yield _flipped_bit()


def _round_trip(name: str, oracle: Denoiser, maps: torch.Tensor) -> tuple[str, bool]:
    preset = choose(name, oracle.schedule)
    latent = integrate(preset.make_solver(oracle), maps, preset.times_up(oracle.schedule))
    back = integrate(preset.make_solver(oracle), latent.x, preset.times_down(oracle.schedule))
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
