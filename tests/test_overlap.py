"""Stages that run ahead in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator

import pytest

from vmaf_train.overlap import ahead, map_ahead


def test_items_come_in_order_through_several_stages() -> None:
    doubled = (2 * item for item in ahead(range(100), 3))
    assert list(ahead(doubled, 2)) == [2 * item for item in range(100)]


def test_an_error_of_the_source_comes_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(ahead(source(), 1), 1):
            seen.append(item)
    assert seen == [1]


def test_the_source_is_never_further_ahead_than_the_depth() -> None:
    produced = []

    def source() -> Iterator[int]:
        for item in range(50):
            produced.append(item)
            yield item

    for item in ahead(source(), 3):
        time.sleep(0.002)
        # three in the queue, one in the hands of the source
        assert len(produced) <= item + 1 + 3 + 1


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_when_even(item: int) -> int:
        time.sleep(0.002 * (item % 2 == 0))
        return 2 * item

    assert list(map_ahead(slow_when_even, range(30), 3, 8)) == [2 * item for item in range(30)]
    assert list(map_ahead(slow_when_even, [], 3, 8)) == []


def test_results_are_never_further_ahead_than_the_depth() -> None:
    produced = []

    def source() -> Iterator[int]:
        for item in range(50):
            produced.append(item)
            yield item

    for item in map_ahead(lambda item: item, source(), 2, 4):
        assert len(produced) <= item + 4


def test_an_error_comes_in_its_items_place() -> None:
    def work(item: int) -> float:
        time.sleep(0.002 * (item < 3))
        return 1 / (3 - item)

    before = set(threading.enumerate())
    seen = []
    with pytest.raises(ZeroDivisionError):
        for result in map_ahead(work, range(100), 2, 8):
            seen.append(result)
    assert len(seen) == 3
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    "stage_of",
    [lambda source: ahead(source, 2), lambda source: map_ahead(lambda item: item, source, 2, 4)],
    ids=["ahead", "map_ahead"],
)
def test_a_consumer_that_stops_early_closes_the_source_and_ends_every_thread(
    stage_of: Callable[[Iterator[int]], Generator[int, None, None]],
) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    before = set(threading.enumerate())
    stage = stage_of(source())
    assert next(stage) == 0
    stage.close()
    assert closed.is_set()
    assert set(threading.enumerate()) <= before
