"""`score` of every frame against decoding alone, and the time of a frame.

    python bench/score_speed.py [CLIPS…] [--model nr_metric_v3] [--rounds 5]

Decoding and scoring take turns in one process, so both see the same machine; the ratio of a clip is the
median over the rounds, after a first run of both that loads libraries and makes the session (10 ms).
Target: at most 1.3 by the clock for 960x540 H.264 (where other programs use the machine, only the
processor's time means something; it is above the clock's, because scoring also fills the gaps that
decoding leaves on the cores).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import av
import numpy as np
import typer
from machine import machine, make_clip, program, table

from vmaf_train.load import LoadedModel, load_model, models_dir
from vmaf_train.score import FrameScorer, score_video

SIZES = {"224x224": (224, 224), "960x540": (540, 960), "1920x1080": (1080, 1920)}
REPEATS = 100


class Times(NamedTuple):
    """Seconds by the clock, and of the processor in all threads of this process."""

    wall: float
    processor: float


def decode(path: Path) -> int:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 0
        stream.codec_context.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def timed(function: Callable[..., object], *arguments: object) -> Times:
    begin, used = time.perf_counter(), time.process_time()
    function(*arguments)
    return Times(time.perf_counter() - begin, time.process_time() - used)


def clip_row(path: Path, model: LoadedModel, rounds: int) -> tuple[str, ...]:
    frames = decode(path)
    score_video(path, model)
    pairs = [(timed(decode, path), timed(score_video, path, model)) for _ in range(rounds)]
    cells = []
    for clock in ("wall", "processor"):
        decoded = [getattr(pair[0], clock) for pair in pairs]
        scored = [getattr(pair[1], clock) for pair in pairs]
        ratio = statistics.median(b / a for a, b in zip(decoded, scored, strict=True))
        cells += [f"{statistics.median(values) / frames * 1e3:.3f}" for values in (decoded, scored)]
        cells.append(f"{ratio:.2f}")
    return (path.name, str(frames), *cells)


def frame_row(label: str, model: LoadedModel) -> tuple[str, ...]:
    scorer = FrameScorer(model)
    cells = []
    for size in SIZES.values():
        frame = np.random.default_rng(0).integers(0, 256, size, np.uint8)
        scorer(frame)
        cells.append(f"{statistics.median(timed(scorer, frame).processor for _ in range(REPEATS)) * 1e3:.3f}")
    return (label, *cells)


def main(
    clips: Annotated[list[Path] | None, typer.Argument()] = None,
    model: str = "nr_metric_v3",
    rounds: int = 5,
    unverified: bool = False,
) -> None:
    """Measure single frames, then whole clips against decoding alone."""
    loaded = load_model(model, unverified=unverified, threads=1)
    print(machine())
    print(f"\n{loaded.id}: ms a frame, one core, resize included")
    rows = [frame_row("float", loaded)]
    if loaded.entry is not None and loaded.entry.int8_file is not None:
        rows.append(frame_row("int8", load_model(models_dir() / loaded.entry.int8_file, threads=1)))
    table(("", *SIZES), rows)
    print("\nms a frame, all cores: decoding alone, and score of every frame")
    with tempfile.TemporaryDirectory() as folder:
        clips = clips or [
            make_clip(Path(folder) / "540p.mp4", 960, 540, 240),
            make_clip(Path(folder) / "1080p.mp4", 1920, 1080, 120),
        ]
        rows = [clip_row(clip, loaded, rounds) for clip in clips]
    wall, processor = ("decode", "score", "ratio"), ("cpu decode", "cpu score", "cpu ratio")
    table(("clip", "frames", *wall, *processor), rows)


if __name__ == "__main__":
    program(main)
