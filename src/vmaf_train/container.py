"""Open a clip in this process, and what its header and its packets say of its pictures."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.logging
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmaf_train.cores import worker_count
from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from av.packet import Packet

    from vmaf_train.raw import Raw

av.logging.set_level(None)

# containers whose header says when the pictures start and end, and that seek exactly
EXACT = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
# demuxers of clips; scripts that name other files (concat, HLS, DASH, image lists) are not among them
FORMATS = (
    "asf,av1,avi,dv,flv,gif,h263,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,"
    "rm,vc1,vvc,wtv,yuv4mpegpipe"
)
# how far to look for streams that begin late: microseconds and bytes; the search ends once all are known
FAR = {"analyzeduration": "60000000", "probesize": str(50 << 20)}
# of a decoder: a shift of its messages' levels beyond every level that `messages` listens to
QUIET = {"log_level_offset": str(2 * av.logging.TRACE)}
# H.264's decoder tells of damage in the thread that shows a picture, maybe before the one that decodes it
# has found any. Not so where more pictures wait than the THREADS decode, and the REORDER that come too early.
THREADS, REORDER = 8, 4
# these do so as well, and cannot be made to wait
ONE_AT_A_TIME = ("mpeg4", "rv30", "rv40")
# these show other pictures of damage from run to run; of most others it depends on what memory held
RACING = ("h264", "libdav1d")
CLOCK = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Span:
    """When the pictures are shown, in ticks of the stream's time base."""

    start: int
    duration: Fraction

    def reaches_middle(self, pts: int) -> bool:
        """Whether a picture that is shown from `pts` on is at or after half the duration."""
        return 2 * (pts - self.start) >= self.duration


@dataclass(frozen=True)
class Packets:
    """What reading every packet, without decoding, says."""

    count: int
    span: Span | None
    """None without times."""
    whole: bool
    """Whether the file ends where it says."""
    damaged: int
    """Packets that the demuxer found damaged."""


@contextlib.contextmanager
def opened(path: Path, threads: int = 1, raw: Raw | None = None) -> Iterator[tuple[Any, VideoStream]]:
    """Open a clip and its best video stream; errors of the decoder become errors that name the clip."""
    with decoding(path):
        container, stream = open_clip(path, threads, raw=raw)
        with container:
            yield container, stream


@contextlib.contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn errors of the demuxer and the decoder into one that names the clip."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: cannot decode ({reason(error)}); replace the clip or remove it") from None


def reason(error: Exception) -> str:
    """What FFmpeg says of an error, in one line."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


def open_clip(
    path: Path, threads: int = 1, *, far: bool = False, raw: Raw | None = None
) -> tuple[Any, VideoStream]:
    """Open a clip and its best video stream; the container is the caller's to close.

    Args:
        path: the clip.
        threads: decoder threads; 0: one a core.
        far: look a minute into the file for streams that begin late, and not five seconds.
        raw: the file is raw video of this size and format.

    Raises:
        UserError: no such file, not a clip (of raw video: no whole number of frames), no video in it, or no
            decoder for that.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the clips in it")
    if not path.is_file():
        raise UserError(f"no clip {path}; a clip is a file, check the path")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes); replace the clip or remove it")
    # `file:` and the lists: a clip's name or content must never open anything but this file
    limits = {"protocol_whitelist": "file", "format_whitelist": FORMATS} | (FAR if far else {})
    with decoding(path):
        if raw is not None:
            container = raw.open(path)
        else:
            try:
                container = av.open(f"file:{path}", options=limits, metadata_errors="replace")
            except av.ArgumentError:
                raise UserError(
                    f"{path}: no container that is read here (pictures and playlists are not, raw video by "
                    "score and filter, with --raw); convert it, for example to .mp4 or .mkv"
                ) from None
    try:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.disposition & stream.disposition.attached_pic:
            raise UserError(f"{path} has no video stream; replace the clip or remove it")
        if not isinstance(stream.codec_context, VideoCodecContext):
            raise UserError(f"{path}: no decoder for its video; convert the clip or remove it")
        _set_threads(stream.codec_context, worker_count(threads))
    except BaseException:
        container.close()
        raise
    return container, stream


def _set_threads(decoder: VideoCodecContext, threads: int) -> None:
    """Decode with up to `threads` threads; which of them is faster must not change what is told of damage.

    It still may, of the last few pictures of an H.264 clip, which are all shown as soon as no more come.
    """
    name, options = decoder.codec.name, dict(QUIET)
    if name in ONE_AT_A_TIME:
        threads = 1
    elif name == "h264" and threads > 1:
        threads = min(threads, THREADS)
        options["has_b_frames"] = str(threads + REORDER)
    decoder.thread_count = threads
    decoder.thread_type = "AUTO" if threads > 1 else "NONE"
    decoder.options = options


def packets_of(
    container: Any, *streams: VideoStream, late: Callable[[], None] = lambda: None
) -> Iterator[Packet[Any]]:
    """Yield the packets of `streams` (none given: of all), then one of each that flushes its decoder.

    `late` is called at the end where PyAV stumbles over a stream that begins after the part of the file
    that is read when it is opened. It leaves out the packets of such a stream.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        # to flush it is tried last, and PyAV has no such stream
        late()


def frames_of(container: Any, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield the frames of a stream, the first that cannot be decoded being an error."""
    for packet in packets_of(container, stream):
        yield from packet.decode()


def decode_packet(packet: Packet[Any]) -> tuple[list[Any], bool]:
    """The frames that a packet of pictures gives, and whether the decoder found one too damaged to decode.

    What comes after it can be decoded again, so whoever may do without a frame goes on, as ffmpeg does.
    """
    try:
        return packet.decode(), False
    except av.InvalidDataError:
        return [], True


def races(path: Path) -> bool:
    """Whether what a clip's decoder makes up for damage depends on which of its threads is faster."""
    with opened(path) as (_, stream):
        return stream.codec_context.codec.name in RACING


def likely_frames(container: Any, stream: VideoStream) -> int:
    """How many pictures there seem to be, by the header alone; 0: it does not tell."""
    duration, rate = container.duration, stream.guessed_rate
    return stream.frames or (round(duration / av.time_base * rate) if duration and rate else 0)


def declared_span(container: Any, stream: VideoStream) -> Span | None:
    """Start and duration of the pictures as an exact container declares them, else None."""
    if container.format.name not in EXACT or not stream.time_base:
        return None
    start = stream.start_time or 0  # None where too few pictures are left to tell
    if stream.duration is not None and stream.duration > 0:
        return Span(start, Fraction(stream.duration))
    if start != 0:
        # what Matroska calls duration is the time of the end: sure only for pictures that start at 0
        return None
    if tag := CLOCK.fullmatch(stream.metadata.get("DURATION", "")):
        seconds = (int(tag[1]) * 60 + int(tag[2])) * 60 + Fraction(tag[3])
        if seconds > 0:
            return Span(start, seconds / stream.time_base)
    if container.duration is not None and container.duration > 0:
        return Span(start, Fraction(container.duration, av.time_base) / stream.time_base)
    return None


class PacketReader:
    """Learns from the packets of the pictures, one by one, whether the file holds all it declares."""

    def __init__(self, container: Any, stream: VideoStream) -> None:
        """Read what the header declares."""
        self.declared = declared_span(container, stream)
        # FFmpeg tags each stream when the file is whole; into a pipe it copies the source's duration
        copied = container.metadata.get("ENCODER", "").startswith("Lavf")
        alone = len(container.streams) == 1 and not copied
        self._own = stream.duration is not None or "DURATION" in stream.metadata or alone
        self._indexed = len(stream.index_entries) if container.format.name == EXACT[0] else 0
        self._base = stream.time_base or Fraction(1)
        # AVI has no times of presentation: what the demuxer gives is the order of decoding
        self._exact = container.format.name != "avi"
        self._count, self._timed, self._damaged, self._cut = 0, 0, 0, False
        self._begin = self._last = self._end = 0

    def add(self, packet: Packet[Any]) -> None:
        """Take note of the next packet of the stream; one that only flushes the decoder counts nothing."""
        if not packet.size:
            return
        self._count += 1
        self._damaged += packet.is_corrupt
        # only the last packet tells an early end
        self._cut = packet.is_corrupt
        if packet.pts is not None:
            until = packet.pts + (packet.duration or 0)
            self._begin = min(self._begin, packet.pts) if self._timed else packet.pts
            self._last = max(self._last, packet.pts) if self._timed else packet.pts
            self._end = max(self._end, until) if self._timed else until
            self._timed += 1

    def result(self) -> Packets:
        """What all packets together say, after the last one."""
        declared, begin, last, end = self.declared, self._begin, self._last, self._end
        if self._timed > 1 and end == last:
            # no durations: the last picture is shown as long as the others on average
            end += (last - begin) // (self._timed - 1)
        whole = not self._cut and self._count >= self._indexed
        if declared is not None and self._own and self._timed and not self._indexed:
            # headers round times: two pictures, or a tenth of a second, is no loss
            slack = max(1 / (10 * self._base), Fraction(2 * (end - begin), self._timed))
            whole = whole and end + slack >= declared.start + declared.duration
        sure = self._timed == self._count and end > begin and self._exact
        span = Span(begin, Fraction(end - begin)) if sure else None
        span = declared if declared and span and declared.reaches_middle(last) else span
        return Packets(self._count, span, whole, self._damaged)


def read_packets(container: Any, stream: VideoStream) -> Packets:
    """Read all packets of the pictures: how many, when, and whether the file holds all it declares."""
    reader = PacketReader(container, stream)
    for packet in packets_of(container, stream):
        reader.add(packet)
    return reader.result()
