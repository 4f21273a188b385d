"""E13, E15: what every way of making maps gives, in fidelity and in novelty, beside methods that need no network.

Fidelity is the worst departure of ln P from held-out maps in standard deviations between real sets, and what all other statistics say;
novelty the distance to the nearest inverted map over that of held-out maps. The default recipe is the one of lowest worst departure among those whose maps are new.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from astro_ood.study.judge import Judge, departures
from astro_ood.study.material import Material
from astro_ood.study.recipes import ISOTROPIC, recipes
from astro_ood.study.table import Row


def run(cell: Material) -> Iterator[Row]:
    """Departures, p-values, outcomes and neighbours of each recipe."""
    ways = recipes(cell)
    made, seconds = {}, {}
    for name, make in ways.items():
        start = time.process_time()
        made[name] = make()
        seconds[name] = time.process_time() - start
    judge = Judge(cell.maps, made[ISOTROPIC], cell.seed, cell.effort.permutations)
    for name, maps in made.items():
        found, n = judge(maps), len(maps)
        spectrum = found.compared["spectrum"]
        for i, d in enumerate(departures(spectrum)):
            yield cell.row("E15", name, "d ln P / floor sd", float(d), x=i, n=n)
        numbers = {
            "k-bins within 2": found.within,
            "nearest": found.near.ratio,
            "copies": found.near.copy_rate,
            "twins": found.twins.ratio,
            "processor seconds a map": seconds[name] / n,
        }
        for quantity, value in numbers.items():
            yield cell.row("E15", name, quantity, float(value), n=n)
        for statistic, comparison in found.compared.items():
            yield cell.row("E15", name, f"worst {statistic}", found.worst[statistic], n=n)
            yield cell.row("E15", name, f"p {statistic}", comparison.p, n=n)
            yield cell.row("E15", name, f"from inverted {statistic}", found.bias[statistic], n=n)
            code = {"differs": -1.0, "undecided": 0.0, "agrees": 1.0}[found.outcome[statistic]]
            yield cell.row("E15", name, f"outcome {statistic}", code, n=n)
