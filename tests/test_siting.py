"""Where chroma samples lie, as FFmpeg itself reads it."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from clip_factory import make_clip

from vmaf_train.siting import UNKNOWN, chroma_location


def first_frame(path: Path) -> av.VideoFrame:
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("location", ["left", "center", "topleft", "top", "bottomleft", "bottom"])
def test_the_location_that_the_stream_tells_is_found(tmp_path: Path, location: str) -> None:
    options = ["-c:v", "libx264", "-chroma_sample_location", location]
    frame = first_frame(make_clip(tmp_path / "clip.mp4", *options, count=3))
    # FFmpeg says the same again, and it is heard again
    assert [chroma_location(frame) for _ in range(3)] == [location] * 3


def test_a_frame_that_does_not_tell_and_one_without_shared_chroma_have_none(tmp_path: Path) -> None:
    for pix_fmt in ("yuv420p", "yuv444p", "gray"):
        frame = first_frame(
            make_clip(tmp_path / f"{pix_fmt}.avi", "-c:v", "ffv1", "-pix_fmt", pix_fmt, count=1)
        )
        assert frame.format.name == pix_fmt
        assert chroma_location(frame) == UNKNOWN
