"""What an output does not keep: of frames, by what is known of the encoders; of tags, by reading it back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from vmaf_train.siting import UNKNOWN

LOST_SIDE_DATA = (Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL, Type.DOVI_METADATA)
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


def lost_of(first: VideoFrame, encoder: str, muxer: str, location: str) -> list[str]:
    """What of the first frame is not kept; `location` is where its chroma samples lie."""
    told = []
    if location not in (UNKNOWN, "left") and not {encoder, muxer} & set(TELL_LOCATION):
        told.append(f"chroma sample location {location}")
    for kind in LOST_SIDE_DATA:
        if side_data(first, kind) is not None:
            told.append(f"frame data {kind.name.lower()}")
    return told


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
    woven: int | None
    """The index of the stream that is encoded, where its frames are interlaced."""


def asked_of(
    container: OutputContainer, chapters: int, options: Mapping[str, str], woven: int | None
) -> Asked:
    """Take note of what `container`, which is still open, is to hold; `options` are those of its muxer."""
    streams = [(str(stream.type), dict(stream.metadata)) for stream in container.streams]
    movflags = options.get("movflags", "")
    return Asked(container.format.name, movflags, dict(container.metadata), streams, chapters, woven)


def lost_in(written: Path, asked: Asked) -> list[str]:
    """What the finished file `written` does not hold of that, a line each."""
    found: dict[str, str] = {}
    streams: list[tuple[str, dict[str, str]]] = []
    chapters, fields = 0, asked.woven is None
    # a file that cannot be opened, such as raw video, holds pictures alone
    with (
        contextlib.suppress(av.FFmpegError, ValueError, IndexError),
        av.open(f"file:{written}", metadata_errors="replace") as container,
    ):
        found, chapters = dict(container.metadata), len(container.chapters())
        streams = [(stream.type, dict(stream.metadata)) for stream in container.streams]
        if asked.woven is not None:
            # some encoders take fields for nothing but pictures, and none says so
            first = next(container.decode(container.streams[asked.woven]), None)
            fields = isinstance(first, VideoFrame) and first.interlaced_frame
    told = [] if fields else ["field order (players will take it for progressive)"]
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
