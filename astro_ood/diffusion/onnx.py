"""Execution of a frozen network by onnxruntime, on a CPU.

The network is exported once for each shape of its input and from then on runs as a graph whose operators are fused and whose layout
onnxruntime chooses. Time is an input of that graph, like the map. Weights and arithmetic stay float32, so what changes is rounding;
that it is no more than that is tried on one random map whenever a graph is made.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from astro_ood.errors import ModelError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUTS = ("x_t", "t")
ROUNDING = 1e-3
"""Largest difference from torch, relative to the largest output: far above rounding, far below another network."""
MOST_SESSIONS = 4
"""Sessions kept: each holds the weights once more, and a probe of the micro-batch goes through many shapes."""


class OnnxNetwork:
    """A network that onnxruntime evaluates, in as many threads as torch has.

    Parameters
    ----------
    net : torch.nn.Module
        ``net(x_t, t)``, float32, in evaluation mode.

    Raises
    ------
    ModelError
        MD58: a package is not installed. MD62: no module; at the first call with a shape: a network that cannot be exported.
    """

    def __init__(self, net: object) -> None:
        missing = [name for name in PACKAGES if find_spec(name) is None]
        if missing:
            problem = f"{', '.join(missing)} not installed, expected {', '.join(PACKAGES)}"
            raise ModelError("MD58", "onnx", problem, "pip install 'astro-ood[onnx]'")
        if not isinstance(net, torch.nn.Module):
            name = getattr(net, "__name__", type(net).__name__)
            raise ModelError("MD62", name, "found a function, expected a torch.nn.Module to export", "leave onnx out")
        self._net = net
        self._sessions: dict[tuple[Any, ...], Any] = {}

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The network's own output for `x_t` (N, C, H, W) at `t` (1,) or (N,)."""
        key = (x_t.shape, t.shape, torch.get_num_threads())
        if key not in self._sessions:
            if len(self._sessions) == MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[key] = self._export(x_t.shape, t.shape)
        return _run(self._sessions[key], x_t, t)

    def _export(self, *shapes: torch.Size) -> Any:
        # exporting marks tensors, which those made for inference alone do not take
        with torch.inference_mode(mode=False), torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            x_t, t = (torch.rand(shape, generator=generator) for shape in shapes)
            try:
                session = _session(self._net, x_t, t)
            except Exception as error:  # each of the three packages has errors of its own
                name, reason = type(self._net).__name__, (str(error.__cause__ or error).splitlines() or [""])[0]
                raise ModelError("MD62", name, f"cannot be exported to ONNX ({reason[:200]})", "leave onnx out") from None
            # not the time that the graph was made with
            expected, found = (f(2 * x_t - 1, t + 1) for f in (self._net, lambda x, t: _run(session, x, t)))
        difference, largest = float((found - expected).abs().max()), float(expected.abs().max())
        if not difference <= ROUNDING * largest:
            problem = f"by ONNX its output is {difference:.2g} off, expected at most {ROUNDING:g} of {largest:.2g}"
            raise ModelError("MD62", type(self._net).__name__, problem, "leave onnx out")
        return session


def _run(session: Any, *inputs: Tensor) -> Tensor:
    arrays = (a.detach().contiguous().numpy() for a in inputs)
    try:
        (out,) = session.run(None, dict(zip(INPUTS, arrays, strict=True)))
    except Exception as error:  # no type of its own says that memory has ended
        if "allocate memory" in str(error):
            raise torch.OutOfMemoryError(str(error)) from None
        raise
    return torch.from_numpy(out)


def _session(net: torch.nn.Module, x_t: Tensor, t: Tensor) -> Any:
    with _quiet(), TemporaryDirectory() as folder:
        import onnxruntime

        file = Path(folder) / "network.onnx"
        torch.onnx.export(net, (x_t, t), file, dynamo=True, verbose=False, input_names=list(INPUTS))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 4  # its errors come as exceptions too
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """An exporter warns of its own future, logs each of its steps and prints graphs that it cannot take."""
    loggers = [logging.getLogger(name) for name in ("torch", "onnx_ir", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
