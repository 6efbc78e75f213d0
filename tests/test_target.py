"""The file that `filter` writes: which paths may be written, and by which encoder."""

from __future__ import annotations

import errno
from pathlib import Path

import av
import pytest

from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.target import check_target, default_encoder, writing


def test_an_output_is_never_the_input_nor_replaced_unasked(tmp_path: Path) -> None:
    source, other = tmp_path / "in.mkv", tmp_path / "out.mkv"
    for path in (source, other):
        path.write_bytes(b"a clip")
    (tmp_path / "same.mkv").hardlink_to(source)
    with pytest.raises(UserError, match="is the input"):
        check_target(source, tmp_path / "same.mkv", force=True)
    with pytest.raises(UserError, match="not a regular file"):
        check_target(source, tmp_path, force=True)
    with pytest.raises(UserError, match="--force"):
        check_target(source, other, force=False)
    check_target(source, other, force=True)
    check_target(source, tmp_path / "new.mkv", force=False)


@pytest.mark.parametrize("name", ["o.m3u8", "o.mpd", "o.png", "o%03d.jpg"])
def test_a_container_of_several_files_is_refused_before_anything_is_written(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UserError, match="writes no single file"):
        check_target(tmp_path / "in.mkv", tmp_path / name, force=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["o.strange", "o"])
def test_a_suffix_without_a_container_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"no container is written under .*\.mkv or \.mp4"):
        check_target(tmp_path / "in.mkv", tmp_path / name, force=True)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov", "webm", "avi", "ts", "mpg", "nut", "gif", "h264"])
def test_a_container_of_one_file_is_taken(tmp_path: Path, suffix: str) -> None:
    check_target(tmp_path / "in.mkv", tmp_path / f"o.{suffix}", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_that_and_not_as_an_encoder_that_refuses(tmp_path: Path) -> None:
    full = tmp_path / "o.mkv"
    full.symlink_to("/dev/full")
    with (
        pytest.raises(OSError, match="No space left on device") as told,
        writing(full, full, Encoder("ffv1")) as container,
    ):
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(99):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
    assert told.value.errno == errno.ENOSPC


def test_ctrl_c_is_not_lost_in_what_closing_an_unfinished_file_says(tmp_path: Path) -> None:
    full = tmp_path / "o.mkv"
    full.symlink_to("/dev/full")
    with pytest.raises(KeyboardInterrupt), writing(full, full, Encoder("ffv1")) as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        raise KeyboardInterrupt


def test_pictures_as_they_are_need_no_encoder_to_be_named() -> None:
    names = ["a.y4m", "a.YUV", "a.mkv", "a.264"]
    assert [default_encoder(Path(name)) for name in names] == ["rawvideo", "rawvideo", "libx264", "libx264"]


def test_of_a_link_the_file_that_it_points_to_is_encoded_for(tmp_path: Path) -> None:
    (tmp_path / "link.yuv").symlink_to(tmp_path / "real.mkv")
    assert default_encoder(tmp_path / "link.yuv") == "libx264"
