"""Stages that overlap: an iterator that works ahead in a thread of its own, within a bound."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# how often a stage that waits for room looks whether its consumer has gone
PATIENCE = 0.1
# a third of the others' share of a core
NICE = 5


class _End:
    """The source is used up, or failed with `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@dataclass(frozen=True)
class _Failure:
    error: BaseException


def ahead(source: Iterable[Item], depth: int) -> Generator[Item, None, None]:
    """Yield the items of `source`, which runs in a thread and is at most `depth` items ahead.

    An error of the source is raised here, after the items before it. When the consumer stops early
    (an error, `close()`), the source is closed and its thread has ended before control returns.
    """
    items: queue.Queue[Item | _End] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Item | _End) -> bool:
        while not stop.is_set():
            try:
                items.put(item, timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        iterator = iter(source)
        try:
            for item in iterator:
                if not put(item):
                    break
        except BaseException as raised:
            error = raised
        finally:
            # a generator must be closed by the thread that ran it
            _close(iterator)
        put(_End(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = items.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()


def map_ahead(
    function: Callable[[Item], Result], source: Iterable[Item], workers: int, depth: int
) -> Generator[Result, None, None]:
    """Yield `function` of each item in order; it runs in threads, at most `depth` items ahead.

    The source runs in the thread of the consumer, and goes first where cores are short. An error of
    `function` is raised in its item's place. When the consumer stops early, the source is closed and every
    thread has ended before control returns.
    """
    # the plainest of queues: an executor's futures cost a tenth of a millisecond an item
    tasks: queue.SimpleQueue[tuple[int, Item] | None] = queue.SimpleQueue()
    outcomes: queue.SimpleQueue[tuple[int, Result | _Failure]] = queue.SimpleQueue()

    def work() -> None:
        _give_way()
        while (task := tasks.get()) is not None:
            try:
                outcomes.put((task[0], function(task[1])))
            except BaseException as raised:
                outcomes.put((task[0], _Failure(raised)))
            # while this thread waits, the memory of a frame belongs to the decoder again
            del task

    begun = given = 0
    early: dict[int, Result | _Failure] = {}

    def finished(room: int) -> Iterator[Result]:
        """What is ready in order; waits until at most `room` items are under way."""
        nonlocal given
        while begun - given > room or not outcomes.empty():
            number, outcome = outcomes.get()
            early[number] = outcome
            while given in early:
                result = early.pop(given)
                given += 1
                if isinstance(result, _Failure):
                    raise result.error
                yield result

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for item in source:
            tasks.put((begun, item))
            begun += 1
            yield from finished(depth - 1)
        yield from finished(0)
    finally:
        with contextlib.suppress(queue.Empty):
            while True:
                tasks.get_nowait()
        for _ in threads:
            tasks.put(None)
        for thread in threads:
            thread.join()
        _close(source)


def _give_way() -> None:
    """Let this thread run after others of the process, where threads have a priority of their own (Linux).

    As equals, workers keep up with a decoder and find nothing to do in the gaps that it leaves on the cores.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def _close(source: object) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()
