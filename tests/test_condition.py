"""What makes scores doubtful is counted, and told in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clip_factory import COUNT, X264, ffmpeg, known_clip, make_clip, zero_middle

from vmaf_train.condition import Condition, is_flat
from vmaf_train.luma import luma_of
from vmaf_train.video import iterate_frames


def condition_of(path: Path, threads: int = 0) -> Condition:
    condition = Condition()
    for _ in iterate_frames(path, every=7, threads=threads, condition=condition):
        pass
    return condition


@pytest.mark.parametrize("name", ["closed_gop.mp4", "open_gop.mkv", "open_gop.ts", "vp9.webm", "mpeg4.avi"])
def test_a_whole_plain_clip_gives_no_note(clips: Path, name: str) -> None:
    condition = condition_of(known_clip(clips, name))
    assert condition == Condition()
    assert condition.notes(COUNT) == []
    assert not condition.broken


def test_a_clip_that_ends_early_and_damaged_frames_are_told(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "hurt.mkv", *X264)
    data = clip.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    cut = condition_of(tmp_path / "cut.mkv")
    assert cut.truncated
    assert cut.broken
    assert "ends early" in cut.notes(3)[0]
    hurt = condition_of(zero_middle(clip))
    assert hurt.damaged > 0
    assert any(f"damaged frames: {hurt.damaged}" in note for note in hurt.notes(3))


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_as_many_frames_are_damaged_with_any_number_of_threads(
    name: str, threads: int, tmp_path: Path
) -> None:
    options = X264 if name == "a.mkv" else ["-c:v", "mpeg4", "-bf", "2", "-q:v", "4"]
    # long enough for the damage not to be among the last few pictures
    clip = zero_middle(make_clip(tmp_path / name, *options, count=90))
    alone = condition_of(clip, threads=1)
    assert alone.damaged > 0
    # a decoder whose threads race tells another number now and then
    for _ in range(40):
        assert condition_of(clip, threads=threads) == alone


def test_joined_and_piped_clips_end_where_they_should(tmp_path: Path) -> None:
    one = make_clip(tmp_path / "one.ts", *X264).read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    assert not condition_of(tmp_path / "two.ts").truncated
    whole = make_clip(tmp_path / "whole.mkv", *X264)
    # into a pipe FFmpeg writes the length of the source
    piped = ffmpeg("-i", whole, "-frames:v", "20", "-c", "copy", "-f", "matroska", "-")
    (tmp_path / "piped.mkv").write_bytes(piped)
    assert condition_of(tmp_path / "piped.mkv") == Condition()


@pytest.mark.parametrize(
    "options", [["qtrle"], ["png"], ["libx264rgb", "-qp", "0"], ["ffv1"]], ids=lambda o: o[0]
)
def test_luma_of_rgb_is_limited_range_whatever_the_decoder_tags(tmp_path: Path, options: list[str]) -> None:
    clip = tmp_path / "rgb.mov" if options == ["qtrle"] else tmp_path / "rgb.mkv"
    ramp = "testsrc2=s=320x192:r=5:d=0.4,format=rgb24"
    ffmpeg("-f", "lavfi", "-i", ramp, "-c:v", *options, clip)
    condition = Condition()
    luma = np.stack([luma_of(frame, clip) for _, frame in iterate_frames(clip, condition=condition)])
    assert not condition.full_range
    # of untagged RGB ffmpeg makes limited range
    plane = ("-vf", "format=yuv444p,extractplanes=y", "-f", "rawvideo", "-")
    want = np.frombuffer(ffmpeg("-f", "lavfi", "-i", ramp, *plane), np.uint8).reshape(luma.shape)
    assert np.abs(luma.astype(int) - want).max() <= 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-vf", "setparams=color_trc=smpte2084"], "HDR (PQ)"),
        (["-vf", "setparams=color_trc=arib-std-b67"], "HDR (HLG)"),
        (["-pix_fmt", "yuvj420p"], "full-range"),
        (["-flags", "+ilme+ildct"], "interlaced"),
    ],
)
def test_pictures_that_no_metric_was_trained_on_are_told(
    tmp_path: Path, options: list[str], said: str
) -> None:
    condition = condition_of(make_clip(tmp_path / "a.mp4", *X264, *options, count=3))
    (note,) = condition.notes(3)
    assert said in note
    assert not condition.broken


def test_one_grey_level_is_flat_and_the_faintest_picture_is_not() -> None:
    grey = np.full((360, 640), 16, np.uint8)
    assert is_flat(grey)
    grey[::2] += 2
    assert is_flat(grey)
    grey[:, :320] += 8
    assert not is_flat(grey)
    assert is_flat(np.uint8([[7]]))
    paper = np.full((360, 640), 235, np.uint8)
    paper[4::16] = 16
    assert not is_flat(paper)


def test_pictures_that_are_missing_or_made_up_make_a_clip_broken_and_nothing_else_does() -> None:
    assert Condition(damaged=1).broken
    assert Condition(truncated=True).broken
    assert not Condition(flat=9, hdr="PQ", full_range=True, interlaced=True).broken


def test_what_the_first_pictures_tell_is_not_forgotten_at_the_last(tmp_path: Path) -> None:
    odd = ["-vf", "setparams=color_trc=smpte2084", "-flags", "+ilme+ildct", "-pix_fmt", "yuvj420p"]
    strange = make_clip(tmp_path / "strange.ts", *X264, *odd, count=6)
    plain = make_clip(tmp_path / "plain.ts", *X264, "-vf", "setparams=color_trc=bt709", count=6)
    (tmp_path / "both.ts").write_bytes(strange.read_bytes() + plain.read_bytes())
    condition = condition_of(tmp_path / "both.ts")
    assert (condition.hdr, condition.interlaced, condition.full_range) == ("PQ", True, True)


def test_four_code_values_show_no_picture_and_five_do() -> None:
    grey = np.full((64, 64), 100, np.uint8)
    for spread, flat in ((4, True), (5, False)):
        grey[::8, ::8] = 100 + spread
        assert is_flat(grey) == flat
