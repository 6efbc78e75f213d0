"""What of a clip makes its scores doubtful: damage, an early end, and pictures no metric was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmaf_train.luma import Plane

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

STEP = 8  # every eighth pixel each way tells whether a frame is flat
FLAT = 4  # code values from the darkest to the lightest pixel that show no picture
# color_trc of FFmpeg's frames (ITU-T H.273)
HDR = {16: "PQ", 18: "HLG"}
FULL_RANGE = 2


@dataclass
class Condition:
    """Counted while a clip is decoded; `hdr` is `PQ`, `HLG` or empty."""

    damaged: int = 0
    """Frames that the decoder had to patch up or to leave out, as far as it notices: see the README."""
    truncated: bool = False
    """The file ends before what it declares."""
    flat: int = 0
    """Scored frames of one grey level: leaders, fades."""
    hdr: str = ""
    full_range: bool = False
    interlaced: bool = False

    def see(self, frame: VideoFrame) -> None:
        """Take note of one decoded frame."""
        self.damaged += bool(frame.is_corrupt)
        self.interlaced = self.interlaced or frame.interlaced_frame
        self.hdr = self.hdr or HDR.get(int(frame.color_trc), "")
        # luma of RGB is made in limited range; yuvj420p and its kin are full-range by name
        tagged = int(frame.color_range) == FULL_RANGE and not frame.format.is_rgb
        full = tagged or frame.format.name.startswith("yuvj")
        self.full_range = self.full_range or full

    @property
    def broken(self) -> bool:
        """Whether pictures are missing or made up."""
        return self.truncated or self.damaged > 0

    def notes(self, scored: int) -> list[str]:
        """What a reader of `scored` scores should know, a line each."""
        told = []
        if self.truncated:
            told.append("the file ends early: what is missing has no score")
        if self.damaged:
            told.append(
                f"damaged frames: {self.damaged}; the decoder made up or left out what it could not read"
            )
        if self.flat:
            pooled = ", left out of the pooled scores" if self.flat < scored else ""
            told.append(
                f"flat frames: {self.flat} of {scored}{pooled}; one grey level is no picture to judge"
            )
        if self.hdr:
            told.append(f"HDR ({self.hdr}), and the metrics know SDR only")
        if self.full_range:
            told.append("full-range luma, and the metrics know limited range only")
        if self.interlaced:
            told.append("interlaced frames are scored woven, as they are coded")
        return told


def is_flat(luma: Plane) -> bool:
    """Whether uint8 luma (H, W) shows one grey level and nothing else."""
    # few pixels tell nearly always that it is not
    return _spread(luma[::STEP, ::STEP]) <= FLAT and _spread(luma) <= FLAT


def _spread(luma: Plane) -> int:
    return int(luma.max()) - int(luma.min())
