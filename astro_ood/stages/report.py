"""Comparing the new maps with the held-out ones, and the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astro_ood._log import logger
from astro_ood.api.run import Run, open_run, real_views
from astro_ood.api.validate import validate
from astro_ood.config import Config, parse
from astro_ood.configfile import write_effective
from astro_ood.stores import open_shards
from astro_ood.stores.manifest import made_by


def evaluate(config: Config) -> None:
    """Compare the synthetic maps with the held-out ones; write `scores.csv` and `scores.json`."""
    run = open_run(config.run)
    real, held_out = real_views(run)
    scores = validate(
        real,
        run.samples,
        held_out if held_out.shape[0] * held_out.shape[1] > 1 else None,
        log=run.fields.attrs["stretch"]["kind"] == "log10" if config.validation.log is None else config.validation.log,
        parents=_main_parents(run),
        n_permutations=config.validation.permutations,
        baselines=config.validation.baselines,
        most_synthesised=config.validation.synthesised,
        galaxies=config.validation.galaxies,
        seed=config.seed,
    )
    replace(scores, record=made_by(config.only("seed", "validation"), config.seed)).save(run.paths.root)
    logger.info("evaluate: %s", scores.verdict)


def _main_parents(run: Run) -> NDArray[np.int64] | None:
    """Row among the inverted maps of the heaviest parent of each synthetic map; None where some have no parent.

    Every channel counts as a map, and its parent is that channel of the parent.
    """
    samples = open_shards(run.root / "samples", "samples")
    heaviest = np.argmax(np.abs(samples.load("weights")), axis=1)[:, None]
    parents = np.take_along_axis(samples.load("parents"), heaviest, axis=1)[:, 0]
    if (parents < 0).any():
        return None
    ids = run.fields.attrs["ids"]
    # inverted maps stand first among the fields; those without a usable latent are no parents
    rows = np.array([ids.index(name) for name in samples.attrs["parent_ids"]])[parents]
    channels = run.fields.shape[1]
    return (rows[:, None] * channels + np.arange(channels)).ravel()


def report(config: Config) -> None:
    """Write `report.html`, the methods as text, and the description of the run for machines."""
    from astro_ood.api.report import collect_report
    from astro_ood.report.crate import write_crate
    from astro_ood.report.methods import methods_of
    from astro_ood.report.page import write_report
    from astro_ood.report.scores import write_text

    run = open_run(config.run)
    # every route to a finished run leaves the configuration that repeats it
    made = [entry["settings"] for entry in run.provenance["stores"] if "settings" in entry]
    write_effective(
        parse(
            {key: value for settings in (*made, config.only("title", "seed", "validation")) for key, value in settings.items()},
            run.root,
        )
    )
    data = collect_report(run, config.title)
    write_report(data, run.paths.report)
    write_text(run.paths.methods, methods_of(data).text(data.title))
    # last, for it holds the checksums of the others
    write_crate(data, run.paths.root)
    logger.info("report: %s", run.paths.report)
