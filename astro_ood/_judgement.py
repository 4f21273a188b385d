"""What every diagnostic says in the end, in one vocabulary.

The words are those of the comparison of maps: ``no difference detected``, ``different`` and ``undecided``. Each diagnostic says between
what (latents and Gaussian surrogates, one set and another, measured and predicted geometry). That nothing was detected counts only
where something could have been: with few latents the word is ``undecided``. A diagnostic that asks whether a statement is true, instead of
comparing two things, says ``holds`` or ``does not hold``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Word = Literal["no difference detected", "different", "holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Judgement:
    """Outcome of one diagnostic.

    Attributes
    ----------
    name : str
        What was asked.
    passed : bool or None
        Whether it holds; where two things are compared, True: no difference detected, False: different. None: undecided.
    value : float
        The number that answers; its unit is in `words`.
    low, high : float
        Interval of `value` at 95 %; NaN where there is none.
    p : float
        Chance of a result at least as extreme if there were no difference; NaN where the interval alone judges.
    words : str
        One sentence.
    claim : bool
        Whether a statement is judged, instead of two things compared.
    """

    name: str
    passed: bool | None
    value: float
    low: float
    high: float
    p: float
    words: str
    claim: bool = False

    @property
    def verdict(self) -> Word:
        """The outcome in words of the common list."""
        if self.claim and self.passed is not None:
            return "holds" if self.passed else "does not hold"
        return "undecided" if self.passed is None else "no difference detected" if self.passed else "different"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the verdict."""
        return {**asdict(self), "verdict": self.verdict}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Judgement:
        """Inverse of `to_dict`; a number that was not finite comes back as NaN."""
        numbers = {key: float("nan") if record[key] is None else float(record[key]) for key in ("value", "low", "high", "p")}
        # those of earlier versions are all comparisons
        return cls(record["name"], record["passed"], words=record["words"], claim=record.get("claim", False), **numbers)
