"""Time of the whole command `vmaf-train score` on a clip of one frame: start to first frame scored.

    python bench/start.py [--model nr_metric_v3] [--runs 10]

Target: under 0.7 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine, make_clip, program, table


def main(model: str = "nr_metric_v3", runs: int = 10, unverified: bool = False) -> None:
    """Run the command again and again."""
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "one.mp4", 960, 540, 1)
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "vmaf-train --help": [sys.executable, "-m", "vmaf_train.cli", "--help"],
            "vmaf-train score": [
                sys.executable,
                "-m",
                "vmaf_train.cli",
                "score",
                str(clip),
                "--model",
                model,
            ]
            + ["--unverified"] * unverified,
        }
        rows = []
        for label, command in commands.items():
            times = []
            used = os.times()
            for _ in range(runs):
                begin = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times.append(time.perf_counter() - begin)
            after = os.times()
            cpu = after.children_user + after.children_system - used.children_user - used.children_system
            rows.append(
                (
                    label,
                    f"{cpu / runs:.2f}",
                    f"{min(times):.2f}",
                    f"{statistics.median(times):.2f}",
                    f"{max(times):.2f}",
                )
            )
    table(("seconds", "processor", "best", "median", "worst"), rows)


if __name__ == "__main__":
    program(main)
