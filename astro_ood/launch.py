"""What surrounds a run: proposing a configuration, checking it, and starting the workflow."""

from __future__ import annotations

import math
import os
import re
import resource as resource_usage
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from astro_ood import config as config_
from astro_ood._log import logger
from astro_ood._resources import resource
from astro_ood.config import Config
from astro_ood.configfile import dump_yaml
from astro_ood.errors import ConfigError, InputError, ModelError, RunError
from astro_ood.maps import FileSummary, inspect
from astro_ood.maps.batch import FieldBatch
from astro_ood.stores import RunLock

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser
    from astro_ood.diffusion.frame import Frame
    from astro_ood.stages import Selection

MOST_INVERTED = 64
_EVENTS = re.compile(r"^error (AOD-\w+ .*)$", re.MULTILINE)


def propose_config(
    files: Sequence[str], *, name: str, model: str, hdu: int | str | None, dataset: str | None, skip: bool, strict: bool
) -> str:
    """Commented YAML for some files, from what they hold.

    Raises
    ------
    InputError
        A file that cannot be used (with ``skip``: none that can).
    """
    summaries, skipped = [], []
    for file in files:
        try:
            _require_text(file)
            summaries.append(inspect(file, hdu, dataset))
        except InputError as error:
            if not skip:
                raise
            skipped.append(str(error))
    if not summaries:
        raise InputError("IN40", ", ".join(files)[:200], "none of the files can be used", skipped[0] if skipped else "")
    first = summaries[0]
    data = config_.Data(
        files=[s.path for s in summaries],
        hdu=hdu,
        dataset=dataset,
        axis0=first.axis0,
        slice=0 if first.axis0 == "slice" else None,
        patch=min(s.patch for s in summaries) or None,
        max_inverted=MOST_INVERTED,
        stretch=_common_stretch(summaries),
        strict=strict,
        on_error="skip" if skip else "raise",
    )
    run = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:60] or "run"
    title = f"Synthetic maps from {Path(first.path).name}"[:200]
    decoding = config_.Decoding(guidance=None) if first.axis0 == "channels" else config_.Decoding()
    config = Config(name=run, title=title, data=data, model=config_.Model(name=model), decoding=decoding)
    head = "\n".join(["astro_ood: what was found", *(_describe(s) for s in summaries), *(f"skipped: {line}" for line in skipped)])
    notes = {
        "data.unit": f"found: {first.unit or 'none, say it here'}",
        "data.patch": f"found shape: {' x '.join(str(n) for n in first.shape)}",
        "data.stretch": f"suggested from the dynamic range {first.dynamic_range:.3g} and {first.fraction_nonpositive:.1%} values <= 0",
        "data.max_inverted": f"a cap of {MOST_INVERTED} keeps the first run short",
    }
    return dump_yaml(config, head, notes)


def _require_text(name: str) -> None:
    """Refuse names that no YAML file can hold (bytes that are not UTF-8)."""
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError("IN38", ascii(name), "a name that is not UTF-8 text", "rename the file")


def _common_stretch(summaries: Sequence[FileSummary]) -> str:
    kinds = {s.stretch for s in summaries}
    return kinds.pop() if len(kinds) == 1 else "asinh"


def _describe(s: FileSummary) -> str:
    sky = f", HEALPix nside {s.nside} {s.ordering}, frame {s.frame or 'not given: set data.frame'}" if s.nside else ""
    values = f"{s.minimum:.4g} .. {s.median:.4g} .. {s.maximum:.4g} {s.unit or '(no unit)'}, {s.finite_fraction:.1%} finite"
    others = f"; holds {', '.join(s.alternatives[:6])}" if len(s.alternatives) > 1 else ""
    return " ".join(f"{s.path}: {s.format} {s.label}, shape {s.shape}, {s.dtype}, {values}{sky}{others}".split())


@dataclass(frozen=True)
class _Opened:
    """The maps of a run as their records, and the network that they meet."""

    maps: Selection
    model: Denoiser
    frame: Frame

    @cached_property
    def pilot(self) -> NDArray[np.float32]:
        """Some maps as the network sees them."""
        from astro_ood.diffusion.probe import pilot_rows

        maps = self.maps
        found = dict(maps.reading.again([maps.images[i] for i in pilot_rows(maps.n_inverted)]))
        return self.frame.to_network(FieldBatch.from_maps([found[i] for i in sorted(found)], maps.stretch).x)


def _open(config: Config) -> _Opened:
    from astro_ood.diffusion.frame import Frame
    from astro_ood.stages import select
    from astro_ood.stages.common import network

    maps, model = select(config), network(config)
    return _Opened(maps, model, Frame.of(model, maps.images[0].shape, config.data.channels, config.data.fit))


def check_config(config: Config) -> Iterator[str]:
    """Do all that can fail cheaply; yield what was found, line by line.

    Raises
    ------
    AstroOodError
        The first thing that a run would stumble over.
    """
    from astro_ood.diffusion.probe import parse_tolerance
    from astro_ood.stages.common import check_shards, configured

    parse_tolerance(config.inversion.tolerance)
    found = _open(config)
    model, maps = found.model, found.maps
    n, n_inverted = len(maps.images), maps.n_inverted
    settings = config.inversion
    for t_0 in (*(settings.check_t_0 or ()), settings.t_0):
        preset = configured(config, model, t_0)
    if config.decoding.guidance and found.frame.shape[0] > 1:
        problem = f"maps of {found.frame.shape[0]} channels cannot be guided: statistics are those of one map"
        raise ConfigError("CF44", "decoding.guidance", problem, "set it to null")
    check_shards(n, settings.shards, "inversion.shards")
    check_shards(config.proposal.n, config.decoding.shards, "decoding.shards")
    for _, message in maps.readout.skipped:
        yield f"skipped: {message}"
    for note in maps.readout.notes:
        yield f"note: {note}"
    c, h, w = found.frame.shape
    channels = "" if c == 1 else f"{c} channels, "
    yield f"maps: {n_inverted} to invert, {n - n_inverted} held out, {channels}{h} x {w} pixels, unit {maps.images[0].unit or 'none'}"
    if not found.frame.trivial:
        yield f"network sees: {' x '.join(str(n) for n in found.frame.network_shape)} (channels {config.data.channels}, fit {config.data.fit})"
    yield f"network: {model.name}, sha256 {model.sha256[:12]}, on {model.device}, {model.execution.precision}"
    steps = f"chosen by a probe for {settings.tolerance}" if settings.preset == "tolerance" else f"{preset.n_steps} steps"
    yield f"solver: {settings.preset}, t_0 = {preset.t_0:g}, {steps}"
    if min(n_inverted, n - n_inverted) < 8:
        yield "few maps: the verdict will be 'undecided' at best"
    yield "ready"


def plan_config(config: Config) -> Iterator[str]:
    """Cost of a run, from a probe of three network calls on its own maps; yield it line by line.

    Raises
    ------
    AstroOodError
        As `check_config`.
    """
    from astro_ood.api.trajectories import network_calls
    from astro_ood.diffusion.batching import MICRO_BATCH, seconds_per_call
    from astro_ood.stages.common import configured

    found = _open(config)
    model, n = found.model, len(found.maps.images)
    settings, memory = config.inversion, resource_usage.getrusage(resource_usage.RUSAGE_SELF).ru_maxrss
    preset = configured(config, model)
    if config.probes:
        yield "probe: solver or micro-batch are left to the run's own probe; what follows is for preset fast and, on auto, 8 maps a call"
    up, down, fine = preset.evaluations_up, preset.evaluations_down, preset.refined().evaluations_up
    checks = 1 if settings.check_t_0 is None else len(settings.check_t_0)
    micro_batch = MICRO_BATCH if config.model.micro_batch == "auto" else config.model.micro_batch
    seconds = seconds_per_call(model, found.pilot, preset.t_0, micro_batch)
    total = 0.0
    for stage, n_maps, shards, extra in (
        ("invert", n, settings.shards, fine + checks * (up + down)),
        ("decode", config.proposal.n, config.decoding.shards, 0),
    ):
        each = down if stage == "decode" else up + down
        sizes = [len(part) for part in np.array_split(np.arange(n_maps), shards)]
        estimated = [min(size, settings.estimates) for size in sizes]
        calls = sum(-(-size // micro_batch) * each for size in sizes) + sum(-(-size // micro_batch) * extra for size in estimated)
        total += calls * seconds
        more = f" (+ {extra} for errors, of {sum(estimated)})" if extra else ""
        yield f"{stage}: {n_maps} maps, {each} evaluations each{more}, {calls} network calls in {shards} jobs, about {_duration(calls * seconds)} in all"
    if config.diagnostics.trajectories:
        asked = config.diagnostics
        calls = network_calls(preset, found.maps.n_inverted, asked.maps, len(asked.etas), asked.own, micro_batch)
        total += calls * seconds
        yield f"diagnose: {asked.own} maps of the network's own, bandwidth and capture, {calls} network calls in 1 job, about {_duration(calls * seconds)}"
    maps, latents = found.maps.stretch.dtype().itemsize * math.prod(found.frame.shape), found.pilot[0].nbytes
    size = n * (2 * maps + latents) + config.proposal.n * (maps + latents)
    yield f"disk: about {size / 1e6:.1f} MB in {config.run}, before compression"
    after = resource_usage.getrusage(resource_usage.RUSAGE_SELF).ru_maxrss
    more = f"{max(0, after - memory) / 1e6:.1f} GB of them for {micro_batch} maps in the network"
    yield f"memory: {after / 1e6:.1f} GB for this probe, {more}; jobs of invert and decode need no more, whatever the number of maps"
    yield from _evaluation(found, config)
    yield f"execution: {', '.join(_faster(found, preset.t_0, micro_batch))} (model.channels_last, model.precision, model.onnx, model.threads)"
    yield f"network time: about {_duration(total)} on {model.device}, over all jobs ({seconds:.3f} s a call of {micro_batch} maps)"


def _evaluation(found: _Opened, config: Config) -> Iterator[str]:
    """What the stages that hold all their maps will take, from statistics and synthesis of two maps."""
    from astro_ood.api.baselines import ITERATIONS, usual_methods
    from astro_ood.stats.features import features
    from astro_ood.stats.synthesis import synthesise

    some, (channels, *sides) = found.pilot[:2, 0].astype(np.float64), found.frame.shape
    real, new = channels * len(found.maps.images), channels * config.proposal.n
    asked = config.validation.baselines
    methods: Sequence[str] = usual_methods(math.prod(sides)) if asked is None else asked
    made = min(new, config.validation.synthesised or new) if "scattering" in methods else 0
    cheap = new * (len(methods) - ("scattering" in methods)) + made
    total = real + new + cheap
    # inverted latents in single precision; maps that baselines are made from, and these, in double, as they are and as they are compared
    latents, held = (
        found.pilot[0].nbytes * found.maps.n_inverted,
        16 * math.prod(sides) * (channels * found.maps.n_inverted + cheap),
    )
    yield (
        f"memory besides: propose holds the inverted latents, about {latents / 1e6:.1f} MB, and evaluate the inverted maps and its "
        f"baselines, about {held / 1e6:.1f} MB; the other maps it reads in blocks"
    )
    started = time.perf_counter()
    features(some)
    each, started = (time.perf_counter() - started) / len(some), time.perf_counter()
    line = f"evaluate: statistics of {total} maps about {_duration(each * total)}"
    if made:
        synthesise(some, len(some), np.random.default_rng(0), iterations=ITERATIONS // 10)
        synthesis = 10 * (time.perf_counter() - started) / len(some)
        line += f", scattering synthesis of {made} about {_duration(synthesis * made)} (validation.synthesised: at most so many)"
    yield f"{line}; its tests ({config.validation.permutations} relabellings, seconds a set of some tens of maps) and the report are not in any figure here"


def _faster(found: _Opened, t: float, micro_batch: int) -> Iterator[str]:
    """How other ways to execute the network compare with plain float32, on these maps."""
    import torch

    from astro_ood.diffusion.batching import seconds_per_call
    from astro_ood.diffusion.execution import Execution

    model, configured, threads = found.model, found.model.execution, torch.get_num_threads()
    ways = {"channels_last": Execution(channels_last=True), "bf16 and channels_last": Execution("bf16", True)}
    if model.device.type == "cpu":
        ways["onnx"] = Execution(onnx=True)

    def seconds(execution: Execution) -> float:
        return seconds_per_call(model.to(model.device, execution), found.pilot, t, micro_batch)

    try:
        plain = seconds(Execution())
        for name, execution in ways.items():
            # not installed, or a network that cannot be exported
            with suppress(ModelError):
                yield f"{name} x {plain / seconds(execution):.1f}"
        if model.device.type == "cpu" and (os.cpu_count() or 1) > 1:
            torch.set_num_threads(1)
            one = seconds(Execution())
            torch.set_num_threads(2)
            yield f"two threads x {one / seconds(Execution()):.1f}"
    finally:
        torch.set_num_threads(threads)
        model.to(model.device, configured)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 3600:.1f} h"


def run_workflow(config: Config, *, cores: str, resume: bool, extra: Sequence[str]) -> int:
    """Check a configuration and run the workflow on it; exit status 0, 1, or 2 for an error in the user's hands.

    Raises
    ------
    AstroOodError
        What `check_config` finds, or another run in the same directory.
    """
    if not (cores == "all" or (cores.isdecimal() and int(cores) > 0)):
        raise ConfigError("CF44", "--cores", f"found {cores!r}, expected a positive number or 'all'", "give --cores all")
    if find_spec("snakemake") is None:
        raise ConfigError("CF04", "snakemake", "it is not installed", "pip install 'astro-ood[workflow]'")
    for line in check_config(config):
        logger.info("%s", line)
    root = config.run
    root.mkdir(parents=True, exist_ok=True)
    # the clone's own Snakefile where this is a clone, never one that happens to lie here
    snakefile = (
        Path("Snakefile") if Path("astro_ood/__init__.py").is_file() and Path("Snakefile").is_file() else resource("Snakefile")
    )
    with RunLock(root), tempfile.TemporaryDirectory() as folder:
        effective = Path(folder) / f"{config.name}.yaml"
        effective.write_text(dump_yaml(config), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(snakefile),
            "--directory",
            ".",
            "--configfile",
            str(effective),
        ]
        if resume:
            subprocess.run([*command, "--cores", "1", "--unlock"], check=False, capture_output=True)
        started = time.time()
        options = ["--rerun-incomplete"] if resume else []
        done = subprocess.run([*command, "--cores", cores, *options, *extra], check=False)
    if done.returncode == 0:
        if (root / "report.html").is_file():
            logger.info("report: %s", root / "report.html")
        return 0
    if done.returncode == 2:
        return 2
    for log in sorted((root / "logs").glob("**/*.log"), key=os.path.getmtime):
        found = _EVENTS.findall(log.read_text(encoding="utf-8", errors="replace")) if log.stat().st_mtime >= started else []
        if found:
            raise RunError.again(found[-1])
    logger.error(
        "the workflow failed; `astro-ood run ... --resume` goes on where it stopped (a job that was killed without a word mostly had "
        "too little memory: take a smaller model.micro_batch)"
    )
    return 1
