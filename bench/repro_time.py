"""Seconds of each stage of `dvc repro` in a clean clone with an empty cache.

    python bench/repro_time.py [--repository FOLDER] [--keep FOLDER]

Clones the repository (default: this one) into a temporary folder, runs `dvc repro -f` there and prints a
Markdown table. The README's table is such a run's.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from machine import machine, program

ROOT = Path(__file__).resolve().parents[1]
UNBUFFERED = {**os.environ, "PYTHONUNBUFFERED": "1"}  # a line counts when it is written


def main(repository: Path = ROOT, keep: Path | None = None) -> None:
    """Print the seconds of each stage of `dvc repro` in a clean clone; `keep` is where to leave the clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = keep or Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(repository), str(clone)], check=True)
        started = time.monotonic()
        marks = [("", started)]
        with subprocess.Popen(
            ["dvc", "repro", "-f"], cwd=clone, stdout=subprocess.PIPE, text=True, env=UNBUFFERED
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.match(r"Running stage '(.+)':", line):
                    marks.append((found[1], time.monotonic()))
        ended = time.monotonic()
        if process.returncode != 0:
            raise SystemExit(f"dvc repro ended with status {process.returncode}")
    print(f"{machine()}\n\n| stage | seconds |\n| --- | ---: |")
    ends = [start for _, start in marks[2:]] + [ended]
    for (name, start), end in zip(marks[1:], ends, strict=True):
        print(f"| {name} | {end - start:.0f} |")
    print(f"| **dvc repro** | **{ended - started:.0f}** |")


if __name__ == "__main__":
    program(main)
