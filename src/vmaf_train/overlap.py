"""Stages that overlap: an iterator that works ahead in a thread of its own, within a bound."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# how often a stage that waits for room looks whether its consumer has gone
PATIENCE = 0.1


class _End:
    """The source is used up, or failed with `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


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
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
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
    function: Callable[[Item], Result], source: Iterable[Item], executor: Executor, depth: int
) -> Iterator[Result]:
    """Yield `function` of each item in order; up to `depth` of them run or wait in the executor."""
    running: deque[Future[Result]] = deque()
    try:
        for item in source:
            running.append(executor.submit(function, item))
            if len(running) >= depth:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


def batches(source: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items in order; the last one may be shorter."""
    batch: list[Item] = []
    for item in source:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
