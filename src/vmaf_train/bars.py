"""Black bars: where the picture of a clip lies between them, and cutting it out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmaf_train.condition import is_flat
from vmaf_train.container import decode_packet, opened, packets_of
from vmaf_train.errors import UserError
from vmaf_train.luma import Plane, luma_view

if TYPE_CHECKING:
    from vmaf_train.raw import Raw

BLACK = 24  # code values of 8 bits up to which a line is black, as for ffmpeg's cropdetect
EVEN = 8  # code values that differ within a line of a bar, at most: a night sky has more
STEP = 4  # every fourth pixel tells whether a line is black
SHARE = 50  # bars below a fiftieth of a side hardly move a score
KEYS = 8  # key frames that are enough to find bars by
EDGE = 2  # lines of the picture that go with a bar: encoders blur the border between them
TEXT = re.compile(r"([0-9]+):([0-9]+)(?::([0-9]+):([0-9]+))?")


@dataclass(frozen=True)
class Crop:
    """A part of the upright frame in pixels; without a corner it lies in the middle, as of ffmpeg's crop."""

    width: int
    height: int
    corner: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Crop:
        """Read `W:H:X:Y` or `W:H`.

        Raises:
            UserError: it is neither, or a side is 0.
        """
        found = TEXT.fullmatch(text)
        if not found or not (int(found[1]) and int(found[2])):
            raise UserError(f"--crop {text!r}: expected W:H:X:Y or W:H in pixels, for example 1920:800:0:140")
        corner = None if found[3] is None else (int(found[3]), int(found[4]))
        return cls(int(found[1]), int(found[2]), corner)

    def of(self, luma: Plane) -> Plane:
        """The part of luma (H, W), as a view.

        Raises:
            UserError: it reaches beyond the frame.
        """
        height, width = luma.shape
        x, y = self.corner or ((width - self.width) // 2, (height - self.height) // 2)
        if min(x, y) < 0 or x + self.width > width or y + self.height > height:
            raise UserError(f"--crop {self} reaches beyond its frames of {width}x{height}; give less")
        return luma[y : y + self.height, x : x + self.width]

    def __str__(self) -> str:
        return ":".join(map(str, (self.width, self.height, *(self.corner or ()))))


@dataclass(frozen=True)
class Margins:
    """Black lines around the picture of a frame of `height` x `width`, on each side."""

    height: int
    width: int
    top: int
    bottom: int
    left: int
    right: int

    def within(self, other: Margins) -> Margins:
        """What is black in both of two frames of a clip; nothing, where they differ in size."""
        if (self.height, self.width) != (other.height, other.width):
            return Margins(self.height, self.width, 0, 0, 0, 0)
        sides = zip(self._sides(), other._sides(), strict=True)
        return Margins(self.height, self.width, *(min(pair) for pair in sides))

    def picture(self) -> Crop | None:
        """What lies between the bars, without its edges there; None where there are no bars to speak of."""
        if (self.top + self.bottom) * SHARE < self.height and (self.left + self.right) * SHARE < self.width:
            return None
        top, bottom, left, right = (side + EDGE if side else 0 for side in self._sides())
        width, height = self.width - left - right, self.height - top - bottom
        return Crop(width, height, (left, top)) if min(width, height) > 0 else None

    def _sides(self) -> tuple[int, int, int, int]:
        return self.top, self.bottom, self.left, self.right


def find_picture(
    path: Path, threads: int = 0, watch: Callable[[], None] = lambda: None, raw: Raw | None = None
) -> Crop | None:
    """Where the picture of a clip, or of raw video, lies between its black bars; None without bars.

    Key frames alone are decoded, where there are enough of them. `watch` is called at each packet; what it
    raises ends the search.

    Raises:
        UserError: as `video.iterate_frames`.
    """
    keys = list(_margins_of(path, threads, watch, raw, keys=True))
    found = keys if len(keys) >= KEYS else list(_margins_of(path, threads, watch, raw, keys=False))
    return picture_of(found)


def picture_of(frames: Iterable[Margins | None]) -> Crop | None:
    """The picture of a clip by the `margins` of its frames; those of black and flat ones say nothing."""
    found = [one for one in frames if one is not None]
    return reduce(Margins.within, found).picture() if found else None


def _margins_of(
    path: Path, threads: int, watch: Callable[[], None], raw: Raw | None, *, keys: bool
) -> Iterator[Margins | None]:
    with opened(path, threads, raw) as (container, stream):
        if keys:
            stream.codec_context.skip_frame = "NONKEY"
        for packet in packets_of(container, stream):
            watch()
            for frame in decode_packet(packet)[0]:
                luma = luma_view(frame, path)
                if not is_flat(luma):
                    yield margins(luma)


def margins(luma: Plane) -> Margins | None:
    """The black lines around the picture of luma (H, W); None where all of it is black."""
    height, width = luma.shape
    top, bottom = _black_lines(luma)
    if top == height:
        return None
    left, right = _black_lines(luma[top : height - bottom].T)
    return Margins(height, width, top, bottom, left, right)


def _black_lines(luma: Plane) -> tuple[int, int]:
    """How many rows are black at the top and at the bottom."""
    # of nearly all frames the outermost lines tell
    if not _black(luma[[0, -1]]).any():
        return 0, 0
    black = _black(luma)
    if black.all():
        return len(black), len(black)
    return int(black.argmin()), int(black[::-1].argmin())


def _black(rows: Plane) -> NDArray[np.bool_]:
    some = rows[:, ::STEP]
    lightest = some.max(axis=1)
    black: NDArray[np.bool_] = (lightest <= BLACK) & (lightest - some.min(axis=1) <= EVEN)
    return black
