"""The extraction benchmark runs, and both of its ways give the same pictures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT


def test_the_stage_gives_the_pictures_of_the_reference_way(tmp_path: Path) -> None:
    options = {"clips": 4, "width": 160, "height": 96, "seconds": 1, "rounds": 1, "work": tmp_path}
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(ROOT / "bench" / "extract.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| frames stage |" in done.stdout
    found = re.search(r"largest difference of a pixel (\d+)", done.stdout)
    assert found, done.stdout
    # resizing rounds in two places
    assert int(found[1]) <= 1
