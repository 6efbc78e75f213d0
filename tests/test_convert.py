"""Other pixel formats than the clip's: as ffmpeg converts them, with luma untouched."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import ffmpeg
from test_filter import LOSSLESS, folder, noop, read, samples, write_clip
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.convert import Converter, check_name, nearest
from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel
from vmaf_train.planes import bit_depth, to_planar

__all__ = ["folder", "noop"]  # fixtures

TARGETS = ["yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"]
LEFT, TOP_LEFT = ("-chroma_sample_location", "left"), ("-chroma_sample_location", "topleft")


def coloured(path: Path, *options: str, pix_fmt: str = "yuv420p") -> Path:
    """A clip of 2 frames with coloured edges, lossless."""
    source = ("-f", "lavfi", "-i", f"testsrc2=s=96x64:r=25,noise=alls=20,format={pix_fmt}", "-frames:v", "2")
    ffmpeg(*source, *options, "-c:v", "libx264", "-qp", "0", path)
    return path


def ffmpeg_planes(path: Path, pix_fmt: str, scale: str) -> list[np.ndarray]:
    """The planes of the first frame, as ffmpeg converts it."""
    raw = ffmpeg(
        "-i", path, "-vf", f"scale={scale}", "-frames:v", "1", "-pix_fmt", pix_fmt, "-f", "rawvideo", "-"
    )
    data, planes = np.frombuffer(raw, np.uint8 if bit_depth(pix_fmt) == 8 else "<u2"), []
    for plane in av.VideoFrame(96, 64, pix_fmt).planes:
        planes.append(data[: plane.width * plane.height].reshape(plane.height, plane.width))
        data = data[plane.width * plane.height :]
    return planes


@pytest.mark.parametrize("pix_fmt", TARGETS)
@pytest.mark.parametrize(
    ("options", "scale"),
    [
        (LEFT, "flags=bicubic"),
        (TOP_LEFT, "flags=bicubic"),
        (("-vf", "setparams=range=pc"), "flags=bicubic"),
        (("-vf", "setparams=range=tv:colorspace=bt709:color_trc=smpte2084"), "flags=bicubic"),
        (("-vf", "setfield=tff", "-flags", "+ildct+ilme"), "flags=bicubic:interl=1"),
    ],
    ids=["left", "topleft", "full range", "tagged", "interlaced"],
)
def test_frames_are_converted_as_ffmpeg_does_and_luma_comes_back_exact(
    tmp_path: Path, options: tuple[str, ...], scale: str, pix_fmt: str
) -> None:
    source = coloured(tmp_path / "in.mp4", *options)
    frame = to_planar(read(source)[0], av.video.reformatter.VideoReformatter())
    assert frame is not None
    luma, tags = samples(frame)[0], (frame.color_range, frame.colorspace, frame.color_trc, frame.pts)
    converted = Converter(pix_fmt)(frame)
    assert converted.format.name == pix_fmt
    expected = ffmpeg_planes(source, pix_fmt, scale)
    assert all(np.array_equal(a, b) for a, b in zip(samples(converted), expected, strict=True))
    extra = (bit_depth(pix_fmt) or 0) - 8
    assert np.array_equal(samples(converted)[0] >> extra, luma)
    if converted.color_range != 2:  # of full range, white stays white
        assert np.array_equal(samples(converted)[0], luma.astype(np.uint16) << extra)
    found = (converted.color_range, converted.colorspace, converted.color_trc, converted.pts)
    assert found == tags
    assert converted.interlaced_frame == frame.interlaced_frame == ("interl" in scale)
    assert np.array_equal(samples(Converter("yuv420p")(converted))[0], luma)


def test_fewer_bits_are_dithered_as_by_ffmpeg(tmp_path: Path) -> None:
    source = coloured(tmp_path / "in.mp4", pix_fmt="yuv422p10le")
    converted = Converter("yuv420p")(read(source)[0])
    expected = ffmpeg_planes(source, "yuv420p", "flags=bicubic")
    assert all(np.array_equal(a, b) for a, b in zip(samples(converted), expected, strict=True))


def test_matrices_that_ffmpeg_does_not_know_are_no_obstacle() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.time_base, frame.colorspace, frame.color_trc, frame.color_primaries = Fraction(1, 25), 3, 3, 3
    converted = Converter("yuv444p10le")(frame)
    assert (converted.colorspace, converted.color_trc, converted.color_primaries) == (3, 3, 3)


def test_unset_or_the_same_format_gives_the_frame_itself() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    assert Converter(None)(frame) is frame
    assert Converter("yuv420p")(frame) is frame


@pytest.mark.parametrize(
    ("pix_fmt", "said"),
    [
        ("yuv420q", r"no pixel format 'yuv420q'; try yuv420p, "),
        ("", r"no pixel format ''"),
        ("rgb24", r"--pix-fmt rgb24 is RGB, and YUV is filtered"),
        ("gbrp10le", r"is RGB"),
        ("nv12", r"nv12 is no planar YUV"),
        ("gray", r"gray is no planar YUV"),
        ("yuvj420p", r"yuvj420p is full-range by name; give yuv420p, the range stays"),
        ("yuv420p10be", r"no planar YUV in little-endian"),
    ],
)
def test_formats_that_frames_are_not_converted_to_are_named(pix_fmt: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        check_name(pix_fmt)
    with pytest.raises(UserError, match=said):
        Converter(pix_fmt)


def test_grey_is_refused_because_its_range_would_change() -> None:
    with pytest.raises(UserError, match="gray has no chroma, and becomes no yuv420p; leave --pix-fmt out"):
        Converter("yuv420p")(av.VideoFrame(64, 48, "gray"))


def test_the_nearest_format_loses_least() -> None:
    assert nearest(["yuv422p10le", "yuv444p10le", "yuva444p10le"], "yuv420p") == "yuv422p10le"
    assert nearest(["yuv420p", "yuv420p10le", "bgr0", "yuvj420p"], "yuv422p12le") == "yuv420p10le"
    assert nearest(["gray", "bgr0", "yuvj420p"], "yuv420p") is None
    assert nearest(["yuv420p"], "gray") is None


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv422p", "yuv444p12le"])
def test_a_clip_is_encoded_in_the_format_asked_for_with_all_that_it_says(
    noop: LoadedModel, tmp_path: Path, pix_fmt: str
) -> None:
    tags = {"color_range": 1, "color_primaries": 9, "color_trc": 14, "colorspace": 9, "rotation": 90}
    source = write_clip(
        tmp_path / "in.mp4", encoder="libx264", audio=True, pts=[0, 40, 90, 100] * 1, frames=4, **tags
    )
    target = tmp_path / "out.mp4"
    done = filter_video(source, target, noop, encoder=LOSSLESS["libx265"], pix_fmt=pix_fmt)
    assert done.dropped == ()
    pairs = list(zip(read(source), read(target), strict=True))
    assert len(pairs) == 4
    for before, after in pairs:
        assert after.format.name == pix_fmt
        assert after.time == before.time
        assert np.array_equal(samples(after)[0] >> ((bit_depth(pix_fmt) or 0) - 8), samples(before)[0])
        for name in ("color_range", "color_primaries", "color_trc", "colorspace", "rotation"):
            assert getattr(after, name) == getattr(before, name)


def test_transparency_that_the_format_leaves_out_is_told(noop: LoadedModel, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", pix_fmt="yuva420p", frames=2)
    for pix_fmt, dropped in (("yuv420p", ("transparency",)), ("yuva444p", ())):
        target = tmp_path / f"{pix_fmt}.mkv"
        done = filter_video(source, target, noop, encoder=Encoder("ffv1"), pix_fmt=pix_fmt)
        assert (done.dropped, read(target)[0].format.name) == (dropped, pix_fmt)


def test_the_command_does_what_its_advice_says(
    noop: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    source, target = write_clip(tmp_path / "in.mkv", frames=2), tmp_path / "out.mov"
    arguments = ["filter", str(source), str(target), "--model", "noop_v1", "--encoder", "prores_ks"]
    refused = CliRunner().invoke(app, arguments)
    assert "prores_ks does not take yuv420p; give --pix-fmt yuv422p10le, or --encoder" in str(
        refused.exception
    )
    assert not target.exists()
    done = CliRunner().invoke(app, [*arguments, "--pix-fmt", "yuv422p10le"])
    assert done.exit_code == 0, done.exception
    assert read(target)[0].format.name == "yuv422p10le"
    wrong = CliRunner().invoke(app, [*arguments, "--force", "--pix-fmt", "yuv422p11le"])
    assert "no pixel format 'yuv422p11le'" in str(wrong.exception)
