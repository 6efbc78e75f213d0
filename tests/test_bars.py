"""Black bars: told of where they are, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clip_factory import ffmpeg

from vmaf_train.bars import Crop, Margins, find_picture, margins, picture_of
from vmaf_train.errors import UserError
from vmaf_train.luma import Plane


def boxed(top: int, bottom: int, left: int, right: int) -> Plane:
    """A noisy picture of 100x200 with bars of black as an encoder leaves it."""
    rng = np.random.default_rng(1)
    frame = rng.integers(16, 19, (100, 200), np.uint8)
    inside = frame[top : 100 - bottom, left : 200 - right]
    inside[:] = rng.integers(40, 200, inside.shape, np.uint8)
    return frame


@pytest.mark.parametrize("sides", [(0, 0, 0, 0), (12, 12, 0, 0), (0, 0, 25, 25), (3, 10, 7, 0)])
def test_bars_are_found_on_every_side(sides: tuple[int, int, int, int]) -> None:
    assert margins(boxed(*sides)) == Margins(100, 200, *sides)
    turned = margins(np.rot90(boxed(*sides)))
    top, bottom, left, right = sides
    assert turned == Margins(200, 100, right, left, top, bottom)


def test_the_picture_lies_between_the_bars() -> None:
    frame = boxed(12, 10, 0, 20)
    picture = margins(frame).picture()
    # two lines go with each bar
    assert picture == Crop(178, 74, (0, 14))
    assert margins(picture.of(frame)).picture() is None


def test_a_line_or_two_of_black_is_no_bar() -> None:
    assert margins(boxed(1, 0, 1, 2)).picture() is None
    assert margins(boxed(1, 1, 0, 0)).picture() == Crop(200, 94, (0, 3))


def test_a_dark_sky_is_no_bar() -> None:
    frame = boxed(0, 0, 0, 0)
    frame[:30] = np.random.default_rng(2).integers(10, 25, (30, 200), np.uint8)
    assert margins(frame) == Margins(100, 200, 0, 0, 0, 0)


def test_a_frame_that_is_black_says_nothing_of_bars() -> None:
    black = np.full((100, 200), 16, np.uint8)
    # as a fade begins: no longer flat, and no line of it lighter than a bar
    dim = boxed(12, 12, 0, 0) // 30 + 16
    assert 4 < int(dim.max()) - int(dim.min()) <= 8
    assert [margins(black), margins(dim)] == [None, None]
    assert picture_of([None, margins(boxed(12, 12, 0, 0)), None]) == Crop(200, 72, (0, 14))
    assert picture_of([None]) is None


def test_frames_of_two_sizes_have_no_bars() -> None:
    assert Margins(100, 200, 9, 9, 0, 0).within(Margins(90, 200, 9, 9, 0, 0)).picture() is None


def test_a_bar_is_black_in_every_frame() -> None:
    assert margins(boxed(12, 12, 0, 0)).within(margins(boxed(20, 5, 9, 0))) == Margins(100, 200, 12, 5, 0, 0)


def test_bars_of_a_clip_are_those_of_all_its_frames_or_of_enough_key_frames(tmp_path: Path) -> None:
    # fades from black; the picture grows from 100 to 120 rows, between the last two key frames of every fifth
    moving = "testsrc2=s=160x120:r=25:d=1,drawbox=t=fill:c=black:h=20:enable='lt(n,22)',fade=in:0:5"
    source = ("-f", "lavfi", "-i", f"{moving},pad=160:160:0:20")
    for group in ("1", "5", "50"):
        clip = tmp_path / f"{group}.mkv"
        ffmpeg(*source, "-c:v", "libx264", "-qp", "0", "-g", group, "-sc_threshold", "0", str(clip))
        assert find_picture(clip) == Crop(160, 116, (0, 22))
    bare = tmp_path / "bare.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1", "-c:v", "libx264", str(bare))
    assert find_picture(bare) is None


def test_a_clip_of_black_frames_alone_has_no_picture(tmp_path: Path) -> None:
    clip = tmp_path / "black.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=black:s=160x120:r=25:d=0.2", "-c:v", "ffv1", str(clip))
    assert find_picture(clip) is None


def test_a_crop_is_read_as_ffmpeg_writes_it() -> None:
    frame = np.arange(100 * 200).reshape(100, 200).astype(np.uint8)
    assert np.array_equal(Crop.parse("30:20:5:7").of(frame), frame[7:27, 5:35])
    # without a corner: the middle
    assert np.array_equal(Crop.parse("30:20").of(frame), frame[40:60, 85:115])
    assert str(Crop.parse("30:20:5:7")) == "30:20:5:7"


@pytest.mark.parametrize("text", ["", "30", "30:20:5", "0:20", "30:0:1:1", "-1:2", "30x20", "30:20:5:7:9"])
def test_no_crop_is_one_line_that_shows_what_is_expected(text: str) -> None:
    with pytest.raises(UserError, match=r"expected W:H:X:Y or W:H in pixels"):
        Crop.parse(text)


@pytest.mark.parametrize("text", ["201:10", "10:101", "10:10:191:0", "10:10:0:91"])
def test_a_crop_beyond_the_frame_names_both(text: str) -> None:
    with pytest.raises(UserError, match=rf"--crop {text} reaches beyond its frames of 200x100"):
        Crop.parse(text).of(boxed(0, 0, 0, 0))
