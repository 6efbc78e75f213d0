"""How much damage decoders tell of: clips of each codec with 40 bytes overwritten, and what `score` notes.

    python bench/damage_told.py [--clips 40]

A clip is changed where a frame is another than before or is missing, told where it counts as broken, and
refused where it cannot be decoded.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from machine import machine, markdown, program

from vmaf_train.condition import Condition
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.luma import luma_of
from vmaf_train.video import iterate_frames

HURT = 40  # bytes
CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "H.264": ("mp4", {"vcodec": "libx264", "preset": "veryfast", "g": 12}),
    "HEVC": ("mp4", {"vcodec": "libx265", "x265-params": "log-level=none:keyint=24"}),
    "AV1": ("mp4", {"vcodec": "libsvtav1", "preset": 12}),
    "VP9": ("webm", {"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8}),
    "VP8": ("webm", {"vcodec": "libvpx", "deadline": "realtime", "cpu-used": 8}),
    "MPEG-4": ("avi", {"vcodec": "mpeg4", "bf": 2, "q:v": 4}),
    "MPEG-2": ("ts", {"vcodec": "mpeg2video", "bf": 2, "q:v": 4}),
    "ProRes": ("mov", {"vcodec": "prores_ks"}),
    "MJPEG": ("mov", {"vcodec": "mjpeg", "q:v": 3}),
    "FFV1": ("mkv", {"vcodec": "ffv1"}),
}


def main(clips: int = 40) -> None:
    """Hurt `clips` copies of a clip of each codec."""
    print(f"{machine()}\n")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (suffix, options) in CODECS.items():
            path = Path(folder) / f"clip.{suffix}"
            noisy = ffmpeg.input("testsrc2=s=320x192:r=24:d=2.5", f="lavfi").filter("noise", alls=6, allf="t")
            pixels = "yuv422p10le" if name == "ProRes" else "yuv420p"
            run_ffmpeg(noisy.output(str(path), pix_fmt=pixels, **options), what=f"making {path.name}")
            rows.append((name, *map(str, try_codec(path, clips))))
    markdown(("codec", "changed", "told", "refused"), rows)


def try_codec(path: Path, clips: int) -> tuple[int, int, int]:
    """How many hurt copies of a clip are changed, how many of these are told, how many cannot be decoded."""
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    expected = decoded(path, Condition())
    changed = told = refused = 0
    for _ in range(clips):
        at = int(rng.integers(len(whole) // 10, len(whole) * 9 // 10))
        path.write_bytes(whole[:at] + rng.bytes(HURT) + whole[at + HURT :])
        condition = Condition()
        try:
            frames = decoded(path, condition)
        except UserError:
            refused += 1
            continue
        if frames != expected:
            changed += 1
            told += condition.broken
    return changed, told, refused


def decoded(path: Path, condition: Condition) -> list[bytes]:
    """Luma of all frames."""
    return [luma_of(frame, path).tobytes() for _, frame in iterate_frames(path, condition=condition)]


if __name__ == "__main__":
    program(main)
