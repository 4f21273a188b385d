"""What surrounds a run: proposing a configuration, checking it, and starting the workflow."""

from __future__ import annotations

import os
import re
import resource as resource_usage
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from astro_ood import config as config_
from astro_ood._log import logger
from astro_ood._resources import resource
from astro_ood.config import Config
from astro_ood.errors import ConfigError, InputError, RunError
from astro_ood.maps import FileSummary, Readout, Stretch, inspect
from astro_ood.maps.batch import FieldBatch
from astro_ood.stores import RunLock

if TYPE_CHECKING:
    from astro_ood.diffusion.denoiser import Denoiser

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
    config = Config(name=run, title=title, data=data, model=config_.Model(name=model))
    head = "\n".join(["astro_ood: what was found", *(_describe(s) for s in summaries), *(f"skipped: {line}" for line in skipped)])
    notes = {
        "data.unit": f"found: {first.unit or 'none, say it here'}",
        "data.patch": f"found shape: {' x '.join(str(n) for n in first.shape)}",
        "data.stretch": f"suggested from the dynamic range {first.dynamic_range:.3g} and {first.fraction_nonpositive:.1%} values <= 0",
        "data.max_inverted": f"a cap of {MOST_INVERTED} keeps the first run short",
    }
    return config_.dump_yaml(config, head, notes)


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


def _open(config: Config) -> tuple[Readout, int, FieldBatch, Denoiser]:
    """Maps (those to invert first, and their number) as the network will see them, and the network."""
    from astro_ood.api.generate import open_model
    from astro_ood.diffusion.engine import check_shape
    from astro_ood.stages import read

    readout, maps, n_inverted = read(config)
    batch = FieldBatch.from_maps(maps, Stretch.fit(maps[:n_inverted], config.data.stretch))
    model = open_model(config.model.name, device=config.model.device)
    check_shape(model, batch.x)
    return readout, n_inverted, batch, model


def check_config(config: Config) -> Iterator[str]:
    """Do all that can fail cheaply; yield what was found, line by line.

    Raises
    ------
    AstroOodError
        The first thing that a run would stumble over.
    """
    from astro_ood.diffusion import presets
    from astro_ood.stages import check_shards

    readout, n_inverted, batch, model = _open(config)
    for t_0 in (*(config.inversion.check_t_0 or ()), config.inversion.t_0):
        preset = presets.choose(config.inversion.preset, model.schedule, n_steps=config.inversion.n_steps, t_0=t_0)
    check_shards(len(batch), config.inversion.shards, "inversion.shards")
    check_shards(config.proposal.n, config.decoding.shards, "decoding.shards")
    for _, message in readout.skipped:
        yield f"skipped: {message}"
    for note in readout.notes:
        yield f"note: {note}"
    h, w = batch.x.shape[2:]
    yield f"maps: {n_inverted} to invert, {len(batch) - n_inverted} held out, {h} x {w} pixels, unit {batch.unit or 'none'}"
    yield f"network: {model.name}, sha256 {model.sha256[:12]}, on {model.device}"
    yield f"solver: {preset.name}, t_0 = {preset.t_0:g}, {preset.n_steps} steps"
    if min(n_inverted, len(batch) - n_inverted) < 8:
        yield "few maps: the verdict will be 'undecided' at best"
    yield "ready"


def plan_config(config: Config) -> Iterator[str]:
    """Cost of a run, from a probe of three network calls on its own maps; yield it line by line.

    Raises
    ------
    AstroOodError
        As `check_config`.
    """
    from astro_ood.diffusion import engine, presets

    _, _, batch, model = _open(config)
    preset = presets.choose(config.inversion.preset, model.schedule, n_steps=config.inversion.n_steps, t_0=config.inversion.t_0)
    up, down, fine = preset.evaluations_up, preset.evaluations_down, preset.refined().evaluations_up
    checks = 1 if config.inversion.check_t_0 is None else len(config.inversion.check_t_0)
    micro_batch = config.model.micro_batch
    seconds = engine.seconds_per_call(model, batch.x, preset.t_0, micro_batch)
    total = 0.0
    for stage, n, shards, each in (
        ("invert", len(batch), config.inversion.shards, up + down + fine + checks * (up + down)),
        ("decode", config.proposal.n, config.decoding.shards, down),
    ):
        calls = sum(-(-len(part) // micro_batch) for part in np.array_split(np.arange(n), shards)) * each
        total += calls * seconds
        yield f"{stage}: {n} maps, {each} evaluations each, {calls} network calls in {shards} jobs, about {calls * seconds:.0f} s in all"
    size = batch.x[0].nbytes
    yield f"disk: about {(3 * len(batch) + 2 * config.proposal.n) * size / 1e6:.1f} MB in {config.run}, before compression"
    yield f"memory: {resource_usage.getrusage(resource_usage.RUSAGE_SELF).ru_maxrss / 1e6:.1f} GB used by this probe of {micro_batch} maps"
    yield f"network time: about {total:.0f} s on {model.device}, over all jobs ({seconds:.3f} s a call of {micro_batch} maps)"


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
        effective.write_text(config_.dump_yaml(config), encoding="utf-8")
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
    logger.error("the workflow failed; `astro-ood run ... --resume` goes on where it stopped")
    return 1
