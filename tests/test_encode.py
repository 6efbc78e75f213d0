"""Encoders: what one takes, and a name that leads on when it does not. The files are in test_filter.py."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.format import VideoFormat

from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError


@pytest.mark.parametrize("name", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_the_encoders_that_the_help_names_take_8_bit_420(name: str) -> None:
    assert Encoder(name).takes(VideoFormat("yuv420p", 64, 48))


def test_an_unknown_encoder_is_named_with_known_ones() -> None:
    with pytest.raises(UserError, match=r"no video encoder 'libx246'.*try libx264"):
        Encoder("libx246").pixel_formats()


def test_an_encoder_of_sound_is_no_encoder_here() -> None:
    with pytest.raises(UserError, match="no video encoder 'aac'"):
        Encoder("aac").pixel_formats()


@pytest.mark.parametrize(
    ("encoder", "frame", "suffix", "said"),
    [
        (
            "libsvtav1",
            ("yuv444p", 64, 48),
            "mkv",
            "libsvtav1 does not take yuv444p; give --pix-fmt yuv420p, or --encoder libx264, ",
        ),
        (
            "libx264",
            ("yuv420p12le", 64, 48),
            "mkv",
            "yuv420p12le; give --pix-fmt yuv420p10le, or --encoder libx265 or ffv1",
        ),
        (
            "mpeg4",
            ("yuv422p", 64, 48),
            "ts",
            "give --pix-fmt yuv420p, or --encoder libx264, libx265 or mpeg2video",
        ),
        ("prores_ks", ("yuv420p", 64, 48), "mov", "give --pix-fmt yuv422p10le, or --encoder libx264, "),
        ("prores_ks", ("yuv420p12le", 64, 48), "ts", "give --pix-fmt yuv422p10le, or --encoder libx265"),
        ("mpeg4", ("gray12le", 64, 48), "webm", "give a name that ends in .mkv and --encoder ffv1"),
        (
            *("libx264", ("yuv420p", 720, 405), "mp4"),
            "libx264 needs even sides for yuv420p, and these frames are 720x405; use --encoder libsvtav1, "
            "libvpx-vp9 or ffv1",
        ),
        ("libx265", ("yuv420p", 720, 405), "ts", "use --encoder mpeg4 or mpeg2video"),
        ("libx264", ("yuv420p", 719, 406), "webm", "use --encoder libsvtav1, libvpx-vp9 or libvpx"),
        ("libx264", ("yuv420p", 720, 405), "mov", "use --encoder mpeg4, mpeg2video or mjpeg"),
        (
            *("libx264", ("yuv422p", 719, 405), "mkv"),
            "libx264 needs an even width for yuv422p, and these frames are 719x405; "
            "use --encoder libvpx-vp9, ffv1 or mpeg2video",
        ),
    ],
)
def test_what_an_encoder_does_not_take_names_those_that_do_and_that_the_container_holds(
    encoder: str, frame: tuple[str, int, int], suffix: str, said: str, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / f"a.{suffix}"), "w") as container, pytest.raises(UserError) as told:
        Encoder(encoder).check(VideoFormat(*frame), container)
    assert said in str(told.value)


@pytest.mark.parametrize("size", [(65, 48), (64, 47), (65, 47)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv422p10le"])
@pytest.mark.parametrize(
    "name",
    [*("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "libvpx", "mpeg4", "mpeg2video", "mjpeg")],
)
def test_odd_sides_are_taken_where_the_encoder_really_takes_them(
    name: str, pix_fmt: str, size: tuple[int, int], tmp_path: Path
) -> None:
    encoder = Encoder(name, {"strict": "-1"} if name == "mjpeg" else {}).quiet()
    if pix_fmt not in encoder.pixel_formats():
        return
    written = True
    try:
        with av.open(str(tmp_path / "a.nut"), "w") as container:
            stream = container.add_stream(name, rate=25, options=dict(encoder.options))
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            frame = av.VideoFrame(*size, pix_fmt)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for packet in (*stream.encode(frame), *stream.encode(None)):
                packet.dts = packet.pts  # libx265 takes it from memory that one or two frames do not set
                container.mux(packet)
        with av.open(str(tmp_path / "a.nut")) as container:
            (frame,) = container.decode(video=0)
            assert (frame.width, frame.height, frame.format.name.replace("j", "")) == (*size, pix_fmt)
    except av.FFmpegError:
        written = False
    assert encoder.takes(VideoFormat(pix_fmt, *size)) == written


def test_an_encoder_that_knows_frame_rates_only_counts_frames() -> None:
    base, rate = Fraction(1, 90000), Fraction(30000, 1001)
    for name in ("mpeg1video", "mpeg2video", "mpeg4"):
        assert Encoder(name).time_base(base, rate) == Fraction(1001, 30000)
    for name in ("libx264", "libx265", "libsvtav1", "ffv1"):
        assert Encoder(name).time_base(base, rate) == base
    assert Encoder("mpeg4").time_base(Fraction(1, 1000), rate) == Fraction(1, 1000)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (None, "log-level=error"),
        ("keyint=10", "keyint=10:log-level=error"),
        ("log-level=none:keyint=10", "log-level=none:keyint=10"),
        ("keyint=10:log=full", "keyint=10:log=full"),
        ("analysis-log=1", "analysis-log=1:log-level=error"),
    ],
)
def test_libx265_prints_errors_only_unless_its_parameters_say_how_much(given: str | None, used: str) -> None:
    options = {"crf": "20"} | ({} if given is None else {"x265-params": given})
    assert Encoder("libx265", options).quiet().options == {"crf": "20", "x265-params": used}
    assert Encoder("libx264", options).quiet().options == options


@pytest.mark.parametrize(("given", "used"), [(None, "1"), ("3", "3")])
def test_svt_av1_prints_errors_only_unless_the_environment_says_how_much(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    # set first, so that it is put back after the test
    monkeypatch.setenv("SVT_LOG", given or "")
    if given is None:
        monkeypatch.delenv("SVT_LOG")
    Encoder("libsvtav1").quiet()
    assert os.environ["SVT_LOG"] == used


def test_mpeg4_keeps_as_many_ticks_a_second_as_16_bits_hold() -> None:
    rate = Fraction(25)
    assert Encoder("mpeg4").time_base(Fraction(1, 65535), rate) == Fraction(1, 65535)
    assert Encoder("mpeg4").time_base(Fraction(1, 65536), rate) == Fraction(1, 25)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_vp8_has_half_of_the_cores_and_the_others_one_thread_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int
) -> None:
    monkeypatch.setattr("vmaf_train.encode.worker_count", lambda _: cores)
    assert Encoder("libvpx").threads == threads
    assert {Encoder(name).threads for name in ("libx264", "libx265", "libsvtav1", "libvpx-vp9")} == {0}
