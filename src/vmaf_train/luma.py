"""Luma planes: the value range of the models and area interpolation, exact to the last bit.

Luma is the Y plane as coded. Area interpolation is that of ffmpeg's `scale=flags=area`: downwards each
target pixel is the mean of the source area that it covers, upwards bilinear. All weights are whole
numbers over a common denominator, so every machine gives the same bytes.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Plane: TypeAlias = npt.NDArray[np.uint8]


def to_unit(luma: npt.NDArray[np.integer], bits: int = 8) -> npt.NDArray[np.float32]:
    """Map code values of any shape, 0..2^bits-1, to float32 in 0..1: divide by 255 (10 bits: by 1023)."""
    unit: npt.NDArray[np.float32] = luma.astype(np.float32) / np.float32(2**bits - 1)
    return unit


def to_8_bits(luma: npt.NDArray[np.integer], bits: int) -> Plane:
    """Round code values of `bits` bits to 8 bits by a shift, which keeps video black (16) and white (235).

    Levels of video are defined per bit depth by powers of two (ITU-R BT.709, BT.2100: black is 16 at
    8 bits, 64 at 10), so this is what an 8-bit copy of the same clip holds.
    """
    if bits < 8:
        stretched: Plane = luma.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
        return stretched
    if bits == 8:
        return luma.astype(np.uint8)
    shift = bits - 8
    rounded = (luma.astype(np.uint32) + (1 << (shift - 1))) >> shift
    return np.minimum(rounded, 255).astype(np.uint8)


def area_weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Weights of area interpolation along one axis: float32 (target, source), each row sums to 1.

    `area_weights(H, h) @ image @ area_weights(W, w).T` resizes a (H, W) image to (h, w).

    Raises:
        ValueError: a size below 1.
    """
    if source < 1 or target < 1:
        raise ValueError(f"cannot resize {source} to {target} pixels: both must be at least 1")
    rows, divisor = _resample(np.eye(source, dtype=np.int64), target)
    return (rows / divisor).astype(np.float32)


def area_resize(luma: Plane, height: int, width: int) -> Plane:
    """Resize a uint8 plane (H, W) to (height, width) by area interpolation, rounding half up.

    Within 1 code value of ffmpeg's `scale=width:height:flags=area`.

    Raises:
        ValueError: a size below 1, or not a plane.
    """
    if luma.ndim != 2 or min(*luma.shape, height, width) < 1:
        raise ValueError(f"cannot resize shape {luma.shape} to {(height, width)}: expected a plane (H, W)")
    rows, row_divisor = _resample(luma, height)
    both, column_divisor = _resample(np.ascontiguousarray(rows.T), width)
    divisor = row_divisor * column_divisor
    return np.ascontiguousarray(((both.T + divisor // 2) // divisor).astype(np.uint8))


def _resample(values: npt.NDArray[np.integer], target: int) -> tuple[npt.NDArray[np.int64], int]:
    """Resample axis 0 of whole numbers (S, M): return (target, M) weighted sums and their divisor."""
    source = values.shape[0]
    if target >= source:
        return _bilinear(values, target)
    # edge i of the target lies at i * source / target: so many whole source pixels and `part` / target
    whole, part = np.divmod(np.arange(target + 1, dtype=np.int64) * source, target)
    sums = np.add.reduceat(values, whole[:-1], axis=0, dtype=np.int64) * target
    at_edge = values[np.minimum(whole, source - 1)].astype(np.int64) * part[:, None]
    return sums - at_edge[:-1] + at_edge[1:], source


def _bilinear(values: npt.NDArray[np.integer], target: int) -> tuple[npt.NDArray[np.int64], int]:
    source = values.shape[0]
    # the centre of target pixel i lies at ((2i + 1) * source / target - 1) / 2 source pixels
    centres = (2 * np.arange(target, dtype=np.int64) + 1) * source - target
    left, part = np.divmod(centres, 2 * target)
    part = part[:, None]
    low = values[np.clip(left, 0, source - 1)].astype(np.int64)
    high = values[np.clip(left + 1, 0, source - 1)].astype(np.int64)
    return low * (2 * target - part) + high * part, 2 * target
