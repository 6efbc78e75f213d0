"""VMAF of a clip after one impairment, for the test files of `impair` and `labels`."""

from __future__ import annotations

from pathlib import Path

from vmaf_train.camera import Frames
from vmaf_train.impair import Impairment, damage, encode
from vmaf_train.labels import vmaf
from vmaf_train.leaves import seeded


def score_of(pristine: Frames, impairment: Impairment, folder: Path) -> float:
    """VMAF (0..100) of the impaired and encoded clip against `pristine`."""
    path = folder / "clip.mp4"
    encode(damage(pristine, impairment, seeded(1, "x")), impairment, 24, path)
    return vmaf([path], pristine, 24)[0]
