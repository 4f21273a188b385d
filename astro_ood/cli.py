"""The command line: one verb per stage, and the verbs around a run.

Exit status: 0 done, 1 failed, 2 something in the user's hands (one line on stderr says what, and what to do).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from astro_ood import __version__
from astro_ood import config as config_
from astro_ood._yaml import read_yaml
from astro_ood.config import Config
from astro_ood.errors import AstroOodError, ConfigError
from astro_ood.study.verbs import app as study

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
models = typer.Typer(help="Frozen networks that come with astro_ood.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models, name="models")
app.add_typer(study, name="study")


class OnError(StrEnum):
    """What a file that cannot be read does."""

    RAISE = "raise"
    SKIP = "skip"


ConfigArg = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML file, or the same as JSON text")]
Shard = Annotated[int, typer.Option(help="Number of the shard, from 0")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there")]
OnErrorOption = Annotated[OnError | None, typer.Option("--on-error", help="Files that cannot be read: stop, or go on without them")]
Strict = Annotated[bool, typer.Option("--strict", help="Treat doubtful files as errors")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error")]


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("astro_ood").setLevel(logging.INFO)
    try:
        app()
    except AstroOodError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"error {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error AOD-CF05 {where}{error.strerror or error}; check the path, its permissions and the free space", err=True)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version")] = False) -> None:
    if version:
        typer.echo(f"astro_ood {__version__}")
        raise typer.Exit


def _load(source: str, on_error: OnError | None = None, strict: bool = False) -> Config:
    config = config_.load(source)
    changes: dict[str, Any] = {"on_error": on_error.value} if on_error else {}
    if strict:
        changes["strict"] = True
    return config.model_copy(update={"data": config.data.model_copy(update=changes)}) if changes else config


def _stage(name: str, config: str, *shard: int, **options: bool) -> None:
    from astro_ood import stages

    getattr(stages, name)(_load(config), *shard, **options)


@app.command()
def init(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Maps: FITS, HDF5, .npy, .zarr")],
    out: Annotated[Path, typer.Option(help="Configuration to write")],
    model: Annotated[str, typer.Option(help="Frozen network")] = "default",
    hdu: Annotated[str | None, typer.Option(help="Number or name of the FITS HDU")] = None,
    dataset: Annotated[str | None, typer.Option(help="Path of the data set in HDF5 or zarr")] = None,
    on_error: OnErrorOption = None,
    strict: Strict = False,
    debug: Debug = False,
) -> None:
    """Look into files and write a commented configuration."""
    from astro_ood.launch import propose_config

    chosen = int(hdu) if hdu is not None and hdu.isdecimal() else hdu
    text = propose_config(
        files, name=out.stem, model=model, hdu=chosen, dataset=dataset, skip=on_error is OnError.SKIP, strict=strict
    )
    config_.parse(read_yaml(text, out), out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.exists():
        raise ConfigError("CF02", out, "the file is there already", "delete it or give another --out")
    out.write_text(text, encoding="utf-8")
    typer.echo(f"{out}: look at the suggestions in it, then `astro-ood check {out}`")


@app.command()
def check(config: ConfigArg, on_error: OnErrorOption = None, strict: Strict = False, debug: Debug = False) -> None:
    """Validate a configuration, its files and its network, without computing."""
    from astro_ood.launch import check_config

    for line in check_config(_load(config, on_error, strict)):
        typer.echo(line)


@app.command()
def plan(config: ConfigArg) -> None:
    """Say what a run costs: evaluations, jobs, disk, time, from a probe of three network calls."""
    from astro_ood.launch import plan_config

    for line in plan_config(_load(config)):
        typer.echo(line)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": False})
def run(
    context: typer.Context,
    config: ConfigArg,
    cores: Annotated[str, typer.Option(help="Cores to use: a number or all")] = "all",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on after a crash: unlock, and repeat what was left incomplete")
    ] = False,
    on_error: OnErrorOption = None,
    strict: Strict = False,
    debug: Debug = False,
) -> None:
    """Do the whole run through Snakemake; arguments after -- go to it."""
    from astro_ood.launch import run_workflow

    raise typer.Exit(run_workflow(_load(config, on_error, strict), cores=cores, resume=resume, extra=context.args))


@app.command()
def prepare(config: ConfigArg, overwrite: Overwrite = False) -> None:
    """Read the maps, split and normalise them."""
    _stage("prepare", config, overwrite=overwrite)


@app.command()
def probe(config: ConfigArg, overwrite: Overwrite = False) -> None:
    """Choose solver and micro-batch on the run's own maps, where the configuration leaves them open."""
    _stage("probe", config, overwrite=overwrite)


@app.command()
def invert(config: ConfigArg, shard: Shard = 0, overwrite: Overwrite = False) -> None:
    """Invert one shard of the maps through the frozen network."""
    _stage("invert", config, shard, overwrite=overwrite)


@app.command("fit-prior")
def fit_prior(config: ConfigArg, overwrite: Overwrite = False) -> None:
    """Fit the prior and calibrate the criteria."""
    _stage("fit_prior", config, overwrite=overwrite)


@app.command()
def diagnose(config: ConfigArg) -> None:
    """Say what the latents are like: Gaussian, white, told from others."""
    _stage("diagnose", config)


@app.command()
def propose(config: ConfigArg, overwrite: Overwrite = False) -> None:
    """Make new latents that meet the criteria."""
    _stage("propose", config, overwrite=overwrite)


@app.command()
def decode(config: ConfigArg, shard: Shard = 0, overwrite: Overwrite = False) -> None:
    """Decode one shard of the new latents into maps."""
    _stage("decode", config, shard, overwrite=overwrite)


@app.command()
def evaluate(config: ConfigArg) -> None:
    """Compare the new maps with the held-out ones."""
    _stage("evaluate", config)


@app.command()
def report(config: ConfigArg) -> None:
    """Write the report."""
    _stage("report", config)


@app.command()
def verify(run_directory: Annotated[Path, typer.Argument(metavar="RUN")]) -> None:
    """Name every missing, truncated or changed file of a run (status 1 where there is one)."""
    from astro_ood.stores import verify_run

    problems = list(verify_run(run_directory))
    for problem in problems:
        typer.echo(f"{problem.path}: {problem.what}")
    typer.echo(f"{run_directory}: {len(problems)} problems")
    raise typer.Exit(1 if problems else 0)


@app.command()
def compare(
    run_directories: Annotated[list[Path], typer.Argument(metavar="RUN RUN...")],
    out: Annotated[Path | None, typer.Option(help="Page to write (.html): tables, spectra, maps; needs nothing but itself")] = None,
    csv: Annotated[Path | None, typer.Option(help="Table to write: the scores of all runs, one row each")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files there that are none of this command's")] = False,
    debug: Debug = False,
) -> None:
    """Put finished runs side by side: a short table here, a page with --out, all scores with --csv."""
    from astro_ood.api.compare import open_runs

    found = open_runs(run_directories)
    rows = found.table()
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    for row in [dict(zip(widths, widths, strict=True)), *rows]:
        typer.echo("  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip())
    for message in found.left_out:
        typer.echo(f"left out: {message}", err=True)
    if out is not None:
        typer.echo(f"page: {found.write_page(out, overwrite=overwrite)}")
    if csv is not None:
        typer.echo(f"scores: {found.write_csv(csv, overwrite=overwrite)}")


@app.command()
def export(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN")],
    out: Annotated[Path, typer.Option(help="Directory for the FITS files")],
) -> None:
    """Write the synthetic maps of a run as FITS files."""
    from astro_ood.api.export import export_fits

    typer.echo(f"{export_fits(run_directory, out)} files in {out}")


@app.command()
def selftest() -> None:
    """Test solvers and stores on this machine against closed forms, in seconds."""
    from astro_ood.selftest import run_selftest

    raise typer.Exit(1 if _say(run_selftest()) else 0)


def _say(results: Iterable[tuple[str, bool]]) -> list[str]:
    """Show the lines of a check; those that failed."""
    failed = []
    for line, good in results:
        typer.echo(f"{'ok  ' if good else 'FAIL'} {line}")
        if not good:
            failed.append(line)
    return failed


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors), with a card beside them")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps")] = 16_000,
    seed: Annotated[int, typer.Option(help="Seed")] = 0,
) -> None:
    """Train the project's own network on the photographs that scikit-image ships."""
    from astro_ood.diffusion.card import train_and_describe

    train_and_describe(out, steps=steps, seed=seed)


@models.command("list")
def models_list() -> None:
    """Name the networks that come with astro_ood, and the architectures that it opens."""
    from astro_ood.diffusion.hub import list_models
    from astro_ood.diffusion.nets import ARCHITECTURES

    for name, card in list_models().items():
        typer.echo(f"{name}  {card.get('parameters', 0):,} parameters  {card.get('licence', '')}  {card.get('summary', '')}")
    for arch, kind in ARCHITECTURES.items():
        typer.echo(f"arch {arch}: {kind.summary}")


Arch = Annotated[str | None, typer.Option(help="Architecture, where neither card nor weights say it")]
Card = Annotated[Path | None, typer.Option("--config", help="Card, or arguments of the network: JSON or YAML")]


@models.command("check")
def models_check(
    name: Annotated[str, typer.Argument(help="Name, file of weights, or diffusers folder")] = "default",
    arch: Arch = None,
    config: Card = None,
    debug: Debug = False,
) -> None:
    """Test that a network is what its card says (AOD-MD53 where it is not)."""
    from astro_ood.api.models import open_model
    from astro_ood.diffusion.calibration import check_model, refusal

    model = open_model(name, arch, config)
    if failed := _say(check_model(model)):
        raise refusal(model, failed, name)


@models.command("convert")
def models_convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="File of weights, or diffusers folder")],
    out: Annotated[Path, typer.Option(help="Weights to write (.safetensors), with a card beside them")],
    arch: Arch = None,
    config: Card = None,
    licence: Annotated[str, typer.Option(help="Licence of the weights, for the card")] = "not stated",
    overwrite: Overwrite = False,
    debug: Debug = False,
) -> None:
    """Write a network as .safetensors with a card and its hash; nothing is ever unpickled into code."""
    from astro_ood.api.models import read_card
    from astro_ood.diffusion.convert import convert

    card = convert(source, out, arch, read_card(config), licence=licence, overwrite=overwrite)
    typer.echo(
        f"{out}: {card['arch']}, {card['parameters']:,} parameters, sha256 {card['sha256'][:12]}; try `astro-ood models check {out}`"
    )


@models.command("show")
def models_show(name: Annotated[str, typer.Argument(help="Name from `models list`")] = "default") -> None:
    """Print the card of a network."""
    from astro_ood.diffusion.hub import DEFAULT, list_models

    cards = list_models()
    key = DEFAULT if name == "default" else name
    if key not in cards:
        raise ConfigError("MD03", name, "no such network", f"choose one of {', '.join(cards)}")
    typer.echo(json.dumps(cards[key], indent=2))
