"""Decode clips in this process: facts of a clip, its middle luma frame, all its luma frames.

Luma is the Y plane as the decoder hands it out, upright as ffmpeg shows it (rotation metadata obeyed),
8 bits a pixel (deeper clips rounded, see `luma.to_8_bits`). Interlaced frames stay woven, non-square
pixels stay as they are coded.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.logging
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmaf_train.errors import UserError
from vmaf_train.luma import Plane, luma_of

av.logging.set_level(None)

# containers whose header says when the pictures start and end, and that seek exactly
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
# demuxers of clips; scripts that name other files (concat, HLS, DASH, image lists) are not among them
FORMATS = (
    "asf,av1,avi,dv,flv,gif,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,"
    "rm,vc1,vvc,wtv,yuv4mpegpipe"
)
SEEKS = 4  # key frames tried, backwards, until one is shown before the middle
RATE_TOLERANCE = 0.05  # a declared frame rate further off than this is not believed
# codecs in which a picture marked as no reference is one: skipping it changes no other picture
SKIPPABLE = ("h264", "mpeg1video", "mpeg2video", "mpeg4")
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
    """What reading every packet, without decoding, says; `span` is None without times."""

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
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        tick = float(stream.time_base or 0)
        span, count = _declared_span(container, stream), stream.frames
        first = next(iter(container.decode(stream)), None)
        if first is None:
            raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
        height, width = luma_of(first, path).shape
        codec, pix_fmt = stream.codec_context.codec.canonical_name, first.format.name
    if whole or not count or span is None:
        with _opened(path) as (container, stream):
            packets = _read_packets(container, stream)
        if whole and not packets.whole:
            raise UserError(
                f"{path}: truncated after {packets.count} pictures; replace the clip or remove it"
            )
        count, span = packets.count, span or packets.span
    seconds = float(span.duration) * tick if span else count / rate if rate else 0.0
    if seconds and (not rate or abs(count / seconds / rate - 1) > RATE_TOLERANCE):
        rate = count / seconds
    return VideoInfo(width, height, rate, count, seconds, codec, pix_fmt)


def middle_luma(path: Path) -> Plane:
    """Return the luma (H, W) of the first frame at or after half the duration, in order of presentation.

    The duration is that of the pictures as the header of an MP4, MOV, Matroska or WebM file declares it;
    of other containers, and where a header reaches past the last picture, the packets say it. When no
    frame starts in the second half, it is the last frame, which is on screen in the middle.

    Raises:
        UserError: as `probe`; also damage at the middle, a clip cut off before it, or a single frame.
    """
    with _opened(path) as (container, stream):
        span = _declared_span(container, stream)
        if span is not None:
            with contextlib.suppress(_UncertainError, av.FFmpegError):
                return luma_of(_seek_middle(container, stream, span), path)
    with _opened(path) as (container, stream):
        packets = _read_packets(container, stream)
    with _opened(path) as (container, stream):
        frame = _walk_to_middle(container, stream, packets, path)
        if frame.is_corrupt:
            raise UserError(f"{path}: the middle frame is damaged; replace the clip or remove it")
        return luma_of(frame, path)


def iterate_luma(path: Path, every: int = 1, threads: int = 0) -> Iterator[tuple[int, Plane]]:
    """Yield (frame index, luma (H, W)) of every `every`-th frame; otherwise as `iterate_frames`."""
    for index, frame in iterate_frames(path, every, threads):
        yield index, luma_of(frame, path)


def iterate_frames(path: Path, every: int = 1, threads: int = 0) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (frame index, frame) of every `every`-th frame, the first included.

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
                yield index, frame
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
        # `file:` and the lists: a clip's name or content must never open anything but this file
        limits = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        with av.open(f"file:{path}", options=limits, metadata_errors="replace") as container:
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
    """Start and duration of the pictures as an exact container declares them, else None."""
    if container.format.name not in EXACT or not stream.time_base:
        return None
    start = stream.start_time or 0  # None where too few pictures are left to tell
    if stream.duration is not None and stream.duration > 0:
        return _Span(start, Fraction(stream.duration))
    if start != 0:
        # what Matroska calls duration is the time of the end: sure only for pictures that start at 0
        return None
    if tag := CLOCK.fullmatch(stream.metadata.get("DURATION", "")):
        seconds = (int(tag[1]) * 60 + int(tag[2])) * 60 + Fraction(tag[3])
        if seconds > 0:
            return _Span(start, seconds / stream.time_base)
    if container.duration is not None and container.duration > 0:
        return _Span(start, Fraction(container.duration, av.time_base) / stream.time_base)
    return None


def _seek_middle(container: Any, stream: VideoStream, span: _Span) -> VideoFrame:
    """Decode from the key frame before the middle on; `_UncertainError` unless the frame is certain."""
    target = span.start + int(span.duration / 2)
    for _ in range(SEEKS):
        container.seek(target, stream=stream, backward=True, any_frame=False)
        packets = (packet for packet in container.demux(stream) if packet.size)
        key = next(packets, None)
        if key is None or not key.is_keyframe or key.pts is None:
            raise _UncertainError
        if not span.reaches_middle(key.pts - 1):
            return _decode_to_middle(itertools.chain([key], packets), key.pts, stream, span)
        # in an open group of pictures the middle is shown before this key frame: start one earlier
        target = min(key.pts if key.dts is None else key.dts, target) - 1
    raise _UncertainError


def _decode_to_middle(packets: Iterable[Any], key: int, stream: VideoStream, span: _Span) -> VideoFrame:
    context = stream.codec_context
    found_key = False
    for packet in itertools.chain(packets, [None]):
        if packet is not None and packet.pts is None:
            raise _UncertainError
        if context.name in SKIPPABLE:
            early = packet is not None and not span.reaches_middle(packet.pts)
            context.skip_frame = "NONREF" if early else "DEFAULT"
        for frame in context.decode(packet):
            if frame.pts is None or frame.is_corrupt:
                raise _UncertainError
            # a decoder that waits until it has recovered (intra refresh) shows a later frame first
            found_key |= frame.pts == key
            if span.reaches_middle(frame.pts):
                if not found_key:
                    raise _UncertainError
                return frame
    raise _UncertainError


def _read_packets(container: Any, stream: VideoStream) -> _Packets:
    """Read all packets of the pictures: how many, when, and whether the file holds all it declares."""
    declared = _declared_span(container, stream)
    own = stream.duration is not None or "DURATION" in stream.metadata or len(container.streams) == 1
    indexed = len(stream.index_entries) if container.format.name == EXACT[0] else 0
    count, damaged, timed = 0, False, 0
    begin = last = end = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        count += 1
        damaged |= packet.is_corrupt
        if packet.pts is not None:
            until = packet.pts + (packet.duration or 0)
            begin, last = min(begin, packet.pts) if timed else packet.pts, max(last, packet.pts)
            end, timed = max(end, until) if timed else until, timed + 1
    if timed > 1 and end == last:
        # no durations: the last picture is shown as long as the others on average
        end += (last - begin) // (timed - 1)
    whole = not damaged and count >= indexed
    if declared is not None and own and timed and not indexed:
        # headers round times: two pictures, or a tenth of a second, is no loss
        slack = max(Fraction(1, 10) / (stream.time_base or 1), 2 * declared.duration / count)
        whole = whole and end + slack >= declared.start + declared.duration
    # AVI has no times of presentation: what the demuxer gives is the order of decoding
    sure = timed == count and end > begin and container.format.name != "avi"
    span = _Span(begin, Fraction(end - begin)) if sure else None
    return _Packets(count, declared if declared and span and declared.reaches_middle(last) else span, whole)


def _walk_to_middle(container: Any, stream: VideoStream, packets: _Packets, path: Path) -> VideoFrame:
    """Decode from the start; without times the middle of N frames is frame N / 2, rounded up."""
    declared = _declared_span(container, stream)
    if declared is not None and packets.span != declared and not packets.whole:
        raise UserError(f"{path}: cut off before its middle frame; replace the clip or remove it")
    span: _Span | None = None
    last: VideoFrame | None = None
    index = -1
    frame: VideoFrame
    for index, frame in enumerate(container.decode(stream)):
        last = frame
        if index == 0 and packets.span is not None and frame.pts is not None:
            # the first packet is not always of the first picture that can be decoded
            span = _Span(frame.pts, packets.span.duration)
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
