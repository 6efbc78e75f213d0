"""Decode clips in this process: facts of a clip, and all its luma frames.

Luma is the Y plane as the decoder hands it out, upright as ffmpeg shows it (rotation metadata obeyed),
8 bits a pixel (deeper clips rounded, see `luma.to_8_bits`). Interlaced frames stay woven, non-square
pixels stay as they are coded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from av.video.frame import VideoFrame

from vmaf_train.condition import Condition
from vmaf_train.container import (
    PacketReader,
    declared_span,
    decode_packet,
    frames_of,
    opened,
    packets_of,
    read_packets,
)
from vmaf_train.errors import UserError
from vmaf_train.luma import Plane, luma_of
from vmaf_train.times import order_of

if TYPE_CHECKING:
    from vmaf_train.raw import Raw

RATE_TOLERANCE = 0.05  # a declared frame rate further off than this is not believed


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


def probe(path: Path, *, whole: bool = False) -> VideoInfo:
    """Return the facts of a clip; the first frame is decoded.

    Args:
        path: the clip.
        whole: read every packet, so that a truncated clip is found and frames are counted, not believed.

    Raises:
        UserError: no such file, not a video, no picture in it, or (with `whole`) truncated or damaged.
    """
    with opened(path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        tick = float(stream.time_base or 0)
        span, count = declared_span(container, stream), stream.frames
        first = next(frames_of(container, stream), None)
        if first is None:
            raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
        height, width = luma_of(first, path).shape
        codec, pix_fmt = stream.codec_context.codec.canonical_name, first.format.name
    if whole or not count or span is None:
        with opened(path) as (container, stream):
            packets = read_packets(container, stream)
        if whole and not packets.whole:
            raise UserError(
                f"{path}: truncated after {packets.count} pictures; replace the clip or remove it"
            )
        if whole and packets.damaged:
            raise UserError(
                f"{path}: {packets.damaged} of {packets.count} pictures are damaged; replace the clip or "
                "remove it"
            )
        count, span = packets.count, span or packets.span
    seconds = float(span.duration) * tick if span else count / rate if rate else 0.0
    if seconds and (not rate or abs(count / seconds / rate - 1) > RATE_TOLERANCE):
        rate = count / seconds
    return VideoInfo(width, height, rate, count, seconds, codec, pix_fmt)


def iterate_luma(path: Path, every: int = 1, threads: int = 0) -> Iterator[tuple[int, Plane]]:
    """Yield (frame index, luma (H, W)) of every `every`-th frame; otherwise as `iterate_frames`."""
    for index, frame in iterate_frames(path, every, threads):
        yield index, luma_of(frame, path)


def iterate_frames(
    path: Path,
    every: int = 1,
    threads: int = 0,
    condition: Condition | None = None,
    watch: Callable[[], None] | None = None,
    raw: Raw | None = None,
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield (frame index, frame) of every `every`-th frame, the first included.

    Args:
        path: the clip.
        every: step between frames, at least 1.
        threads: decoder threads; 0: one a core.
        condition: filled with what is seen of the clip; complete after the last frame. Frames too damaged
            to decode are counted in it and left out; without it the first one is an error.
        watch: called at each decoded frame; what it raises ends the decoding.
        raw: the clip is raw video of this size and format.

    Raises:
        UserError: as `probe`; also damage that ends the decoding.
    """
    seen = condition or Condition()
    with opened(path, threads, raw) as (container, stream):
        packets, index = PacketReader(container, stream), 0
        order = order_of(container.format.name, stream.codec_context.codec.name)
        for packet in packets_of(container, stream):
            packets.add(packet)
            if order is not None:
                order.decode(packet)
            decoded, lost = (packet.decode(), False) if condition is None else decode_packet(packet)
            seen.damaged += lost
            for frame in decoded:
                if order is not None:
                    order.show(frame, stream.codec_context.reorder_depth)
                seen.see(frame)
                if watch is not None:
                    watch()
                if index % every == 0:
                    yield index, frame
                index += 1
        if index == 0:
            raise UserError(f"{path}: no picture can be decoded; replace the clip or remove it")
        seen.truncated = not packets.result().whole
