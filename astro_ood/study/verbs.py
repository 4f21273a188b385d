"""The command line of a study: `astro-ood study ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from astro_ood.study.settings import load

app = typer.Typer(help="Measure the claims of the method on many domains.", no_args_is_help=True, rich_markup_mode=None)

ConfigArg = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file of the study")]
NetworkArg = Annotated[str, typer.Argument(help="Name of a network in it")]
DomainArg = Annotated[str, typer.Argument(help="Name of a domain in it, or in-domain")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error")]


@app.command()
def run(config: ConfigArg, debug: Debug = False) -> None:
    """Compute all that is missing, and write table, figures and page."""
    from astro_ood.study.cells import run_study
    from astro_ood.study.page import write_study

    study = load(config)
    run_study(study)
    typer.echo(write_study(study))


@app.command()
def material(config: ConfigArg, network: NetworkArg, domain: DomainArg, debug: Debug = False) -> None:
    """Read the maps of one domain and invert them through one network."""
    from astro_ood.study.material import prepare

    prepare(load(config), network, domain)


@app.command()
def cell(
    config: ConfigArg,
    experiment: Annotated[str, typer.Argument(help="E1 ... E15")],
    network: NetworkArg,
    domain: DomainArg,
    debug: Debug = False,
) -> None:
    """Compute one experiment of one network and one domain."""
    from astro_ood.study.cells import run_cell

    run_cell(load(config), experiment, network, domain)


@app.command()
def page(config: ConfigArg, debug: Debug = False) -> None:
    """Write table, figures and page of what has been computed."""
    from astro_ood.study.page import write_study

    typer.echo(write_study(load(config)))
