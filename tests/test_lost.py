"""What an output does not keep, told of clips as they come from cameras and editors."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type
from clip_factory import ffmpeg
from test_filter import folder, noop, read, write_clip

from vmaf_train.encode import Encoder
from vmaf_train.ffmpeg import ffmpeg_exe
from vmaf_train.filter import filter_video
from vmaf_train.load import LoadedModel
from vmaf_train.lost import Look, lost_tags, side_data

__all__ = ["folder", "noop"]  # fixtures


def tagged(path: Path, **tags: str) -> Path:
    """Write a short clip with tags of the file, whatever its container knows of them."""
    plain = write_clip(path.with_name("plain.mkv"), encoder="libx264", frames=3, audio=True)
    words = [
        word for key, value in tags.items() for word in ("-metadata", f"{key.replace('__', '.')}={value}")
    ]
    ffmpeg("-i", plain, "-map_metadata", "-1", *words, "-movflags", "use_metadata_tags", "-c", "copy", path)
    return path


def keys(path: Path) -> set[str]:
    with av.open(str(path)) as container:
        return {key.lower() for key in container.metadata}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
def test_tags_that_mp4_does_not_know_are_told_and_kept_as_the_line_says(
    noop: LoadedModel, tmp_path: Path, suffix: str
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    tagged(
        source, title="A film", com__apple__quicktime__make="Apple", com__android__version="9", DIRECTOR="Me"
    )
    lost = "tags com.apple.quicktime.make, com.android.version, DIRECTOR"
    done = filter_video(source, target, noop)
    assert done.dropped == (f"{lost} (-o movflags=use_metadata_tags keeps them)",)
    assert "title" in keys(target)
    for given in ("", "+faststart"):
        options = {"movflags": given} if given else {}
        done = filter_video(source, target, noop, encoder=Encoder("libx264", options), force=True)
        advice = done.dropped[0].partition("movflags=")[2].removesuffix(" keeps them)")
        assert advice == (f"{given}+use_metadata_tags" if given else "use_metadata_tags")
        kept = filter_video(
            source, target, noop, encoder=Encoder("libx264", {"movflags": advice}), force=True
        )
        assert kept.dropped == ()
        assert {"com.apple.quicktime.make", "com.android.version", "director"} < keys(target)


def test_where_nothing_keeps_tags_no_option_is_named_and_many_are_counted(
    noop: LoadedModel, tmp_path: Path
) -> None:
    source = tagged(tmp_path / "in.mkv", **{f"KEY{index}": "value" for index in range(6)}, TITLE="A film")
    assert filter_video(source, tmp_path / "out.mkv", noop).dropped == ()
    # each has the same value, and is a tag of its own all the same; in TS the title is the service's name
    for suffix in (".avi", ".ts"):
        (told,) = filter_video(source, tmp_path / f"out{suffix}", noop).dropped
        assert re.fullmatch(r"tags (KEY\d, ){3}KEY\d and 2 more", told)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".ts"])
def test_tags_of_plain_clips_are_no_cause_for_a_line(noop: LoadedModel, tmp_path: Path, suffix: str) -> None:
    plain = write_clip(tmp_path / "plain.mkv", encoder="libx264", frames=3)
    for name in ("in.mp4", "in.mkv", "in.mov", "in.avi"):
        ffmpeg("-i", plain, "-map_metadata", "-1", "-c", "copy", tmp_path / name)
        assert filter_video(tmp_path / name, tmp_path / f"o{suffix}", noop, force=True).dropped == ()


def test_the_name_of_a_stream_and_its_language_are_kept_or_told(noop: LoadedModel, tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.mkv", encoder="libx264", frames=3, audio=True)
    source = tmp_path / "in.mp4"
    ffmpeg("-i", plain, "-map_metadata:g", "-1", "-metadata:s:a", "title=Stereo", "-c", "copy", source)
    for suffix in (".mp4", ".mkv"):
        target = tmp_path / f"out{suffix}"
        assert filter_video(source, target, noop).dropped == ()
        with av.open(str(target)) as after:
            assert after.streams.audio[0].metadata["language"] == "deu"
            assert "Stereo" in after.streams.audio[0].metadata.values()
    assert filter_video(source, tmp_path / "out.ts", noop).dropped == (
        "tags of stream 0 (video): title",
        "tags of stream 1 (audio): title",
    )
    assert filter_video(source, tmp_path / "out.avi", noop).dropped == ("tags of stream 1 (audio): language",)


@pytest.mark.parametrize(
    ("suffix", "kept"), [(".mkv", True), (".mp4", True), (".avi", False), (".ts", False)]
)
def test_chapters_are_kept_or_told(noop: LoadedModel, tmp_path: Path, suffix: str, kept: bool) -> None:
    lines, source = tmp_path / "chapters.txt", tmp_path / "in.mkv"
    lines.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle=One\n")
    clip = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.4", "-i", lines, "-map_chapters", "1")
    ffmpeg(*clip, "-c:v", "mpeg4", source)
    done = filter_video(source, tmp_path / f"out{suffix}", noop)
    assert done.dropped == (() if kept else ("chapters",))


@pytest.mark.parametrize(
    ("suffix", "dropped"),
    [
        (".mp4", ()),
        (".mov", ()),
        (".mkv", ("stream 1 (data)",)),  # the tag is kept, the track is not
        (".m4v", ("stream 1 (data)", "tags of stream 0 (video): timecode")),
    ],
)
def test_a_track_of_time_codes_is_written_anew_or_told(
    noop: LoadedModel, tmp_path: Path, suffix: str, dropped: tuple[str, ...]
) -> None:
    plain, source = write_clip(tmp_path / "plain.mkv", encoder="libx264", frames=3), tmp_path / "in.mov"
    target = tmp_path / f"out{suffix}"
    ffmpeg("-i", plain, "-map_metadata", "-1", "-timecode", "01:02:03:04", "-c", "copy", source)
    assert filter_video(source, target, noop).dropped == dropped
    with av.open(str(target)) as after:
        tracks = [stream.metadata["timecode"] for stream in after.streams if stream.type == "data"]
    assert tracks == ([] if dropped else ["01:02:03:04"])


@pytest.mark.parametrize("order", ["tff", "bff"])
@pytest.mark.parametrize(
    ("encoder", "suffix", "kept"),
    [
        ("libx264", ".mp4", True),
        ("libx264", ".mkv", True),
        ("mpeg2video", ".ts", True),
        ("mpeg4", ".avi", True),
        ("ffv1", ".mkv", True),
        ("libx265", ".mp4", False),
        ("libsvtav1", ".mp4", False),
        ("libvpx-vp9", ".webm", False),
        ("libvpx", ".mkv", False),
        ("rawvideo", ".yuv", False),
    ],
)
def test_the_order_of_fields_is_kept_or_told(
    noop: LoadedModel, tmp_path: Path, encoder: str, suffix: str, kept: bool, order: str
) -> None:
    source, target = tmp_path / "in.mpg", tmp_path / f"out{suffix}"
    fields = ("-vf", f"setfield={order}", "-flags", "+ilme+ildct", "-c:v", "mpeg2video")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=0.2", *fields, source)
    lost = "field order (players will take it for progressive)"
    assert filter_video(source, target, noop, encoder=Encoder(encoder)).dropped == (() if kept else (lost,))
    if suffix != ".yuv":
        assert {frame.interlaced_frame for frame in read(target)} == {kept}
    done = subprocess.run(
        [ffmpeg_exe(), "-i", target, "-vf", "showinfo", "-f", "null", "-"], capture_output=True
    )
    assert suffix == ".yuv" or f" i:{order[0].upper() if kept else 'P'} ".encode() in done.stderr


def add_box(path: Path, parents: str, box: bytes) -> Path:
    """Write a short clip in MP4 to `path`, with a box after all others in the innermost of `parents`."""
    plain = write_clip(path.with_name("plain.mkv"), encoder="libx264", frames=3)
    ffmpeg("-i", plain, "-map_metadata", "-1", "-c", "copy", path)
    data, at = bytearray(path.read_bytes()), 0
    starts = [at := data.index(name.encode(), at) - 4 for name in parents.split()]
    sizes = [int.from_bytes(data[start : start + 4], "big") for start in starts]
    for start, size in zip(starts, sizes, strict=True):
        data[start : start + 4] = (size + len(box)).to_bytes(4, "big")
    end = starts[-1] + sizes[-1]
    path.write_bytes(data[:end] + box + data[end:])
    return path


def spherical(path: Path, stereo: str = "") -> Path:
    """A clip of all directions, as cameras and YouTube's tool tag them; `stereo` is for two eyes."""
    told = "<GSpherical:Spherical>true</GSpherical:Spherical>"
    told += "<GSpherical:Stitched>true</GSpherical:Stitched>"
    told += "<GSpherical:StitchingSoftware>x</GSpherical:StitchingSoftware>"
    told += "<GSpherical:ProjectionType>equirectangular</GSpherical:ProjectionType>"
    told += f"<GSpherical:StereoMode>{stereo}</GSpherical:StereoMode>" if stereo else ""
    body = b"uuid" + bytes.fromhex("ffcc8263f8554a938814587a02521fdd") + told.encode()
    return add_box(path, "moov trak", (len(body) + 4).to_bytes(4, "big") + body)


def said(path: Path) -> set[Type]:
    return {kind for kind in (Type.SPHERICAL, Type.STEREO3D) if side_data(read(path)[0], kind) is not None}


@pytest.mark.parametrize(
    ("encoder", "lost"),
    # libx264 has a message for how two pictures share a frame
    [("libx264", ["spherical mapping"]), ("libx265", ["spherical mapping", "stereo 3D"])],
)
def test_what_360_degree_and_stereo_video_say_of_themselves_is_kept_or_told(
    noop: LoadedModel, tmp_path: Path, encoder: str, lost: list[str]
) -> None:
    source, target = spherical(tmp_path / "in.mp4", "left-right"), tmp_path / "out.mp4"
    assert said(source) == {Type.SPHERICAL, Type.STEREO3D}
    assert filter_video(source, target, noop, encoder=Encoder(encoder)).dropped == tuple(lost)
    assert said(target) == ({Type.STEREO3D} if encoder == "libx264" else set())
    plain = spherical(tmp_path / "plain.mp4")
    assert filter_video(plain, target, noop, encoder=Encoder(encoder), force=True).dropped == (lost[0],)


@pytest.mark.parametrize(
    ("width", "dropped"), [(48, ("cropping (hidden pixels are shown)",)), (64, ())], ids=["edges", "none"]
)
def test_edges_that_the_container_hides_are_told_as_shown(
    noop: LoadedModel, tmp_path: Path, width: int, dropped: tuple[str, ...]
) -> None:
    aperture = b"".join(number.to_bytes(4, "big") for number in (width, 1, 48, 1, 0, 1, 0, 1))
    clap = (8 + len(aperture)).to_bytes(4, "big") + b"clap" + aperture
    source = add_box(tmp_path / "in.mp4", "moov trak mdia minf stbl stsd avc1", clap)
    assert filter_video(source, tmp_path / "out.mp4", noop).dropped == dropped
    matroska = tmp_path / "in.mkv"
    ffmpeg("-i", source, "-c", "copy", "-metadata:s:v", "Frame Cropping=1/1/1/1", matroska)
    assert filter_video(matroska, tmp_path / "out.mkv", noop).dropped == dropped
    assert {(frame.width, frame.height) for frame in read(tmp_path / "out.mkv")} == {(64, 48)}


@pytest.mark.parametrize(
    ("asked", "found", "lost"),
    [
        ({"TITLE": "a"}, {"title": "b"}, []),  # whatever became of the value
        ({"date": "2020"}, {"year": "2020"}, []),
        ({"ARTIST": "Me", "DIRECTOR": "Me"}, {"artist": "Me"}, ["DIRECTOR"]),
        ({"make": "A", "make-eng": "A", "com.apple.quicktime.make": "A"}, {}, ["make"]),
        ({"make": "A", "com.apple.quicktime.make": "A"}, {"make": "A"}, []),
        ({"make": "A", "com.apple.quicktime.make": "B"}, {"make": "A"}, ["com.apple.quicktime.make"]),
        ({"encoder": "x", "ENCODER-eng": "x", "software": "y", "BPS-eng": "9", "handler_name": "z"}, {}, []),
        ({"language": "und", "creation_time": "1970-01-01T00:00:00.000000Z", "comment": ""}, {}, []),
    ],
)
def test_what_has_another_name_or_says_nothing_is_not_lost(
    asked: dict[str, str], found: dict[str, str], lost: list[str]
) -> None:
    assert lost_tags(asked, found) == lost


RANGE = "full range (players will show the wrong contrast)"
TAGS = "colour tags: primaries, transfer, matrix"
COLOURS = {"color_range": 2, "color_primaries": 1, "color_trc": 1, "colorspace": 1}


@pytest.mark.parametrize(
    ("encoder", "suffix", "lost"),
    [
        ("libx264", ".mkv", ()),
        ("libx264", ".avi", ()),
        ("libx265", ".mp4", ()),
        ("libsvtav1", ".mp4", ()),
        ("ffv1", ".mkv", ()),
        ("ffv1", ".avi", (RANGE, TAGS)),
        ("mpeg4", ".ts", (RANGE, TAGS)),
        ("mpeg2video", ".mkv", (RANGE,)),
        ("rawvideo", ".y4m", (TAGS,)),
        ("rawvideo", ".yuv", (RANGE, TAGS)),
    ],
)
def test_colour_tags_that_the_output_does_not_hold_are_told(
    encoder: str, suffix: str, lost: tuple[str, ...], noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mkv", **COLOURS)
    plain = write_clip(tmp_path / "plain.mkv")
    told = []
    for clip in (source, plain):
        done = filter_video(clip, tmp_path / f"o{suffix}", noop, encoder=Encoder(encoder), force=True)
        told.append(tuple(line for line in done.dropped if line.startswith(("colour", "full", "limited"))))
    assert told == [lost, ()]


@pytest.mark.parametrize(
    ("encoder", "suffix", "lost"),
    [
        ("libx264", ".mkv", ""),
        ("libsvtav1", ".mp4", ""),
        ("libsvtav1", ".mkv", "sample aspect ratio 4:3 (.mp4 keeps it)"),
        ("libvpx-vp9", ".webm", "sample aspect ratio 4:3 (.mp4 keeps it)"),
        ("ffv1", ".avi", "sample aspect ratio 4:3"),
        ("rawvideo", ".yuv", "sample aspect ratio 4:3"),
    ],
)
def test_a_shape_of_pixels_that_the_output_does_not_hold_is_told(
    encoder: str, suffix: str, lost: str, noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mp4", encoder="libx264", sample_aspect_ratio=Fraction(4, 3))
    done = filter_video(source, tmp_path / f"o{suffix}", noop, encoder=Encoder(encoder))
    assert [line for line in done.dropped if line.startswith("sample")] == ([lost] if lost else [])


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".yuv"])
def test_a_mirrored_clip_whose_mirroring_is_lost_is_told(
    suffix: str, noop: LoadedModel, tmp_path: Path
) -> None:
    plain = write_clip(tmp_path / "in.mp4", encoder="libx264")
    for flip in ("-display_vflip", "-display_hflip"):
        ffmpeg(flip, "-i", plain, "-c", "copy", tmp_path / "flipped.mp4")
        done = filter_video(tmp_path / "flipped.mp4", tmp_path / f"o{suffix}", noop, force=True)
        turned = [line for line in done.dropped if "mirroring" in line or "rotation" in line]
        assert turned == ([] if suffix == ".mp4" else ["mirroring"])


def test_tags_of_one_meaning_and_rounded_shapes_are_no_loss() -> None:
    colours = {"primaries": 1, "transfer": 1, "matrix": 6}
    known = Look(colours=colours, aspect=Fraction(1001, 1000))
    assert known.lost(Look(colours=colours, aspect=Fraction(1)), "matroska") == []
    frame = av.VideoFrame(2, 2, "yuv420p")
    frame.colorspace, frame.color_trc, frame.color_primaries = 5, 14, 1
    assert Look.of(frame, None).colours == colours
    assert Look().lost(Look(full=True), "mov") == [RANGE.replace("full", "limited")]


@pytest.mark.parametrize(
    ("suffix", "kept"), [(".mp4", True), (".mkv", True), (".ts", False), (".avi", False)]
)
def test_a_rotation_that_the_output_does_not_hold_is_told(
    suffix: str, kept: bool, noop: LoadedModel, tmp_path: Path
) -> None:
    source = write_clip(tmp_path / "in.mp4", encoder="libx264", rotation=90)
    done = filter_video(source, tmp_path / f"o{suffix}", noop)
    assert ("rotation by 90 degrees" in done.dropped) != kept
