"""How luma of any size becomes the square that a metric takes: by area, or in fragments.

By area the whole frame is shrunk (`luma.area_resize`), and fine damage fades. Fragments are small squares
of pixels as they are shown, spread evenly over the frame and laid side by side: Wu et al., "FAST-VQA",
ECCV 2022. Frames of all sizes are cut as if shown at about 960x540, the size of KoNViD-1k's clips.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmaf_train.luma import Plane, area_resize, area_weights
from vmaf_train.params import Sampling

FRAGMENT = 16  # side of a fragment, in pixels
SHOWN = 960 * 540  # pixels of a frame as it is shown
NEAR = 4 / 3  # up to this many times more or fewer pixels are taken as they are: a slight resize blurs


def fragments(luma: Plane, size: int, count: int = 1) -> Plane:
    """Return the fragments of a frame at the first `count` of `fragment_places`: uint8 (count, size, size).

    Args:
        luma: uint8 (H, W); resized by area first when H x W is far from 960x540.
        size: side of the result, a multiple of 16: size/16 fragments a row and a column.
        count: a metric looks at the first place; the others are for training.
    """
    height, width = shown_size(luma.shape[0], luma.shape[1], size)
    shown = luma if luma.shape == (height, width) else area_resize(luma, height, width)
    cuts = np.empty((count, size, size), luma.dtype)
    for cut, (down, across) in zip(cuts, fragment_places(count), strict=True):
        # two steps of one axis are five times as fast as one of both
        cut[:] = shown[fragment_lines(height, size, down)][:, fragment_lines(width, size, across)]
    return cuts


def fragment_places(count: int) -> list[tuple[float, float]]:
    """Where in its part of the frame each fragment lies, down and across, 0..1, `count` times.

    First the middle, then evenly strewn (Roberts' R2 sequence).
    """
    return [((0.5 + 0.7548776662 * k) % 1, (0.5 + 0.5698402910 * k) % 1) for k in range(count)]


def shown_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width at which a frame is cut: about as many pixels as 960x540, at least `size` each."""
    scale = math.sqrt(SHOWN / (height * width))
    if 1 / NEAR <= scale**2 <= NEAR:
        scale = 1.0
    return max(size, round(height * scale)), max(size, round(width * scale))


def fragment_lines(length: int, size: int, place: float) -> NDArray[np.int64]:
    """The rows (or columns) of a frame of `length` that fragments show: ascending, int64 (size,)."""
    count = size // FRAGMENT
    bounds = np.arange(count + 1, dtype=np.int64) * length // count
    room = np.diff(bounds) - FRAGMENT
    first = bounds[:-1] + np.minimum((room + 1) * place, room).astype(np.int64)
    lines: NDArray[np.int64] = (first[:, None] + np.arange(FRAGMENT)).ravel()
    return lines


@dataclass(frozen=True)
class Direction:
    """One direction of a sampling, down or across: lines that are read, and how they are weighed.

    `picked`: ascending positions of the lines; None: all. `weights`: float32 (target, lines); None: each
    line is taken as it is. `divisor`: the weights times it are whole numbers.
    """

    lines: int
    picked: NDArray[np.int64] | None = None
    weights: NDArray[np.float32] | None = None
    divisor: int = 1


def directions(sampling: Sampling, shape: tuple[int, int], size: tuple[int, int]) -> list[Direction]:
    """How a frame of `shape` (H, W) becomes one of `size`, down and across.

    `weights @ frame[picked]` down, and the same across, is what `area_resize` or `fragments` gives before
    it rounds.
    """
    if sampling == "area":
        return [_resized(*pair) for pair in zip(shape, size, strict=True)]
    shown = shown_size(*shape, size[0])
    return [_cut(*three) for three in zip(shape, shown, size, strict=True)]


def _resized(length: int, target: int) -> Direction:
    if length == target:
        return Direction(length)
    return Direction(length, None, area_weights(length, target), _divisor(length, target))


def _cut(length: int, shown: int, size: int) -> Direction:
    lines = fragment_lines(shown, size, 0.5)
    if shown == length:
        return Direction(len(lines), lines)
    weights = area_weights(length, shown, lines)
    picked = np.flatnonzero(weights.any(axis=0))
    return Direction(len(picked), picked, weights[:, picked], _divisor(length, shown))


def _divisor(source: int, target: int) -> int:
    return source // math.gcd(source, target) if target < source else 2 * target
