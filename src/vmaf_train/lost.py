"""What an output does not keep of tags and of what frames say of themselves: it is read back."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame

from vmaf_train.errors import UserError
from vmaf_train.messages import listening
from vmaf_train.muxers import ONLY

FIELDS = "field order (players will take it for progressive)"
SAID_BESIDE = {
    Type.MASTERING_DISPLAY_METADATA: "frame data mastering_display_metadata",
    Type.CONTENT_LIGHT_LEVEL: "frame data content_light_level",
    Type.DOVI_METADATA: "frame data dovi_metadata",
    Type.SPHERICAL: "spherical mapping",
    Type.STEREO3D: "stereo 3D",
}
# tags of colour that frames have, besides the range
COLOURS = {"primaries": "color_primaries", "transfer": "color_trc", "matrix": "colorspace"}
UNSPECIFIED, FULL_RANGE = 2, 2
# tags of one meaning
SAME = {("matrix", 5): 6, **{("transfer", tag): 1 for tag in (6, 14, 15)}}
ROUNDED = 0.01  # part of a sample aspect ratio that is lost in rounding
UPRIGHT = (1.0, 0.0, 0.0, 1.0)
FIXED_POINT = 1 << 16  # one, in a display matrix
# muxers to which PyAV does not hand it on; some codecs say it themselves
NO_ASPECT = ("matroska", "webm")
# as FFmpeg prints it, not as a tag of that name
CROPPING = re.compile(r"^ {6}Frame Cropping: (\d+(?:/\d+)*)$", re.MULTILINE)
# encoders and containers that say where chroma samples lie
TELL_LOCATION = ("libx264", "libx265", "libsvtav1", "matroska", "webm")
IN_Y4M = ("left", "topleft", "center")  # of 8 bits
# encoders that write closed captions (A53) into the stream
KEEP_CAPTIONS = ("libx264", "libx264rgb", "libx265", "mpeg2video", "h264_nvenc", "hevc_nvenc", "h264_qsv")
# what the muxer writes itself
OWN_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate")
# what says how the old file was written (the last line: of MXF), and nothing of the clip
OF_THE_FILE = re.compile(
    r"(encoder|software|encoded_by|handler_name|vendor_id|bps|number_of_(bytes|frames)|_statistics_.*"
    r"|(generation_)?uid|\w+_umid|(product|company|toolkit)_\w+|application_platform|operational_pattern_ul)(-.*)?",
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
LIMITS = {"protocol_whitelist": "file"}


def cropped(source: InputContainer, index: int) -> bool:
    """Whether the container hides edges of a stream's pictures, which PyAV tells in FFmpeg's words only."""
    with listening(av.logging.INFO):
        said: str = cast(Any, source).dumps_format()  # PyAV's type stubs leave it out
    for stream in said.split("\n  Stream #0:")[1:]:
        if re.match(rf"{index}\b", stream):
            return any(int(edge) for found in CROPPING.findall(stream) for edge in found.split("/"))
    return False


@dataclass(frozen=True)
class Look:
    """How pictures are to be shown, as their first frame and their stream say."""

    facts: tuple[str, ...] = ()
    colours: Mapping[str, int] = field(default_factory=dict)
    """Of ITU-T H.273, but for what is unspecified."""
    full: bool = False
    """Full range."""
    aspect: Fraction = Fraction(1)
    """Of a sample."""
    turn: tuple[float, ...] = UPRIGHT
    """Of the display matrix, what turns and mirrors."""
    rotation: int = 0
    """In degrees, anticlockwise."""

    @classmethod
    def of(cls, frame: VideoFrame, aspect: Fraction | None) -> Look:
        """What a frame, and the sample aspect ratio of its stream, say."""
        facts = [FIELDS] if frame.interlaced_frame else []
        facts += [text for kind, text in SAID_BESIDE.items() if side_data(frame, kind) is not None]
        tags = {name: int(getattr(frame, key)) for name, key in COLOURS.items()}
        colours = {name: SAME.get((name, tag), tag) for name, tag in tags.items() if tag != UNSPECIFIED}
        full = int(frame.color_range) == FULL_RANGE
        matrix = side_data(frame, Type.DISPLAYMATRIX)
        turn: tuple[float, ...] = UPRIGHT
        if matrix is not None:
            numbers = np.frombuffer(memoryview(matrix), np.int32) / FIXED_POINT
            turn = tuple(round(float(numbers[index]), 2) for index in (0, 1, 3, 4))
        return cls(tuple(facts), colours, full, aspect or Fraction(1), turn, frame.rotation)

    def lost(self, found: Look, muxer: str) -> list[str]:
        """What of it a file that looks like `found` does not hold, a line each."""
        told = [fact for fact in self.facts if fact not in found.facts]
        tags = [name for name, tag in self.colours.items() if found.colours.get(name) != tag]
        if self.full != found.full:
            told.append(f"{'full' if self.full else 'limited'} range (players will show the wrong contrast)")
        if tags:
            told.append(f"colour tags: {', '.join(tags)}")
        # containers round it
        if abs(found.aspect / self.aspect - 1) > ROUNDED:
            ratio = f"{self.aspect.numerator}:{self.aspect.denominator}"
            hint = " (.mp4 keeps it)" if muxer in NO_ASPECT else ""
            told.append(f"sample aspect ratio {ratio}{hint}")
        if self.turn != found.turn:
            mirrored = self.turn[0] * self.turn[3] < self.turn[1] * self.turn[2]
            told.append("mirroring" if mirrored else f"rotation by {self.rotation} degrees")
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
    encoded: int
    """The index of the stream that is encoded."""
    look: Look
    """Of its pictures."""


def asked_of(
    container: OutputContainer, chapters: int, options: Mapping[str, str], encoded: int, look: Look
) -> Asked:
    """Take note of what `container`, which is still open, is to hold; `options` are those of its muxer."""
    return Asked(
        muxer=container.format.name,
        movflags=options.get("movflags", ""),
        tags=dict(container.metadata),
        streams=[(stream.type, dict(stream.metadata)) for stream in container.streams],
        chapters=chapters,
        encoded=encoded,
        look=look,
    )


def lost_in(written: Path, asked: Asked, target: Path) -> list[str]:
    """What the finished file `written`, which becomes `target`, does not hold of that, a line each.

    Raises:
        UserError: it holds no picture that can be decoded.
    """
    found: dict[str, str] = {}
    streams: list[tuple[str, dict[str, str]]] = []
    chapters = 0
    look = Look()
    seen: bool | None = None
    # what cannot be opened holds pictures alone, as raw video does, whose samples may look like a script
    with contextlib.suppress(av.FFmpegError, ValueError):
        if asked.muxer not in ONLY:
            with av.open(f"file:{written}", options=LIMITS, metadata_errors="replace") as container:
                found, chapters = dict(container.metadata), len(container.chapters())
                streams = [(stream.type, dict(stream.metadata)) for stream in container.streams]
                seen = False
                for stream in container.streams.video:
                    # what an encoder keeps, none says
                    if stream.index == asked.encoded and (first := next(container.decode(stream), None)):
                        look, seen = Look.of(first, stream.sample_aspect_ratio), True
                        break
    if seen is False:
        raise UserError(
            f"{target}: no picture can be read back from what this encoder writes into {asked.muxer}; give "
            "another --encoder, or a name that ends in .mkv"
        )
    told = asked.look.lost(look, asked.muxer)
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
