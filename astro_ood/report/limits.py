"""What a run cannot show, said of its own numbers.

Samples are conditional on the inverted maps, tests on few maps have a smallest p, and inversion loses detail: a report that leaves
these out is read as more than it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astro_ood.report import words
from astro_ood.report.clauses import guided_by
from astro_ood.report.content import SYNTHETIC, ReportData, Row
from astro_ood.stats.rows import attainable, by_test


def limits_of(data: ReportData) -> list[str]:
    """What this run cannot show."""
    n_i, n_h, n_s = data.data.n_inverted, data.data.n_held_out, data.n_synthetic
    found = [
        f"The {words.count(n_s, 'synthetic map')} were all made from {words.count(n_i, 'real map')}. They inherit what those few maps happen to be: "
        f"however many are drawn, they hold no more independent information than {words.count(n_i, 'map')} do. Do not count them as "
        f"{n_s} observations, and do not derive error bars from their number."
    ]
    if n_h:
        found.append(
            f"They were judged against {words.count(n_h, 'held-out map')}. A rare kind of map that is not among these was not tested."
        )
    else:
        found.append("No map was held out: the comparison is with the very maps that were inverted, and is therefore optimistic.")
    if steered := guided_by(data):
        found.append(
            f"Decoding was guided: {steered} of the synthetic maps were moved towards those of the inverted maps. That they agree says nothing "
            "of the network. Structure functions, gradients, Minkowski functionals and peaks were not steered; judge by these."
        )
    found += _power(data.rows)
    trip = words.medians(data.inversion)["round_trip"]
    if trip:
        worst = max(trip.values())
        found.append(
            f"Inversion itself loses detail (median round trip up to {words.percent(worst)} of the standard deviation). "
            "Structure fainter than that is not carried from the real maps; it is supplied by the network."
        )
    if data.data.skipped:
        found.append(
            f"{words.count(len(data.data.skipped), 'file')} could not be used and {'is' if len(data.data.skipped) == 1 else 'are'} not represented here."
        )
    return found


def _power(rows: Sequence[Row]) -> list[str]:
    """Attainable p-values, undecided statistics and detectable differences."""
    own = [row for row in rows if row.get("set") == SYNTHETIC]
    whole = [row for row in own if words.is_whole(row)]
    text = []
    least, most, m = attainable(whole)
    if m:
        plain = by_test(least, most, _smallest)
        corrected = by_test(min(1.0, m * least), min(1.0, m * most), _smallest)
        text.append(
            f"With these numbers of maps no test can give p below {plain}, and after correction for "
            f"{words.count(m, 'test')} not below {corrected}."
        )
    open_ = [words.statistic(str(row["statistic"])) for row in whole if words.tone(str(row.get("verdict"))) == "undecided"]
    if open_:
        text.append(f"Undecided, which is neither agreement nor difference: {', '.join(open_)}.")
    bars = [
        d
        for row in own
        if row.get("statistic") == "spectrum" and not words.is_whole(row) and (d := words.finite(row.get("detectable"))) is not None
    ]
    if bars:
        low, high = (words.percent(np.expm1(b)) for b in (min(bars), max(bars)))
        size_ = low if low == high else f"{low} (at the best scale) to {high} (at the worst)"
        text.append(f"A departure of the power spectrum below {size_} could have been missed.")
    return text


def _smallest(p: float) -> str:
    """A p-value that others lie above: itself, where it is small, and not a bound."""
    return words.number(p, 2) if p < 1e-3 else words.probability(p)
