"""Clips a second of the `frames` stage against one probe and one ffmpeg process a clip, in turn.

    python bench/extract.py --clips 1200 --width 960 --height 540 --seconds 8

Both ways read the same clips in one run; the clips are kept in `--work` for the next run. Four of about
2 MB (as KoNViD-1k's) are encoded, the others are copies. The two ways take turns on equal shares of the
clips, so that another load on the machine falls on both.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from machine import machine

from vmaf_train.executor import map_ordered
from vmaf_train.ffmpeg import ffmpeg_exe
from vmaf_train.frames import DEGRADED, LUMA, extract_frame, packed
from vmaf_train.params import Compute
from vmaf_train.params_reader import read_params

WORK = Path(tempfile.gettempdir()) / "vmaf-train-bench"

DIFFERENT = 4
FRAMES = read_params(Path(__file__).resolve().parents[1] / "params.yaml").frames


def make_clips(folder: Path, count: int, width: int, height: int, seconds: int) -> list[Path]:
    """Return `count` H.264 clips, 30 frames a second, with moving content and noise."""
    folder.mkdir(parents=True, exist_ok=True)
    bases = []
    for number in range(DIFFERENT):
        base = folder / f"base_{number:02d}.mp4"
        if not base.exists():
            size = f"{width}x{height}"
            source = f"testsrc2=s={size}:r=30:d={seconds}" if number % 2 else f"mandelbrot=s={size}:r=30"
            shake = f"noise=alls={6 + 2 * number}:allf=t,hue=h={30 * number}"
            encode = ["-t", str(seconds), "-c:v", "libx264", "-crf", "26", "-pix_fmt", "yuv420p"]
            part = base.with_suffix(".part.mp4")
            command = [ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", source, "-vf", shake, *encode]
            subprocess.run([*command, str(part)], check=True, stdin=subprocess.DEVNULL)
            part.rename(base)
        bases.append(base)
    clips = [folder / f"{number:04d}.mp4" for number in range(count)]
    for number, clip in enumerate(clips):
        if not clip.exists():
            shutil.copyfile(bases[number % DIFFERENT], clip)
    return clips


def reference(clips: list[Path]) -> list[np.ndarray]:
    """One process to probe and one to grab the frame, clip by clip."""
    frames = []
    for clip in clips:
        # imageio-ffmpeg has no ffprobe: `ffmpeg -i` prints the duration, and does no more than ffprobe
        said = subprocess.run(
            [ffmpeg_exe(), "-hide_banner", "-i", str(clip)],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        ).stderr  # fmt: skip
        hours, minutes, seconds = said.split("Duration: ")[1].split(",")[0].split(":")
        half = (int(hours) * 3600 + int(minutes) * 60 + float(seconds)) / 2
        grab = ["-ss", f"{half}", "-i", str(clip), "-frames:v", "1", "-vf", "scale=224:224:flags=area"]
        command = [ffmpeg_exe(), "-v", "error", *grab, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
        raw = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
        frames.append(np.frombuffer(raw, np.uint8)[: 224 * 224].reshape(224, 224))
    return frames


def timed(folder: str, name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """One clip as the stage does it, with the processor seconds it took; runs in a worker."""
    begin = time.process_time()
    clean, degraded = extract_frame(folder, FRAMES, name)
    return clean, degraded, time.process_time() - begin


def ours(clips: list[Path], workers: int, work: Path, processor: list[float]) -> np.ndarray:
    """The `frames` stage's own loop: the pool, the degraded twin and the packed arrays included."""
    compute = Compute(engine="local", workers=workers, dask_address="")
    extract = partial(timed, str(clips[0].parent))
    with packed(work / LUMA, FRAMES.size) as clean, packed(work / DEGRADED, FRAMES.size) as degraded:
        for result in map_ordered(extract, [clip.name for clip in clips], compute, "frames"):
            if isinstance(result, Exception):
                raise result
            clean.add(result[0])
            degraded.add(result[1])
            processor.append(result[2])
    return np.load(work / LUMA, mmap_mode="r")


class PeakMemory(threading.Thread):
    """Largest sum of proportional memory (PSS) of this process and its children, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.stop = 0.0, threading.Event()

    def run(self) -> None:
        """Sample four times a second until told to stop."""
        me = psutil.Process()
        while not self.stop.wait(0.25):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak = max(self.peak, total / 2**20)


def main(
    clips: int = 1200,
    width: int = 960,
    height: int = 540,
    seconds: int = 8,
    workers: Annotated[int, typer.Option(help="0: one a core.")] = 0,
    rounds: Annotated[int, typer.Option(help="Shares of the clips; the ways take turns on them.")] = 4,
    work: Annotated[Path, typer.Option(help="Where the clips are kept for the next run.")] = WORK,
) -> None:
    """Compare the `frames` stage with one probe and one ffmpeg process a clip, in turn."""
    paths = make_clips(work / f"{width}x{height}_{seconds}s", clips, width, height, seconds)
    spent = {"reference": 0.0, "frames": 0.0}
    peak = {"reference": 0.0, "frames": 0.0}
    worst = 0
    processor: list[float] = []
    external = 0.0
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        for share in np.array_split(np.arange(clips), rounds):
            part = [paths[number] for number in share]
            results: dict[str, list[np.ndarray] | np.ndarray] = {}
            for way in spent:
                meter = PeakMemory()
                meter.start()
                begin = time.perf_counter()
                if way == "reference":
                    before = resource.getrusage(resource.RUSAGE_CHILDREN)
                    results[way] = reference(part)
                    after = resource.getrusage(resource.RUSAGE_CHILDREN)
                    external += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                else:
                    results[way] = ours(part, workers, Path(scratch), processor)
                spent[way] += time.perf_counter() - begin
                meter.stop.set()
                meter.join()
                peak[way] = max(peak[way], meter.peak)
            for one, other in zip(results["reference"], results["frames"], strict=True):
                worst = max(worst, int(np.abs(one.astype(int) - other).max()))
    rusage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(machine())
    print(f"clips: {clips} of {width}x{height}, {seconds} s, H.264, 30 frames/s")
    print("| way | seconds | clips/s | processor ms a clip | peak memory (MiB, all processes) |")
    print("| --- | --- | --- | --- | --- |")
    cost = {"reference": external, "frames": sum(processor)}
    for way, name in (
        ("reference", "a probe and an ffmpeg process a clip, in turn"),
        ("frames", "frames stage"),
    ):
        rate, each = clips / spent[way], 1000 * cost[way] / clips
        print(f"| {name} | {spent[way]:.1f} | {rate:.1f} | {each:.0f} | {peak[way]:.0f} |")
    ratio = spent["reference"] / spent["frames"]
    print(f"ratio {ratio:.2f}; largest difference of a pixel {worst}; peak of this process {rusage:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
