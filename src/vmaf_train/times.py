"""When the frames of `filter` are shown: in the order of showing, one after the other."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction
from pathlib import Path
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

from vmaf_train.errors import UserError

BACK = 0.5  # seconds that times may step back, as they do in damaged clips; joined clips start anew
UNEVEN = 1.5  # steps from a steady rate; a frame that is dropped, or the end of XviD's, is one
# codecs whose frames of AVI come with the time of decoding; of older ones FFmpeg knows the other
REORDERED = ("h264", "hevc", "vvc")
# but for two pictures in one packet, as XviD packs them into AVI: FFmpeg takes the second for a later one
PACKED = ("mpeg4",)


class ShownOrder:
    """Times of frames from a container that knows only when each is decoded: the n-th shown has the n-th."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int | None, int]] = deque()

    def decode(self, packet: Packet[Any]) -> None:
        """Take note of a packet that goes into the decoder."""
        if packet.size and packet.dts is not None:
            self._waiting.append((packet.pts, packet.dts))

    def show(self, frame: VideoFrame, depth: int) -> None:
        """Set the time of a frame that comes out; `depth` frames at most overtake another."""
        own = next((i for i, (pts, _) in enumerate(self._waiting) if pts == frame.pts), 0)
        # packets that gave no frame must not delay all later ones
        for _ in range(own - depth):
            self._waiting.popleft()
        frame.pts = self._waiting.popleft()[1] if self._waiting else None


class DecodedTime:
    """Times of frames that come out in order: each has that of the packet that brought it out."""

    def decode(self, packet: Packet[Any]) -> None:
        """Take note of a packet that goes into the decoder: none is needed."""

    def show(self, frame: VideoFrame, depth: int) -> None:
        """Set the time of a frame that comes out; the last ones, which no packet brings out, keep theirs."""
        frame.pts = frame.pts if frame.dts is None else frame.dts


def order_of(container: str, codec: str) -> ShownOrder | DecodedTime | None:
    """What knows when the frames of a codec in a container are shown; None: they do so themselves."""
    if container != "avi":
        return None
    if codec in REORDERED:
        return ShownOrder()
    return DecodedTime() if codec in PACKED else None


class Clock:
    """Gives each frame a time in the encoder's time base, above that of the frame before."""

    def __init__(
        self, base: Fraction, rate: Fraction, path: Path | str, start: Fraction = Fraction(0)
    ) -> None:
        """Begin: `base` is a tick in seconds, `rate` in frames a second serves frames without a time.

        `path` is the clip that errors name, `start` the time in seconds that becomes 0.
        """
        self._start = start
        self._path = path
        self._base = base
        self._ticks = 1 / (rate * base)
        self._step = round(self._ticks)
        self._first: Fraction | None = None
        self._last: int | None = None
        self._count = 0
        self.uneven = False
        """Whether frames so far are shown at times that a steady `rate` does not tell."""
        self.moved = False
        """Whether some had to get other times, for want of finer ones."""

    def set(self, frame: VideoFrame) -> None:
        """Set time, time base and duration of the next frame.

        Raises:
            UserError: its time lies far before that of the frame before.
        """
        ratio = (frame.time_base or self._base) / self._base
        frame.duration = round(frame.duration * ratio)
        exact = None if frame.pts is None else frame.pts * ratio - self._start / self._base
        steady = 0 if self._last is None else self._last + self._step
        pts = steady if exact is None else round(exact)
        back = 0.0 if self._last is None else float((self._last - pts) * self._base)
        _refuse_jump(back, self._path)
        # an encoder refuses a time twice, and damaged clips have them
        self._last = frame.pts = pts if self._last is None else max(pts, self._last + 1)
        if exact is not None:
            self._compare(exact, self._last)
        self._count += 1
        frame.time_base = self._base

    def _compare(self, exact: Fraction, used: int) -> None:
        if self._first is None:
            self._first = exact - self._count * self._ticks
        late = exact - self._first - self._count * self._ticks
        self.uneven = self.uneven or abs(late) > UNEVEN * self._ticks
        self.moved = self.moved or abs(used - exact) > UNEVEN * self._ticks


class CopyClock:
    """Keeps the times of copied packets of one stream growing, as muxers ask for."""

    def __init__(self, path: Path | str, start: Fraction = Fraction(0)) -> None:
        """Begin: `path` is the clip that errors name, `start` the time in seconds that becomes 0."""
        self._path, self._start = path, start
        self._last: int | None = None

    def set(self, packet: Packet[Any], tick: Fraction) -> None:
        """Set the times of the next packet, in its own time base; `tick` is that of the output, in seconds.

        Raises:
            UserError: its time lies far before that of the packet before.
        """
        base = packet.time_base
        shift = round(self._start / base)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is None:
            return
        packet.dts -= shift
        if self._last is not None and packet.dts < self._last:
            _refuse_jump(float((self._last - packet.dts) * base), self._path)
            packet.dts = self._last + max(1, math.ceil(tick / base))
            packet.pts = packet.pts if packet.pts is None else max(packet.pts, packet.dts)
        self._last = packet.dts


def _refuse_jump(back: float, path: Path | str) -> None:
    if back > BACK:
        raise UserError(
            f"{path}: times jump back by {back:.1f} s, as in clips joined byte by byte; make them grow "
            "first, for example with `ffmpeg -i IN -map 0 -c copy OUT`"
        )
