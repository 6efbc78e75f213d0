"""Raw video: as good as a clip where the user tells what it is, and refused where that cannot be."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import FPS, HEIGHT, WIDTH, ffmpeg, make_clip
from typer.testing import CliRunner

from vmaf_train import Encoder, Raw, UserError, filter_video, load_model, score_video
from vmaf_train.bars import find_picture
from vmaf_train.cli import app
from vmaf_train.planes import plane_view
from vmaf_train.score import expected_frames
from vmaf_train.video import iterate_luma

SIZE = f"{WIDTH}x{HEIGHT}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mkv", "-c:v", "ffv1", count=12)


def without_header(clip: Path, pix_fmt: str, *options: str) -> Path:
    path = clip.with_name(f"{pix_fmt}.yuv")
    ffmpeg("-i", clip, *options, "-pix_fmt", pix_fmt, "-f", "rawvideo", path)
    return path


@pytest.mark.parametrize(
    ("text", "raw"),
    [
        ("1920x1080:yuv420p10le", Raw(1920, 1080, "yuv420p10le")),
        ("352x288:yuv420p:30", Raw(352, 288, "yuv420p", Fraction(30))),
        ("352x288:nv12:30000/1001", Raw(352, 288, "nv12", Fraction(30000, 1001))),
        ("352x288:gray:23.976", Raw(352, 288, "gray", Fraction(24000, 1001))),
        ("352x288:gray:59.94", Raw(352, 288, "gray", Fraction(60000, 1001))),
        ("352x288:gray:12.5", Raw(352, 288, "gray", Fraction(25, 2))),
    ],
)
def test_size_format_and_rate_are_told_in_one_word(text: str, raw: Raw) -> None:
    assert Raw.parse(text) == raw


@pytest.mark.parametrize("text", ["", "352x288", "352:288:yuv420p", "0x288:yuv420p", "352x288:yuv420p:1/0"])
def test_another_word_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UserError, match="expected WxH:PIX_FMT or WxH:PIX_FMT:FPS, for example 1920x1080"):
        Raw.parse(text)


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="no pixel format 'yuv420p11'; try yuv420p, yuv420p10le"):
        Raw.parse("352x288:yuv420p11")
    for sides, rate in (((0, 48), 25), ((64, -1), 25), ((64, 48), 0)):
        with pytest.raises(UserError, match="sides and frames a second must be above 0"):
            Raw(*sides, "yuv420p", Fraction(rate))


def test_a_clip_is_as_long_as_its_frames_and_rate_say(clip: Path) -> None:
    assert expected_frames([without_header(clip, "yuv420p")], 1, Raw(WIDTH, HEIGHT)) == 12


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "nv12", "yuyv422", "yuv420p10le"])
def test_raw_video_scores_as_the_clip_that_it_was(clip: Path, pix_fmt: str) -> None:
    model = load_model("nr_metric_v3")
    raw = Raw(WIDTH, HEIGHT, pix_fmt, Fraction(FPS))
    scored, known = score_video(without_header(clip, pix_fmt), model, raw=raw), score_video(clip, model)
    assert scored.scores.tolist() == known.scores.tolist()
    assert scored.times == pytest.approx(known.times, abs=1e-3)
    assert not scored.condition.broken


def test_odd_sides_are_whole_frames(clip: Path) -> None:
    path = without_header(clip, "yuv420p", "-vf", "crop=63:47:0:0:exact=1")
    assert score_video(path, load_model("nr_metric_v3"), raw=Raw(63, 47)).frames == tuple(range(12))


def test_bars_of_raw_video_are_found(clip: Path) -> None:
    # of three frames all are looked at twice: they are fewer than the key frames that are enough
    for frames in ("12", "3"):
        path = without_header(clip, "yuv420p", "-vf", f"pad={WIDTH}:{HEIGHT + 40}:0:20", "-frames:v", frames)
        found = find_picture(path, raw=Raw(WIDTH, HEIGHT + 40))
        assert found is not None
        assert found.corner is not None
        assert 20 <= found.corner[1] <= 22


def test_raw_video_is_filtered_as_the_clip_that_it_was(clip: Path, tmp_path: Path) -> None:
    model, raw = load_model("learned_filter_v2"), Raw(WIDTH, HEIGHT, "yuv420p", Fraction(FPS))
    done = filter_video(
        without_header(clip, "yuv420p"), tmp_path / "raw.mkv", model, raw=raw, encoder=Encoder("ffv1")
    )
    filter_video(clip, tmp_path / "clip.mkv", model, encoder=Encoder("ffv1"))
    assert (done.frames, done.truncated, done.dropped) == (12, False, ())
    with av.open(str(tmp_path / "raw.mkv")) as ours, av.open(str(tmp_path / "clip.mkv")) as theirs:
        pairs = list(zip(ours.decode(video=0), theirs.decode(video=0), strict=True))
    assert len(pairs) == 12
    for one, other in pairs:
        assert one.time == pytest.approx(other.time, abs=1e-3)
        for plane in range(3):
            np.testing.assert_array_equal(plane_view(one, plane, 8), plane_view(other, plane, 8))


@pytest.mark.parametrize(
    ("raw", "frame"),
    [
        (Raw(WIDTH, HEIGHT + 2), "23520 bytes"),
        (Raw(WIDTH, HEIGHT, "yuv444p"), "46080 bytes"),
        (Raw(1920, 1080), "more than that"),
    ],
)
def test_a_file_that_is_no_whole_number_of_such_frames_is_refused(clip: Path, raw: Raw, frame: str) -> None:
    path = without_header(clip, "yuv420p")
    path.write_bytes(path.read_bytes()[: 23040 * 11])
    with pytest.raises(UserError, match=rf"253440 bytes are no whole number of frames of .*\({frame} each\)"):
        score_video(path, load_model("nr_metric_v3"), raw=raw)
    with pytest.raises(UserError, match="correct --raw, or leave it out if the clip has a header"):
        filter_video(path, path.with_name("out.mkv"), load_model("learned_filter_v2"), raw=raw)
    assert not path.with_name("out.mkv").exists()


@pytest.mark.parametrize("raw", [Raw(64, 64, "vaapi"), Raw(99999, 99999), Raw(64, 48, rate=Fraction(10**14))])
def test_what_ffmpeg_does_not_read_is_one_line_that_names_the_option(clip: Path, raw: Raw) -> None:
    with pytest.raises(UserError, match=rf"FFmpeg reads no raw video {raw} .*; correct --raw"):
        score_video(without_header(clip, "yuv420p"), load_model("nr_metric_v3"), raw=raw)


def test_y4m_needs_no_word(clip: Path) -> None:
    y4m = clip.with_name("clip.y4m")
    ffmpeg("-i", clip, y4m)
    pairs = zip(iterate_luma(y4m), iterate_luma(clip), strict=True)
    assert all((one[1] == other[1]).all() for one, other in pairs)


def test_without_the_word_the_option_is_named(clip: Path) -> None:
    done = CliRunner().invoke(app, ["score", str(without_header(clip, "yuv420p"))])
    assert "raw video by score and filter, with --raw" in str(done.exception)


def test_both_commands_take_it(clip: Path, tmp_path: Path) -> None:
    path, word = str(without_header(clip, "yuv420p")), f"{SIZE}:yuv420p:{FPS}"
    arguments = ["--raw", word, "--every", "4", "--crop", "auto", "--json", str(tmp_path / "a.json")]
    done = CliRunner().invoke(app, ["score", path, *arguments])
    assert done.exit_code == 0, done.stderr
    frames = json.loads((tmp_path / "a.json").read_text())["frames"]
    assert [frame["frameNum"] for frame in frames] == [0, 4, 8]
    done = CliRunner().invoke(app, ["filter", path, str(tmp_path / "a.mp4"), "--raw", word])
    assert done.exit_code == 0, done.stderr
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == FPS
    wrong = CliRunner().invoke(app, ["filter", path, str(tmp_path / "b.mp4"), "--raw", "big"])
    assert "expected WxH:PIX_FMT" in str(wrong.exception)


def test_full_range_by_name_is_told(clip: Path) -> None:
    path = without_header(clip, "yuv420p")
    full = score_video(path, load_model("nr_metric_v3"), raw=Raw(WIDTH, HEIGHT, "yuvj420p"))
    assert full.condition.full_range
    assert not score_video(path, load_model("nr_metric_v3"), raw=Raw(WIDTH, HEIGHT)).condition.full_range


def test_samples_that_no_luma_is_made_of_are_one_line(clip: Path) -> None:
    path = clip.with_name("rgb4.raw")
    path.write_bytes(bytes(64 * 48))
    with pytest.raises(UserError, match=r"rgb4\.raw: no luma can be made of rgb4; convert the clip"):
        score_video(path, load_model("nr_metric_v3"), raw=Raw(64, 48, "rgb4"))


def test_the_way_out_for_raw_rgb_works(clip: Path) -> None:
    path = without_header(clip, "rgb24")
    with pytest.raises(UserError, match="cannot be filtered as it is") as told:
        filter_video(
            path, path.with_name("no.mkv"), load_model("learned_filter_v2"), raw=Raw(WIDTH, HEIGHT, "rgb24")
        )
    _, command = str(told.value).split(": ffmpeg ")
    names = {"IN": path, "OUT.mkv": path.with_name("converted.mkv")}
    ffmpeg(*(names.get(word, word) for word in command.split()))
    assert len(list(iterate_luma(names["OUT.mkv"]))) == 12
