"""Running the cells of a study: each leaves one file of rows, and what is there already is not computed again."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from astro_ood._log import logger
from astro_ood.errors import ConfigError
from astro_ood.study.material import load_material, missing, prepare
from astro_ood.study.settings import Study, claim
from astro_ood.study.table import Row, read_table, write_table

MODULES = {
    "E1": "e01_reconstruction",
    "E2": "e02_gaussianity",
    "E3": "e03_separability",
    "E4": "e04_geometry",
    "E5": "e05_filter",
    "E6": "e06_interference",
    "E7": "e07_bandwidth",
    "E12": "e12_novelty",
    "E14": "e14_lemma",
    "E15": "e15_frontier",
}


def run_cell(study: Study, experiment: str, network: str, domain: str) -> Path:
    """Compute one cell from its material and write its rows.

    Raises
    ------
    ConfigError
        CF44: no such cell; CF46: other settings made what stands there.
    """
    if (experiment, network, domain) not in study.cells():
        where = f"{experiment}, {network}, {domain}"
        raise ConfigError("CF44", "study", f"there is no cell {where}", "choose names of the study's file")
    material = load_material(study, network, domain)
    claim(study)
    rows = list(import_module(f"astro_ood.study.{MODULES[experiment]}").run(material))
    path = study.table(experiment, network, domain)
    write_table(rows, path)
    logger.info("study: %s, %s, %s: %d rows", experiment, network, domain, len(rows))
    return path


def run_study(study: Study) -> None:
    """Compute all that is missing, one after the other; the workflow does the same on several cores or machines."""
    for network, domain in list(missing(study)):
        prepare(study, network, domain)
    for cell in unfinished(study):
        run_cell(study, *cell)


def unfinished(study: Study) -> Iterator[tuple[str, str, str]]:
    """Cells that have no rows yet."""
    return (cell for cell in study.cells() if not study.table(*cell).exists())


def finished(study: Study) -> list[Row]:
    """Rows of all cells that are there."""
    return read_table([path for cell in study.cells() if (path := study.table(*cell)).exists()])
