"""What a filter adds to the time of an encode: the same clip, cores and encoder, with and without it.

    python bench/filter_cost.py [CLIP] [--model learned_filter_v2] [--frames 48]

CLIP is turned into raw 1080p first (unset: ffmpeg's test picture with noise). `filter` reads it, filters
luma and encodes; the plain way reads and encodes, both through PyAV, in turn; the smallest time of each
counts. The filter alone is timed as well: what is left of the difference is the encoder's own, which has
sharper pictures to code. Processor time is of all threads. Goal: at most +2 % for libx265 slow and
libsvtav1 preset 4.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import av
import ffmpeg
import typer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from machine import machine, make_clip, markdown, program

from vmaf_train.encode import Encoder
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.planes import filter_codes, plane_view

ENCODERS = (
    Encoder("libx265", {"preset": "slow", "x265-params": "log-level=error"}),
    Encoder("libsvtav1", {"preset": "4"}),
    Encoder("libx264", {"preset": "medium"}),
)
FPS = 24
os.environ.setdefault("SVT_LOG", "1")  # errors only


def raw_clip(source: Path, path: Path, frames: int) -> Path:
    """`source` at 1920x1080 in uncompressed yuv420p."""
    shown = ffmpeg.input(str(source)).filter("fps", FPS).filter("scale", 1920, 1080, flags="lanczos")
    settings = {"frames:v": frames, "vcodec": "rawvideo", "pix_fmt": "yuv420p"}
    run_ffmpeg(shown.output(str(path), **settings), what="making the raw clip", threads=0)
    return path


def encode_alone(source: Path, target: Path, encoder: Encoder) -> None:
    """Decode and encode as `filter` does, without the filter."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream(encoder.name, rate=FPS, options=dict(encoder.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.thread_type = "AUTO"
        for frame in reader.decode(video):
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def filter_alone(frames: list[VideoFrame], model: LoadedModel) -> None:
    for frame in frames:
        frame.make_writable()
        filter_codes(plane_view(frame, 0, 8), 8, model.run_codes)


@dataclass
class Best:
    """The smallest wall time and the smallest processor time (all threads) of some runs, in seconds."""

    wall: float = math.inf
    processor: float = math.inf

    def time(self, work: Callable[[], object]) -> None:
        """Run `work` once and keep its times where they are the smallest."""
        wall, processor = time.perf_counter(), time.process_time()
        work()
        self.wall = min(self.wall, time.perf_counter() - wall)
        self.processor = min(self.processor, time.process_time() - processor)


def row(raw: Path, model: LoadedModel, encoder: Encoder, rounds: int, count: int) -> tuple[str, ...]:
    """One encoder's line, ms a frame."""
    target = raw.with_name("out.mkv")
    plain, whole = Best(), Best()
    for _ in range(rounds):
        plain.time(lambda: encode_alone(raw, target, encoder))
        whole.time(lambda: filter_video(raw, target, model, encoder=encoder, force=True))
    cells = []
    for one, two in ((plain.wall, whole.wall), (plain.processor, whole.processor)):
        cells += [f"{one / count * 1e3:.1f}", f"{two / count * 1e3:.1f}", f"{(two / one - 1) * 100:+.1f} %"]
    return (f"{encoder.name} {encoder.options['preset']}", *cells)


def main(
    clip: Annotated[Path | None, typer.Argument()] = None,
    model: str = "learned_filter_v2",
    frames: int = 48,
    rounds: int = 2,
    threads: Annotated[int, typer.Option(help="Of the model; 0: one a core.")] = 0,
    unverified: bool = False,
) -> None:
    """Time each encoder with and without the filter."""
    loaded = load_model(model, unverified=unverified, threads=threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = clip or make_clip(folder / "test.mp4", 1920, 1080, frames, crf=10)
        raw = raw_clip(source, folder / "raw.nut", frames)
        with av.open(str(raw)) as reader:
            decoded = list(reader.decode(video=0))
        count, alone = len(decoded), Best()
        for _ in range(3):
            alone.time(lambda: filter_alone(decoded, loaded))
        decoded.clear()
        rows = [row(raw, loaded, encoder, rounds, count) for encoder in ENCODERS]
    print(machine())
    print(f"{loaded.id} ({threads} threads), {count} frames of 1920x1080, ms a frame, best of {rounds}")
    print(
        f"the filter alone: {alone.wall / count * 1e3:.1f} ms a frame, "
        f"{alone.processor / count * 1e3:.1f} ms of processor time\n"
    )
    times = ("encode", "filter and encode", "added")
    markdown(("encoder", *times, *(f"processor: {word}" for word in times)), rows)


if __name__ == "__main__":
    program(main)
