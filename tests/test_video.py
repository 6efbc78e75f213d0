from __future__ import annotations

from pathlib import Path

import pytest
from clip_factory import (
    CLIPS,
    COUNT,
    FPS,
    HEIGHT,
    WIDTH,
    X264,
    ffmpeg,
    known_clip,
    make_clip,
    number_in,
    zero_packet,
)

from vmaf_train.condition import Condition
from vmaf_train.errors import UserError
from vmaf_train.luma import luma_of
from vmaf_train.middle import middle_luma
from vmaf_train.video import iterate_frames, iterate_luma, probe


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "plain.mp4", *X264)


@pytest.mark.parametrize("name", CLIPS)
def test_size_length_and_rate_are_told_whatever_the_container(clips: Path, name: str) -> None:
    info = probe(known_clip(clips, name), whole=True)
    assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, COUNT)
    if name != "no_times.h264":
        assert info.duration == pytest.approx(COUNT / FPS, abs=0.01)
        assert info.fps == pytest.approx(FPS, rel=0.01)


def test_all_frames_come_in_order_and_in_steps(plain: Path) -> None:
    assert [number_in(luma) for _, luma in iterate_luma(plain)] == list(range(COUNT))
    stepped = list(iterate_luma(plain, every=10))
    assert [index for index, _ in stepped] == [number_in(luma) for _, luma in stepped] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_frame_that_cannot_be_decoded_is_counted_and_left_out(tmp_path: Path, threads: int) -> None:
    # packet 10 is of a B frame, on which no other is built
    path, condition = zero_packet(make_clip(tmp_path / "hurt.mp4"), 10), Condition()
    frames = iterate_frames(path, threads=threads, condition=condition)
    numbers = [number_in(luma_of(frame, path)) for _, frame in frames]
    assert len(numbers) == len(set(numbers)) == COUNT - 1
    assert numbers == sorted(numbers)
    assert condition.damaged == 1
    assert condition.broken
    assert not condition.truncated


def test_a_clip_of_which_no_frame_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "lost.mp4", count=4)
    for number in range(4):
        zero_packet(path, number)
    with pytest.raises(UserError, match="no picture can be decoded"):
        list(iterate_frames(path, condition=Condition()))


def test_the_pipeline_takes_no_clip_with_a_frame_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = zero_packet(make_clip(tmp_path / "hurt.mp4"), 22)
    for read in (middle_luma, lambda clip: list(iterate_luma(clip))):
        with pytest.raises(UserError, match="cannot decode"):
            read(path)


def test_a_declared_frame_rate_that_the_times_belie_is_not_believed(tmp_path: Path) -> None:
    plain, slow = make_clip(tmp_path / "plain.mkv", *X264), tmp_path / "slow.mkv"
    ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "setts=ts=2*TS:duration=2*DURATION", slow)
    info = probe(slow, whole=True)
    assert info.frames == COUNT
    assert info.fps == pytest.approx(FPS / 2, rel=0.05)
