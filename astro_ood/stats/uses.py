"""What a set of maps may be used for: the kinds of statistics that agree, and over which scales."""

from __future__ import annotations

from dataclasses import dataclass

from astro_ood.stats.reach import SCALED, Range, Row, agreeing, length, ranges

_VARIETY = "the variety of maps"
KINDS = {
    "one-point statistics": ("pdf", "moments"),
    "two-point statistics": ("spectrum",),
    "structure functions and gradients": ("increments",),
    "the bispectrum": ("bispectrum",),
    "wavelet scattering": ("scattering",),
    # threads and blobs of the same area and outline differ in how the scales hang together
    "filament morphology (Minkowski functionals, peaks, scattering)": ("excursion", "scattering"),
    "the morphology of galaxies": ("morphology",),
    _VARIETY: ("scatter", "correlation", "novelty_scattering"),
}
_FAILING = ("different", "copies")
# Lengths that differ by less are said as one, the longer
_ALIKE = 1.5


@dataclass(frozen=True)
class Uses:
    """Kinds of statistics that a set may be used for: all, over which range, and those for which it may not, or perhaps not."""

    plain: list[str]
    scaled: dict[str, Range]
    wrong: list[str]
    open: list[str]

    @property
    def worthwhile(self) -> bool:
        """Whether maps that differ are of use: in as many kinds as not, and in more than that they vary or have right phases at a few scales."""
        enough = [kind for kind, found in self.scaled.items() if found.first and (found.last or kind == "two-point statistics")]
        return bool(set(self.plain) - {_VARIETY} or enough) and len(self.plain) + len(self.scaled) >= len(self.wrong)

    @property
    def whole(self) -> bool:
        """Whether nothing is left out."""
        return not (self.wrong or self.open) and all(found.first and found.last for found in self.scaled.values())

    def __str__(self) -> str:
        parts = [f"for {listed(self.plain)}"] if self.plain else []
        parts += [f"{where} for {listed(kinds)}" for where, kinds in _grouped(self.scaled).items()]
        text = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + ", and " + parts[-1]
        text += f"; not for {listed(self.wrong)}" if self.wrong else ""
        return text + (f"; undecided for {listed(self.open)}" if self.open else "")


def uses_of(own: list[Row], heads: dict[str, Row], tolerance: float) -> Uses:
    """Kinds of statistics that could have shown a difference and did not; where it depends on the scale, over which scales."""
    found = Uses([], {}, [], [])
    for kind, statistics in KINDS.items():
        measured = [heads[s]["verdict"] for s in statistics if s in heads]
        widest = agreeing(scale_ranges(own, statistics[0], tolerance)) if statistics[0] in SCALED else None
        if widest is not None:
            found.scaled[kind] = widest
        elif any(word in _FAILING for word in measured):
            found.wrong.append(kind)
        elif statistics[0] not in SCALED and measured and all(word in ("no difference detected", "novel") for word in measured):
            found.plain.append(kind)
        elif measured:
            found.open.append(kind)
    return found


def scale_ranges(own: list[Row], statistic: str, tolerance: float) -> list[Range]:
    """Ranges of one statistic among all rows of a set."""
    return ranges([row for row in own if row["statistic"] == statistic and row["scale"] is not None], tolerance)


def _grouped(scaled: dict[str, Range]) -> dict[str, list[str]]:
    """Kinds by the words for their range; of nearly the same shortest length, that of the one that reaches less far."""
    groups: dict[str, list[str]] = {}
    for kind in (k for k, r in scaled.items() if r.first and r.last):
        groups.setdefault("at all scales", []).append(kind)
    reaching = sorted((k for k, r in scaled.items() if r.first and not r.last), key=lambda k: scaled[k].shortest)
    while reaching:
        near = [k for k in reaching if scaled[k].shortest <= _ALIKE * scaled[reaching[0]].shortest]
        far = scaled[near[-1]]
        groups[f"down to {length(far.shortest, far.unit)}"] = [k for k in scaled if k in near]
        reaching = reaching[len(near) :]
    for kind, found in scaled.items():
        if not found.first:
            groups.setdefault(found.where, []).append(kind)
    return groups


def listed(names: list[str]) -> str:
    """Names as they are read out."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
