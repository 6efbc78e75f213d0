"""`filter` against the sum of its three parts, and its memory against the clip's length.

    python bench/filter_speed.py [CLIP] [--model learned_filter_v1] [--frames 24]

Each part alone has all cores: decoding the clip, the model on its frames, encoding the filtered frames.
Target: wall time at most 1.1 times the sum. Memory is the peak of a process that filters a 480x270 clip,
and one four times as long.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import av
import typer
from av.video.frame import VideoFrame
from machine import machine, make_clip, program, table

from vmaf_train.encode import Encoder
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.planes import filter_codes, plane_view

ENCODER = Encoder("libx264", {"crf": "20"})
ROUNDS = 3
# more frames than the encoder looks ahead
SHORT = 120


def decode(path: Path) -> list[VideoFrame]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 0
        stream.codec_context.thread_type = "AUTO"
        return list(container.decode(stream))


def run_model(frames: list[VideoFrame], model: LoadedModel) -> None:
    for frame in frames:
        frame.make_writable()
        filter_codes(plane_view(frame, 0, 8), 8, model.run_codes)


def encode(frames: list[VideoFrame], path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(ENCODER.name, rate=24, options=dict(ENCODER.options))
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for index, frame in enumerate(frames):
            frame.pict_type, frame.pts, frame.time_base = 0, index, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def parts(path: Path, model: LoadedModel, folder: Path) -> tuple[float, float, float, float]:
    marks = [time.perf_counter()]
    frames = decode(path)
    marks.append(time.perf_counter())
    run_model(frames, model)
    marks.append(time.perf_counter())
    encode(frames, folder / "parts.mp4")
    marks.append(time.perf_counter())
    del frames
    begin = time.perf_counter()
    filter_video(path, folder / "whole.mp4", model, encoder=ENCODER, force=True)
    whole = time.perf_counter() - begin
    decoded, modelled, encoded = (b - a for a, b in itertools.pairwise(marks))
    return decoded, modelled, encoded, whole


def peak(path: Path, model: str, folder: Path, unverified: bool) -> float:
    """Peak memory in MiB of a process that filters the clip."""
    command = [sys.executable, __file__, str(path), "--model", model, "--child", str(folder / "child.mp4")]
    printed = subprocess.run(
        command + ["--unverified"] * unverified, check=True, capture_output=True, text=True
    ).stdout
    return float(printed)


def main(
    clip: Annotated[Path | None, typer.Argument()] = None,
    model: str = "learned_filter_v1",
    frames: int = 24,
    unverified: bool = False,
    child: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure the parts and the whole, then the memory."""
    loaded = load_model(model, unverified=unverified)
    if child and clip:
        filter_video(clip, child, loaded, encoder=ENCODER, force=True)
        # of this program alone: getrusage would count the parent's memory at the fork as well
        status = Path("/proc/self/status").read_text()
        print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = clip or make_clip(folder / "1080p.mp4", 1920, 1080, frames)
        print(f"\n{loaded.id} on {clip.name}: seconds, median of {ROUNDS} rounds by ratio")
        rounds = sorted((parts(clip, loaded, folder) for _ in range(ROUNDS)), key=lambda r: r[3] / sum(r[:3]))
        decoded, modelled, encoded, whole = rounds[ROUNDS // 2]
        ratio = whole / (decoded + modelled + encoded)
        cells = (f"{value:.2f}" for value in (decoded, modelled, encoded, whole, ratio))
        table(("decode", "model", "encode", "filter", "filter / sum"), [tuple(cells)])
        print("\npeak memory, 480x270")
        rows = []
        for length in (1, 4):
            path = make_clip(folder / f"{length}.mp4", 480, 270, SHORT * length)
            rows.append((str(SHORT * length), f"{peak(path, model, folder, unverified):.0f}"))
        table(("frames", "MiB"), rows)


if __name__ == "__main__":
    program(main)
