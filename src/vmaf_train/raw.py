"""Raw video: frames one after the other without a header, whose size and pixel format the user tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.format import VideoFormat

from vmaf_train.container import reason
from vmaf_train.errors import UserError

TEXT = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4}):([a-z0-9_]+)(?::([0-9]+(?:\.[0-9]+|/[1-9][0-9]*)?))?")
NTSC = Fraction(1001, 1000)
ROUNDED = 0.005  # 23.98 is 24000/1001


@dataclass(frozen=True)
class Raw:
    """Frames of raw video: sides in pixels, FFmpeg's name of the pixel format, frames a second.

    Deeper samples than 8 bits are whole bytes, for example those of yuv420p10le.

    Raises:
        UserError: a side or the rate is not above 0, or there is no such pixel format.
    """

    width: int
    height: int
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1 or self.rate <= 0:
            raise UserError(f"raw video {self}: sides and frames a second must be above 0")
        try:
            VideoFormat(self.pix_fmt)
        except ValueError:
            raise UserError(
                f"raw video {self}: no pixel format {self.pix_fmt!r}; try yuv420p, yuv420p10le, yuv422p or "
                "yuv444p"
            ) from None

    def __str__(self) -> str:
        return f"{self.width}x{self.height}:{self.pix_fmt}:{self.rate}"

    @classmethod
    def parse(cls, text: str) -> Raw:
        """Read `WxH:PIX_FMT` or `WxH:PIX_FMT:FPS`, of which 29.97 and its kin are those of NTSC.

        Raises:
            UserError: it is neither, or as of the class.
        """
        found = TEXT.fullmatch(text)
        if not found:
            raise UserError(
                f"--raw {text!r}: expected WxH:PIX_FMT or WxH:PIX_FMT:FPS, for example "
                "1920x1080:yuv420p10le:50 or 352x288:yuv420p:30000/1001"
            )
        rate = Fraction(found[4] or cls.rate)
        near = Fraction(round(rate * NTSC) * 1000, 1001)
        if "." in text and abs(rate - near) < ROUNDED:
            rate = near
        return cls(int(found[1]), int(found[2]), found[3], rate)

    def ffmpeg_input(self) -> str:
        """The arguments of the ffmpeg command that read a file IN of such frames."""
        size = f"{self.width}x{self.height}"
        return f"-f rawvideo -video_size {size} -pixel_format {self.pix_fmt} -framerate {self.rate} -i IN"

    def open(self, path: Path) -> InputContainer:
        """Open a file of such frames; the container is the caller's to close.

        Raises:
            UserError: it is no whole number of them, as most that is no such video, or FFmpeg reads no frames
                like these.
        """
        try:
            with self._opened(path) as container:
                first = next(container.demux(video=0))
                if not first.is_corrupt:
                    first.decode()
        except (av.FFmpegError, ValueError) as error:
            raise UserError(
                f"{path}: FFmpeg reads no raw video {self} ({reason(error)}); correct --raw"
            ) from None
        size = path.stat().st_size
        if first.is_corrupt or size % first.size:
            frame = "more than that" if first.is_corrupt else f"{first.size} bytes"
            raise UserError(
                f"{path}: {size} bytes are no whole number of frames of {self} "
                f"({frame} each); correct --raw, or leave it out if the clip has a header"
            )
        return self._opened(path)

    def _opened(self, path: Path) -> InputContainer:
        options = {
            "video_size": f"{self.width}x{self.height}",
            "pixel_format": self.pix_fmt,
            "framerate": str(self.rate),
        }
        return av.open(f"file:{path}", format="rawvideo", options=options)
