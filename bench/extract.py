"""Clips a second of the `frames` stage against one probe and one ffmpeg process a clip, in turn.

    python bench/extract.py --clips 1200 --width 960 --height 540 --seconds 8

All ways read the same clips in one run; the clips are kept in `--work` for the next run. Four of about
2 MB (as KoNViD-1k's) are encoded, the others are copies. The ways take turns on equal shares of the
clips, so that another load on the machine falls on all. The reference is measured with the `ffprobe` and
`ffmpeg` of this system, where it has them, and with imageio-ffmpeg's binary, whose one static file starts
several times faster than a distribution's build.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import psutil
import typer
from machine import machine, program

from vmaf_train.executor import map_ordered
from vmaf_train.ffmpeg import ffmpeg_exe
from vmaf_train.frames import DEGRADED, FRAGMENTS, LUMA, Extracted, extract_frame, packed
from vmaf_train.params import Compute
from vmaf_train.params_reader import read_params

WORK = Path(tempfile.gettempdir()) / "vmaf-train-bench"

DIFFERENT = 4
DURATION = re.compile(r"[Dd]uration[:=] ?(\d+):(\d+):(\d+\.\d+)")
STAGE = "frames stage"
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


class Tools(NamedTuple):
    """The programs of the reference way: the command that prints a clip's duration, and ffmpeg."""

    name: str
    probe: tuple[str, ...]
    ffmpeg: str


def reference_tools() -> list[Tools]:
    """The tools of this system, where it has both, and imageio-ffmpeg's binary."""
    ffprobe, ffmpeg = shutil.which("ffprobe"), shutil.which("ffmpeg")
    # imageio-ffmpeg has no ffprobe: `ffmpeg -i` prints the duration, and does no more than ffprobe
    tools = [Tools("bundled ffmpeg", (ffmpeg_exe(), "-hide_banner", "-i"), ffmpeg_exe())]
    if ffprobe and ffmpeg:
        probe = (ffprobe, "-v", "error", "-show_entries", "format=duration", "-sexagesimal")
        tools.insert(0, Tools("system ffprobe and ffmpeg", probe, ffmpeg))
    return tools


def reference(clips: list[Path], tools: Tools) -> list[np.ndarray]:
    """One process to probe and one to grab the frame, clip by clip."""
    frames = []
    for clip in clips:
        said = subprocess.run(
            [*tools.probe, str(clip)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        found = DURATION.search(said.stdout + said.stderr)
        assert found, said.stderr
        half = (int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])) / 2
        grab = ["-ss", f"{half}", "-i", str(clip), "-frames:v", "1", "-vf", "scale=224:224:flags=area"]
        command = [tools.ffmpeg, "-v", "error", *grab, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
        raw = subprocess.run(command, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
        frames.append(np.frombuffer(raw, np.uint8)[: 224 * 224].reshape(224, 224))
    return frames


def timed(folder: str, name: str) -> tuple[Extracted, float]:
    """One clip as the stage does it, with the processor seconds it took; runs in a worker."""
    begin = time.process_time()
    return extract_frame(folder, FRAMES, name), time.process_time() - begin


def ours(clips: list[Path], workers: int, work: Path, processor: list[float]) -> np.ndarray:
    """The `frames` stage's own loop: the pool, the degraded twin, fragments and packed arrays included."""
    compute = Compute(engine="local", workers=workers, dask_address="")
    extract = partial(timed, str(clips[0].parent))
    size = FRAMES.size
    with (
        packed(work / LUMA, size) as clean,
        packed(work / DEGRADED, size) as degraded,
        packed(work / FRAGMENTS, size) as pieces,
    ):
        for result in map_ordered(extract, [clip.name for clip in clips], compute, "frames"):
            if isinstance(result, Exception):
                raise result
            extracted, seconds = result
            clean.add(extracted.clean)
            degraded.add(extracted.degraded)
            for piece in extracted.fragments:
                pieces.add(piece)
            processor.append(seconds)
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
    tools = reference_tools()
    ways = [f"{one.name}, two processes a clip, in turn" for one in tools] + [STAGE]
    spent, peak, cost = (dict.fromkeys(ways, 0.0) for _ in range(3))
    worst = 0
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        for share in np.array_split(np.arange(clips), rounds):
            part = [paths[number] for number in share]
            results: dict[str, list[np.ndarray] | np.ndarray] = {}
            for way, tool in zip(ways, [*tools, None], strict=True):
                meter = PeakMemory()
                meter.start()
                processor: list[float] = []
                begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                results[way] = (
                    reference(part, tool) if tool else ours(part, workers, Path(scratch), processor)
                )
                spent[way] += time.perf_counter() - begin
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                cost[way] += used if tool else sum(processor)
                meter.stop.set()
                meter.join()
                peak[way] = max(peak[way], meter.peak)
            for way in ways[:-1]:
                for one, other in zip(results[way], results[STAGE], strict=True):
                    worst = max(worst, int(np.abs(one.astype(int) - other).max()))
    rusage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(machine())
    print(f"clips: {clips} of {width}x{height}, {seconds} s, H.264, 30 frames/s")
    print("| way | seconds | clips/s | ratio | processor ms a clip | peak memory (MiB, all processes) |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for way in ways:
        rate, each = clips / spent[way], 1000 * cost[way] / clips
        ratio = spent[way] / spent[STAGE]
        print(f"| {way} | {spent[way]:.1f} | {rate:.1f} | {ratio:.2f} | {each:.0f} | {peak[way]:.0f} |")
    print(f"largest difference of a pixel {worst}; peak of this process {rusage:.0f} MiB")


if __name__ == "__main__":
    program(main)
