"""Decode clips in this process: facts of a clip, its middle luma frame, all its luma frames.

Luma is the Y plane as the decoder hands it out, upright as ffmpeg shows it (rotation metadata obeyed),
8 bits a pixel (deeper clips rounded, see `luma.to_8_bits`). Interlaced frames stay woven, non-square
pixels stay as they are coded. RGB clips become BT.601 limited-range luma, as in ffmpeg.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.sidedata.sidedata import Type
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmaf_train.errors import UserError
from vmaf_train.luma import Plane, to_8_bits

av.logging.set_level(None)

# codecs in which a picture marked as no reference is one: skipping it changes no other picture
SKIPPABLE = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
HIGH_ALIGNED = re.compile(r"p[024]1[0-9](le|be)|.*msb(le|be)")
CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class VideoInfo:
    """Facts of a clip; `width` and `height` are those of the upright frame, `duration` is in seconds."""

    width: int
    height: int
    fps: float
    frames: int
    duration: float
    codec: str
    pix_fmt: str


@dataclass(frozen=True)
class _Span:
    """When the pictures are shown, in ticks of the stream's time base."""

    start: int
    duration: Fraction

    def reaches_middle(self, pts: int) -> bool:
        return 2 * (pts - self.start) >= self.duration


@dataclass(frozen=True)
class _Packets:
    """What reading every packet, without decoding, says."""

    count: int
    span: _Span | None
    whole: bool


class _UncertainError(Exception):
    """The short way (seek, skip) is not certain to give the right frame."""


def probe(path: Path, *, whole: bool = False) -> VideoInfo:
    """Return the facts of a clip; the first frame is decoded.

    Args:
        path: the clip.
        whole: read every packet, so that a truncated clip is found and frames are counted, not believed.

    Raises:
        UserError: no such file, not a video, no picture in it, or (with `whole`) truncated.
    """
    with _opened(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        declared, count = _declared_span(container, stream), stream.frames
        first = next(iter(container.decode(stream)), None)
        if first is None:
            raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
        height, width = _luma_of(first, path).shape
        codec, pix_fmt = stream.codec_context.name, first.format.name
    if whole or not count or declared is None:
        with _opened(path) as (container, stream):
            packets = _read_packets(container, stream)
            base = stream.time_base or Fraction(1, 1)
        if whole and not packets.whole:
            raise UserError(f"{path}: truncated (it ends after {packets.count} pictures); replace the clip")
        count, declared = packets.count, declared or packets.span
    else:
        base = stream.time_base or Fraction(1, 1)
    duration = float(declared.duration * base) if declared else float(count / rate) if rate else 0.0
    fps = float(rate) if rate else count / duration if duration else 0.0
    return VideoInfo(width, height, fps, count, duration, codec, pix_fmt)


def middle_luma(path: Path) -> Plane:
    """Return the luma (H, W) of the first frame at or after half the duration, in order of presentation.

    The duration is that of the pictures where the file tells it, else the file's; without any, or where
    it reaches past the last picture, the packets are read. When no frame starts in the second half, the
    frame on screen in the middle is the last one.

    Raises:
        UserError: as `probe`; also damage at the middle, a clip cut off before it, or a single frame.
    """
    with _opened(path) as (container, stream):
        span = _declared_span(container, stream)
        if span is not None:
            with contextlib.suppress(_UncertainError, av.FFmpegError):
                return _luma_of(_seek_middle(container, stream, span), path)
    with _opened(path) as (container, stream):
        packets = _read_packets(container, stream)
    with _opened(path) as (container, stream):
        frame = _walk_to_middle(container, stream, span, packets, path)
        if frame.is_corrupt:
            raise UserError(f"{path}: the middle frame is damaged; replace the clip or remove it")
        return _luma_of(frame, path)


def iterate_luma(path: Path, every: int = 1, threads: int = 0) -> Iterator[tuple[int, Plane]]:
    """Yield (frame index, luma (H, W)) of every `every`-th frame, the first included.

    Args:
        path: the clip.
        every: step between frames, at least 1.
        threads: decoder threads; 0: one a core.

    Raises:
        UserError: as `probe`; also damage on the way.
    """
    with _opened(path, threads) as (container, stream):
        index = -1
        for index, frame in enumerate(container.decode(stream)):
            if index % every == 0:
                yield index, _luma_of(frame, path)
        if index < 0:
            raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")


@contextlib.contextmanager
def _opened(path: Path, threads: int = 1) -> Iterator[tuple[Any, VideoStream]]:
    """Open a clip and its best video stream; errors of the decoder become errors that name the clip."""
    if not path.is_file():
        raise UserError(f"no clip {path}; check the path")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); replace the clip or remove it")
    try:
        # `file:` and the whitelist: a clip's name or content must never open anything but this file
        with av.open(
            f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        ) as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
                raise UserError(f"{path} has no video stream; replace the clip or remove it")
            if not isinstance(stream.codec_context, VideoCodecContext):
                raise UserError(f"{path}: no decoder for its video; convert the clip or remove it")
            stream.codec_context.thread_count = threads
            stream.codec_context.thread_type = "AUTO" if threads != 1 else "NONE"
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path}: cannot decode ({reason}); replace the clip or remove it") from None


def _declared_span(container: Any, stream: VideoStream) -> _Span | None:
    """Start and duration of the pictures as the file declares them, None where it does not."""
    base = stream.time_base
    if not base or stream.start_time is None:
        return None
    if stream.duration is not None and stream.duration > 0:
        return _Span(stream.start_time, Fraction(stream.duration))
    # Matroska keeps the duration of each stream in a tag
    if tag := CLOCK.fullmatch(stream.metadata.get("DURATION", "")):
        seconds = (int(tag[1]) * 60 + int(tag[2])) * 60 + Fraction(tag[3])
        if seconds > 0:
            return _Span(stream.start_time, seconds / base)
    if container.duration is not None and container.duration > 0:
        return _Span(stream.start_time, Fraction(container.duration, av.time_base) / base)
    return None


def _seek_middle(container: Any, stream: VideoStream, span: _Span) -> VideoFrame:
    """Decode from the key frame before the middle on; `_UncertainError` unless the frame is certain."""
    target = span.start + int(span.duration / 2)
    context = stream.codec_context
    container.seek(target, stream=stream, backward=True, any_frame=False)
    first: int | None = None
    for packet in container.demux(stream):
        if packet.size and packet.pts is None:
            raise _UncertainError
        if first is None and packet.size:
            # a key frame shown after the target: the target would lie in the group of pictures before
            if not packet.is_keyframe or span.reaches_middle(packet.pts - 1):
                raise _UncertainError
            first = packet.pts
        if context.name in SKIPPABLE:
            early = bool(packet.size) and not span.reaches_middle(packet.pts)
            context.skip_frame = "NONREF" if early else "DEFAULT"
        for frame in packet.decode():
            if frame.pts is None or frame.is_corrupt:
                raise _UncertainError
            if span.reaches_middle(frame.pts):
                return frame  # type: ignore[no-any-return]
    raise _UncertainError


def _read_packets(container: Any, stream: VideoStream) -> _Packets:
    """Read all packets of the pictures: how many, when shown, and whether the file holds all it declares."""
    declared = _declared_span(container, stream)
    others = len(container.streams) > 1 and stream.duration is None and "DURATION" not in stream.metadata
    index = len(stream.index_entries) if "mp4" in container.format.name else 0
    count, begin, end, damaged = 0, None, None, False
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        damaged |= packet.is_corrupt
        if packet.pts is not None:
            shown_until = packet.pts + (packet.duration or 0)
            begin = packet.pts if begin is None else min(begin, packet.pts)
            end = shown_until if end is None else max(end, shown_until)
    whole = not damaged and count >= index
    if declared is not None and not others and end is not None and not index:
        # containers round times and last durations: a tenth of a second, or two pictures, is no loss
        slack = max(Fraction(1, 10) / (stream.time_base or 1), 2 * declared.duration / max(count, 1))
        whole = whole and end + slack >= declared.start + declared.duration
    span = _Span(begin, Fraction(end - begin)) if begin is not None and end is not None else None
    return _Packets(count, span if span and span.duration > 0 else None, whole)


def _walk_to_middle(
    container: Any, stream: VideoStream, declared: _Span | None, packets: _Packets, path: Path
) -> VideoFrame:
    """Decode from the start; the middle is the declared one unless the packets end before it."""
    span = packets.span
    if declared is not None and span is not None and declared.reaches_middle(span.start + int(span.duration)):
        span = declared
    elif not packets.whole:
        raise UserError(f"{path}: cut off before its middle frame; replace the clip")
    last: VideoFrame | None = None
    untimed = (packets.count + 1) // 2
    index = -1
    for index, frame in enumerate(container.decode(stream)):
        last = frame
        if span is None or frame.pts is None:
            if index >= untimed:
                return frame  # type: ignore[no-any-return]
        elif index and span.reaches_middle(frame.pts):
            return frame  # type: ignore[no-any-return]
    if last is None:
        raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
    if index == 0:
        raise UserError(f"{path} has a single frame, which is no video; replace the clip or remove it")
    return last


def _luma_of(frame: VideoFrame, path: Path) -> Plane:
    """Luma of a decoded frame, 8 bits a pixel and upright."""
    name, first = frame.format.name, frame.format.components[0]
    plain = frame.format.is_planar or name.startswith("gray")
    if not (first.is_luma and plain) or frame.format.is_rgb or not 8 <= first.bits <= 16:
        # packed, palette and RGB formats: swscale knows them all
        frame = frame.reformat(format="yuv444p")
        name, first = frame.format.name, frame.format.components[0]
    plane, deep = frame.planes[0], first.bits > 8
    kind = np.dtype(np.uint16 if deep else np.uint8).newbyteorder(">" if frame.format.is_big_endian else "<")
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[: frame.height]
    luma = np.ascontiguousarray(rows[:, : frame.width * kind.itemsize]).view(kind)
    bits = 16 if HIGH_ALIGNED.fullmatch(name) else first.bits
    return _upright(to_8_bits(luma, bits), frame, path)


def _upright(luma: Plane, frame: VideoFrame, path: Path) -> Plane:
    """Turn and mirror as the frame's display matrix asks, as ffmpeg does before its filters."""
    data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return luma
    a, b, _, c, d = np.frombuffer(memoryview(data), dtype=np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        luma, a, d, b, c = luma.T, c, b, 0, 0
    if abs(b) + abs(c) > (abs(a) + abs(d)) // 50:
        raise UserError(f"{path} is turned by an odd angle; re-encode it upright or remove it")
    return np.ascontiguousarray(luma[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
