"""Labels of the corpus `synthetic`: VMAF of the impaired clips against the pristine one, as MOS."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vmaf_train.camera import Frames
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import grey_video, run_ffmpeg

# VMAF of LOW_VMAF and below is MOS 1, of 100 is MOS 5
LOW_VMAF = 20.0
VMAF_MODEL = "vmaf_v0.6.1"


def vmaf(paths: Sequence[Path], pristine: Frames, fps: int) -> list[float]:
    """VMAF (0..100) of clips of one scene against uint8 luma (frames, height, width), a mean each.

    A smaller clip is enlarged with bicubic interpolation first, as a player would. The first frame is
    left out where there are more: libvmaf sees no motion in it. The clips are joined and measured by one
    process, whose start would cost more than the measuring.

    Raises:
        UserError: ffmpeg cannot read a clip, or a clip has another number of frames.
    """
    import ffmpeg

    height, width = pristine.shape[1:]
    clips = [
        _renumbered(ffmpeg.input(str(path), threads=1), fps)
        .filter("scale", width, height, flags="bicubic+bitexact")
        .filter("setsar", 1)
        for path in paths
    ]
    joined = ffmpeg.concat(*clips) if len(clips) > 1 else clips[0]
    what = f"measuring VMAF of {', '.join(path.name for path in paths)}"
    count, whole = len(pristine), len(pristine) * len(paths)
    # of clips of two frames every second frame counts; one more in front gives these even numbers
    lead, step = (1, 2) if count == 2 else (0, 1)
    report = _vmaf_report(joined, pristine, fps, what, times=len(paths), lead=lead, step=step)
    scores = {frame["frameNum"]: frame["metrics"]["vmaf"] for frame in report["frames"]}
    wanted = len(range(0, lead + whole, step))
    if len(scores) != wanted:
        raise UserError(f"{what}: {len(scores)} scores of {wanted}; free some disk space and run again")
    shown = range(1 if count > 1 else 0, count)
    return [
        sum(scores[lead + start + index] for index in shown) / len(shown) for start in range(0, whole, count)
    ]


def libvmaf_version() -> str:
    """What libvmaf calls its version in its reports."""
    import ffmpeg

    grey = ffmpeg.input("color=gray:s=64x64:r=1:d=1", format="lavfi").filter("format", "yuv420p")
    report = _vmaf_report(grey, np.full((1, 64, 64), 126, np.uint8), 1, "asking libvmaf for its version")
    return str(report["version"])


def _vmaf_report(
    shown: Any, pristine: Frames, fps: int, what: str, *, times: int = 1, lead: int = 0, step: int = 1
) -> dict[str, Any]:
    """libvmaf's report of a stream of the pristine size against `times` repetitions of `pristine`.

    It has every `step`th frame, after `lead` copies of the first frame are put in front of both.
    """
    import ffmpeg

    with tempfile.TemporaryDirectory(prefix="vmaf-train-") as folder:
        log = Path(folder) / "vmaf.json"
        raw, data = grey_video(pristine, fps)
        again = raw.filter("loop", loop=times - 1, size=len(pristine))
        pair = [
            _renumbered(stream.filter("tpad", start=lead, start_mode="clone"), fps)
            for stream in (shown, again)
        ]
        options = {"model": f"version={VMAF_MODEL}", "log_fmt": "json", "n_threads": 1, "n_subsample": step}
        measured = ffmpeg.filter(pair, "libvmaf", log_path=str(log), **options)
        run_ffmpeg(ffmpeg.output(measured, "pipe:", format="null"), what=what, data=data)
        try:
            report: dict[str, Any] = json.loads(log.read_text())
        except (OSError, ValueError):
            raise UserError(
                f"{what}: libvmaf left no whole report; free some space in {Path(folder).parent}"
            ) from None
    return report


def _renumbered(stream: Any, fps: int) -> Any:
    # containers round time stamps, and libvmaf pairs frames by them
    return stream.filter("settb", f"1/{fps}").filter("setpts", "N")


def vmaf_to_mos(value: float) -> float:
    """Map VMAF 20..100 linearly to MOS 1..5; less is 1."""
    return float(np.clip(1 + 4 * (value - LOW_VMAF) / (100 - LOW_VMAF), 1, 5))
