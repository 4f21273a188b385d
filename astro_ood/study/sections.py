"""What the page of a study tells about each experiment: the claim, what would support it, and the figures that show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from astro_ood.study.figures import Draw, curves, dots, frontier, scatter

FIDELITY, NOVELTY = "worst spectrum", "nearest"
_AT = "evaluations per direction"
_TIME = "time of the published schedule"
_INVERTED = ("inverted",)


@dataclass(frozen=True)
class Panel:
    """One figure: which quantities it shows, and how."""

    quantities: tuple[str, ...]
    draw: Draw
    caption: str
    cases: tuple[str, ...] = ()
    """Which are shown; all where none are named."""


@dataclass(frozen=True)
class Section:
    """One experiment as the page tells it."""

    experiment: str
    claim: str
    support: str
    panels: tuple[Panel, ...]


def _curve(
    quantity: str, caption: str, xlabel: str, ylabel: str, log: str = "", level: float | None = None, cases: tuple[str, ...] = ()
) -> Panel:
    return Panel((quantity,), partial(curves, xlabel=xlabel, ylabel=ylabel, log=log, level=level), caption, cases)


def _dots(quantity: str, caption: str, xlabel: str, log: str = "", level: float | None = None) -> Panel:
    return Panel((quantity,), partial(dots, xlabel=xlabel, log=log, level=level), caption)


SECTIONS = (
    Section(
        "E1",
        "A frozen network reconstructs arbitrary maps",
        "round trips of maps within a factor 1.4 (3 dB) of in-domain ones at 80 evaluations; a plateau would refute it",
        (
            _curve("round trip", "Root mean square error of the map that came back", _AT, "round trip / sd of the map", "xy"),
            _curve("latent error", "Estimated error of the latent itself", _AT, "latent error / sd", "xy"),
        ),
    ),
    Section(
        "E2",
        "Out-of-domain latents are Gaussian",
        "normality rejected in 5 % of the directions, and a flat spectrum; colour would refute it",
        (
            _curve(
                "largest departure",
                "Farthest statistic from Gaussian latents of the same spectrum",
                _TIME,
                "sd of the null",
                "y",
                3.0,
            ),
            _curve(
                "power at the largest scales",
                "Power of the largest scales over that of the noise",
                _TIME,
                "power / noise",
                "y",
                1.0,
            ),
            _curve(
                "power at the smallest scales",
                "Power of the smallest scales over that of the noise",
                _TIME,
                "power / noise",
                "y",
                1.0,
            ),
            _curve(
                "variance in smooth areas",
                "Variance of latents in the smoothest tenth of their maps, over the rest",
                _TIME,
                "ratio",
                "",
                1.0,
            ),
        ),
    ),
    Section(
        "E3",
        "Out-of-domain latents are separable from in-domain ones",
        "an AUROC of 0.99 and more, which neither the norm alone nor inverted in-domain maps reach",
        (
            _curve("AUROC", "Area under the ROC curve of held-out latents", "maps of each kind", "AUROC", "x", 0.5),
            _dots("AUROC by part", "By the whole latent, by its norm, by its direction", "AUROC", "", 0.5),
            _dots("separation", "Distance of the centres over d^(1/4); the published yardstick is 1", "separation", "", 1.0),
        ),
    ),
    Section(
        "E4",
        "The geometry of latents is specific to a domain",
        "centres and spreads that differ between domains beyond their intervals",
        (
            _dots("|mu|^2 / d", "Squared norm of the common centre per dimension", "|mu|² / d"),
            _dots("s", "Spread per dimension", "s", "", 1.0),
            _dots(
                "distance off its prediction", "Mean distance against what the two numbers predict", "relative departure", "", 0.0
            ),
        ),
    ),
    Section(
        "E5",
        "Criteria on distance and angles pick good latents",
        "maps of accepted candidates nearer to held-out maps than those of rejected ones",
        (
            _dots("accepted", "Candidates accepted", "part accepted"),
            _dots("distance of maps", "Maps of accepted and of rejected candidates", "distance from held-out maps, sd"),
        ),
    ),
    Section(
        "E6",
        "Stochastic decoding is captured by the network's own domain",
        "a part of captured maps that grows with eta, low up to 0.3",
        (
            _curve(
                "captured",
                "Maps nearer to the network's own samples than to held-out maps",
                "eta",
                "part captured",
                cases=("inverted", "isotropic"),
            ),
        ),
    ),
    Section(
        "E7",
        "A larger gap between domains gives a larger bandwidth",
        "a rank correlation of more than 0.7 between gap and bandwidth; none, or a negative one, would refute it",
        (
            Panel(
                ("gap", "bandwidth"), partial(scatter, x="gap", y="bandwidth"), "Bandwidth at the time inverted to, against the gap"
            ),
            _dots("bandwidth", "Distance that a latent may move at random, and towards another one", "bandwidth / sqrt(d)", "x"),
        ),
    ),
    Section(
        "E12",
        "Published candidates are new",
        "a nearest inverted map as far as that of held-out maps (1); copies would refute it",
        (
            _curve("nearest", "Distance to the nearest inverted map", "place between two latents", "nearest / held-out", "", 1.0),
            _curve("copies", "Maps that count as copies", "place between two latents", "part of copies"),
        ),
    ),
    Section(
        "E14",
        "Inverted latents are forward-diffused maps",
        "equal centres and spreads at every time",
        (
            _curve(
                "|mu| / sqrt(d)",
                "Norm of the common centre per root of the dimension",
                _TIME,
                "|mu| / sqrt(d)",
                cases=("inverted", "lemma"),
            ),
            _curve("s", "Spread per dimension; 1 for noise", _TIME, "s", "", 1.0, _INVERTED),
        ),
    ),
    Section(
        "E15",
        "New maps can be faithful and new",
        "the lower right: every ln P within two standard deviations between real sets, at a distance of 0.9 or more",
        (
            Panel(
                (FIDELITY, NOVELTY),
                partial(frontier, fidelity=FIDELITY, novelty=NOVELTY),
                "Each recipe: worst departure of the power spectrum against novelty",
            ),
        ),
    ),
)
