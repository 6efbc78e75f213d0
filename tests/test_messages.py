"""What FFmpeg says is heard while an encoder opens, and at no other time."""

from __future__ import annotations

import logging
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import av.logging
import pytest
from clip_factory import make_clip

from vmaf_train.container import QUIET
from vmaf_train.messages import Message, cause, listening, notes, unused_options


def open_encoder(name: str, **options: str) -> None:
    context = av.CodecContext.create(name, "w")
    context.width, context.height, context.pix_fmt = 64, 48, "yuv420p"
    context.options = options
    context.open()


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("libx264", {"crf": "-5"}, "libx264: Value -5.000000 for parameter 'crf' out of range"),
        ("libx264", {"crf": "many"}, 'libx264: Unable to parse "crf" option value "many"'),
        ("mjpeg", {}, "mjpeg: Non full-range YUV is non-standard"),
        (
            "libsvtav1",
            {"preset": "ultrafast"},
            'libsvtav1: Unable to parse "preset" option value "ultrafast"',
        ),
    ],
)
def test_the_first_error_is_the_cause(name: str, options: dict[str, str], text: str) -> None:
    with listening() as heard, pytest.raises(av.FFmpegError):
        open_encoder(name, **options)
    said = cause(heard)
    assert said is not None
    assert said.startswith(text)


def test_what_the_encoder_ignores_is_a_note_and_no_cause() -> None:
    # the same again is heard again
    for _ in range(3):
        with listening() as heard:
            open_encoder("libx264", **{"x264-params": "bogus=3"})
        assert cause(heard) is None
        assert notes(heard, "libx264") == ["libx264: Error parsing option 'bogus = 3'"]


def test_what_is_said_while_nobody_listens_stays_with_the_host_program() -> None:
    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.logging.Capture(local=False) as host:
            open_encoder("libx264")
        with listening():
            open_encoder("libx264")
        with av.logging.Capture(local=False) as after:
            pass
    finally:
        av.logging.set_level(None)
    assert [who for _, who, _ in host if who == "libx264"]
    assert after == []


def test_a_message_is_one_line_and_only_the_encoders_are_its_notes() -> None:
    heard: list[Message] = [(24, "mpeg", "VBV buffer\nand more\n"), (16, "x", "\n"), (16, "y", "late.")]
    assert notes(heard, "mpeg") == ["mpeg: VBV buffer"]
    assert cause(heard) == "x: no reason given"


def test_nothing_is_heard_or_printed_outside_the_block(capfd: pytest.CaptureFixture[str]) -> None:
    with listening() as heard:
        pass
    with pytest.raises(av.FFmpegError):
        open_encoder("libx264", crf="many")
    assert heard == []
    assert capfd.readouterr() == ("", "")


def test_each_of_several_threads_hears_its_own_encoder() -> None:
    def open_wrong(value: int) -> str | None:
        with listening() as heard, pytest.raises(av.FFmpegError):
            open_encoder("libx264", crf=f"-{value}")
        return cause(heard)

    with ThreadPoolExecutor(8) as pool:
        for value, said in zip(range(2, 42), pool.map(open_wrong, range(2, 42)), strict=True):
            assert f"-{value}.000000" in str(said)


@pytest.mark.parametrize("disabled", [False, True])
def test_options_that_nobody_takes_are_caught_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, disabled: bool
) -> None:
    monkeypatch.setattr(logging.getLogger("av.container.output"), "disabled", disabled)
    options = {"movflags": "+faststart", "it's}": "1", "two words": "2"}
    with av.open(str(tmp_path / "out.mp4"), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.codec_context.width, stream.codec_context.height = 64, 48
        with unused_options() as unused:
            container.start_encoding()
    assert unused == {"it's}", "two words"}
    assert caplog.records == []


def test_decoding_threads_that_are_quiet_never_wait_for_the_listener(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4")
    data, generator = bytearray(path.read_bytes()), random.Random(1)
    for _ in range(100):
        data[generator.randrange(2000, len(data) - 5000)] = generator.randrange(256)
    path.write_bytes(data)
    for options in (QUIET, {}):
        with av.open(str(path)) as container, listening(), av.logging.Capture(local=False) as elsewhere:
            context = container.streams.video[0].codec_context
            context.thread_type, context.thread_count, context.options = "AUTO", 4, dict(options)
            for packet in container.demux(video=0):
                try:
                    packet.decode()
                except av.FFmpegError:
                    continue
        assert bool(elsewhere) == (options == {})


def test_options_that_nobody_takes_are_caught_whatever_the_host_logs_and_its_level_stays(
    tmp_path: Path,
) -> None:
    logger = logging.getLogger("av.container.output")
    logger.setLevel(logging.CRITICAL)
    try:
        with av.open(str(tmp_path / "out.mp4"), "w", options={"nonsense": "1"}) as container:
            stream = container.add_stream("libx264", rate=25)
            stream.codec_context.width, stream.codec_context.height = 64, 48
            with unused_options() as unused:
                container.start_encoding()
        assert unused == {"nonsense"}
        assert logger.level == logging.CRITICAL
    finally:
        logger.setLevel(logging.NOTSET)
