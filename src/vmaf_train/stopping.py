"""How Ctrl-C, `kill` and a closed terminal end a training run; its outputs are written after it."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerStatus

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def stoppable(trainer: Trainer) -> Iterator[None]:
    """Run the trainer in this block: Ctrl-C stays a KeyboardInterrupt, not Lightning's `exit 1`.

    A process of several ends at once by SIGTERM and SIGHUP, and with it those that it started.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *STOPPING)}
    try:
        if trainer.world_size > 1:
            _end_with_parent(trainer)
            _end_at_once()
            trainer.callbacks.append(_EndAtOnce())  # type: ignore[attr-defined]
        yield
    except SystemExit:
        if trainer.state.status == TrainerStatus.INTERRUPTED:
            raise KeyboardInterrupt from None
        raise
    finally:
        with contextlib.suppress(ValueError):  # only the main thread may set a handler
            for number, handler in before.items():
                signal.signal(number, handler)


class _EndAtOnce(Callback):
    """Puts Lightning's own handler away, which is set when a run starts and waits for the other processes."""

    def on_train_start(self, *_: Any) -> None:
        _end_at_once()

    def on_validation_start(self, *_: Any) -> None:
        _end_at_once()


def _end_at_once() -> None:
    """Leave SIGTERM and SIGHUP to the system: no handler in Python runs while torch waits for others."""
    with contextlib.suppress(ValueError):
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
                signal.signal(number, signal.SIG_DFL)


def _end_with_parent(trainer: Trainer) -> None:
    """On Linux, let a process that another one here has started not outlive it, waiting for it."""
    if trainer.local_rank and sys.platform == "linux":
        set_parent_death_signal = 1  # prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
