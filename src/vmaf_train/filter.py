"""Command `filter`: a clip's luma through a filter model, everything else kept.

Decoding, the model and encoding run at the same time in three threads; a few frames wait between them,
so memory does not grow with the clip. The output appears when it is whole.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vmaf_train.condition import Condition
from vmaf_train.container import PacketReader, decode_packet, decoding, likely_frames, open_clip, packets_of
from vmaf_train.convert import Converter
from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError
from vmaf_train.files import replacing
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel
from vmaf_train.lost import cropped
from vmaf_train.output import Output
from vmaf_train.overlap import ahead
from vmaf_train.planes import (
    RunCodes,
    bit_depth,
    chroma_planes,
    filter_codes,
    no_luma,
    plane_view,
    to_planar,
)
from vmaf_train.surgery import check_strength
from vmaf_train.target import check_target, default_encoder, writing
from vmaf_train.times import order_of

if TYPE_CHECKING:
    from vmaf_train.raw import Raw

# items (frames, packets of other streams) that wait between two stages
DECODED = 16
FILTERED = 4

# a string, because PyAV's packets are generic in the type stubs only
Item: TypeAlias = "VideoFrame | Packet[Any]"


@dataclass(frozen=True)
class Filtered:
    """What `filter_video` did."""

    frames: int
    damaged: int
    """Frames that the decoder had to patch up, which are in the output, or to leave out."""
    truncated: bool
    """The input ends before what it declares."""
    seconds: float
    dropped: tuple[str, ...]
    """What the output's container, its encoder or PyAV cannot hold."""
    notes: tuple[str, ...]
    """What the encoder warned of, and pictures of a kind that no filter was trained on."""


def filter_video(
    source: Path | str,
    target: Path | str,
    model: LoadedModel,
    *,
    encoder: Encoder | None = None,
    chroma: bool = False,
    strength: float = 1.0,
    pix_fmt: str | None = None,
    raw: Raw | None = None,
    force: bool = False,
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Filtered:
    """Run every frame of `source` through a filter model and write `target`.

    Luma (8 to 16 bits, 4:2:0, 4:2:2, 4:4:4 or grey, any size) goes through the model; chroma does too
    when `chroma` is set, else it is untouched. Timestamps, colour tags, sample aspect ratio, rotation,
    chapters and tags are kept; audio and subtitles are copied.

    Args:
        source: the input clip.
        target: the output; its suffix decides the container.
        model: a filter, from `load_model`.
        encoder: encoder and options; unset: libx264 with its own defaults, for .y4m and .yuv rawvideo.
        chroma: filter the chroma planes as well.
        strength: the part of the model's change that is applied, above 0 and at most 1.
        pix_fmt: the planar YUV format that is encoded, converted to after the filter; unset: the clip's.
        raw: `source` is raw video of this size and format.
        force: replace an existing `target`.
        strict: refuse a `source` that is damaged or ends early, as soon as that is seen.
        progress: called with (frames done, frames expected or 0).

    Raises:
        UserError: a wrong kind of model, strength or format, a missing or unreadable input, an output that
            exists or is the input, a container or encoder that refuses, or damage that `strict` refuses. No
            output is left half-written.
    """
    source, target = Path(source), Path(target)
    if target.is_symlink():  # a link stays one, and what it points to is written
        target = Path(os.path.realpath(target))  # loops stay, and are refused like any path
    encoder = (encoder or Encoder(default_encoder(target))).quiet()
    model.require(Kind.FILTER)
    check_strength(strength)
    convert = Converter(pix_fmt)
    check_target(source, target, force)
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        container, video = open_clip(source, threads=0, far=True, raw=raw)
        stack.enter_context(container)
        clip = _Input(container, video, source)
        expected = likely_frames(container, video)
        # closed in the opposite order: nobody reads a closed container
        decoded = stack.enter_context(contextlib.closing(ahead(clip.items(), DECODED)))
        run = partial(model.run_codes, strength=strength)
        frames = _filtered(decoded, _Job(run, chroma, source, convert, raw))
        filtered = stack.enter_context(contextlib.closing(ahead(frames, FILTERED)))
        held, first = _until_first_frame(filtered, source)
        temporary = stack.enter_context(replacing(target))
        with writing(temporary, target, encoder) as opened:
            output = Output(opened, container, first, video, encoder)
            count = 0
            for item in itertools.chain(held, filtered):
                output.write(item)
                if strict and clip.damaged:
                    break
                if isinstance(item, VideoFrame):
                    count += 1
                    if progress is not None:
                        progress(count, expected)
            if strict and (clip.damaged or clip.truncated):
                raise UserError(
                    f"{source} is damaged or ends early, and --strict was given: nothing was written; "
                    "replace the clip, or leave --strict out to filter what can be decoded"
                )
            output.finish()
        output.check(temporary, target)
    return Filtered(
        frames=count,
        damaged=clip.damaged,
        truncated=clip.truncated,
        seconds=time.perf_counter() - begin,
        dropped=(*output.dropped, *clip.dropped, *convert.dropped),
        notes=(*output.notes, *_untrained(clip.condition)),
    )


@dataclass(frozen=True)
class _Job:
    run: RunCodes
    chroma: bool
    source: Path
    convert: Converter
    raw: Raw | None


def _filtered(items: Iterator[Item], job: _Job) -> Iterator[Item]:
    """Filter the frames among `items`; every frame must have the first one's size and format."""
    shape: tuple[int, int, str] | None = None
    reformatter = VideoReformatter()
    for item in items:
        if not isinstance(item, VideoFrame):
            yield item
            continue
        frame = to_planar(item, reformatter)
        if frame is None:
            told = no_luma(item.format) if job.raw is None else no_luma(item.format, job.raw.ffmpeg_input())
            raise UserError(f"{job.source}: {told}")
        found = (frame.width, frame.height, frame.format.name)
        if shape is None:
            shape = found
        if found != shape:
            raise UserError(f"{job.source}: frames change from {shape} to {found}; cut the clip there")
        _filter_frame(frame, job)
        yield job.convert(frame)


def _filter_frame(frame: VideoFrame, job: _Job) -> None:
    bits = bit_depth(frame.format.name) or 8
    # the decoder may still need the frame to predict others from
    frame.make_writable()
    for index in (0, *(chroma_planes(frame.format) if job.chroma else ())):
        filter_codes(plane_view(frame, index, bits), bits, job.run)


class _Input:
    """The clip, read once."""

    def __init__(self, container: InputContainer, video: VideoStream, source: Path) -> None:
        self.container, self.video, self.source = container, video, source
        self.packets, self.condition = PacketReader(container, video), Condition()
        self.lost = 0  # frames too damaged to decode
        # what the container says and PyAV does not, and what begins too late in the file to be found
        self.dropped = ["cropping (hidden pixels are shown)"] if cropped(container, video.index) else []
        self._order = order_of(container.format.name, video.codec_context.codec.name)
        self._started: set[int] = set()
        self._hidden: dict[int, Packet[Any]] = {}

    @property
    def damaged(self) -> int:
        """Frames so far that the decoder had to patch up or to leave out."""
        return self.condition.damaged + self.lost

    @property
    def truncated(self) -> bool:
        """Whether the file ends before what it declares, once all of it was read."""
        return not self.packets.result().whole

    def items(self) -> Iterator[Item]:
        """Frames of the video stream and packets of the others, in the order of the file."""
        with decoding(self.source):
            for packet in packets_of(self.container, late=self._find_late):
                # a packet that only flushes has no index of its own
                if packet.stream.index == self.video.index:
                    yield from self._frames(packet)
                elif packet.size:
                    yield from self._shown(packet)

    def _find_late(self) -> None:
        self.dropped.append("streams that begin late in the file")

    def _shown(self, packet: Packet[Any]) -> Iterator[Packet[Any]]:
        """A packet to copy, unless an edit list hides it: other containers would show it."""
        index, kind = packet.stream.index, packet.stream.type
        # pictures to copy are predicted from hidden ones
        if packet.is_discard and kind in ("audio", "subtitle"):
            if kind == "audio" and index not in self._started:
                self._hidden[index] = packet
            return
        self._started.add(index)
        # the first sound that is heard needs the one before to be decoded, as every AAC stream has it
        if (before := self._hidden.pop(index, None)) is not None:
            yield before
        yield packet

    def _frames(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        self.packets.add(packet)
        if self._order is not None:
            self._order.decode(packet)
        decoded, lost = decode_packet(packet)
        self.lost += lost
        for frame in decoded:
            if self._order is not None:
                self._order.show(frame, self.video.codec_context.reorder_depth)
            self.condition.see(frame)
            yield frame


def _untrained(condition: Condition) -> list[str]:
    """What no filter was trained on, a line each."""
    told = []
    if condition.hdr:
        told.append(f"HDR ({condition.hdr}), and the filters know SDR only")
    if condition.interlaced:
        told.append("interlaced frames are filtered woven, both fields as one picture")
    return told


def _until_first_frame(items: Iterator[Item], source: Path) -> tuple[list[Item], VideoFrame]:
    """Items up to and with the first frame, and that frame: it knows what the container may not."""
    held: list[Item] = []
    for item in items:
        held.append(item)
        if isinstance(item, VideoFrame):
            return held, item
    raise UserError(f"{source}: no picture can be decoded; replace the clip or remove it")
