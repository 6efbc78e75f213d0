"""Filtering whole clips."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from clip_factory import (
    COUNT,
    FPS,
    INTERLACED,
    LATE,
    X264,
    ffmpeg,
    late_sound,
    make_clip,
    number_in,
    zero_middle,
    zero_packet,
)
from tiny_models import affine_filter, identity_filter, mean_nr, model_bytes, registered
from typer.testing import CliRunner

from vmaf_train.cli import app
from vmaf_train.container import open_clip
from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import ffmpeg_exe
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.planes import plane_view
from vmaf_train.siting import chroma_location

LOSSLESS = {
    "ffv1": Encoder("ffv1"),
    "libx264": Encoder("libx264", {"qp": "0", "preset": "ultrafast"}),
    "libx265": Encoder("libx265", {"preset": "ultrafast", "x265-params": "lossless=1:log-level=none"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = {"noop_v1": identity_filter(), "dark_v1": affine_filter(0.5, 0.0), "mean_v1": mean_nr()}
    return registered(tmp_path_factory.mktemp("models"), tiny)


@pytest.fixture
def noop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    return load_model("noop_v1")


@pytest.fixture
def dark(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    return load_model("dark_v1")


def write_clip(
    path: Path,
    *,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    frames: int = 12,
    pts: list[int] | None = None,
    audio: bool = False,
    encoder: str = "ffv1",
    rotation: int | None = None,
    **tags: Any,
) -> Path:
    """Write a clip of seeded noise on a ramp, lossless by default; `tags` are set on the encoder."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        options = {"qp": "0"} if encoder == "libx264" else {}
        video = container.add_stream(encoder, rate=25, options=options)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.time_base = Fraction(1, 1000)
        video.time_base = Fraction(1, 1000)
        for name, value in tags.items():
            setattr(video.codec_context, name, value)
        if rotation is not None:
            video.set_display_rotation(rotation)
        video.metadata["title"] = "the picture"
        container.metadata["title"] = "a clip"
        if audio:
            sound = container.add_stream("aac", rate=48000)
            sound.metadata["language"] = "deu"
        for index in range(frames):
            frame = av.VideoFrame(*size, pix_fmt)
            for plane in frame.planes:
                sample = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
                top = 2 ** frame.format.components[0].bits
                count = plane.buffer_size // np.dtype(sample).itemsize
                plane.update(generator.integers(0, top, count).astype(sample).tobytes())
            frame.pts = pts[index] if pts else 40 * index
            frame.time_base = Fraction(1, 1000)
            container.mux(video.encode(frame))
            if audio:
                wave = np.sin(np.arange(1920) / 20 + index).astype(np.float32)
                block = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
                block.sample_rate, block.pts = 48000, 1920 * index
                container.mux(sound.encode(block))
        container.mux(video.encode(None))
        if audio:
            container.mux(sound.encode(None))
    return path


def read(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def samples(frame: av.VideoFrame) -> list[np.ndarray]:
    deep = frame.format.components[0].bits > 8
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height]
        planes.append(np.array(rows[:, : plane.width * (2 if deep else 1)]).view("<u2" if deep else np.uint8))
    return planes


def same_pictures(first: Path, second: Path) -> bool:
    pairs = list(zip(read(first), read(second), strict=True))
    return all(np.array_equal(a, b) for x, y in pairs for a, b in zip(samples(x), samples(y), strict=True))


def nal_types(packet: bytes) -> list[int]:
    """Of a packet of HEVC in MP4, the kinds of its units."""
    kinds = []
    while packet:
        kinds.append(packet[4] >> 1 & 63)
        packet = packet[4 + int.from_bytes(packet[:4], "big") :]
    return kinds


def audio_packets(path: Path) -> list[tuple[bytes, bool]]:
    """The packets of the sound, and whether an edit list hides each."""
    with av.open(str(path)) as container:
        return [(bytes(packet), packet.is_discard) for packet in container.demux(audio=0) if packet.size]


def audio_bytes(path: Path) -> list[bytes]:
    return [data for data, _ in audio_packets(path)]


@pytest.mark.parametrize(
    ("pix_fmt", "encoder"),
    [
        ("yuv420p", "ffv1"),
        ("yuv422p", "libx264"),
        ("yuv444p", "libx265"),
        ("yuv420p10le", "libx264"),
        ("yuv422p10le", "ffv1"),
        ("yuv444p10le", "libx265"),
        ("yuv420p12le", "libx265"),
        ("yuv422p12le", "ffv1"),
        ("yuv444p12le", "ffv1"),
        ("gray", "ffv1"),
        ("gray10le", "ffv1"),
    ],
)
def test_a_model_that_returns_its_input_and_a_lossless_encoder_change_nothing(
    noop: LoadedModel, tmp_path: Path, pix_fmt: str, encoder: str
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt, frames=4), tmp_path / "out.mkv"
    done = filter_video(source, target, noop, encoder=LOSSLESS[encoder], chroma=True)
    assert done.frames == 4
    assert read(target)[0].format.name == pix_fmt
    assert same_pictures(source, target)


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (17, 130), (640, 2)])
def test_any_size_goes_through(noop: LoadedModel, tmp_path: Path, size: tuple[int, int]) -> None:
    source, target = write_clip(tmp_path / "in.mkv", size=size, frames=2), tmp_path / "out.mkv"
    filter_video(source, target, noop, encoder=LOSSLESS["ffv1"], chroma=True)
    assert same_pictures(source, target)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_the_model_changes_luma_and_chroma_only_when_asked(
    dark: LoadedModel, tmp_path: Path, pix_fmt: str
) -> None:
    source = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt, frames=3)
    for chroma in (False, True):
        target = tmp_path / f"{chroma}.mkv"
        filter_video(source, target, dark, encoder=LOSSLESS["ffv1"], chroma=chroma)
        for before, after in zip(read(source), read(target), strict=True):
            for index, (a, b) in enumerate(zip(samples(before), samples(after), strict=True)):
                expected = a / 2 if index == 0 or chroma else a
                assert np.max(np.abs(b - expected)) <= 0.5


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_of_the_change_the_strength_is_applied(dark: LoadedModel, tmp_path: Path, pix_fmt: str) -> None:
    source, target = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt, frames=2), tmp_path / "out.mkv"
    filter_video(source, target, dark, encoder=LOSSLESS["ffv1"], strength=0.25)
    for before, after in zip(read(source), read(target), strict=True):
        luma, filtered = samples(before)[0], samples(after)[0]
        assert np.max(np.abs(filtered - luma * 0.875)) <= 0.5
    for strength in (0, 1.5):
        with pytest.raises(UserError, match="must be above 0 and at most 1"):
            filter_video(source, tmp_path / "no.mkv", dark, strength=strength)
    assert not (tmp_path / "no.mkv").exists()


def test_values_outside_the_range_are_clipped_and_no_number_is_black(tmp_path: Path) -> None:
    root = model_bytes(
        # the square root of a negative number is no number
        [
            *_nodes(("Sub", ["degraded", "half"], "centred"), ("Mul", ["centred", "five"], "wide")),
            *_nodes(("Sqrt", ["wide"], "filtered")),
        ],
        ("degraded", ("batch", 1, "height", "width")),
        ("filtered", ("batch", 1, "height", "width")),
        {"half": np.float32(0.5), "five": np.float32(5)},
    )
    model = load_model(registered(tmp_path / "m", {"root_v1": root}) / "root_v1.onnx", unverified=True)
    source, target = write_clip(tmp_path / "in.mkv", frames=1), tmp_path / "out.mkv"
    filter_video(source, target, model, encoder=LOSSLESS["ffv1"])
    before, after = samples(read(source)[0])[0], samples(read(target)[0])[0]
    assert np.all(after[before < 127] == 0)
    assert np.all(after[before > 180] == 255)


def _nodes(*steps: tuple[str, list[str], str]) -> list[Any]:
    from onnx import helper

    return [helper.make_node(operator, inputs, [output]) for operator, inputs, output in steps]


@pytest.mark.parametrize(
    ("encoder", "suffix", "kept"),
    [
        ("libx264", ".mp4", True),
        ("libx265", ".mp4", True),
        ("libsvtav1", ".mp4", True),
        ("ffv1", ".mkv", True),
        ("ffv1", ".mp4", False),
    ],
)
def test_where_chroma_samples_lie_is_kept_or_named(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str, kept: bool
) -> None:
    options = ["-c:v", "libx264", "-chroma_sample_location", "topleft"]
    source, target = make_clip(tmp_path / "in.mp4", *options, count=3), tmp_path / f"out{suffix}"
    done = filter_video(source, target, noop, encoder=Encoder(encoder))
    assert (chroma_location(read(target)[0]) == "topleft") == kept
    assert done.dropped == (() if kept else ("chroma sample location topleft",))


def captioned(path: Path, start: int) -> Path:
    """Write a clip of 8 frames; those from `start` on carry a closed caption."""
    # supplemental enhancement information, of the kind that ATSC A/53 registered, with one pair of characters
    caption = bytes.fromhex("00000106040eb50031") + b"GA94" + bytes.fromhex("0341fffc9420ff80")
    plain = make_clip(path, "-c:v", "libx264", "-bf", "0", count=8).read_bytes()
    head, *frames = re.split(rb"(?=\x00\x00\x01[\x41\x65])", plain)
    path.write_bytes(head + b"".join(caption * (i >= start) + frame for i, frame in enumerate(frames)))
    assert captions(path) == [i >= start for i in range(8)]
    return path


def captions(path: Path) -> list[bool]:
    return [frame.side_data.get(Type.A53_CC) is not None for frame in read(path)]


@pytest.mark.parametrize(
    ("encoder", "suffix", "kept"),
    [
        ("libx264", ".mp4", True),
        ("libx265", ".mp4", True),
        ("libx265", ".ts", True),
        ("mpeg1video", ".ts", False),
        ("mpeg2video", ".ts", True),
        ("mpeg4", ".mp4", False),
        ("libsvtav1", ".mp4", False),
        ("libvpx-vp9", ".webm", False),
        ("ffv1", ".mkv", False),
    ],
)
def test_closed_captions_are_kept_or_named_also_where_the_first_frames_have_none(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str, kept: bool
) -> None:
    source, target = captioned(tmp_path / "in.h264", start=3), tmp_path / f"out{suffix}"
    done = filter_video(source, target, noop, encoder=Encoder(encoder))
    assert captions(target) == [kept and i >= 3 for i in range(8)]
    assert done.dropped == (() if kept else ("closed captions",))


def test_an_option_of_the_user_leaves_closed_captions_out(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = captioned(tmp_path / "in.h264", start=0), tmp_path / "out.mp4"
    filter_video(source, target, noop, encoder=Encoder("libx265", {"a53cc": "0"}))
    assert not any(captions(target))


def test_the_name_of_the_old_encoder_is_not_kept_however_the_container_spells_it(
    noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = make_clip(tmp_path / "in.mkv", count=3), tmp_path / "out.mkv"
    with av.open(str(source)) as before:
        assert "libx264" in before.streams.video[0].metadata["ENCODER"]
    filter_video(source, target, noop, encoder=Encoder("ffv1"))
    with av.open(str(target)) as after:
        assert not any("libx264" in value for value in after.streams.video[0].metadata.values())


@pytest.mark.parametrize("pix_fmt", ["uyvy422", "yuyv422"])
def test_packed_pictures_lose_no_bit_and_no_property(noop: LoadedModel, tmp_path: Path, pix_fmt: str) -> None:
    plain, source, target = make_clip(tmp_path / "plain.mp4"), tmp_path / "in.mov", tmp_path / "out.mov"
    tags = "color_primaries=bt709:color_trc=bt709:colorspace=bt470bg:range=tv"
    turned = ("-noautorotate", "-display_rotation", "90", "-i", plain)
    raw = ("-fps_mode", "passthrough", "-c:v", "rawvideo", "-pix_fmt", pix_fmt)
    ffmpeg(*turned, "-vf", f"setpts=(N+3*gte(N\\,9))/{FPS}/TB,setfield=tff,setparams={tags}", *raw, source)
    filter_video(source, target, noop, encoder=Encoder("libx264", {"qp": "0"}))
    pairs = list(zip(read(source), read(target), strict=True))
    assert len(pairs) == COUNT
    for before, after in pairs:
        planar = before.reformat(format="yuv422p")
        assert after.format.name == "yuv422p"
        assert all(np.array_equal(a, b) for a, b in zip(samples(planar), samples(after), strict=True))
        assert before.time == after.time
        for name in ("colorspace", "color_primaries", "color_trc", "rotation", "interlaced_frame"):
            assert getattr(after, name) == getattr(before, name)
    assert (pairs[0][0].colorspace, pairs[0][0].rotation, pairs[0][0].interlaced_frame) == (5, 90, True)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_audio_timestamps_duration_and_tags_are_kept(noop: LoadedModel, tmp_path: Path, suffix: str) -> None:
    pts = [0, 40, 90, 100, 200, 240, 250, 300, 420, 440, 470, 480]
    source = write_clip(
        tmp_path / f"in{suffix}",
        pts=pts,
        audio=True,
        encoder="libx264",
        color_range=2,
        color_primaries=9,
        color_trc=16,
        colorspace=9,
        sample_aspect_ratio=Fraction(4, 3),
        rotation=90,
    )
    target = tmp_path / f"out{suffix}"
    done = filter_video(source, target, noop, encoder=LOSSLESS["libx264"])
    assert done.dropped == ()
    assert same_pictures(source, target)
    assert [frame.time for frame in read(target)] == [frame.time for frame in read(source)]
    assert audio_bytes(target) == audio_bytes(source) != []
    with av.open(str(source)) as before, av.open(str(target)) as after:
        for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
            found = getattr(after.streams.video[0].codec_context, name)
            assert found == getattr(before.streams.video[0].codec_context, name)
        assert after.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert [stream.type for stream in after.streams] == [stream.type for stream in before.streams]
        assert after.streams.audio[0].metadata["language"] == "deu"
        assert after.metadata["title"] == "a clip"
        assert after.duration == pytest.approx(before.duration, abs=2000)
        frames = [next(container.decode(video=0)) for container in (before, after)]
    matrices = [bytes(frame.side_data.get(Type.DISPLAYMATRIX)) for frame in frames]
    assert frames[1].rotation == 90
    assert matrices[0] == matrices[1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_reordered_pictures_of_avi_come_out_in_order_at_the_frame_rate(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    plain, source, target = make_clip(tmp_path / "plain.mp4"), tmp_path / "in.avi", tmp_path / f"out{suffix}"
    ffmpeg("-i", plain, "-c", "copy", source)
    filter_video(source, target, noop, encoder=LOSSLESS["libx264"])
    after = read(target)
    assert [number_in(samples(frame)[0]) for frame in after] == list(range(COUNT))
    assert [frame.time for frame in after] == pytest.approx([index / FPS for index in range(COUNT)], abs=1e-3)


def decode_times(path: Path) -> list[int]:
    """When ffmpeg's own decoder says that each frame is shown, in ticks of the stream."""
    command = [
        ffmpeg_exe(),
        "-copyts",
        "-i",
        path,
        "-map",
        "0:v",
        "-vf",
        "showinfo",
        "-fps_mode",
        "passthrough",
    ]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True)
    return [int(pts) for pts in re.findall(r"\] n: *\d+ pts: *(-?\d+) ", done.stderr)]


@pytest.mark.parametrize(
    "options",
    [
        ["libxvid", "-bf", "2"],  # two pictures in one packet, and an empty one after it
        ["libxvid"],
        ["mpeg4", "-bf", "2"],
        ["mpeg4"],
        ["msmpeg4"],
        ["msmpeg4v2"],
        ["mpeg2video", "-bf", "2"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_pictures_of_avi_are_shown_when_ffmpeg_shows_them(
    noop: LoadedModel, tmp_path: Path, options: list[str], suffix: str
) -> None:
    source, target = make_clip(tmp_path / "in.avi", "-c:v", *options), tmp_path / f"out{suffix}"
    filter_video(source, target, noop)
    times = [ticks / FPS for ticks in decode_times(source)]
    assert len(times) > COUNT - 5
    assert [frame.time for frame in read(target)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("encoder", ["mpeg2video", "mpeg4"])
def test_encoders_that_count_frames_take_clips_with_fine_time_bases(
    noop: LoadedModel, tmp_path: Path, encoder: str
) -> None:
    source, target = make_clip(tmp_path / "in.ts"), tmp_path / "out.mp4"
    filter_video(source, target, noop, encoder=Encoder(encoder, {"b": "2M"}))
    after = read(target)
    assert [number_in(samples(frame)[0]) for frame in after] == list(range(COUNT))
    first = after[0].time
    assert [frame.time - first for frame in after] == pytest.approx([i / FPS for i in range(COUNT)], abs=1e-3)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_sound_that_a_cut_without_encoding_hides_is_not_heard_again(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    plain, whole, source = make_clip(tmp_path / "plain.mp4"), tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg(
        "-i", plain, "-f", "lavfi", "-i", "sine=duration=1.5:r=48000", "-c:v", "copy", "-c:a", "aac", whole
    )
    ffmpeg("-ss", "1.1", "-i", whole, "-c", "copy", source)
    target = tmp_path / f"out{suffix}"
    filter_video(source, target, noop, encoder=LOSSLESS["libx264"])
    # the first packet of AAC is one to decode the next by, here as in the whole clip
    shown = [hidden for _, hidden in audio_packets(source)].index(False)
    assert shown > 5
    copied = zip(audio_bytes(target), audio_bytes(source)[shown - 1 :], strict=True)
    assert all(after.endswith(before) for after, before in copied)
    pictures = read(target)
    assert [number_in(samples(frame)[0]) for frame in pictures] == list(range(33, COUNT))
    with av.open(str(target)) as after:
        first = next(after.decode(audio=0)).time
    assert 0 <= pictures[0].time - first <= 2 * 1024 / 48000 + 1e-3


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_the_packet_that_aac_starts_with_is_kept(noop: LoadedModel, tmp_path: Path, suffix: str) -> None:
    plain, source, target = make_clip(tmp_path / "plain.mp4"), tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    ffmpeg(
        "-i", plain, "-f", "lavfi", "-i", "sine=duration=1.5:r=48000", "-c:v", "copy", "-c:a", "aac", source
    )
    assert audio_packets(source)[0][1]
    filter_video(source, target, noop)
    assert audio_bytes(target) == audio_bytes(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_hevc_carries_the_tag_that_apple_plays_and_its_parameter_sets_in_the_header(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / f"out{suffix}"
    filter_video(source, target, noop, encoder=LOSSLESS["libx265"])
    with av.open(str(target)) as after:
        stream = after.streams.video[0]
        assert stream.codec_context.codec_tag == "hvc1"
        header = stream.codec_context.extradata
        nals = [nal for packet in after.demux(stream) for nal in nal_types(bytes(packet))]
    # VPS, SPS and PPS: all in the header, none among the pictures
    assert all(bytes([0x80 | kind, 0, 1]) in header for kind in (32, 33, 34))
    assert not {32, 33, 34} & set(nals)
    assert same_pictures(source, target)


@pytest.mark.parametrize(
    ("encoder", "suffix"), [("libx264", ".mp4"), ("libx265", ".mkv"), ("libx265", ".ts")]
)
def test_no_other_codec_nor_container_carries_that_tag(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str
) -> None:
    source, target = make_clip(tmp_path / "in.mp4", count=3), tmp_path / f"out{suffix}"
    filter_video(source, target, noop, encoder=Encoder(encoder))
    with av.open(str(target)) as after:
        assert after.streams.video[0].codec_context.codec_tag != "hvc1"
    assert len(read(target)) == 3


def test_skipped_frames_of_avi_stay_skipped(noop: LoadedModel, tmp_path: Path) -> None:
    plain, source, target = make_clip(tmp_path / "plain.mp4"), tmp_path / "in.avi", tmp_path / "out.mkv"
    some = ("-vf", "select='not(between(n,10,14))'", "-fps_mode", "passthrough")
    ffmpeg("-i", plain, *some, "-c:v", "mpeg4", "-q:v", "2", source)
    filter_video(source, target, noop)
    kept = [index for index in range(COUNT) if not 10 <= index <= 14]
    expected = pytest.approx([index / FPS for index in kept], abs=1e-3)
    assert [frame.time for frame in read(target)] == expected


def test_subtitles_and_chapters_are_kept_and_what_a_container_cannot_hold_is_named(
    noop: LoadedModel, tmp_path: Path
) -> None:
    plain = write_clip(tmp_path / "plain.mkv", encoder="libx264")
    source = tmp_path / "in.mkv"
    words = tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
    with av.open(str(plain)) as video, av.open(str(words)) as text, av.open(str(source), "w") as both:
        copies = [both.add_stream_from_template(c.streams[0], opaque=True) for c in (video, text)]
        both.add_attachment("font.ttf", "application/x-truetype-font", b"not really")
        both.set_chapters(
            [{"id": 1, "start": 0, "end": 300, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
        )
        for container, stream in zip((video, text), copies, strict=True):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    both.mux(packet)
    matroska = filter_video(source, tmp_path / "out.mkv", noop)
    assert matroska.dropped == ()
    with av.open(str(tmp_path / "out.mkv")) as after:
        assert [stream.type for stream in after.streams] == ["video", "subtitle", "attachment"]
        assert after.chapters()[0]["metadata"]["title"] == "One"
        assert after.streams[2].data == b"not really"
    mp4 = filter_video(source, tmp_path / "out.mp4", noop)
    assert len(mp4.dropped) == 2
    assert "subtitle" in mp4.dropped[0]
    assert "attachment" in mp4.dropped[1]


@pytest.mark.parametrize(("count", "kept"), [(LATE, True), (70 * FPS, False)])
def test_sound_that_begins_late_in_the_file_is_kept_or_told(
    noop: LoadedModel, tmp_path: Path, count: int, kept: bool
) -> None:
    source = late_sound(tmp_path / "in.flv", count)
    done = filter_video(source, tmp_path / "out.mkv", noop)
    assert done.frames == count
    assert done.dropped == (() if kept else ("streams that begin late in the file",))
    with av.open(str(tmp_path / "out.mkv")) as after:
        assert [stream.type for stream in after.streams] == ["video", "audio"][: 1 + kept]


def test_sound_without_a_sample_rate_is_told(noop: LoadedModel, tmp_path: Path) -> None:
    source = tmp_path / "in.ts"
    late = ("-itsoffset", "70", "-f", "lavfi", "-i", "sine=duration=0.2")
    plain = make_clip(tmp_path / "plain.ts", *X264, count=70 * FPS, width=64, height=48)
    ffmpeg("-i", plain, *late, "-map", "0", "-map", "1", "-c:v", "copy", "-c:a", "aac", source)
    done = filter_video(source, tmp_path / "out.mkv", noop)
    assert (done.frames, done.dropped) == (70 * FPS, ("stream 1 (audio, aac): no sample rate was found",))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_streams_that_no_decoder_knows_are_dropped_and_told(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    plain = write_clip(tmp_path / "plain.mkv", encoder="libx264", audio=True)
    streams = (
        "-map",
        "0:v",
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-c:v:0",
        "copy",
        "-c:v:1",
        "mpeg4",
        "-c:a",
        "flac",
    )
    ffmpeg("-i", plain, *streams, source)
    data = source.read_bytes()
    source.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_MPEG4/ISO/ODD").replace(b"A_FLAC", b"A_ODD1"))
    muxer = {".mkv": "matroska", ".mp4": "mp4", ".ts": "mpegts"}[suffix]
    done = filter_video(source, target, noop)
    assert done.dropped == (
        f"stream 1 (video): not possible in {muxer}",
        f"stream 2 (audio): not possible in {muxer}",
        *(["tags of stream 0 (video): title"] if suffix == ".ts" else []),
    )
    assert len(read(target)) == 12


@pytest.mark.parametrize("suffix", [".ts", ".m2ts"])
@pytest.mark.parametrize("encoder", ["libsvtav1", "libvpx-vp9", "ffv1", "mjpeg"])
def test_a_codec_that_mpeg_ts_cannot_name_is_refused_before_a_frame_is_written(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str
) -> None:
    source, done = write_clip(tmp_path / "in.mkv", frames=2), []
    with pytest.raises(UserError, match=r"mpegts cannot hold; give a name that ends in \.mkv"):
        filter_video(
            source,
            tmp_path / f"out{suffix}",
            noop,
            encoder=Encoder(encoder, {"strict": "-1"}),
            progress=lambda count, _expected: done.append(count),
        )
    assert done == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize(
    ("encoder", "suffix", "said"),
    [
        (
            "libx264",
            "webm",
            r"libx264 writes h264, which webm cannot hold; .*--encoder libsvtav1, libvpx-vp9",
        ),
        ("libsvtav1", "mov", r"writes av1, which mov cannot hold; .*\.mkv, or --encoder libx264, libx265"),
        ("ffv1", "mov", r"writes ffv1, which mov cannot hold"),
    ],
)
def test_a_codec_that_the_container_does_not_hold_names_encoders_that_it_does(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str, said: str
) -> None:
    source = write_clip(tmp_path / "in.mkv", frames=2)
    with pytest.raises(UserError, match=said):
        filter_video(source, tmp_path / f"out.{suffix}", noop, encoder=Encoder(encoder))
    with pytest.raises(UserError, match=r'refused by libsvtav1: .*"crf" option'):
        filter_video(source, tmp_path / "out.mov", noop, encoder=Encoder("libsvtav1", {"crf": "many"}))
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_odd_sides_are_refused_before_encoding_with_encoders_that_take_them(
    noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mkv", size=(64, 45), frames=2)
    with pytest.raises(UserError, match=r"libx264 needs even sides .* 64x45; use --encoder libsvtav1, "):
        filter_video(source, tmp_path / "out.mp4", noop)
    for encoder in ("libsvtav1", "libvpx-vp9", "ffv1"):
        filter_video(source, tmp_path / "out.mp4", noop, encoder=Encoder(encoder), force=True)
        assert [(frame.width, frame.height) for frame in read(tmp_path / "out.mp4")] == [(64, 45)] * 2


@pytest.mark.parametrize("suffix", [".ts", ".m2ts"])
@pytest.mark.parametrize(("encoder", "codec"), [("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "mpeg4")])
def test_what_mpeg_ts_cannot_name_is_dropped_and_told_and_all_else_is_read_back(
    noop: LoadedModel, tmp_path: Path, encoder: str, codec: str, suffix: str
) -> None:
    source, target, words = tmp_path / "in.mkv", tmp_path / f"out{suffix}", tmp_path / "words.srt"
    words.write_text("1\n00:00:00,000 --> 00:00:00,400\nHello\n")
    plain = write_clip(tmp_path / "plain.mkv", audio=True)
    streams = ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-c", "copy", "-c:a:1", "flac")
    ffmpeg("-i", plain, "-i", words, *streams, source)
    done = filter_video(source, target, noop, encoder=Encoder(encoder))
    assert done.dropped == (
        "stream 2 (audio, flac): not possible in mpegts",
        "stream 3 (subtitle, srt): not possible in mpegts",
        "tags of stream 0 (video): title",
    )
    with av.open(str(target)) as after:
        found = [(stream.type, stream.codec_context.name) for stream in after.streams]
    assert found == [("video", codec), ("audio", "aac")]
    assert len(read(target)) == 12


def test_mistakes_are_named_and_leave_no_file(noop: LoadedModel, folder: Path, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", frames=2)
    (tmp_path / "sound.wav").write_bytes(b"RIFF")
    (tmp_path / "exists.mkv").write_bytes(b"mine")
    rgb = write_clip(tmp_path / "rgb.mkv", pix_fmt="bgr0", frames=2)
    deep = write_clip(tmp_path / "deep.mkv", pix_fmt="yuv420p12le", frames=2)
    before = sorted(path.name for path in tmp_path.iterdir())
    cases: list[tuple[str, Path, Path, Encoder]] = [
        ("no clip", tmp_path / "none.mkv", tmp_path / "o.mkv", Encoder()),
        ("cannot decode", tmp_path / "sound.wav", tmp_path / "o.mkv", Encoder()),
        ("is a folder", tmp_path, tmp_path / "o.mkv", Encoder()),
        ("is the input", source, source, Encoder()),
        ("exists", source, tmp_path / "exists.mkv", Encoder()),
        ("no video encoder", source, tmp_path / "o.mkv", Encoder("libnothing")),
        ("no video encoder", source, tmp_path / "o.mkv", Encoder("aac")),
        ("no option nonsense", source, tmp_path / "o.mkv", Encoder("libx264", {"nonsense": "1"})),
        (
            'refused by libx264: .*"crf" option',
            source,
            tmp_path / "o.mkv",
            Encoder("libx264", {"crf": "many"}),
        ),
        ("refused by mjpeg: Non full-range", source, tmp_path / "o.mkv", Encoder("mjpeg")),
        ("no container is written", source, tmp_path / "o.strange", Encoder()),
        ("no single file", source, tmp_path / "o.m3u8", Encoder()),
        (r"\(RGB\) cannot be filtered", rgb, tmp_path / "o.mkv", Encoder("ffv1")),
        ("--encoder libx265 or ffv1", deep, tmp_path / "o.mkv", Encoder("libx264")),
    ]
    for text, begin, end, encoder in cases:
        with pytest.raises(UserError, match=text):
            filter_video(begin, end, noop, encoder=encoder)
    with pytest.raises(UserError, match="use `vmaf-train score`"):
        filter_video(source, tmp_path / "o.mkv", load_model("mean_v1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "exists.mkv").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile plain.mkv\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nplain.mkv\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.m3u8", "clip.ffconcat"])
def test_a_script_that_names_other_files_opens_none_of_them(
    noop: LoadedModel, tmp_path: Path, script: str, name: str
) -> None:
    write_clip(tmp_path / "plain.mkv", frames=2)
    source = tmp_path / name
    source.write_text(script)
    with pytest.raises(UserError, match=r"no container that is read here|cannot decode"):
        filter_video(source, tmp_path / "out.mkv", noop)
    assert not (tmp_path / "out.mkv").exists()


def test_what_the_encoder_warns_of_is_told(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    done = filter_video(source, target, noop, encoder=Encoder("libx264", {"x264-params": "bogus=3"}))
    assert done.notes == ("libx264: Error parsing option 'bogus = 3'",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-vf", "setparams=color_trc=smpte2084"], ["HDR (PQ), and the filters know SDR only"]),
        (["-vf", "setparams=color_trc=arib-std-b67"], ["HDR (HLG), and the filters know SDR only"]),
        (INTERLACED, ["interlaced frames are filtered woven, both fields as one picture"]),
        ([], []),
    ],
)
def test_the_command_tells_of_pictures_that_no_filter_was_trained_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: list[str]
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    source = make_clip(tmp_path / "in.mp4", *X264, *options, count=3)
    arguments = ["--model", "noop_v1", "--encoder", "ffv1"]
    done = CliRunner().invoke(app, ["filter", str(source), str(tmp_path / "out.mkv"), *arguments])
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.splitlines() == [f"note: {line}" for line in said]


def test_options_of_the_container_reach_it(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv"), tmp_path / "out.mp4"
    for options, first in (({}, False), ({"movflags": "+faststart"}, True)):
        filter_video(source, target, noop, encoder=Encoder("libx264", options), force=True)
        data = target.read_bytes()
        assert (data.index(b"moov") < data.index(b"mdat")) == first
    wrong = Encoder("libx264", {"movflags": "+fast"})
    with pytest.raises(UserError, match=r'refused by mov/mp4.*"movflags" option value "fast"'):
        filter_video(source, target, noop, encoder=wrong, force=True)
    with pytest.raises(UserError, match="libx264 has no option movflags, nor has matroska"):
        filter_video(source, tmp_path / "out.mkv", noop, encoder=wrong)


def test_the_command_tells_of_an_early_end_of_what_is_lost_and_of_what_was_ignored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    options = ["-c:v", "ffv1", "-chroma_sample_location", "topleft"]
    source, target = make_clip(tmp_path / "in.mkv", *options), tmp_path / "out.mp4"
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    arguments = ["--model", "noop_v1", "--encoder", "mpeg4", "-o", "x264-params=1"]
    refused = CliRunner().invoke(app, ["filter", str(source), str(target), *arguments])
    assert "mpeg4 has no option x264-params, nor has mp4" in str(refused.exception)
    arguments = ["--model", "noop_v1", "--encoder", "libx264", "-o", "x264-params=bogus=3"]
    done = CliRunner().invoke(app, ["filter", str(source), str(target), *arguments])
    frames = len(read(target))
    assert 0 < frames < COUNT
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr.splitlines() == [
        f"note: the input ends early: the output has the {frames} frames that were there",
        "note: libx264: Error parsing option 'bogus = 3'",
    ]
    arguments = ["--model", "noop_v1", "--encoder", "mpeg4", "--force"]
    lost = CliRunner().invoke(app, ["filter", str(source), str(target), *arguments])
    assert lost.stderr.splitlines()[-1] == "note: not kept: chroma sample location topleft"


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
def test_encoders_do_not_print_through_the_progress_bar(
    noop: LoadedModel, tmp_path: Path, capfd: pytest.CaptureFixture[str], encoder: str
) -> None:
    filter_video(write_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv", noop, encoder=Encoder(encoder))
    assert capfd.readouterr() == ("", "")


def test_damaged_pictures_are_counted(noop: LoadedModel, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "in.mkv", frames=30)
    data = bytearray(source.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 1000] = bytes(1000)
    source.write_bytes(data)
    done = filter_video(source, tmp_path / "out.mkv", noop)
    assert (done.damaged > 0) == any(frame.is_corrupt for frame in read(source))
    assert done.frames == len(read(source))


def test_a_frame_that_cannot_be_decoded_is_counted_and_the_others_keep_their_times(
    noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mp4", frames=30, audio=True, encoder="libx264")
    zero_packet(source, 20)
    done = filter_video(source, tmp_path / "out.mp4", noop)
    assert (done.frames, done.damaged) == (29, 1)
    times = [round(25 * frame.time, 3) for frame in read(tmp_path / "out.mp4")]
    assert len(set(times)) == 29
    assert set(times) < set(range(30))
    assert audio_bytes(tmp_path / "out.mp4") == audio_bytes(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_a_clip_that_ends_early_is_filtered_as_far_as_it_goes_and_told(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    encoder = ["-c:v", "mpeg4"] if suffix == ".avi" else [*X264, "-movflags", "+faststart"]
    source, target = make_clip(tmp_path / f"in{suffix}", *encoder), tmp_path / "out.mkv"
    assert not filter_video(source, target, noop).truncated
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    done = filter_video(source, target, noop, force=True)
    assert done.truncated
    assert 0 < done.frames == len(read(target)) < COUNT


def test_a_run_that_stops_half_way_leaves_the_earlier_output_whole(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv", frames=60), tmp_path / "out.mkv"
    target.write_bytes(b"earlier")

    def stop(done: int, _expected: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filter_video(source, target, noop, force=True, progress=stop)
    assert target.read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


def test_progress_counts_every_frame_and_force_replaces(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv", frames=7), tmp_path / "out.mkv"
    target.write_bytes(b"earlier")
    seen: list[int] = []
    filter_video(source, target, noop, force=True, progress=lambda done, _expected: seen.append(done))
    assert seen == list(range(1, 8))
    assert len(read(target)) == 7


def test_a_cover_picture_is_copied(noop: LoadedModel, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mkv", encoder="libx264", frames=4)
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with av.open(str(plain)) as video, av.open(str(source), "w") as both:
        copy = both.add_stream_from_template(video.streams[0], opaque=True)
        cover = both.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        picture = cover.encode(av.VideoFrame(16, 16, "rgb24"))
        for packet in video.demux():
            if packet.size:
                packet.stream = copy
                both.mux(packet)
        both.mux(picture)
    done = filter_video(source, target, noop, encoder=LOSSLESS["libx264"])
    assert done.dropped == ()
    with av.open(str(target)) as after:
        assert [stream.codec_context.name for stream in after.streams] == ["h264", "png"]
        assert after.streams[1].disposition & av.stream.Disposition.attached_pic
    assert same_pictures(source, target)


def test_pictures_that_change_their_size_half_way_are_refused(noop: LoadedModel, tmp_path: Path) -> None:
    parts = [make_clip(tmp_path / f"{width}.ts", count=6, width=width) for width in (160, 128)]
    source = tmp_path / "in.ts"
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(UserError, match=r"in\.ts: frames change from \(160, 96, 'yuv420p'\) to \(128, 96"):
        filter_video(source, tmp_path / "out.mkv", noop)
    assert not (tmp_path / "out.mkv").exists()


def test_pictures_that_the_decoder_patched_up_are_counted(noop: LoadedModel, tmp_path: Path) -> None:
    source = zero_middle(make_clip(tmp_path / "in.mkv", "-c:v", "mpeg2video", "-g", "12"))
    expected = sum(frame.is_corrupt for frame in read(source))
    assert expected > 0
    assert filter_video(source, tmp_path / "out.mkv", noop).damaged == expected


def test_what_hdr_pictures_say_of_their_light_is_named_as_lost(noop: LoadedModel, tmp_path: Path) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    told = ["-c:v", "libx265", "-x265-params", f"log-level=none:master-display={display}:max-cll=1000,400"]
    source = make_clip(tmp_path / "in.mp4", *told, "-pix_fmt", "yuv420p10le", count=3)
    done = filter_video(source, tmp_path / "out.mkv", noop, encoder=LOSSLESS["ffv1"])
    assert done.dropped == ("frame data mastering_display_metadata", "frame data content_light_level")


def test_a_filtered_picture_is_not_what_the_decoder_predicts_the_next_from(
    dark: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as where the filter is faster than the decoder: each picture is filtered before the next is decoded
    monkeypatch.setattr("vmaf_train.filter.ahead", lambda items, _depth: (item for item in items))
    monkeypatch.setattr("vmaf_train.filter.open_clip", lambda path, **_: open_clip(path, 1))
    source, target = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    filter_video(source, target, dark, encoder=LOSSLESS["ffv1"])
    for before, after in zip(read(source), read(target), strict=True):
        assert np.max(np.abs(samples(after)[0] - samples(before)[0] / 2)) <= 0.5


def test_the_encoder_decides_where_its_key_frames_are(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mp4", "-c:v", "libx264", "-g", "1"), tmp_path / "out.mkv"
    filter_video(source, target, noop)
    assert all(frame.key_frame for frame in read(source))
    assert sum(frame.key_frame for frame in read(target)) == 1


def test_the_command_tells_how_many_pictures_were_damaged(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    source = zero_middle(make_clip(tmp_path / "in.mkv", "-c:v", "mpeg2video", "-g", "12"))
    damaged = sum(frame.is_corrupt for frame in read(source))
    assert damaged > 0
    done = CliRunner().invoke(app, ["filter", str(source), str(tmp_path / "o.mkv"), "--model", "noop_v1"])
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [f"note: damaged frames in the input: {damaged}"]


@pytest.mark.parametrize("harm", ["early end", "patched up", "left out"])
@pytest.mark.parametrize("earlier", [True, False])
def test_strict_fails_on_a_clip_that_is_cut_or_damaged_and_leaves_no_output_or_the_earlier_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, earlier: bool
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    source, target = tmp_path / "in.mp4", tmp_path / "o.mkv"
    make_clip(source, *(X264 if harm == "left out" else ("-c:v", "mpeg2video")), "-movflags", "+faststart")
    arguments = ["filter", str(source), str(target), "--model", "noop_v1", "--strict", "--force"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    target.unlink()
    if earlier:
        target.write_bytes(b"earlier")
    if harm == "early end":
        source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    elif harm == "patched up":
        zero_middle(source)
    else:
        zero_packet(source, 20)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0
    assert str(done.exception).startswith(f"{source} is damaged or ends early, and --strict was given")
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "o.mkv"][: 1 + earlier]
    assert not earlier or target.read_bytes() == b"earlier"
    assert CliRunner().invoke(app, [part for part in arguments if part != "--strict"]).exit_code == 0


def test_a_link_stays_one_and_what_it_points_to_is_written(noop: LoadedModel, tmp_path: Path) -> None:
    source, real, link = write_clip(tmp_path / "a.mkv"), tmp_path / "real.mkv", tmp_path / "link.mkv"
    link.symlink_to(real)
    filter_video(source, link, noop)
    assert link.is_symlink()
    assert real.stat().st_size > 0
    with pytest.raises(UserError, match=r"real\.mkv exists; .*--force"):
        filter_video(source, link, noop)
    back = tmp_path / "back.mkv"
    back.symlink_to(source)
    with pytest.raises(UserError, match=r"a\.mkv is the input"):
        filter_video(source, back, noop, force=True)


def opening(path: Path) -> list[float]:
    """When the first picture and the first sound begin, in seconds."""
    with av.open(str(path)) as container:
        begun: dict[int, float] = {}
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                shown = float(packet.pts * packet.time_base)
                begun[packet.stream.index] = min(shown, begun.get(packet.stream.index, shown))
        return [begun[stream.index] for stream in (*container.streams.video, *container.streams.audio)]


def with_sound(path: Path, *options: str) -> Path:
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2:r=48000"),
        *("-c:v", "mpeg4", "-c:a", "ac3", *options, path),
    )
    return path


@pytest.mark.parametrize("offset", ["0", "3600"])
def test_avi_counts_the_frames_of_the_clip_and_begins_at_zero(
    noop: LoadedModel, tmp_path: Path, offset: str
) -> None:
    source, target = with_sound(tmp_path / "a.ts", "-output_ts_offset", offset), tmp_path / "b.avi"
    assert filter_video(source, target, noop).frames == 50
    video, sound = opening(target)
    assert (video, sound) == pytest.approx((0, 0), abs=0.05)
    with av.open(str(target)) as container:
        assert container.streams.video[0].average_rate == 25
        assert container.duration / 1e6 == pytest.approx(2, abs=0.2)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_no_picture_of_a_clip_that_begins_below_zero_is_hidden(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    # MPEG-TS counts to 2^33 / 90000 s, and then from 0 on
    source = with_sound(tmp_path / "a.ts", "-output_ts_offset", "95441.8")
    with av.open(str(source)) as container:
        assert container.start_time is not None
        assert container.start_time < 0
    target = tmp_path / f"b{suffix}"
    assert filter_video(source, target, noop).frames == 50
    with av.open(str(target)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 50
    before, after = opening(source), opening(target)
    assert after[0] - after[1] == pytest.approx(before[0] - before[1], abs=0.05)


def test_interlaced_frames_after_a_progressive_first_one_are_told(noop: LoadedModel, tmp_path: Path) -> None:
    parts = []
    for name, flags, field in (("p", (), "prog"), ("i", ("-flags", "+ilme+ildct"), "tff")):
        parts.append(tmp_path / f"{name}.ts")
        still = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=0.4", "-vf", f"setfield={field}")
        ffmpeg(*still, "-c:v", "mpeg2video", *flags, "-output_ts_offset", f"{0.4 * len(parts)}", parts[-1])
    (tmp_path / "mix.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    done = filter_video(tmp_path / "mix.ts", tmp_path / "b.mkv", noop)
    assert any("they were encoded as progressive" in note for note in done.notes)


def test_x264_cuts_no_frame_into_slices_for_its_threads(noop: LoadedModel, tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", size=(640, 480))
    filter_video(source, tmp_path / "b.mkv", noop, encoder=Encoder("libx264", {"threads": "4"}))
    assert b"sliced_threads=0" in (tmp_path / "b.mkv").read_bytes()


def test_raw_video_holds_pictures_alone(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = with_sound(tmp_path / "a.mkv"), tmp_path / "b.yuv"
    done = filter_video(source, target, noop, encoder=Encoder("rawvideo"))
    assert target.stat().st_size == 50 * 64 * 48 * 3 // 2
    assert done.dropped == ("stream 1 (audio, ac3): not possible in rawvideo",)
    with pytest.raises(UserError, match="libx264 writes h264, which rawvideo cannot hold"):
        filter_video(source, target, noop, encoder=Encoder("libx264"), force=True)


def test_full_range_by_name_goes_through_encoders_that_do_not_know_it(
    noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = tmp_path / "a.avi", tmp_path / "b.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-c:v", "mjpeg", "-pix_fmt", "yuvj422p", source)
    filter_video(source, target, noop, encoder=Encoder("ffv1"))
    with av.open(str(source)) as one, av.open(str(target)) as two:
        for given, kept in zip(one.decode(video=0), two.decode(video=0), strict=True):
            assert (kept.format.name, kept.color_range) == ("yuv422p", 2)
            assert np.array_equal(plane_view(given, 0, 8), plane_view(kept, 0, 8))
    filter_video(source, tmp_path / "c.avi", noop, encoder=Encoder("mjpeg"))


def test_alpha_that_no_decoder_shows_is_told_and_no_longer_claimed(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = tmp_path / "a.webm", tmp_path / "b.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4,format=yuva420p"),
        *("-c:v", "libvpx-vp9", "-metadata:s:v:0", "alpha_mode=1", source),
    )
    assert "transparency" in filter_video(source, target, noop).dropped
    with av.open(str(target)) as container:
        assert not any(key.lower() == "alpha_mode" for key in container.streams.video[0].metadata)


def test_another_video_is_named_as_copied(noop: LoadedModel, tmp_path: Path) -> None:
    both = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-map", "0", "-map", "0", "-c:v", "mpeg4")
    ffmpeg(*both, tmp_path / "a.mkv")
    done = filter_video(tmp_path / "a.mkv", tmp_path / "b.mkv", noop)
    assert [note for note in done.notes if "another video" in note] == [
        "stream 1 (video, mpeg4) is another video, copied as it is"
    ]


def test_sound_that_ends_flvs_muxer_is_named_as_not_kept(noop: LoadedModel, tmp_path: Path) -> None:
    source = tmp_path / "a.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4:r=44100"),
        *("-c:v", "mpeg4", "-c:a", "pcm_s16le", source),
    )
    done = filter_video(source, tmp_path / "b.flv", noop)
    assert done.dropped == ("stream 1 (audio, pcm_s16le): not possible in flv",)


def test_chapters_that_were_kept_are_not_told_as_lost(noop: LoadedModel, tmp_path: Path) -> None:
    lines = tmp_path / "chapters.txt"
    lines.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n")
    clip = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-i", lines, "-map_chapters", "1", "-c:v", "mpeg4")
    ffmpeg(*clip, tmp_path / "a.mp4")
    assert filter_video(tmp_path / "a.mp4", tmp_path / "b.mp4", noop).dropped == ()
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]
