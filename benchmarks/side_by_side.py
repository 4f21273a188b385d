"""Three ways to invert and decode the same maps with the same network, in one process, interleaved.

    python benchmarks/side_by_side.py                                               embedded network, 64 x 64 N(HI) maps
    python benchmarks/side_by_side.py --network weights.safetensors --t0 270        any network that `open_model` opens
    python benchmarks/side_by_side.py --device cuda --random-adm256 --batch 64      93.56 M parameters, random weights: speed only

(a) the published loop: one map at a time, float32, DDIM on the grid int(linspace(0, 1, 80) t_0), 79 + 80 evaluations;
(b) diffusers' DDIMInverseScheduler and DDIMScheduler without clipping, at our batch, float32, 80 + 80 evaluations on the same grid;
(c) astro_ood: the fewest evaluations whose latent error *and* round trip are no larger than the better of (a) and (b) in each.

(a) and (b) call the bare network under torch's own defaults. Latent errors are taken against a refined solution of the same trajectory
from the same start: (a) and (c) put the clean map at t = 0, (b) at the clean end, from which its first step leads to t = 0. Errors are
medians over maps, relative to the standard deviation of latent or map.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from common import Field, flops, load_maps, machine, matrix_rate, relative, stopwatch, table
from torch import Tensor

from astro_ood.diffusion import engine
from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.execution import Execution, pick_device
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.presets import Preset, choose, published_t_0
from astro_ood.diffusion.schedule import NoiseSchedule
from astro_ood.diffusion.solver import integrate

Network = Callable[[Tensor, Tensor], Tensor]
N_PUBLISHED = 80

# the 256 x 256 iDDPM of the paper
ADM256 = {
    "image_size": 256,
    "num_channels": 128,
    "num_res_blocks": 1,
    "channel_mult": "1,1,2,2,4,4",
    "learn_sigma": True,
    "attention_resolutions": "16",
    "num_heads": 4,
    "num_head_channels": 64,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}


@dataclass
class Result:
    """Latents, reconstructions and evaluations per map of one way; seconds inside the network."""

    z: Field
    back: Field
    evaluations: tuple[int, int]
    inside: float


class Clocked:
    """A network that adds up the seconds inside it."""

    def __init__(self, net: Network, device: torch.device) -> None:
        self.net, self.device, self.total = net, device, 0.0
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.device.type != "cuda":
            start = time.perf_counter()
            out = self.net(x, t)
            self.total += time.perf_counter() - start
            return out
        self.events.append((torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)))
        self.events[-1][0].record()
        out = self.net(x, t)
        self.events[-1][1].record()
        return out

    def seconds(self) -> float:
        """Seconds since the last question."""
        if self.events:
            torch.cuda.synchronize()
        total = self.total + sum(a.elapsed_time(b) for a, b in self.events) / 1e3
        self.total, self.events = 0.0, []
        return total


def published_grid(t_0: float) -> list[int]:
    """Times of the published code."""
    return [int(t) for t in np.linspace(0, 1, N_PUBLISHED) * t_0]


def published_loop(net: Clocked, schedule: NoiseSchedule, x: Field, t_0: float, device: torch.device) -> Result:
    """(a): the published loop, one map at a time."""
    grid = published_grid(t_0)
    alpha_bar = torch.from_numpy(np.append(schedule.alpha_bar, 1.0)).float().to(device)  # index -1 is the clean end
    z, back = np.empty_like(x), np.empty_like(x)

    def walk(state: Tensor, times: list[int]) -> Tensor:
        for t, s in pairwise(times):
            eps = net(state, torch.full((1,), float(t), device=device))[:, : state.shape[1]]
            x0 = (state - (1 - alpha_bar[t]).sqrt() * eps) / alpha_bar[t].sqrt()
            state = alpha_bar[s].sqrt() * x0 + (1 - alpha_bar[s]).sqrt() * eps
        return state

    with torch.no_grad():
        for i in range(len(x)):
            latent = walk(torch.from_numpy(x[i : i + 1]).to(device), grid)
            z[i] = latent[0].cpu().numpy()
            back[i] = walk(latent, [*grid[::-1], -1])[0].cpu().numpy()
    return Result(z, back, (len(grid) - 1, len(grid)), net.seconds())


def diffusers_loop(net: Clocked, schedule: NoiseSchedule, x: Field, t_0: float, batch: int, device: torch.device) -> Result:
    """(b): the schedulers of diffusers, clipping off, on the published grid."""
    from diffusers import DDIMInverseScheduler, DDIMScheduler

    alpha_bar = schedule.alpha_bar
    betas = 1 - alpha_bar / np.concatenate([[1.0], alpha_bar[:-1]])
    kinds = (DDIMInverseScheduler, DDIMScheduler)
    inverse, forward = (kind(len(betas), trained_betas=betas.tolist(), clip_sample=False) for kind in kinds)
    grid = published_grid(t_0)
    strides = [1, *np.diff(grid).tolist()]
    z, back = np.empty_like(x), np.empty_like(x)

    def walk(scheduler: DDIMScheduler | DDIMInverseScheduler, state: Tensor, up: bool) -> Tensor:
        for t, stride in list(zip(grid, strides, strict=True))[:: 1 if up else -1]:
            # a step leads over T // num_inference_steps: the grid's own stride here
            scheduler.num_inference_steps = len(betas) // stride
            assert len(betas) // scheduler.num_inference_steps == stride, "diffusers cannot take this stride"
            eps = net(state, torch.full((1,), float(t), device=device))[:, : state.shape[1]]
            state = scheduler.step(eps, t, state).prev_sample
        return state

    with torch.no_grad():
        for start in range(0, len(x), batch):
            part = slice(start, start + batch)
            latent = walk(inverse, torch.from_numpy(x[part]).to(device), up=True)
            z[part] = latent.cpu().numpy()
            back[part] = walk(forward, latent, up=False).cpu().numpy()
    return Result(z, back, (len(grid), len(grid)), net.seconds())


def ours(denoiser: Denoiser, x: Field, preset: Preset, batch: int) -> Result:
    """(c): the engine."""
    before = denoiser.runner.seconds
    found = engine.invert(denoiser, x, preset, micro_batch=batch, estimate_error=False)
    cost = preset.evaluations_up, preset.evaluations_down
    return Result(found.z, found.reconstruction, cost, denoiser.runner.seconds - before)


def refined(denoiser: Denoiser, x: Field, t_0: float, batch: int, n: int, *, from_clean_end: bool) -> Field:
    """Latents of a solution with `n` evaluations, float32."""
    preset = choose("accurate", denoiser.schedule, n_steps=n, t_0=t_0)
    times = preset.times_up(denoiser.schedule)
    z = np.empty_like(x)
    for start in range(0, len(x), batch):
        state = torch.from_numpy(x[start : start + batch]).to(denoiser.device)
        if from_clean_end:
            alpha, sigma = float(denoiser.schedule.alpha(0.0)), float(denoiser.schedule.sigma(0.0))
            state = alpha * state + sigma * denoiser.eps(state, 0.0)
        z[start : start + batch] = integrate(preset.make_solver(denoiser), state, times).x.cpu().numpy()
    return z


def fewest(denoiser: Denoiser, x: Field, exact: Field, target: tuple[float, float], t_0: float, args: argparse.Namespace) -> Preset:
    """The cheapest way of ours whose latent error and round trip are no larger than the target."""
    for n in args.tries:
        for solver in args.solvers:
            preset = choose("fast", denoiser.schedule, n_steps=n, t_0=t_0, solver=solver)
            result = ours(denoiser, x, preset, args.batch)
            found = relative(result.z, exact), relative(result.back, x)
            print(f"    {solver}, {n} evaluations: latent {found[0]:.2%}, round trip {found[1]:.2%}", flush=True)
            if found[0] <= target[0] and found[1] <= target[1]:
                return preset
    raise SystemExit("no number of evaluations that was tried meets the errors of (a) and (b)")


def random_adm256(device: torch.device, execution: Execution) -> Denoiser:
    """The 256 x 256 iDDPM with random weights that do not silence its output."""
    from astro_ood.diffusion.nets.adm import ADMUNet

    net = ADMUNet(**ADM256)
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            scale = parameter[0].numel() ** -0.5
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    denoiser = Denoiser(net.eval().requires_grad_(requires_grad=False), NoiseSchedule.linear(), (3, 256, 256), stride=net.stride)
    return denoiser.to(device, execution)


def open_twice(args: argparse.Namespace, device: torch.device) -> tuple[Denoiser, Denoiser]:
    """The network as it is, for (a) and (b), and a copy executed our way."""
    cuda = device.type == "cuda"
    precision = args.precision
    if precision == "auto":
        precision = "bf16" if cuda or torch.cpu._is_avx512_bf16_supported() else "fp32"
    execution = Execution(precision, channels_last=True, compiled=args.compiled, graphs=cuda)
    if args.random_adm256:
        return random_adm256(device, Execution()), random_adm256(device, execution)
    name = args.network, args.arch, args.config
    return open_model(*name, device=args.device), open_model(*name, device=args.device, execution=execution)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="default", help="name or path")
    parser.add_argument("--arch")
    parser.add_argument("--config")
    parser.add_argument("--random-adm256", action="store_true", help="256 x 256 iDDPM of 93.56 M parameters, random weights")
    parser.add_argument("--maps", help=".npy (N, H, W) or (N, C, H, W) in [-1, 1]; base faces of N(HI) surveys by default")
    parser.add_argument("--size", type=int, help="side of the maps; 64, or 256 for the random network")
    parser.add_argument("--n-maps", type=int, default=8)
    parser.add_argument("--t0", type=float, help="900 of 1000, or the time of equal noise")
    parser.add_argument("--batch", type=int, default=8, help="maps a call of the network, for (b) and (c)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", help="of (c): fp32, tf32, bf16, fp16")
    parser.add_argument("--compiled", action="store_true", help="(c) through torch.compile")
    parser.add_argument("--solvers", nargs="+", default=["ab2", "ab3", "unipc"], help="of (c), that are tried")
    parser.add_argument("--tries", type=int, nargs="+", default=[10, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 64])
    parser.add_argument("--reference", type=int, default=160, help="evaluations of the refined solution")
    parser.add_argument("--evaluations", type=int, help="of (c) in each direction, with the first solver, instead of the search")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    device = pick_device(args.device)
    plain, fast = open_twice(args, device)
    if plain.parameterisation != "eps" or plain.data_range != (-1.0, 1.0) or plain.schedule.alpha_bar is None:
        raise SystemExit("(a) and (b) are written for networks that predict the noise in maps in [-1, 1] at discrete times")
    x = load_maps(args.maps, args.n_maps, plain.shape[0], args.size or (256 if args.random_adm256 else 64))
    t_0 = float(np.floor(args.t0 or published_t_0(plain.schedule)))
    clocked = Clocked(plain.net, device)
    parameters = sum(p.numel() for p in plain.net.parameters()) if isinstance(plain.net, torch.nn.Module) else 0
    cost = flops(plain.net, torch.from_numpy(x).to(device))
    print(f"{machine(device)}\n{plain.name}: {parameters / 1e6:.2f} M parameters, {cost / 1e9:.4g} GFLOP an evaluation")
    print(f"{len(x)} maps {x.shape[1:]}, t_0 = {t_0:g}; (c) executes as {fast.execution}, batch {args.batch}\n")

    ways: dict[str, Callable[[], Result]] = {
        "a": lambda: published_loop(clocked, plain.schedule, x, t_0, device),
        "b": lambda: diffusers_loop(clocked, plain.schedule, x, t_0, args.batch, device),
    }
    seconds: dict[str, list[tuple[float, float, float]]] = {"a": [], "b": [], "c": []}
    results: dict[str, Result] = {}

    def measure(name: str) -> None:
        wall, cpu, results[name] = stopwatch(ways[name], device)
        seconds[name].append((wall, cpu, results[name].inside))

    exact = {clean: refined(plain, x, t_0, args.batch, args.reference, from_clean_end=clean) for clean in (False, True)}
    if device.type == "cuda":  # first calls load kernels
        results = {name: way() for name, way in ways.items()}
    measure("a")
    measure("b")
    errors = {n: (relative(r.z, exact[n == "b"]), relative(r.back, x)) for n, r in results.items()}
    for n, (latent, trip) in errors.items():
        print(f"    ({n}): latent {latent:.2%}, round trip {trip:.2%}", flush=True)
    if args.evaluations:
        preset = choose("fast", fast.schedule, n_steps=args.evaluations, t_0=t_0, solver=args.solvers[0])
    else:
        # both errors of both others have to be met
        target = (min(e[0] for e in errors.values()), min(e[1] for e in errors.values()))
        preset = fewest(fast, x, exact[False], target, t_0, args)
    ways["c"] = lambda: ours(fast, x, preset, args.batch)
    ways["c"]()
    measure("c")
    for _ in range(args.repeats - 1):
        for name in ways:
            measure(name)
    errors["c"] = relative(results["c"].z, exact[False]), relative(results["c"].back, x)
    print("\n" + report(results, errors, {n: np.array(s) for n, s in seconds.items()}, cost, len(x), device, preset.solver))


def report(
    results: dict[str, Result],
    errors: dict[str, tuple[float, float]],
    seconds: dict[str, np.ndarray],
    cost: float,
    n: int,
    device: torch.device,
    solver: str,
) -> str:
    """Table of the three ways, ratios with their spread, and rates against a matrix product."""
    names = {"a": "(a) published loop", "b": "(b) diffusers", "c": f"(c) astro_ood, {solver}"}
    rows = []
    for name, result in results.items():
        wall, cpu, inside = seconds[name].T
        rate = cost * n * sum(result.evaluations) / inside / 1e9
        rows.append(
            [
                names[name],
                f"{result.evaluations[0]} + {result.evaluations[1]}",
                *(f"{e:.2%}" for e in errors[name]),
                f"{n / np.median(wall):.3g} ({n / wall.max():.3g} - {n / wall.min():.3g})",
                f"{1e3 * np.median(cpu) / n:.0f}",
                f"{np.median(inside / wall):.1%}",
                f"{np.median(rate):.0f}",
            ]
        )
    head = ["way", "evaluations", "latent error", "round trip", "maps/s (range)", "CPU ms/map", "in network", "GFLOP/s in it"]
    lines = [table(head, rows), ""]
    for other in "ab":
        wall, cpu = ((seconds[other] / seconds["c"])[:, i] for i in (0, 1))
        line = f"(c) over ({other}): {np.median(wall):.2f} x ({wall.min():.2f} - {wall.max():.2f})"
        lines.append(line + ("" if device.type == "cuda" else f"; in processor seconds {np.median(cpu):.2f} x"))
    kinds = [(torch.float32, False, "fp32"), (torch.bfloat16, False, "bf16")]
    kinds += [(torch.float32, True, "tf32")] if device.type == "cuda" else []
    rates = [f"{name} {matrix_rate(device, dtype, tf32=tf32) / 1e9:.0f}" for dtype, tf32, name in kinds]
    return "\n".join([*lines, f"matrix product in this run, GFLOP/s: {', '.join(rates)}"])


if __name__ == "__main__":
    main()
