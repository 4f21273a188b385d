"""Reading ahead and writing behind: one background thread each, so that the network waits for no disk.

Both hold a bounded number of items, and both end their thread before they return, whatever happens: work is handed to an idle
thread only when there is room for its result, so that no thread ever blocks on a full queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def prefetch(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """Yield `items` in their order, made ahead in a background thread.

    An exception of `items` is raised where its item would have come. The thread ends with the loop; where a loop may be left early
    within a frame that lives on, ``with contextlib.closing(prefetch(...)) as items`` ends it at once.

    Parameters
    ----------
    items : iterable
        Used by the background thread only.
    depth : int
        Items that may be ready, or in the making, while one is in use.
    """
    _require_depth(depth)
    return _prefetched(items, depth)


def _prefetched(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    source = iter(items)
    pool = ThreadPoolExecutor(1, "prefetch")

    def following() -> list[T]:
        for item in source:
            return [item]
        return []

    try:
        ahead = deque(pool.submit(following) for _ in range(depth))
        while item := ahead.popleft().result():
            ahead.append(pool.submit(following))
            yield item.pop()
    finally:
        pool.shutdown(cancel_futures=True)


class WriteBehind:
    """Calls that run in their order in a background thread.

    Used as a context. After a call has failed none of the later ones runs, and its exception is raised by the next `submit`, `flush`
    or `close`, and by all that follow. Leaving the block waits for all calls; leaving it by an exception only for the one that runs, and drops the others.

    Parameters
    ----------
    depth : int
        Calls that may wait or run; `submit` waits where there are as many.
    """

    def __init__(self, depth: int = 2) -> None:
        _require_depth(depth)
        self._depth = depth
        self._pool = ThreadPoolExecutor(1, "write-behind")
        self._pending: deque[Future[None]] = deque()
        self._error: BaseException | None = None

    def __enter__(self) -> WriteBehind:
        return self

    def submit(self, call: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Run ``call(*args, **kwargs)`` after all earlier calls; arrays among the arguments must not be changed any more."""
        if len(self._pending) >= self._depth:
            wait([self._pending.popleft()])
        self._require_success()

        def guarded() -> None:
            if self._error is None:
                try:
                    call(*args, **kwargs)
                except BaseException as error:
                    self._error = error

        self._pending.append(self._pool.submit(guarded))

    def flush(self) -> None:
        """Wait until all calls have run."""
        wait(self._pending)
        self._require_success()

    def close(self) -> None:
        """Wait until all calls have run, and end the thread."""
        try:
            self.flush()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._pool.shutdown(cancel_futures=True)

    def _require_success(self) -> None:
        if self._error is not None:
            raise self._error


def _require_depth(depth: int) -> None:
    if depth < 1:
        raise ValueError(f"depth {depth}, expected at least 1")
