"""Raw video: frames one after the other without a header, whose size and pixel format the user tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.format import VideoFormat

from vmaf_train.errors import UserError

TEXT = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4}):([a-z0-9_]+)(?::([0-9]+(?:\.[0-9]+|/[1-9][0-9]*)?))?")


@dataclass(frozen=True)
class Raw:
    """Frames of raw video: sides in pixels, FFmpeg's name of the pixel format, frames a second.

    Deeper samples than 8 bits are whole bytes, for example those of yuv420p10le.
    """

    width: int
    height: int
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)

    @classmethod
    def parse(cls, text: str) -> Raw:
        """Read `WxH:PIX_FMT` or `WxH:PIX_FMT:FPS`.

        Raises:
            UserError: it is neither, or there is no such pixel format.
        """
        found = TEXT.fullmatch(text)
        rate = Fraction(found[4] or 25) if found else Fraction(0)
        if not found or not rate:
            raise UserError(
                f"--raw {text!r}: expected WxH:PIX_FMT or WxH:PIX_FMT:FPS, for example "
                "1920x1080:yuv420p10le:50 or 352x288:yuv420p:30000/1001"
            )
        try:
            VideoFormat(found[3])
        except ValueError:
            raise UserError(
                f"--raw {text!r}: no pixel format {found[3]!r}; try yuv420p, yuv420p10le, yuv422p or yuv444p"
            ) from None
        return cls(int(found[1]), int(found[2]), found[3], rate)

    def open(self, path: Path) -> InputContainer:
        """Open a file of such frames, the container is the caller's to close.

        Raises:
            UserError: it is no whole number of them, as most that is no such video.
            av.FFmpegError: FFmpeg reads no frames like these.
        """
        with self._opened(path) as container:
            first = next(container.demux(video=0))
        size = path.stat().st_size
        if first.is_corrupt or size % first.size:
            frame = "more than that" if first.is_corrupt else f"{first.size} bytes"
            raise UserError(
                f"{path}: {size} bytes are no whole number of frames of {self.width}x{self.height} "
                f"{self.pix_fmt} ({frame} each); correct --raw, or leave it out if the clip has a header"
            )
        return self._opened(path)

    def _opened(self, path: Path) -> InputContainer:
        options = {
            "video_size": f"{self.width}x{self.height}",
            "pixel_format": self.pix_fmt,
            "framerate": str(self.rate),
        }
        return av.open(f"file:{path}", format="rawvideo", options=options)
