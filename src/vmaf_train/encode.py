"""Encoders of FFmpeg for `filter`: what one takes, and its options."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av

from vmaf_train.errors import UserError

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

    def check_format(self, pix_fmt: str) -> None:
        """Check that the encoder takes a pixel format unchanged.

        Raises:
            UserError: it does not, or there is no such encoder.
        """
        formats = self.pixel_formats()
        if formats and pix_fmt not in formats:
            others = ("libx264", "libx265", "libsvtav1", "ffv1")
            able = [name for name in others if name in av.codecs_available]
            able = [name for name in able if pix_fmt in Encoder(name).pixel_formats()]
            advice = f"use --encoder {' or '.join(able)}" if able else "convert the input first"
            raise UserError(f"{self.name} does not take {pix_fmt}; {advice}")

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
