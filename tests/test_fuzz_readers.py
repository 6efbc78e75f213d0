"""The fuzz command runs, and finds nothing in its first inputs."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_the_first_inputs_of_each_reader_crash_nothing() -> None:
    command = [sys.executable, str(ROOT / "bench" / "fuzz_readers.py"), "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tables", "archives", "clips", "crashes 0"]
    assert all("40 inputs tried, 0 crashes" in line for line in lines[:3])
