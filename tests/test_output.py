"""The output of `filter`: few frames, and pictures without a codec. The rest is in test_filter.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import ffmpeg
from test_filter import folder, noop, read, write_clip

from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel
from vmaf_train.lost import Asked, Look, lost_in
from vmaf_train.planes import plane_view
from vmaf_train.raw import Raw
from vmaf_train.siting import chroma_location
from vmaf_train.video import iterate_frames

__all__ = ["folder", "noop"]


# filters a clip where memory that nobody has set holds large numbers, with glibc
PERTURBED = """
import sys
from vmaf_train import Encoder, filter_video, load_model
filter_video(sys.argv[1], sys.argv[2], load_model("noop_v1"), encoder=Encoder(sys.argv[3]))
"""


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("encoder", ["libx264", "libx265", "hevc", "libsvtav1", "libvpx-vp9", "mpeg2video"])
def test_a_clip_of_few_frames_keeps_them_and_their_times(
    encoder: str, suffix: str, frames: int, folder: Path, tmp_path: Path
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", frames=frames), tmp_path / f"out{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", PERTURBED, str(source), str(target), encoder],
        env={**os.environ, "VMAF_TINY_MODEL_DIR": str(folder), "MALLOC_PERTURB_": "85"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = [float(frame.pts * frame.time_base) for frame in read(target)]
    assert shown == pytest.approx([0.04 * index for index in range(frames)], abs=1e-3)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le"])
@pytest.mark.parametrize("suffix", [".y4m", ".yuv"])
def test_pictures_without_a_codec_are_those_of_the_clip(
    suffix: str, pix_fmt: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt), tmp_path / f"out{suffix}"
    done = filter_video(source, target, noop)
    assert list(done.dropped) == ["tags title", "tags of stream 0 (video): title"]
    told = "raw video has no header; read it with --raw 64x48:yuv"
    assert [note.startswith(told) for note in done.notes] == ([True] if suffix == ".yuv" else [])
    raw = Raw.parse(done.notes[0].split()[-1]) if suffix == ".yuv" else None
    written = list(iterate_frames(target, raw=raw))
    for (index, frame), known in zip(written, read(source), strict=True):
        assert frame.time == pytest.approx(index / 25)
        assert frame.format.name == pix_fmt
        for plane in range(3):
            bits = 10 if "10" in pix_fmt else 8
            np.testing.assert_array_equal(plane_view(frame, plane, bits), plane_view(known, plane, bits))


@pytest.mark.parametrize(
    ("encoder", "suffix", "near", "gap"),
    [
        ("rawvideo", ".y4m", True, True),
        ("rawvideo", ".yuv", True, True),
        ("libx264", ".264", True, True),
        ("libx264", ".avi", True, True),
        ("ffv1", ".avi", True, False),
        ("mpeg2video", ".mkv", True, False),
        ("mpeg2video", ".mpg", True, True),
        ("libx264", ".mkv", False, False),
    ],
)
def test_uneven_times_are_told_where_the_output_does_not_have_them(
    encoder: str, suffix: str, near: bool, gap: bool, noop: LoadedModel, tmp_path: Path
) -> None:
    told = []
    for times in ([0, 40, 80, 120, 160, 200], [0, 40, 80, 100, 110, 120], [0, 40, 80, 1000, 1040, 1080]):
        source = write_clip(tmp_path / "in.mkv", frames=6, pts=times)
        done = filter_video(source, tmp_path / f"o{suffix}", noop, encoder=Encoder(encoder), force=True)
        told.append("the times of the frames, which are not evenly apart" in done.dropped)
    assert told == [False, near, gap]


def test_y4m_names_the_encoder_that_it_takes(noop: LoadedModel, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "in.mkv"), tmp_path / "out.y4m"
    with pytest.raises(UserError, match=r"yuv4mpegpipe cannot hold; .*, or --encoder rawvideo$"):
        filter_video(source, target, noop, encoder=Encoder("libx264"))
    assert not target.exists()


@pytest.mark.parametrize(
    ("pix_fmt", "told"),
    [
        ("yuv440p", "yuv4mpegpipe cannot hold yuv440p; give --pix-fmt yuv444p, or a name that ends in .mkv"),
        ("yuv410p", "yuv4mpegpipe cannot hold yuv410p; give --pix-fmt yuv"),
    ],
)
def test_y4m_names_the_format_nearest_to_one_that_it_lacks(
    pix_fmt: str, told: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = write_clip(tmp_path / "in.mkv", pix_fmt=pix_fmt), tmp_path / "out.y4m"
    with pytest.raises(UserError, match=told):
        filter_video(source, target, noop)
    assert not target.exists()


@pytest.mark.parametrize(
    ("said", "read_back", "told"),
    [("unspecified", "left", False), ("left", "left", False), ("center", "center", False), ("top", "", True)],
)
def test_y4m_says_where_chroma_lies_and_left_where_the_clip_does_not_say(
    said: str, read_back: str, told: bool, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.y4m"
    place = ["-c:v", "libx264", "-chroma_sample_location", said]
    codec = ["-c:v", "ffv1"] if said == "unspecified" else place
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2", "-pix_fmt", "yuv420p", *codec, source)
    assert chroma_location(read(source)[0]) == said
    done = filter_video(source, target, noop)
    assert [line for line in done.dropped if "chroma" in line] == (
        [f"chroma sample location {said}"] if told else []
    )
    if read_back:
        assert chroma_location(read(target)[0]) == read_back


def test_samples_that_look_like_a_script_open_no_other_file(noop: LoadedModel, tmp_path: Path) -> None:
    write_clip(tmp_path / "secret.mkv")
    script = b"ffconcat version 1.0\nfile secret.mkv\n#"
    source = tmp_path / "in.yuv"
    source.write_bytes(script.ljust(64 * 48 * 3 // 2, b"#"))
    done = filter_video(source, tmp_path / "out.yuv", noop, raw=Raw(64, 48))
    assert (tmp_path / "out.yuv").read_bytes().startswith(script)
    assert done.frames == 1
    # read back it would have the other's title
    asked = Asked("rawvideo", "", {}, [("video", {"title": "the picture"})], 0, 0, Look())
    assert lost_in(tmp_path / "out.yuv", asked, source) == ["tags of stream 0 (video): title"]


def test_the_rate_of_raw_video_is_that_of_the_clip(noop: LoadedModel, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=30000/1001:d=0.2", "-c:v", "ffv1", tmp_path / "in.mkv")
    done = filter_video(tmp_path / "in.mkv", tmp_path / "out.yuv", noop)
    assert done.notes == ("raw video has no header; read it with --raw 64x48:yuv420p:30000/1001",)


def test_what_cannot_be_read_back_is_refused_and_not_left(noop: LoadedModel, tmp_path: Path) -> None:
    # the muxer of MOV writes it, with a warning, and no reader takes it
    source, target = write_clip(tmp_path / "in.mkv"), tmp_path / "out.mov"
    with pytest.raises(UserError, match=r"out\.mov: no picture can be read back .* another --encoder"):
        filter_video(source, target, noop, encoder=Encoder("rawvideo"))
    assert not target.exists()


@pytest.mark.parametrize(("encoder", "suffix"), [("utvideo", ".avi"), ("magicyuv", ".mov")])
def test_a_codec_that_matroska_does_not_take_names_a_suffix_that_does(
    encoder: str, suffix: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mkv")
    with pytest.raises(UserError, match=rf"matroska cannot hold; give a name that ends in \{suffix},"):
        filter_video(source, tmp_path / "out.mkv", noop, encoder=Encoder(encoder))
    filter_video(source, tmp_path / f"out{suffix}", noop, encoder=Encoder(encoder))


def test_chroma_of_jpeg_lies_in_the_middle_without_a_word(noop: LoadedModel, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2", "-c:v", "mjpeg", tmp_path / "in.avi")
    done = filter_video(tmp_path / "in.avi", tmp_path / "out.avi", noop, encoder=Encoder("mjpeg"))
    assert chroma_location(read(tmp_path / "out.avi")[0]) == "center"
    assert done.dropped == ()


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".mxf"])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_sound_whose_channels_have_no_places_is_copied_into_mp4(
    channels: int, suffix: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = tmp_path / f"in{suffix}", tmp_path / "out.mp4"
    sound = ["-f", "lavfi", "-i", "sine=d=0.4:r=48000", "-ac", str(channels), "-c:a", "pcm_s16le"]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", *sound, "-c:v", "mpeg2video", source)
    done = filter_video(source, target, noop)
    # MXF comes with a time code, which MP4 lacks
    assert [line for line in done.dropped if "tags timecode" not in line] == []
    samples = [ffmpeg("-i", path, "-map", "0:a", "-f", "s16le", "-") for path in (source, target)]
    assert len(samples[0]) > 30000 * channels
    assert samples[0] == samples[1]


@pytest.mark.parametrize(
    ("codec", "encoder", "suffix", "kept"),
    [
        ("libopus", "libx264", ".mov", False),
        ("flac", "libx264", ".mov", False),
        ("flac", "libx264", ".mp4", True),
        ("aac", "mpeg2video", ".mxf", False),
        ("pcm_s24le", "mpeg2video", ".mxf", True),
    ],
)
def test_sound_that_a_container_does_not_hold_is_told_and_costs_no_more(
    codec: str, encoder: str, suffix: str, kept: bool, noop: LoadedModel, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    sound = ["-f", "lavfi", "-i", "sine=d=0.4:r=48000", "-c:a", codec]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", *sound, "-c:v", "ffv1", source)
    done = filter_video(source, target, noop, encoder=Encoder(encoder))
    told = [line for line in done.dropped if line.startswith("stream 1 (audio")]
    assert [line.endswith(f"not possible in {suffix[1:]}") for line in told] == ([] if kept else [True])
    with av.open(str(target)) as container:
        assert len(container.streams.audio) == kept


@pytest.mark.parametrize(("options", "threads"), [({}, 3), ({"threads": "5"}, 5)])
def test_an_encoder_has_the_threads_that_are_its_own_unless_an_option_says_another_number(
    noop: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], threads: int
) -> None:
    monkeypatch.setattr(Encoder, "threads", 3)
    source, target = write_clip(tmp_path / "a.mkv", size=(640, 480)), tmp_path / "b.mkv"
    filter_video(source, target, noop, encoder=Encoder("libx264", options))
    # x264 writes its settings into the stream
    assert b" threads=%d " % threads in target.read_bytes()
