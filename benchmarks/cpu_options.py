"""Ways to execute a network on a processor, side by side: seconds, and what each does to a latent.

    python benchmarks/cpu_options.py                                  one thread, micro-batches 1 to 32
    python benchmarks/cpu_options.py --compile --export --batches 8   slow to prepare: torch.compile, onnxruntime, TorchScript
    OMP_WAIT_POLICY=PASSIVE python benchmarks/cpu_options.py --threads 1 2

Every repetition calls every option once, so a busy neighbour meets all alike; medians are shown. With one thread, the processor seconds
of this process are the better measure on a shared machine. The state of the solver stays float32 in all options.
"""

# ruff: noqa: T201 (a benchmark prints)
from __future__ import annotations

import argparse
import copy
import os
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from common import base_faces, flops, load_maps, machine, matrix_rate, relative, table
from torch import Tensor

from astro_ood.diffusion.denoiser import Denoiser
from astro_ood.diffusion.hub import open_model
from astro_ood.diffusion.onnx import OnnxNetwork
from astro_ood.diffusion.presets import choose
from astro_ood.diffusion.solver import integrate

Call = Callable[[Tensor, Tensor], Tensor]
LAST, PLAIN = torch.channels_last, torch.contiguous_format


def eager(net: torch.nn.Module, *, last: bool = False, half: bool = False, grad_mode: Callable = torch.inference_mode) -> Call:
    """The network as it is, in one layout and one arithmetic."""
    layout = LAST if last else PLAIN
    net = copy.deepcopy(net).to(memory_format=layout)

    def call(x: Tensor, t: Tensor) -> Tensor:
        with grad_mode(), torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            return net(x.to(memory_format=layout), t).float()

    return call


def compiled(net: torch.nn.Module, *, half: bool, freezing: bool) -> Call:
    """Kernels made by inductor for this network and shape, channels last."""
    from torch._inductor import config

    net = copy.deepcopy(net).to(memory_format=LAST)

    def evaluate(x: Tensor, t: Tensor) -> Tensor:
        return net(x, t)

    # compiled code is cached by code object: without one of its own, an option would run the kernels of another
    evaluate.__code__ = evaluate.__code__.replace(co_name=f"evaluate_{half}_{freezing}")
    made = torch.compile(evaluate, dynamic=False)

    def call(x: Tensor, t: Tensor) -> Tensor:
        cast = torch.autocast("cpu", torch.bfloat16) if half else nullcontext()
        with torch.no_grad(), config.patch(freezing=freezing), cast:
            return made(x.to(memory_format=LAST), t).float()

    return call


def frozen_script(net: torch.nn.Module, x: Tensor, t: Tensor) -> Call:
    """TorchScript, frozen, with oneDNN's fusions."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(copy.deepcopy(net), (x, t))))

    def call(x: Tensor, t: Tensor) -> Tensor:
        with torch.no_grad():
            return traced(x, t)

    return call


def options(net: torch.nn.Module, x: Tensor, t: Tensor, args: argparse.Namespace) -> dict[str, Call]:
    """All options that were asked for, ready for the shape of `x`; the first is the reference."""
    found = {
        "contiguous fp32": eager(net),
        "contiguous fp32, no_grad": eager(net, grad_mode=torch.no_grad),
        "contiguous bf16": eager(net, half=True),
        "channels_last fp32": eager(net, last=True),
        "channels_last bf16": eager(net, last=True, half=True),
    }
    slow: dict[str, Callable[[], Call]] = {}
    if args.compile:
        for half in (False, True):
            for freezing in (False, True):
                name = f"channels_last {'bf16' if half else 'fp32'} compiled{' frozen' if freezing else ''}"
                slow[name] = lambda half=half, freezing=freezing: compiled(net, half=half, freezing=freezing)
    if args.export:
        slow["onnxruntime fp32"] = lambda: OnnxNetwork(net)
        slow["torch.jit frozen fp32"] = lambda: frozen_script(net, x, t)
    for name, make in slow.items():
        start = time.perf_counter()
        try:
            found[name] = make()
            found[name](x, t)
        except Exception as error:  # an option that this machine does not have is a line of the table
            found.pop(name, None)
            print(f"{name}: not available ({str(error).splitlines()[0][:100]})")
        else:
            print(f"{name}: ready after {time.perf_counter() - start:.0f} s")
    return found


def measure(calls: dict[str, Call], x: Tensor, t: Tensor, repeats: int) -> dict[str, np.ndarray]:
    """Wall and processor seconds (repeats, 2) of every option, interleaved."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for call in calls.values():
        call(x, t)
    for _ in range(repeats):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call(x, t)
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: np.array(rows) for name, rows in seconds.items()}


def rounding(calls: dict[str, Call], plain: Denoiser, x: Tensor, n_steps: int, t_0: float | None) -> dict[str, tuple[float, float]]:
    """Difference of each option's latents from the reference's, and its round trip, for a whole inversion with `fast`."""
    preset = choose("fast", plain.schedule, n_steps=n_steps, t_0=t_0)
    up, down = preset.times_up(plain.schedule), preset.times_down(plain.schedule)
    latents, found = {}, {}
    for name, call in calls.items():
        denoiser = Denoiser(
            call, plain.schedule, plain.shape, parameterisation=plain.parameterisation, data_range=plain.data_range, name=name
        )
        z = integrate(preset.make_solver(denoiser), x, up).x
        latents[name] = z.numpy()
        back = integrate(preset.make_solver(denoiser), z, down).x.numpy()
        found[name] = relative(latents[name], next(iter(latents.values()))), relative(back, x.numpy())
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="default", help="name or path")
    parser.add_argument("--arch")
    parser.add_argument("--config")
    parser.add_argument("--maps", help=".npy in [-1, 1]; base faces of N(HI) surveys by default")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 6, 8, 16, 32])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--compile", action="store_true", help="torch.compile too (a minute an option and a batch)")
    parser.add_argument("--export", action="store_true", help="onnxruntime and TorchScript too")
    parser.add_argument("--steps", type=int, default=24, help="evaluations of the inversion that shows rounding; 0: none")
    parser.add_argument("--t0", type=float)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    plain = open_model(args.network, args.arch, args.config, device="cpu")
    net = plain.net
    c = plain.shape[0]
    maps = torch.from_numpy(load_maps(args.maps, max(args.batches), c, args.size) if args.maps else base_faces(36, c, args.size))
    maps = maps.repeat(-(-max(args.batches) // len(maps)), 1, 1, 1)
    t = torch.tensor([0.5 * plain.schedule.last])
    cost = flops(net, maps)
    print(f"{plain.name}: {cost / 1e9:.3g} GFLOP an evaluation of one {c} x {args.size} x {args.size} map")
    for threads in args.threads:
        torch.set_num_threads(threads)
        rates = {d: matrix_rate(torch.device("cpu"), d) / 1e9 for d in (torch.float32, torch.bfloat16)}
        policy = os.environ.get("OMP_WAIT_POLICY", "default")
        print(f"\n{machine(torch.device('cpu'))}, OMP_WAIT_POLICY {policy}; matrix product", end=" ")
        print(", ".join(f"{str(d).split('.')[1]} {rate:.0f} GFLOP/s" for d, rate in rates.items()))
        for batch in args.batches:
            x = maps[:batch].contiguous()
            calls = options(net, x, t, args)
            seconds = measure(calls, x, t, args.repeats)
            errors = {}
            if args.steps and batch == args.batches[-1] and threads == args.threads[0]:
                some = {name: call for name, call in calls.items() if "no_grad" not in name}
                # options that were prepared for one shape take that shape only
                errors = rounding(some, plain, x, args.steps, args.t0)
            reference = seconds["contiguous fp32"]
            rows = []
            for name, s in seconds.items():
                wall, cpu = np.median(s, axis=0)
                ratio = np.median(reference / s, axis=0)
                error = [f"{e:.1e}" for e in errors.get(name, ())] or ["", ""]
                speed = cost * batch / (cpu if threads == 1 else wall) / 1e9
                times = [f"{1e3 * v / batch:.2f}" for v in (wall, cpu)]
                rows.append([name, *times, *(f"{r:.2f}" for r in ratio), f"{speed:.0f}", *error])
            head = ["option", "wall ms/map", "CPU ms/map", "wall x", "CPU x", "GFLOP/s", "latent diff.", "round trip"]
            print(f"\nmicro-batch {batch}, {threads} thread(s)\n{table(head, rows)}", flush=True)


if __name__ == "__main__":
    main()
