"""What an output does not keep of tags and of what frames say of themselves: it is read back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from vmaf_train.messages import listening

FIELDS = "field order (players will take it for progressive)"
SAID_BESIDE = {
    Type.MASTERING_DISPLAY_METADATA: "frame data mastering_display_metadata",
    Type.CONTENT_LIGHT_LEVEL: "frame data content_light_level",
    Type.DOVI_METADATA: "frame data dovi_metadata",
    Type.SPHERICAL: "spherical mapping",
    Type.STEREO3D: "stereo 3D",
}
# as FFmpeg prints it, not as a tag of that name
CROPPING = re.compile(r"^ {6}Frame Cropping: (\d+(?:/\d+)*)$", re.MULTILINE)
# encoders and containers that say where chroma samples lie
TELL_LOCATION = ("libx264", "libx265", "libsvtav1", "matroska", "webm")
# encoders that write closed captions (A53) into the stream
KEEP_CAPTIONS = ("libx264", "libx264rgb", "libx265", "mpeg2video", "h264_nvenc", "hevc_nvenc", "h264_qsv")
# what the muxer writes itself
OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate")
# what says how the old file was written, and nothing of the clip
OF_THE_FILE = re.compile(
    r"(encoder|software|encoded_by|handler_name|vendor_id|bps|number_of_(bytes|frames)|_statistics_.*)(-.*)?",
    re.IGNORECASE,
)
# the creation time of files that have none, the language of streams in an unknown one
NOTHING = re.compile(r"|und|(1970|1904)-01-01T00:00:00.*")
# of a stream: containers without it have that of the file; of pictures: no words are in them
OF_EACH = {
    "video": ("creation_time", "language"),
    "audio": ("creation_time",),
    "subtitle": ("creation_time",),
}
# container -> tags that it holds where FFmpeg does not look for them
ELSEWHERE = {"mpegts": ("title", "service_name", "service_provider")}
# muxers of MP4's kin that write unknown tags when asked
ANY_TAG = ("mp4", "mov", "ipod", "f4v", "ismv")
NAMED = 4


def cropped(source: InputContainer, index: int) -> bool:
    """Whether the container hides edges of a stream's pictures, which PyAV tells in FFmpeg's words only."""
    with listening(av.logging.INFO):
        said: str = cast(Any, source).dumps_format()  # PyAV's type stubs leave it out
    for stream in said.split("\n  Stream #0:")[1:]:
        if re.match(rf"{index}\b", stream):
            return any(int(edge) for found in CROPPING.findall(stream) for edge in found.split("/"))
    return False


def facts_of(frame: VideoFrame) -> list[str]:
    """What a frame says of itself that not every encoder and container keeps."""
    said = [FIELDS] if frame.interlaced_frame else []
    return said + [text for kind, text in SAID_BESIDE.items() if side_data(frame, kind) is not None]


def side_data(frame: VideoFrame, kind: Type) -> Any:
    """What the decoder says of a frame beside its samples, if anything."""
    # the container takes the enumeration's members, its type stub only words
    return cast(Mapping[Type, Any], frame.side_data).get(kind)


@dataclass(frozen=True)
class Asked:
    """What an output was asked to hold besides pictures and sound."""

    muxer: str
    movflags: str
    tags: dict[str, str]
    streams: list[tuple[str, dict[str, str]]]
    """Type and tags of each."""
    chapters: int
    encoded: int
    """The index of the stream that is encoded."""
    facts: list[str]
    """What its first frame says of itself."""


def asked_of(
    container: OutputContainer, chapters: int, options: Mapping[str, str], encoded: int, first: VideoFrame
) -> Asked:
    """Take note of what `container`, which is still open, is to hold; `options` are those of its muxer."""
    return Asked(
        muxer=container.format.name,
        movflags=options.get("movflags", ""),
        tags=dict(container.metadata),
        streams=[(stream.type, dict(stream.metadata)) for stream in container.streams],
        chapters=chapters,
        encoded=encoded,
        facts=facts_of(first),
    )


def lost_in(written: Path, asked: Asked) -> list[str]:
    """What the finished file `written` does not hold of that, a line each."""
    found: dict[str, str] = {}
    streams: list[tuple[str, dict[str, str]]] = []
    chapters = 0
    facts: list[str] = []
    # a file that cannot be opened, such as raw video, holds pictures alone
    with (
        contextlib.suppress(av.FFmpegError, ValueError, IndexError),
        av.open(f"file:{written}", metadata_errors="replace") as container,
    ):
        found, chapters = dict(container.metadata), len(container.chapters())
        streams = [(stream.type, dict(stream.metadata)) for stream in container.streams]
        if asked.facts:
            # whether an encoder keeps them, none says
            first = next(container.decode(container.streams[asked.encoded]), None)
            facts = facts_of(first) if isinstance(first, VideoFrame) else []
    told = [fact for fact in asked.facts if fact not in facts]
    hidden = ELSEWHERE.get(asked.muxer, ())
    if lost := [key for key in lost_tags(asked.tags, found) if key.lower() not in hidden]:
        hint = ""
        if asked.muxer in ANY_TAG and "use_metadata_tags" not in asked.movflags:
            given = f"{asked.movflags}+" if asked.movflags else ""
            hint = f" (-o movflags={given}use_metadata_tags keeps them)"
        told.append(f"tags {_few(lost)}{hint}")
    for index, (kind, tags) in enumerate(asked.streams):
        same = index < len(streams) and streams[index][0] == kind
        lost = lost_tags(tags, streams[index][1] if same else {})
        lost = [key for key in lost if key.lower() not in OF_EACH.get(kind, ())]
        if lost and kind in OF_EACH:
            told.append(f"tags of stream {index} ({kind}): {_few(lost)}")
    if chapters < asked.chapters:
        told.append("chapters" if not chapters else f"{asked.chapters - chapters} of the chapters")
    return told


def lost_tags(asked: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Keys of `asked` that `found` has neither, in any case, nor their values under other names."""
    left = {key.lower(): value for key, value in found.items()}
    kept, missing = [], {}
    for key, value in asked.items():
        if left.pop(key.lower(), None) is not None:
            kept.append(key)
        elif key.lower() not in OWN_TAGS and not OF_THE_FILE.fullmatch(key) and not NOTHING.fullmatch(value):
            missing[key] = value
    renamed = list(left.values())
    lost: list[str] = []
    for key, value in missing.items():
        if value in renamed:
            renamed.remove(value)
        # `make`, `make-eng` and `com.apple.quicktime.make` say one thing
        elif not any(asked[other] == value and _same(key, other) for other in (*kept, *lost)):
            lost.append(key)
    return lost


def _same(key: str, other: str) -> bool:
    one, two = (set(re.split(r"[.-]", name.lower())) for name in (key, other))
    return one <= two or two <= one


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
