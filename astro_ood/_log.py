"""Progress of long work: a bar with ETA on a terminal, one line per interval elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType

from tqdm import tqdm

logger = logging.getLogger("astro_ood")


class Progress:
    """Count of finished items, shown with an estimate of the time left.

    Parameters
    ----------
    label : str
        Stage that is running.
    total : int
        Number of items.
    unit : str
        Name of an item.
    interval : float
        Seconds between lines where the output is not a terminal.
    """

    def __init__(self, label: str, total: int, unit: str = "map", interval: float = 10.0) -> None:
        self.label, self.total, self.unit, self.interval = label, total, unit, interval
        self.done, self.start = 0, time.monotonic()
        self._spoken = self.start
        self._bar = tqdm(total=total, desc=label, unit=unit) if sys.stderr.isatty() and logger.isEnabledFor(logging.INFO) else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, n: int = 1) -> None:
        """Report `n` more finished items."""
        self.done += n
        if self._bar is not None:
            self._bar.update(n)
            return
        now = time.monotonic()
        if now - self._spoken >= self.interval or self.done >= self.total:
            self._spoken = now
            elapsed = now - self.start
            left = elapsed / max(self.done, 1) * (self.total - self.done)
            logger.info(
                "%s: %d of %d %ss, %.0f s gone, about %.0f s left", self.label, self.done, self.total, self.unit, elapsed, left
            )
