"""Encoders of FFmpeg for `filter`: what one takes, and its options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.format import VideoFormat

from vmaf_train.convert import nearest
from vmaf_train.cores import worker_count
from vmaf_train.errors import UserError
from vmaf_train.muxers import formats_of, takes

# named in advice, the first ones first
COMMON = (
    *("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1"),
    *("libvpx", "mpeg4", "mpeg2video", "mjpeg", "prores_ks"),
)
LAST = "rawvideo"  # where a container holds nothing else
NAMED = 3
# encoders that cut no chroma sample in two: of 4:2:0 and 4:2:2 they refuse odd sides
WHOLE_CHROMA = ("libx264", "libx265", "huffyuv", "utvideo", "cfhd", "v210")
LOG_LEVEL = re.compile(r"(?:^|:)\s*log(?:[-_]level)?\s*=")  # among x265-params


@dataclass(frozen=True)
class Encoder:
    """An encoder of FFmpeg and its options, for example `libx264` with crf 20."""

    name: str = "libx264"
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def codec(self) -> str:
        """FFmpeg's name of what it writes, for example hevc.

        Raises:
            UserError: no such video encoder.
        """
        return self._codec().canonical_name

    @property
    def threads(self) -> int:
        """Threads to encode with beside a model, where no option says another number; 0: one a core."""
        # those of VP8 wait in a busy loop, on cores that the model needs
        return max(1, worker_count(0) // 2) if self.name == "libvpx" else 0

    def pixel_formats(self) -> list[str]:
        """Pixel formats that the encoder takes; empty where it takes any.

        Raises:
            UserError: no such video encoder.
        """
        return [form.name for form in self._codec().video_formats or []]

    def quiet(self) -> Encoder:
        """The same encoder, which leaves the terminal alone but for errors unless the options say otherwise.

        libx265 and SVT-AV1 print by themselves, through the progress bar; SVT-AV1 listens to the environment.

        Raises:
            UserError: no such video encoder.
        """
        options, name = dict(self.options), self._codec().name  # `av1` is an alias
        if name == "libx265":
            given = options.get("x265-params", "")
            if not LOG_LEVEL.search(given):
                options["x265-params"] = f"{given}:log-level=error".removeprefix(":")
        if name == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")
        return Encoder(name, options)

    def time_base(self, base: Fraction, rate: Fraction) -> Fraction:
        """The time base for frames with times in `base` at `rate`: that base, where the encoder can.

        Raises:
            UserError: there is no such encoder.
        """
        # MPEG-1 and MPEG-2 know frame rates, no times; MPEG-4 has 16 bits for a second's ticks
        counts = bool(self._codec().frame_rates) or (self.name == "mpeg4" and base.denominator >= 1 << 16)
        return 1 / rate if counts else base

    def takes(self, frame: VideoFormat) -> bool:
        """Whether the encoder takes frames of this pixel format and size unchanged.

        Raises:
            UserError: no such video encoder.
        """
        formats = self.pixel_formats()
        return (not formats or frame.name in formats) and not self._uneven(frame)

    def check(self, frame: VideoFormat, container: OutputContainer) -> None:
        """Check that the encoder takes frames of this pixel format and size unchanged.

        Raises:
            UserError: it does not, or there is no such encoder; names those that do and `container` holds.
        """
        held = formats_of(container)
        if held and frame.name not in held:
            other = nearest(held, frame.name)
            advice = f"give --pix-fmt {other}, or" if other else "give"
            raise UserError(
                f"{container.format.name} cannot hold {frame.name}; {advice} a name that ends in .mkv"
            )
        if self.takes(frame):
            return
        others = encoders_for(container, frame)
        other = nearest(self.pixel_formats(), frame.name)
        if other == frame.name or (other and not self.takes(VideoFormat(other, frame.width, frame.height))):
            other = None
        if other:
            advice = f"give --pix-fmt {other}{f', or --encoder {others}' if others else ''}"
        elif others:
            advice = f"use --encoder {others}"
        elif Encoder("ffv1").takes(frame):
            advice = "give a name that ends in .mkv and --encoder ffv1"
        else:
            advice = "convert the input first"
        if sides := self._uneven(frame):
            raise UserError(
                f"{self.name} needs {sides} for {frame.name}, and these frames are {frame.width}x"
                f"{frame.height}; {advice}"
            )
        raise UserError(f"{self.name} does not take {frame.name}; {advice}")

    def _uneven(self, frame: VideoFormat) -> str:
        """What an encoder that cuts no chroma sample in two needs and the frame has not, if anything."""
        if self.name not in WHOLE_CHROMA:
            return ""
        wide, high = frame.chroma_width(2) == 1, frame.chroma_height(2) == 1  # a sample is two pixels so
        if not ((wide and frame.width % 2) or (high and frame.height % 2)):
            return ""
        return "even sides" if high else "an even width"

    def _codec(self) -> av.Codec:
        try:
            codec = av.Codec(self.name, "w")
        except (ValueError, av.FFmpegError):
            codec = None
        if codec is None or codec.type != "video":
            raise UserError(
                f"no video encoder {self.name!r} in PyAV's FFmpeg; try libx264, libx265, libsvtav1 or ffv1"
            ) from None
        return codec


def encoders_for(container: OutputContainer, frame: VideoFormat) -> str:
    """A few encoders that take a pixel format and size and whose codec the container holds: `a, b or c`."""
    known = [Encoder(name) for name in (*COMMON, LAST) if name in av.codecs_available]
    able = [one.name for one in known if one.takes(frame) and takes(container, one.codec)]
    named = [name for name in able if name != LAST][:NAMED] or able
    return " or ".join(part for part in (", ".join(named[:-1]), *named[-1:]) if part)
