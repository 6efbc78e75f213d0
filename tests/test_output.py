"""The output of `filter`: few frames, and pictures without a codec. The rest is in test_filter.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_filter import folder, noop, read, write_clip

from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel
from vmaf_train.planes import plane_view
from vmaf_train.raw import Raw
from vmaf_train.video import iterate_frames

__all__ = ["folder", "noop"]


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265", "hevc", "libsvtav1", "libvpx-vp9", "mpeg2video"])
def test_a_clip_of_few_frames_keeps_them_and_their_times(
    encoder: str, suffix: str, frames: int, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", frames=frames), tmp_path / f"out{suffix}"
    for _ in range(3):  # libx265 took times from memory that nobody had set, in some runs and not in others
        filter_video(source, target, noop, encoder=Encoder(encoder), force=True)
        shown = [float(frame.pts * frame.time_base) for frame in read(target)]
        assert shown == pytest.approx([0.04 * index for index in range(frames)], abs=1e-3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("suffix", [".y4m", ".yuv"])
def test_pictures_without_a_codec_are_those_of_the_clip(
    suffix: str, pix_fmt: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt), tmp_path / f"out{suffix}"
    done = filter_video(source, target, noop)
    assert list(done.dropped) == ["tags title", "tags of stream 0 (video): title"]
    told = "raw video has no header; read it with --raw 64x48:yuv"
    assert [note.startswith(told) for note in done.notes] == ([True] if suffix == ".yuv" else [])
    raw = Raw.parse(done.notes[0].split()[-1]) if suffix == ".yuv" else None
    written = list(iterate_frames(target, raw=raw))
    for (index, frame), known in zip(written, read(source), strict=True):
        assert frame.time == pytest.approx(index / 25)
        assert frame.format.name == pix_fmt
        for plane in range(3):
            bits = 10 if "10" in pix_fmt else 8
            np.testing.assert_array_equal(plane_view(frame, plane, bits), plane_view(known, plane, bits))


@pytest.mark.parametrize("suffix", [".y4m", ".yuv", ".264", ".mkv"])
def test_uneven_times_are_told_where_the_output_has_a_rate_alone(
    suffix: str, noop: LoadedModel, tmp_path: Path
) -> None:
    steady = write_clip(tmp_path / "steady.mkv", frames=6)
    uneven = write_clip(tmp_path / "uneven.mkv", frames=6, pts=[0, 40, 80, 100, 110, 120])
    told = "the times of the frames, which are not evenly apart"
    for source, expected in ((steady, False), (uneven, suffix != ".mkv")):
        done = filter_video(source, tmp_path / f"out{suffix}", noop, force=True)
        assert (told in done.dropped) == expected


def test_y4m_names_the_encoder_that_it_takes(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv"), tmp_path / "out.y4m"
    with pytest.raises(UserError, match=r"yuv4mpegpipe cannot hold; .*, or --encoder rawvideo$"):
        filter_video(source, target, noop, encoder=Encoder("libx264"))
    assert not target.exists()
