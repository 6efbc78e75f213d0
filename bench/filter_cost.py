"""What a filter adds to the time of an encode: the same clip, cores and encoder, with and without it.

    python bench/filter_cost.py [CLIP] [--model learned_filter_v2] [--frames 48]

CLIP is turned into raw 1080p first (unset: ffmpeg's test picture with noise). `filter` reads it, filters
luma and encodes; the plain way reads and encodes, both through PyAV, in turn; the smallest time of each
counts. "filter alone" is the same work without an encoder: what is left of the difference is the encoder's
own, which has sharper pictures to code. Goal: at most +2 % for libx265 slow and libsvtav1 preset 4.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import av
import ffmpeg
import typer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from machine import machine, make_clip, markdown

from vmaf_train.encode import Encoder
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.planes import filter_plane, plane_view

ENCODERS = (
    Encoder("libx265", {"preset": "slow", "x265-params": "log-level=error"}),
    Encoder("libsvtav1", {"preset": "4"}),
    Encoder("libx264", {"preset": "medium"}),
)
FPS = 24


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
        for frame in reader.decode(video):
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))


def filter_alone(frames: list[VideoFrame], model: LoadedModel) -> None:
    for frame in frames:
        frame.make_writable()
        filter_plane(plane_view(frame, 0, 8), 8, model.run)


def smallest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest of some runs."""
    best = math.inf
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def row(raw: Path, loaded: LoadedModel, encoder: Encoder, rounds: int, alone: float) -> tuple[str, ...]:
    """One encoder's line; `alone` is what the filter itself takes, seconds a clip."""
    target = raw.with_name("out.mkv")
    plain = whole = math.inf
    count = 0

    def both() -> None:
        nonlocal count
        count = filter_video(raw, target, loaded, encoder=encoder, force=True).frames

    for _ in range(rounds):
        plain = min(plain, smallest(lambda: encode_alone(raw, target, encoder), 1))
        whole = min(whole, smallest(both, 1))
    times = (f"{time / count * 1e3:.1f}" for time in (plain, whole, alone))
    shares = (f"{(whole / plain - 1) * 100:+.1f} %", f"{alone / plain * 100:+.1f} %")
    return (f"{encoder.name} {encoder.options['preset']}", *times, *shares)


def main(
    clip: Annotated[Path | None, typer.Argument()] = None,
    model: str = "learned_filter_v2",
    frames: int = 48,
    rounds: int = 2,
    unverified: bool = False,
) -> None:
    """Time each encoder with and without the filter."""
    loaded = load_model(model, unverified=unverified)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = clip or make_clip(folder / "test.mp4", 1920, 1080, frames, crf=10)
        raw = raw_clip(source, folder / "raw.nut", frames)
        with av.open(str(raw)) as reader:
            decoded = list(reader.decode(video=0))
        alone = smallest(lambda: filter_alone(decoded, loaded), 3)
        decoded.clear()
        rows = [row(raw, loaded, encoder, rounds, alone) for encoder in ENCODERS]
    print(f"{machine()}\n{loaded.id}, {frames} frames of 1920x1080, ms a frame, best of {rounds}\n")
    markdown(
        ("encoder", "encode", "filter and encode", "filter alone", "added in all", "added by the filter"),
        rows,
    )


if __name__ == "__main__":
    typer.run(main)
