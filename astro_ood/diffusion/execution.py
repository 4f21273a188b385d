"""How a network is executed: device, arithmetic, memory layout, compilation.

None of it is part of the method. The state of a solver stays float32 whatever the network computes in; what reduced precision costs
is measured (``latent_error`` and round trip), never assumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from astro_ood.diffusion.onnx import OnnxNetwork
from astro_ood.errors import ConfigError, ModelError

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
EXACT_BELOW = 0.1
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True)
class Execution:
    """Options of one device.

    Attributes
    ----------
    precision : {"fp32", "tf32", "bf16", "fp16"}
        Arithmetic inside the network: float32, float32 with TF32 products (CUDA), or autocast to a half precision. The last three
        only where ``sigma_t`` is above `EXACT_BELOW`: near the clean end an inversion enlarges what rounding does.
    channels_last : bool
        Memory layout of images and convolutions.
    compiled : bool
        Whether `torch.compile` makes kernels for this network and batch shape (minutes before the first result).
    graphs : bool
        Whether one recorded CUDA graph replays a whole evaluation; without effect on a CPU.
    onnx : bool
        Whether onnxruntime evaluates the network: float32 on a CPU, in its own memory layout.

    Raises
    ------
    ModelError
        MD59: a precision that is not known.
    ConfigError
        CF44: onnx together with what it cannot do.
    """

    precision: Precision = "fp32"
    channels_last: bool = False
    compiled: bool = False
    graphs: bool = False
    onnx: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ModelError("MD59", "precision", f"'{self.precision}' is not known", f"take one of {', '.join(PRECISIONS)}")
        if self.onnx:
            _require_plain("precision", self.precision, "fp32")
            _require_plain("compiled", self.compiled, False)
            _require_plain("graphs", self.graphs, False)


def _require_plain(name: str, value: object, expected: object) -> None:
    """Refuse what onnxruntime does not do."""
    if value != expected:
        found, wanted = (str(v).lower() for v in (value, expected))
        problem = f"found {found} with onnx, expected {wanted}: onnxruntime computes float32 on a CPU by kernels of its own"
        raise ConfigError("CF44", name, problem, f"set {name}: {wanted}, or leave onnx out")


def pick_device(device: str = "auto") -> torch.device:
    """``auto`` is the first CUDA device where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ModelError("MD01", "device", f"'{device}' is no device", "use auto, cpu or cuda") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "MD01", "device", "cuda was asked for but this machine or this build of torch has none", "use device: auto"
        )
    return chosen


@contextmanager
def arithmetic(execution: Execution, device: torch.device) -> Iterator[None]:
    """Inference with the arithmetic of an execution: products are not rounded to TF32 unless that was asked for."""
    tf32 = execution.precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(execution.precision)
    # a recorded graph must not refer to weights in a cache that is emptied after this block
    cast: AbstractContextManager[Any] = (
        torch.autocast(device.type, dtype=half, cache_enabled=not execution.graphs) if half else nullcontext()
    )
    # tuned kernels may differ from call to call
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32)
    try:
        with torch.inference_mode(), exact, cast:
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


class Runner:
    """A network made ready for one device and one execution.

    Parameters
    ----------
    net : callable
        ``net(x_t, t)``; modules are moved to the device and laid out.
    device : torch.device
    execution : Execution

    Attributes
    ----------
    evaluations : int
        Calls so far.
    """

    def __init__(self, net: Callable[[Tensor, Tensor], Tensor], device: torch.device, execution: Execution) -> None:
        self.device, self.execution, self.evaluations = device, execution, 0
        if execution.onnx:
            _require_plain("device", device.type, "cpu")
        self._layout = torch.channels_last if execution.channels_last else torch.contiguous_format
        if isinstance(net, torch.nn.Module):
            net.to(device)
            net.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._call = torch.compile(net, dynamic=False) if execution.compiled else OnnxNetwork(net) if execution.onnx else net
        self._graphs: dict[tuple[bool, torch.Size], _Graph] = {}
        self._recorded = torch.Size()
        self._clock = _Clock(device)

    def __call__(self, x_t: Tensor, t: Tensor, *, exact: bool = False) -> Tensor:
        """The network's own output, in float32 at least; with `exact` computed in float32 too."""
        x = x_t.to(self.device, memory_format=self._layout)
        time_ = t.to(self.device)
        execution = replace(self.execution, precision="fp32") if exact else self.execution
        with arithmetic(execution, self.device), self._clock:
            self.evaluations += 1
            if execution.graphs and self.device.type == "cuda":
                return self._replay(x, time_, exact)
            return _at_least_float32(self._call(x, time_))

    def _replay(self, x: Tensor, t: Tensor, exact: bool) -> Tensor:
        if x.shape != self._recorded:  # graphs hold their memory: those of another batch size give it back first
            self._graphs.clear()
            self._recorded = x.shape
        key = (exact, t.shape)
        if key not in self._graphs:
            self._graphs[key] = _Graph(self._call, x, t)
        return self._graphs[key](x, t)

    @property
    def seconds(self) -> float:
        """Time spent inside the network so far; on CUDA the device's own."""
        return self._clock.seconds()


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


class _Graph:
    """One evaluation, recorded once and replayed: the host issues one launch instead of hundreds."""

    def __init__(self, call: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> None:
        self.x, self.t = x.clone(), t.clone()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries allocate their workspaces in the first calls
            for _ in range(3):
                call(self.x, self.t)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.out = _at_least_float32(call(self.x, self.t))

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.x.copy_(x)
        self.t.copy_(t)
        self.graph.replay()
        return self.out.clone()


@dataclass
class _Clock:
    """Adds up the time inside the network without waiting for the device."""

    device: torch.device
    total: float = 0.0
    events: list[tuple[Any, Any]] = field(default_factory=list)

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            self.events.append(tuple(torch.cuda.Event(enable_timing=True) for _ in range(2)))  # type: ignore[arg-type, no-untyped-call]
            self.events[-1][0].record()
        else:
            self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.events[-1][1].record()
            if len(self.events) >= 1024:
                self.seconds()
        else:
            self.total += time.perf_counter() - self.start

    def seconds(self) -> float:
        for first, last in self.events:
            last.synchronize()
            self.total += first.elapsed_time(last) / 1e3
        self.events.clear()
        return self.total
