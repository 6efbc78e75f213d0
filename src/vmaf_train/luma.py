"""Luma planes: out of a decoded frame, into the value range of the models, and resized exactly.

Luma is the Y plane as coded. Area interpolation is that of ffmpeg's `scale=flags=area`: downwards each
target pixel is the mean of the source area that it covers, upwards bilinear. All weights are whole
numbers over a common denominator, so every machine gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from av.video.format import VideoFormat
    from av.video.frame import VideoFrame

HIGH_ALIGNED = re.compile(r"p[024]1[0-9](le|be)|.*msb(le|be)")  # bits in the upper part of 16
GRAY_ALPHA = ("ya8", "ya16le", "ya16be")  # luma and transparency by turns
Plane: TypeAlias = npt.NDArray[np.uint8]


def to_unit(luma: npt.NDArray[np.integer], bits: int = 8) -> npt.NDArray[np.float32]:
    """Map code values of any shape, 0..2^bits-1, to float32 in 0..1: divide by 255 (10 bits: by 1023)."""
    unit: npt.NDArray[np.float32] = luma.astype(np.float32) / np.float32(2**bits - 1)
    return unit


def to_8_bits(luma: npt.NDArray[np.integer], bits: int) -> Plane:
    """Round code values of 8..16 `bits` to 8 bits by a shift, which keeps video black (16) and white (235).

    Levels of video are defined per bit depth by powers of two (ITU-R BT.709, BT.2100: black is 16 at
    8 bits, 64 at 10), so this is what an 8-bit copy of the same clip holds.
    """
    if bits == 8:
        return luma.astype(np.uint8, copy=False)
    half = (1 << (bits - 8)) >> 1
    rounded: Plane = np.minimum((luma.astype(np.uint32) + half) >> (bits - 8), 255).astype(np.uint8)
    return rounded


def area_weights(
    source: int, target: int, lines: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.float32]:
    """Weights of area interpolation along one axis: float32 (target, source), each row sums to 1.

    `area_weights(H, h) @ image @ area_weights(W, w).T` resizes a (H, W) image to (h, w).

    Args:
        source: pixels before.
        target: pixels after.
        lines: which of the target's rows to give; None: all. The whole matrix may take gigabytes.

    Raises:
        ValueError: a size below 1.
    """
    if source < 1 or target < 1:
        raise ValueError(f"cannot resize {source} to {target} pixels: both must be at least 1")
    lines = np.arange(target, dtype=np.int64) if lines is None else lines
    if target >= source:
        low, high, part = _neighbours(lines, source, target)
        rows, divisor = np.zeros((len(lines), source), np.int64), 2 * target
        each = np.arange(len(lines))
        # at an edge both are the same pixel
        rows[each, low] += divisor - part
        rows[each, high] += part
    else:
        # overlap of target pixel [i, i + 1) * source with source pixel [j, j + 1) * target
        begin = lines[:, None] * source
        pixel = np.arange(source, dtype=np.int64)[None, :] * target
        overlap = np.minimum(begin + source, pixel + target) - np.maximum(begin, pixel)
        rows, divisor = np.maximum(overlap, 0), source
    weights: npt.NDArray[np.float32] = (rows / divisor).astype(np.float32)
    return weights


def area_resize(luma: Plane, height: int, width: int) -> Plane:
    """Resize a uint8 plane (H, W) to (height, width) by area interpolation, rounding half up.

    Within 1 code value of ffmpeg's `scale=width:height:flags=area`.

    Raises:
        ValueError: a size below 1, or not a plane.
    """
    if luma.ndim != 2 or min(*luma.shape, height, width) < 1:
        raise ValueError(f"cannot resize shape {luma.shape} to {(height, width)}: expected a plane (H, W)")
    rows, row_divisor = _resample(luma, height, largest=255)
    across = np.ascontiguousarray(rows.T)
    both, column_divisor = _resample(across, width, largest=255 * row_divisor)
    divisor = row_divisor * column_divisor
    return np.ascontiguousarray(((both.T + divisor // 2) // divisor).astype(np.uint8))


def _resample(
    values: npt.NDArray[np.integer], target: int, largest: int
) -> tuple[npt.NDArray[np.integer], int]:
    """Resample axis 0 of whole numbers (S, M) up to `largest`: (target, M) weighted sums, their divisor."""
    source = values.shape[0]
    # sums of 32 bits, where they are certain to hold, are four times as fast
    kind = np.int32 if 2 * largest * (source + 2 * target) < 2**31 else np.int64
    if target >= source:
        return _bilinear(values, target, kind)
    # edge i of the target lies at i * source / target: so many whole source pixels and `part` / target
    whole, part = np.divmod(np.arange(target + 1, dtype=np.int64) * source, target)
    counts = np.diff(whole)
    sums = values[whole[:-1]].astype(kind)
    for offset in range(1, int(counts.max())):
        # a few adds of many rows: ten times as fast as np.add.reduceat
        longer = np.flatnonzero(counts > offset)
        sums[longer] += values[whole[longer] + offset]
    sums *= target
    at_edge = values[np.minimum(whole, source - 1)].astype(kind) * part[:, None].astype(kind)
    return sums - at_edge[:-1] + at_edge[1:], source


def _bilinear(
    values: npt.NDArray[np.integer], target: int, kind: npt.DTypeLike
) -> tuple[npt.NDArray[np.integer], int]:
    source = values.shape[0]
    left, right, part = _neighbours(np.arange(target, dtype=np.int64), source, target)
    weight: npt.NDArray[np.integer] = part[:, None].astype(kind)
    low = values[left].astype(kind)
    high = values[right].astype(kind)
    return low * (2 * target - weight) + high * weight, 2 * target


def _neighbours(
    lines: npt.NDArray[np.int64], source: int, target: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The source pixels before and after the centre of each target pixel, and the weight of the second."""
    # the centre of target pixel i lies at ((2i + 1) * source / target - 1) / 2 source pixels
    left, part = np.divmod((2 * lines + 1) * source - target, 2 * target)
    return np.clip(left, 0, source - 1), np.clip(left + 1, 0, source - 1), part


def luma_of(frame: VideoFrame, path: Path) -> Plane:
    """Return the Y plane (H, W) of a decoded frame, 8 bits a pixel, turned and mirrored as it is shown.

    The plane is read directly, never through the `gray` pixel format, which stretches limited range to
    full range. RGB and palette frames become BT.601 limited-range luma, as in ffmpeg.

    Raises:
        UserError: the clip is to be shown turned by an angle other than 90, 180 or 270 degrees, or FFmpeg
            cannot convert its pixel format.
    """
    return np.ascontiguousarray(luma_view(frame, path))


def luma_view(frame: VideoFrame, path: Path) -> Plane:
    """Return what `luma_of` does, as a view of the frame's own memory where that holds 8 bits a pixel.

    The rows of a view lie further apart than they are wide, and it keeps the frame alive.
    """
    if not _has_luma_plane(frame.format):
        from av.video.reformatter import ColorRange

        # packed, palette, RGB and odd depths: swscale knows them all
        # one thread: with several, swscale damages some sizes of deeper formats
        # most decoders tag RGB as full range, and reformat would keep that for luma
        limited = ColorRange.MPEG if frame.format.is_rgb or frame.format.has_palette else None
        try:
            frame = frame.reformat(format="yuv444p", dst_color_range=limited, threads=1)
        except OSError:
            raise UserError(f"{path}: no luma can be made of {frame.format.name}; convert the clip") from None
    name, first = frame.format.name, frame.format.components[0]
    kind = np.dtype(np.uint16 if first.bits > 8 else np.uint8)
    kind = kind.newbyteorder(">" if frame.format.is_big_endian else "<")
    step = 2 if name in GRAY_ALPHA else 1
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)[: frame.height]
    luma = rows[:, : frame.width * step * kind.itemsize].view(kind)[:, ::step]
    # some formats keep their 10 or 12 bits in the upper part of 16
    return _upright(to_8_bits(luma, 16 if HIGH_ALIGNED.fullmatch(name) else first.bits), frame, path)


def _has_luma_plane(layout: VideoFormat) -> bool:
    first = layout.components[0]
    alone = layout.is_planar or layout.name.startswith("gray") or layout.name in GRAY_ALPHA
    return alone and first.is_luma and not layout.is_rgb and 8 <= first.bits <= 16


def _upright(luma: Plane, frame: VideoFrame, path: Path) -> Plane:
    """Turn and mirror as the frame's display matrix asks, as ffmpeg does before its filters."""
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    if data is None:
        return luma
    # x' = a x + c y, y' = b x + d y
    a, b, _, c, d = np.frombuffer(memoryview(data), dtype=np.int32)[:5].tolist()
    straight, crossed = abs(a) + abs(d), abs(b) + abs(c)
    if min(straight, crossed) * 50 > max(straight, crossed):
        raise UserError(f"{path} is turned by an odd angle; re-encode it upright or remove it")
    if crossed > straight:
        luma, a, d = luma.T, c, b
    turned: Plane = luma[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return turned
