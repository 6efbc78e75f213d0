"""Signals end a run of any number of processes, with nothing half-written."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from tiny_fit import FILTER, SMALL, start_fit
from tiny_frames import write_tiny_frames

from vmaf_train.layout import Layout

StartFit = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def frames(layout: Layout) -> Layout:
    write_tiny_frames(layout)
    return layout


@pytest.fixture
def start(frames: Layout, raw_params: Callable[..., dict[str, Any]]) -> StartFit:
    """Start a `fit` that never ends by itself."""
    endless = {"max_steps": 10**6, f"{FILTER}__capped__epochs": 10**6}
    return lambda **changes: start_fit(frames, raw_params(**SMALL, **endless, **changes), FILTER)


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def trains(layout: Layout) -> bool:
    return any((layout.root / "tmp").glob("*/plots/metrics/train/loss.tsv"))


def test_ctrl_c_ends_with_one_line_and_status_130_and_the_earlier_checkpoint(
    frames: Layout, start: StartFit
) -> None:
    frames.checkpoint(FILTER).parent.mkdir(parents=True)
    frames.checkpoint(FILTER).write_bytes(b"yesterday's")
    process = start()
    wait_for(process, lambda: trains(frames))
    process.send_signal(signal.SIGINT)
    try:
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "vmaf-train: interrupted; no file is half-written\n"
    assert output == ""
    assert frames.checkpoint(FILTER).read_bytes() == b"yesterday's"
    assert [path.name for path in frames.checkpoint(FILTER).parent.iterdir()] == [f"{FILTER}.ckpt"]
    assert list((frames.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_process_that_waits_for_another_machine_ends_at_once(start: StartFit, name: str) -> None:
    process = start(train__num_nodes=2, train__devices=1, train__strategy="ddp")
    seen = psutil.Process(process.pid)
    # the first process listens for the others, inside torch
    wait_for(process, lambda: any(one.status == "LISTEN" for one in seen.net_connections()))
    process.send_signal(getattr(signal, name))
    try:
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -getattr(signal, name)


def test_a_process_that_trains_with_others_ends_at_once_and_with_it_those_that_it_started(
    frames: Layout, start: StartFit
) -> None:
    process = start(train__devices=2, train__strategy="ddp")
    wait_for(process, lambda: trains(frames))
    (other,) = psutil.Process(process.pid).children()
    process.terminate()
    try:
        # both hold its output, so that this is the end of both
        _, errors = process.communicate(timeout=20)
    finally:
        for one in (process, other):
            one.kill()
    assert process.returncode == -signal.SIGTERM
    assert "Error" not in errors
    assert not frames.checkpoint(FILTER).exists()
