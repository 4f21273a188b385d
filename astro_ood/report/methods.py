"""The methods section of a paper, written from a run's own record.

Every clause rests on something that was recorded: settings and versions of the stores, the card of the network, errors that were
measured, the rows of the scores. What is not on record is left out, so that nothing is claimed that was not done; and publications are
cited by what was used, not by what the package knows.
"""

from __future__ import annotations

from dataclasses import dataclass

from astro_ood.report import clauses, words
from astro_ood.report.content import ReportData
from astro_ood.report.references import REFERENCES, Reference

HEAD = "Written from the run's own record. Check it before you use it."


@dataclass(frozen=True)
class Methods:
    """A methods section.

    Attributes
    ----------
    paragraphs : tuple of (str, str)
        Heading and text of each, in order.
    cited : tuple of str
        Keys of `REFERENCES`, in the order of a list of references.
    """

    paragraphs: tuple[tuple[str, str], ...]
    cited: tuple[str, ...]

    @property
    def references(self) -> list[Reference]:
        """What is cited."""
        return [REFERENCES[key] for key in self.cited]

    @property
    def bibtex(self) -> str:
        """The same for BibTeX."""
        return "\n\n".join(REFERENCES[key].bibtex(key) for key in self.cited) + "\n"

    def text(self, title: str) -> str:
        """All of it as plain text under a title."""
        parts = [f"Methods of {words.clean(title)}", HEAD, *(f"{head}. {text}" for head, text in self.paragraphs)]
        listed = "\n".join(reference.text for reference in self.references)
        return "\n\n".join([*parts, f"References\n\n{listed}", f"BibTeX\n\n{self.bibtex}"])


def methods_of(data: ReportData) -> Methods:
    """Methods section of a run."""
    cite = clauses.Citations()
    made = (
        ("Data", clauses.data(data, cite)),
        ("Network", clauses.network(data, cite)),
        ("Inversion", clauses.inversion(data, cite)),
        ("New latents", clauses.proposals(data, cite)),
        ("Validation", clauses.validation(data, cite)),
        ("Software", clauses.software(data, cite)),
    )
    # narrow spaces belong to a page, and trip what papers are typeset with
    paragraphs = tuple((head, words.clean(" ".join(parts)).replace("\u202f", " ")) for head, parts in made if parts)
    return Methods(paragraphs, tuple(sorted(cite.keys, key=lambda key: (_sort_name(key), REFERENCES[key].year))))


def _sort_name(key: str) -> str:
    return REFERENCES[key].authors.strip("{").lower().removeprefix("the ")
