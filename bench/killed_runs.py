"""Kill `manifest-scan` and `frames` (SIGKILL) at random moments; the next run must give the same bytes.

python bench/killed_runs.py CLIP --kills 10
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import program

from vmaf_train.files import sha256_file

COMMAND = [sys.executable, "-m", "vmaf_train.cli"]


def run(stage: str, root: Path) -> float:
    """Run one stage to its end; return its seconds."""
    begin = time.perf_counter()
    done = subprocess.run([*COMMAND, stage], cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{stage} failed after a killed run:\n{done.stderr}")
    return time.perf_counter() - begin


def outputs(root: Path) -> dict[str, str]:
    """Every file of data/ outside the corpus, hidden ones included, with its SHA-256."""
    files = (path for path in (root / "data").rglob("*") if path.is_file())
    named = {str(path.relative_to(root)): path for path in files if "corpus" not in path.parts}
    return {name: sha256_file(path) for name, path in sorted(named.items())}


def main(clip: Path, clips: int = 16, kills: int = 10, params: Path = Path("params.yaml")) -> None:
    """Kill `manifest-scan` and `frames` at random moments and compare what the next run leaves."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copy(params, root / "params.yaml")
        folder_of_clips = root / "data" / "corpus" / "clips"
        folder_of_clips.mkdir(parents=True)
        for number in range(clips):
            shutil.copy(clip, folder_of_clips / f"{number:02d}.mp4")
        rows = [f"clips_{number:02d},{1 + number / clips}" for number in range(clips)]
        (folder_of_clips.parent / "scores.csv").write_text("\n".join(["key,mos", *rows]))
        lengths = {stage: run(stage, root) for stage in ("manifest-scan", "frames")}
        expected = outputs(root)
        random.seed(1)
        same, killed = 0, 0
        for kill in range(kills):
            for stage, seconds in lengths.items():
                moment = random.uniform(0.05, 1) * seconds
                shutil.rmtree(root / "data" / "frames", ignore_errors=True)
                with subprocess.Popen([*COMMAND, stage], cwd=root, stderr=subprocess.DEVNULL) as process:
                    time.sleep(moment)
                    process.kill()
                killed += process.returncode < 0
                for again in lengths:
                    run(again, root)
                same += outputs(root) == expected
                print(f"{kill + 1}: {stage} killed after {moment:.2f} s", flush=True)
        print(f"runs killed: {killed} of {2 * kills}; identical outputs afterwards: {same}")


if __name__ == "__main__":
    program(main)
