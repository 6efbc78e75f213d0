from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import (
    CLIPS,
    COUNT,
    MIDDLE,
    X264,
    ffmpeg,
    known_clip,
    make_clip,
    number_in,
    numbered_frame,
)

from vmaf_train.errors import UserError
from vmaf_train.executor import attempt
from vmaf_train.luma import luma_of
from vmaf_train.middle import middle_luma
from vmaf_train.video import probe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4", *X264, "-movflags", "+faststart")


def by_full_decode(clip: Path) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "NONE"
        return [luma_of(frame, clip) for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", CLIPS)
def test_the_middle_frame_is_that_of_a_full_decode(clips: Path, name: str) -> None:
    clip = known_clip(clips, name)
    middle = middle_luma(clip)
    assert number_in(middle) == MIDDLE
    assert np.array_equal(middle, by_full_decode(clip)[MIDDLE])
    assert np.abs(middle.astype(int) - numbered_frame(MIDDLE)).mean() < 8


def test_every_length_gives_the_frame_at_or_after_half(folder: Path) -> None:
    for count in (2, 3, 4, 5, 12, 13, 24, 25, 26):
        clip = make_clip(folder / f"length_{count}.mp4", *CLIPS["open_gop.mp4"], count=count)
        assert number_in(middle_luma(clip)) == (count + 1) // 2 if count > 2 else 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_frame_rate_is_followed(folder: Path, suffix: str) -> None:
    # frame n is shown from n * n / 100 s on
    slow = ["-vf", "setpts=N*N/100/TB", "-fps_mode", "vfr", "-enc_time_base", "1:1000", "-bf", "0"]
    clip = make_clip(folder / f"variable.{suffix}", *X264, *slow)
    half = probe(clip).duration / 2
    assert number_in(middle_luma(clip)) == next(n for n in range(COUNT) if n * n / 100 >= half - 1e-3)


def test_a_last_frame_that_fills_the_second_half_is_the_middle(folder: Path) -> None:
    clip = make_clip(folder / "long_last.mkv", *X264, "-vf", "setpts='if(eq(N,4),4,N)/25/TB'", count=5)
    long = folder / "long_last_edited.mkv"
    ffmpeg("-i", clip, "-f", "lavfi", "-i", "sine=duration=10", "-c:v", "copy", long)
    assert number_in(middle_luma(long)) in (3, 4)


@pytest.mark.parametrize("delay", [0, 1])
def test_sound_longer_than_the_pictures_or_before_them_moves_nothing(
    folder: Path, plain: Path, delay: int
) -> None:
    for suffix in ("mp4", "mkv"):
        clip = folder / f"sound_{delay}.{suffix}"
        sound = ["-f", "lavfi", "-i", "sine=duration=6", "-itsoffset", str(delay), "-i", plain]
        ffmpeg(*sound, "-c:v", "copy", clip)
        assert number_in(middle_luma(clip)) == MIDDLE


def test_a_cut_without_reencoding_keeps_to_its_edit_list(folder: Path, plain: Path) -> None:
    clip = folder / "cut.mp4"
    ffmpeg("-ss", "0.6", "-i", plain, "-c", "copy", clip)
    shown = by_full_decode(clip)
    assert number_in(middle_luma(clip)) in [number_in(frame) for frame in shown]
    assert probe(clip, whole=True).codec == "h264"


def test_odd_sizes_keep_every_pixel(folder: Path) -> None:
    clip = make_clip(folder / "odd.mkv", "-c:v", "ffv1", width=161, height=97)
    middle = middle_luma(clip)
    assert middle.shape == (97, 161)
    assert np.array_equal(middle, numbered_frame(MIDDLE, 161, 97))


TURNS = {
    "90": ["-display_rotation", "90"],
    "180": ["-display_rotation", "180"],
    "270": ["-display_rotation", "270"],
    "mirror": ["-display_hflip"],
    "turned_mirror": ["-display_rotation", "90", "-display_vflip"],
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_clip_is_upright_as_in_ffmpeg(folder: Path, plain: Path, turn: str) -> None:
    clip = folder / f"turned_{turn}.mp4"
    ffmpeg(*TURNS[turn], "-i", plain, "-c", "copy", clip)
    raw = ffmpeg("-i", clip, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    middle, info = middle_luma(clip), probe(clip)
    height, width = middle.shape
    assert (info.height, info.width) == middle.shape
    assert (height > width) == (turn in ("90", "270", "turned_mirror"))
    reference = np.frombuffer(raw, np.uint8).reshape(COUNT, -1)[MIDDLE, : height * width]
    assert np.array_equal(middle, reference.reshape(height, width))


def test_an_odd_angle_is_refused_by_name(folder: Path, plain: Path) -> None:
    clip = folder / "odd_angle.mp4"
    ffmpeg("-display_rotation", "30", "-i", plain, "-c", "copy", clip)
    with pytest.raises(UserError, match=r"odd_angle\.mp4 is turned by an odd angle"):
        middle_luma(clip)


def test_8k_is_decoded(folder: Path) -> None:
    source = ["-f", "lavfi", "-i", "color=gray:s=7680x4320:r=25:d=0.12"]
    ffmpeg(*source, "-c:v", "libx264", "-preset", "ultrafast", folder / "8k.mp4")
    assert middle_luma(folder / "8k.mp4").shape == (4320, 7680)


def test_a_single_frame_is_an_error_that_names_the_clip(folder: Path) -> None:
    for suffix in ("mp4", "mkv", "avi"):
        clip = make_clip(folder / f"single.{suffix}", *X264, count=1)
        with pytest.raises(UserError, match=f"single.{suffix} has a single frame"):
            middle_luma(clip)


@pytest.mark.parametrize("source", ["plain.mp4", "late_index.mp4", "open.mkv"])
def test_a_truncated_clip_is_right_or_named(folder: Path, plain: Path, source: str) -> None:
    made = plain if source == "plain.mp4" else make_clip(folder / source, *X264)
    data = made.read_bytes()
    for part in range(1, 20):
        clip = folder / f"cut_{part}_{source}"
        clip.write_bytes(data[: len(data) * part // 20])
        facts, middle = attempt(lambda path: probe(path, whole=True), clip), attempt(middle_luma, clip)
        if isinstance(facts, UserError):
            assert clip.name in str(facts)
        else:
            # Matroska declares no number of frames: the loss of a few at the very end passes
            assert source == "open.mkv"
            assert facts.frames >= COUNT - 5
        if isinstance(middle, UserError):
            assert clip.name in str(middle)
        else:
            assert number_in(middle) == MIDDLE


@pytest.mark.parametrize("angle", ["5", "85", "183"])
def test_an_angle_that_is_nearly_straight_is_refused_too(folder: Path, plain: Path, angle: str) -> None:
    clip = folder / f"angle_{angle}.mp4"
    ffmpeg("-display_rotation", angle, "-i", plain, "-c", "copy", clip)
    with pytest.raises(UserError, match="is turned by an odd angle"):
        middle_luma(clip)


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_middle_frame_that_is_damaged_is_refused(folder: Path, suffix: str) -> None:
    clip = make_clip(folder / f"hurt.{suffix}", "-c:v", "mpeg2video", "-g", "1", "-q:v", "2")
    with av.open(str(clip)) as container:
        hurt = [packet for packet in container.demux(video=0) if packet.size][MIDDLE]
        start, size = hurt.pos + hurt.size // 2, hurt.size // 4
    data = clip.read_bytes()
    clip.write_bytes(data[:start] + bytes(size) + data[start + size :])
    with pytest.raises(UserError, match=rf"hurt\.{suffix}: the middle frame is damaged"):
        middle_luma(clip)


def test_the_middle_of_reordered_pictures_in_avi_is_by_their_number(folder: Path, plain: Path) -> None:
    # AVI gives the order of decoding for that of showing
    clip = folder / "reordered.avi"
    ffmpeg("-i", plain, "-c", "copy", clip)
    assert number_in(middle_luma(clip)) == MIDDLE
