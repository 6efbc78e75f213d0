"""The middle luma frame of a clip, with as little decoding as gives exactly that frame."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmaf_train.container import Packets, Span, declared_span, frames_of, opened, packets_of, read_packets
from vmaf_train.errors import UserError
from vmaf_train.luma import Plane, luma_of

SEEKS = 4  # key frames tried, backwards, until one is shown before the middle
# codecs in which a picture marked as no reference is one: skipping it changes no other picture
SKIPPABLE = ("h264", "mpeg1video", "mpeg2video", "mpeg4")


class _UncertainError(Exception):
    """The short way (seek, skip) is not certain to give the right frame."""


def middle_luma(path: Path) -> Plane:
    """Return the luma (H, W) of the first frame at or after half the duration, in order of presentation.

    The duration is that of the pictures as the header of an MP4, MOV, Matroska or WebM file declares it;
    of other containers, and where a header reaches past the last picture, the packets say it. When no
    frame starts in the second half, it is the last frame, which is on screen in the middle.

    Raises:
        UserError: as `probe`; also damage at the middle, a clip cut off before it, or a single frame.
    """
    with opened(path) as (container, stream):
        span = declared_span(container, stream)
        if span is not None:
            with contextlib.suppress(_UncertainError, av.FFmpegError):
                return luma_of(_seek_middle(container, stream, span), path)
    with opened(path) as (container, stream):
        packets = read_packets(container, stream)
    with opened(path) as (container, stream):
        frame = _walk_to_middle(container, stream, packets, path)
        if frame.is_corrupt:
            raise UserError(f"{path}: the middle frame is damaged; replace the clip or remove it")
        return luma_of(frame, path)


def _seek_middle(container: Any, stream: VideoStream, span: Span) -> VideoFrame:
    """Decode from the key frame before the middle on; `_UncertainError` unless the frame is certain."""
    target = span.start + int(span.duration / 2)
    for _ in range(SEEKS):
        container.seek(target, stream=stream, backward=True, any_frame=False)
        packets = (packet for packet in packets_of(container, stream) if packet.size)
        key = next(packets, None)
        if key is None or not key.is_keyframe or key.pts is None:
            raise _UncertainError
        if not span.reaches_middle(key.pts - 1):
            return _decode_to_middle(itertools.chain([key], packets), key.pts, stream, span)
        # in an open group of pictures the middle is shown before this key frame: start one earlier
        target = min(key.pts if key.dts is None else key.dts, target) - 1
    raise _UncertainError


def _decode_to_middle(packets: Iterable[Any], key: int, stream: VideoStream, span: Span) -> VideoFrame:
    context = stream.codec_context
    found_key = False
    wanted: int | None = None
    for packet in _up_to_middle(packets, span):
        if packet.wanted:
            wanted = packet.data.pts
        if context.name in SKIPPABLE:
            context.skip_frame = "DEFAULT" if packet.wanted else "NONREF"
        for frame in context.decode(packet.data):
            if frame.pts is None or frame.is_corrupt:
                raise _UncertainError
            # a decoder that waits until it has recovered (intra refresh) shows a later frame first
            found_key |= frame.pts == key
            if span.reaches_middle(frame.pts):
                # an interlaced frame may have its second field in a packet of its own
                if not found_key or frame.pts != wanted or frame.interlaced_frame:
                    raise _UncertainError
                return frame
    raise _UncertainError


class _Packet(NamedTuple):
    data: Any
    wanted: bool
    """It is the middle frame's own."""


def _up_to_middle(packets: Iterable[Any], span: Span) -> Iterator[_Packet]:
    """The packets up to the middle frame's own in the order of decoding, then an empty one.

    No picture is shown before it is decoded: once decoding comes as late as the earliest picture of the
    second half, no earlier one follows. The empty packet makes the decoder hand out what it holds back,
    so that no later picture is decoded only to push this one out.
    """
    second_half: list[Any] = []
    middle = 0
    for packet in packets:
        if packet.pts is None or packet.dts is None or packet.pts < packet.dts:
            raise _UncertainError
        if span.reaches_middle(packet.pts):
            middle = min(middle, packet.pts) if second_half else packet.pts
        elif not second_half:
            yield _Packet(packet, wanted=False)
            continue
        second_half.append(packet)
        if packet.dts >= middle:
            break
    for packet in second_half:
        yield _Packet(packet, wanted=packet.pts == middle)
        if packet.pts == middle:
            break
    yield _Packet(None, wanted=False)


def _walk_to_middle(container: Any, stream: VideoStream, packets: Packets, path: Path) -> VideoFrame:
    """Decode from the start; without times the middle of N frames is frame N / 2, rounded up."""
    declared = declared_span(container, stream)
    if declared is not None and packets.span != declared and not packets.whole:
        raise UserError(f"{path}: cut off before its middle frame; replace the clip or remove it")
    span: Span | None = None
    last: VideoFrame | None = None
    index = -1
    frame: VideoFrame
    for index, frame in enumerate(frames_of(container, stream)):
        last = frame
        if index == 0 and packets.span is not None and frame.pts is not None:
            # the first packet is not always of the first picture that can be decoded
            span = Span(frame.pts, packets.span.duration)
        if span is None or frame.pts is None:
            if index >= (packets.count + 1) // 2:
                return frame
        elif span.reaches_middle(frame.pts):
            return frame
    if last is None:
        raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
    if index == 0:
        raise UserError(f"{path} has a single frame, which is no video; replace the clip or remove it")
    return last
