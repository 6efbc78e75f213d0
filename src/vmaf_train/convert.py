"""The pixel format that is encoded, where it is another than the clip's: more or fewer bits, or more chroma.

Through FFmpeg's filter `scale`, as ffmpeg's own -pix_fmt goes: PyAV's reformatter forgets where chroma lies.
"""

from __future__ import annotations

from collections.abc import Iterable

import av
from av.codec.codec import find_best_pix_fmt_of_list
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from vmaf_train.errors import UserError
from vmaf_train.planes import FULL_RANGE, TAGS, bit_depth

UNSPECIFIED = 2  # of a frame's tags but for its range


def check_name(pix_fmt: str) -> None:
    """Check that frames can be converted to a pixel format: planar YUV, whose range stays as it is.

    Raises:
        UserError: no such format, or one of RGB, grey, packed samples or a range of its own.
    """
    try:
        form = VideoFormat(pix_fmt)
    except ValueError:
        raise UserError(
            f"no pixel format {pix_fmt!r}; try yuv420p, yuv420p10le, yuv422p10le or yuv444p"
        ) from None
    if pix_fmt in FULL_RANGE:
        raise UserError(
            f"--pix-fmt {pix_fmt} is full-range by name; give {FULL_RANGE[pix_fmt]}, the range stays"
        )
    if form.is_rgb or not _is_yuv(pix_fmt):
        kind = "RGB" if form.is_rgb else "no planar YUV in little-endian"
        raise UserError(
            f"--pix-fmt {pix_fmt} is {kind}, and YUV is filtered and encoded; give for example yuv444p, and "
            "convert the output with ffmpeg"
        )


def nearest(formats: Iterable[str], frame: str) -> str | None:
    """The one of `formats` that a frame's pixel format is converted to with least loss; None: none."""
    able = [name for name in formats if _is_yuv(name)]
    if not able or not _is_yuv(frame):
        return None
    best, _ = find_best_pix_fmt_of_list(able, frame, _has_alpha(frame))
    return best.name if best is not None else None


class Converter:
    """Converts the frames of one clip, which all have the same size and pixel format."""

    def __init__(self, pix_fmt: str | None) -> None:
        """Begin; None: frames stay as they are.

        Raises:
            UserError: as `check_name`.
        """
        if pix_fmt is not None:
            check_name(pix_fmt)
        self._format, self._graph = pix_fmt, Graph()
        self.dropped: list[str] = []

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the other format, with all its properties.

        Raises:
            UserError: the frame is grey, or FFmpeg refuses.
        """
        name = frame.format.name
        if self._format is None or name == self._format:
            return frame
        if not _is_yuv(name):
            # FFmpeg takes all grey for full-range
            raise UserError(f"{name} has no chroma, and becomes no {self._format}; leave --pix-fmt out")
        tags = {tag: getattr(frame, tag) for tag in TAGS}
        for tag in TAGS:
            if tag != "color_range":
                # nothing is converted that depends on them, and FFmpeg refuses odd ones
                setattr(frame, tag, UNSPECIFIED)
        try:
            if not self._graph.configured:
                self._open(frame, self._format)
                if _has_alpha(name) and not _has_alpha(self._format):
                    self.dropped.append("transparency")
            self._graph.vpush(frame)
            converted = self._graph.vpull()
        except av.FFmpegError as error:
            raise UserError(f"{name} becomes no {self._format} ({error.strerror}); give another") from None
        for tag, value in tags.items():
            setattr(converted, tag, value)
        return converted

    def _open(self, frame: VideoFrame, pix_fmt: str) -> None:
        # one thread: see planes.to_planar
        self._graph.threads = 1
        size = f"{frame.width}x{frame.height}"
        source = self._graph.add(
            "buffer",
            f"video_size={size}:pix_fmt={frame.format.name}:time_base={frame.time_base}:"
            f"range={int(frame.color_range)}",
        )
        # fields of interlaced frames keep their own chroma
        scale = self._graph.add("scale", "flags=bicubic:interl=-1")
        sink = self._graph.add("buffersink")
        self._graph.link_nodes(source, scale, self._graph.add("format", pix_fmt), sink).configure()


def _has_alpha(pix_fmt: str) -> bool:
    return any(component.is_alpha for component in VideoFormat(pix_fmt).components)


def _is_yuv(pix_fmt: str) -> bool:
    return bit_depth(pix_fmt) is not None and pix_fmt not in FULL_RANGE and not pix_fmt.startswith("gray")
