"""What muxers do not say of themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clip_factory import make_clip

from vmaf_train.muxers import FORMATS, begins, copies, holds, keeps_times, takes


@pytest.mark.parametrize(
    ("name", "codec", "held"),
    [
        ("a.mkv", "pcm_s16le", True),
        ("a.flv", "aac", True),
        ("a.flv", "pcm_s16le", False),
        ("a.ts", "h264", True),
        ("a.ts", "ffv1", False),
        ("a.ts", "pcm_bluray", False),
        ("a.m2ts", "pcm_bluray", True),
        ("a.mpg", "h264", True),
        ("a.mpg", "ffv1", False),
        ("a.vob", "av1", False),
        ("a.yuv", "rawvideo", True),
        ("a.yuv", "h264", False),
        ("a.ffmeta", "h264", False),
    ],
)
def test_a_container_holds_what_can_be_read_back(name: str, codec: str, held: bool, tmp_path: Path) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        assert holds(container, codec) == held


@pytest.mark.parametrize(
    "suffix", ["mkv", "mp4", "mov", "m4v", "webm", "avi", "ts", "mpg", "flv", "ogv", "y4m"]
)
@pytest.mark.parametrize(
    ("encoder", "codec"),
    [
        ("rawvideo", "rawvideo"),
        ("libx264", "h264"),
        ("libvpx-vp9", "vp9"),
        ("ffv1", "ffv1"),
        ("mpeg2video", "mpeg2video"),
    ],
)
def test_a_container_takes_what_its_muxer_does(suffix: str, encoder: str, codec: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        told = takes(container, codec)
        try:
            stream = container.add_stream(encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()
        except (av.FFmpegError, ValueError):
            assert not told
        else:
            assert told or not holds(container, codec)


@pytest.mark.parametrize(
    ("offset", "container", "start"),
    [
        (0, "mp4", 0),
        (0, "avi", 0),
        (5, "mp4", 0),
        (5, "avi", 5),
        (-2, "mp4", -2),
        (-2, "matroska", 0),
    ],
)
def test_times_are_moved_where_the_container_cannot_tell_them(
    offset: int, container: str, start: int, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path / "a.mkv")
    with av.open(str(clip)) as source:
        first = next(source.decode(video=0))
        first.pts = round(offset / first.time_base)

        class Shifted:
            start_time = offset * 1_000_000

        assert begins(Shifted(), first, container) == Fraction(start)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "reorders", "keeps"),
    [
        *(("mkv", True, True), ("mp4", True, True), ("avi", False, True), ("avi", True, False)),
        *(("264", True, False), ("yuv", False, False), ("y4m", False, False)),
    ],
)
def test_a_container_keeps_times_or_knows_a_rate_at_most(
    suffix: str, reorders: bool, keeps: bool, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        assert keeps_times(container, reorders) == keeps


@pytest.mark.parametrize(
    ("suffix", "kind", "codec", "taken"),
    [
        ("mxf", "audio", "pcm_s16le", True),
        ("mxf", "audio", "aac", False),
        ("mxf", "subtitle", "subrip", False),
        ("mov", "audio", "opus", False),
        ("mp4", "audio", "opus", True),
        ("ts", "audio", "pcm_s16le", False),
    ],
)
def test_streams_that_a_container_will_not_take_are_known_before_it_tries(
    suffix: str, kind: str, codec: str, taken: bool, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container:
        assert copies(container, kind, codec) == taken


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_y4m_holds_the_formats_that_it_is_said_to(pix_fmt: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.y4m"), "w", options={"strict": "-1"}) as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        container.start_encoding()
