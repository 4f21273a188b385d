"""Background threads keep order, stay within bounds, hand over errors, and end whatever happens."""

from __future__ import annotations

import contextlib
import signal
import threading
import time

import pytest

from astro_ood._pipeline import WriteBehind, prefetch


def background() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith(("prefetch", "write-behind"))]


@pytest.fixture(autouse=True)
def no_thread_left():
    yield
    assert background() == []


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def interrupt_soon(ready) -> threading.Thread:
    """Ctrl-C to the main thread as soon as `ready`."""

    def run() -> None:
        until(ready)
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("depth", [1, 2, 9])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50])
def test_all_items_come_in_order(n, depth):
    assert list(prefetch(range(n), depth)) == list(range(n))
    assert list(prefetch(iter([None, False, []]), depth)) == [None, False, []]


def test_items_are_made_ahead_in_another_thread_and_only_so_many():
    made = []

    def source():
        for i in range(20):
            made.append((i, threading.current_thread()))
            yield i

    for i in prefetch(source(), depth=3):
        until(lambda i=i: len(made) == min(20, i + 4))
        time.sleep(0.002)
        assert len(made) == min(20, i + 4)
    assert {thread for _, thread in made}.isdisjoint({threading.main_thread()})


def test_an_item_in_use_is_held_by_nobody_else():
    class Item:
        alive = 0

        def __init__(self) -> None:
            Item.alive += 1

        def __del__(self) -> None:
            Item.alive -= 1

    items = prefetch((Item() for _ in range(10)), depth=1)
    for _ in range(8):
        item = next(items)
        del item
        until(lambda: Item.alive <= 1)
    items.close()


def test_an_error_comes_where_its_item_would_have_come():
    def source():
        yield 1
        yield 2
        raise KeyError("disk")

    items = prefetch(source(), depth=5)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="disk"):
        next(items)
    assert list(items) == []


def test_stopping_early_ends_the_thread_and_the_source():
    ended = []

    def source():
        try:
            yield from range(1000)
        finally:
            ended.append(True)

    for i in prefetch(source(), depth=4):
        if i == 3:
            break
    assert ended == [True]
    with pytest.raises(RuntimeError, match="consumer") as caught, contextlib.closing(prefetch(source(), depth=4)) as items:  # noqa: PT012
        next(items)
        raise RuntimeError("consumer")
    assert caught.tb is not None  # its frames live on
    assert background() == []


def test_an_unused_prefetch_starts_nothing():
    prefetch(range(3))
    assert background() == []


def test_ctrl_c_while_waiting_for_an_item():
    asked, gate = threading.Event(), threading.Event()

    def source():
        yield 0
        asked.set()
        gate.wait(10)
        yield 1

    items = prefetch(source(), depth=1)
    next(items)
    thread = interrupt_soon(asked.is_set)
    opener = threading.Timer(0.3, gate.set)
    opener.start()
    with pytest.raises(KeyboardInterrupt):
        next(items)
    thread.join()
    opener.join()


@pytest.mark.parametrize("make", [lambda: prefetch(range(3), 0), lambda: WriteBehind(0)])
def test_a_depth_of_nothing_is_refused(make):
    with pytest.raises(ValueError, match="depth 0"):
        make()


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_all_calls_run_in_order_before_the_block_ends(depth):
    done = []
    with WriteBehind(depth) as behind:
        for i in range(50):
            behind.submit(lambda i, *, extra: done.append((i, extra)), i, extra=-i)
    assert done == [(i, -i) for i in range(50)]


def test_submit_goes_on_at_once_until_there_are_too_many():
    gate, done = threading.Event(), []

    def call(i: int) -> None:
        gate.wait(10)
        done.append(i)

    with WriteBehind(depth=2) as behind:
        behind.submit(call, 0)
        behind.submit(call, 1)
        assert done == []
        third = threading.Thread(target=behind.submit, args=(call, 2))
        third.start()
        third.join(0.1)
        assert third.is_alive()
        gate.set()
        third.join(10)
        assert not third.is_alive()
    assert done == [0, 1, 2]


def fail() -> None:
    raise OSError("disk")


def test_an_error_is_raised_by_a_later_submit_and_nothing_runs_after_it():
    done = []
    with pytest.raises(OSError, match="disk"), WriteBehind(depth=2) as behind:  # noqa: PT012
        behind.submit(done.append, 0)
        behind.submit(fail)
        for i in range(1, 100):  # the queue is full more than once
            behind.submit(done.append, i)
        pytest.fail("nobody heard of the error")
    assert done == [0]


def test_an_error_of_the_last_call_is_raised_at_the_end_and_every_time():
    behind = WriteBehind(depth=5)
    behind.submit(fail)
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            behind.close()
    with pytest.raises(OSError, match="disk"):
        behind.submit(print)
    behind = WriteBehind()
    behind.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        behind.submit(print)


def test_an_error_in_the_block_drops_what_waits():
    gate, running, done = threading.Event(), threading.Event(), []

    def call(i: int) -> None:
        running.set()
        gate.wait(10)
        done.append(i)

    opener = threading.Timer(0.2, gate.set)
    with pytest.raises(ZeroDivisionError), WriteBehind(depth=4) as behind:  # noqa: PT012
        for i in range(4):
            behind.submit(call, i)
        running.wait(10)
        opener.start()
        raise ZeroDivisionError
    assert done == [0]
    opener.join()


def test_flush_waits_and_goes_on():
    done = []
    with pytest.raises(OSError, match="disk"), WriteBehind(depth=5) as behind:  # noqa: PT012
        for i in range(3):
            behind.submit(lambda i: done.append((time.sleep(0.01), i)), i)
        behind.flush()
        assert len(done) == 3
        behind.submit(done.append, 4)
        behind.flush()
        assert len(done) == 4
        behind.submit(fail)
        behind.flush()
        pytest.fail("nobody heard of the error")


@pytest.mark.parametrize("depth", [2, 5])  # interrupted in submit, and in close
def test_ctrl_c_while_waiting_for_a_call(depth):
    gate, running, done = threading.Event(), threading.Event(), []

    def call(i: int) -> None:
        running.set()
        gate.wait(10)
        done.append(i)

    thread, opener = interrupt_soon(running.is_set), threading.Timer(0.4, gate.set)
    opener.start()
    with pytest.raises(KeyboardInterrupt), WriteBehind(depth) as behind:  # noqa: PT012
        for i in range(4):
            behind.submit(call, i)
    assert background() == []
    assert done == [0]
    thread.join()
    opener.join()
