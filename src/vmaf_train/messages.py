"""What FFmpeg says while an encoder opens: the cause that its error codes leave out."""

from __future__ import annotations

import ast
import contextlib
import logging
import re
import threading
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import av.logging

# how much it matters (FFmpeg's levels, lower is worse), who says it, what
Message: TypeAlias = tuple[int, str, str]

SILENT = av.logging.PANIC - 1
# reads numbers and names for the others, who tell what they were for
READER = "Eval"
UNUSED = re.compile(r"Some options were not used: (\{.*\})", re.DOTALL)

# a message is news for each who listens, also when the one before heard the same
av.logging.set_skip_repeated(False)
_turn = threading.RLock()


@contextlib.contextmanager
def listening(level: int = av.logging.WARNING) -> Iterator[list[Message]]:
    """Yield a list that grows by what FFmpeg says in this thread, warnings and errors or up to `level`.

    PyAV's listener takes the interpreter's lock. Nothing in the block may wait, with that lock held, for a
    thread of FFmpeg that speaks; decoders must come from `container.open_clip`, which silences them.
    """
    # one at a time: there is one listener a process; what other threads say meanwhile ends in the first
    # of the two captures, and not on the terminal
    with _turn, av.logging.Capture(local=False), av.logging.Capture() as heard:
        av.logging.set_level(level)
        try:
            yield heard
        finally:
            # not set_level(None): a thread that is about to speak would fail at that
            av.logging.set_libav_level(SILENT)
            av.logging.restore_default_callback()


@contextlib.contextmanager
def unused_options() -> Iterator[set[str]]:
    """Yield a set that gets the names of the options that neither an encoder nor a muxer took.

    PyAV tells them to Python's logging only, once the header of a container is written.
    """
    unused: set[str] = set()

    def catch(record: logging.LogRecord) -> bool:
        names = UNUSED.fullmatch(record.getMessage())
        if names is None:
            return True
        unused.update(ast.literal_eval(names[1]))
        return False

    logger = logging.getLogger("av.container.output")
    # whoever configures logging may have disabled it, as DVC does with every logger of others
    disabled, level = logger.disabled, logger.level
    logger.disabled = False
    logger.setLevel(logging.WARNING)
    logger.addFilter(catch)
    try:
        yield unused
    finally:
        logger.removeFilter(catch)
        logger.disabled = disabled
        logger.setLevel(level)


def cause(heard: Iterable[Message]) -> str | None:
    """The first error as one line, `who: what`: those after it say what failed because of it."""
    errors = [message for message in heard if message[0] <= av.logging.ERROR and message[1] != READER]
    return _line(errors[0]) if errors else None


def notes(heard: Iterable[Message], who: str) -> list[str]:
    """All that `who` says, a line each."""
    return [_line(message) for message in heard if message[1] == who]


def _line(message: Message) -> str:
    _, who, what = message
    return f"{who}: {(what.strip() or 'no reason given').splitlines()[0].rstrip('.')}"
