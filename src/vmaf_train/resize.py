"""The sampling in front of a metric (area resize or fragments), in operators of ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.params import Sampling
from vmaf_train.sampling import Direction, directions
from vmaf_train.surgery import Added, rename_uses

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

# blocks along the diagonal of a resize: fewer do more work on zeros, more are too small to be fast
BLOCKS = 8
# the same for rows, where small products cost less
WINDOWS = 28
# of a value: the sums of float32 err by up to 4.4e-7 (1x1 to 7680x4320), and two sums of 960x540 code values
# that differ are at least 9.7e-7 apart, 1 / (255 * 135 * 30)
TIE = 5e-7


def resize_first(
    model: ModelProto, height: int, width: int, *, sampling: Sampling = "area", codes: bool = False
) -> None:
    """Put the sampling of a frame (height, width) to the model's own size before its first operator.

    The input keeps its name. Only the lines that the sampling reads are copied. Each direction of a resize
    is a product with the weights of `luma.area_weights`, cut into blocks along its diagonal, outside which
    it is zero: from 1920x1080 to 224x224 that is about a thirtieth of the work of the whole matrices. The
    result is rounded to code values, half up, as `luma.area_resize` rounds what models are trained on: a
    metric sees in plain areas what rounding left.

    Args:
        model: a model of input [1, 1, h, w]; it is changed.
        height: rows of the frames that the changed model takes.
        width: columns of those frames.
        sampling: how the frame becomes one of (h, w).
        codes: take 8-bit code values (uint8) in place of float32 in 0..1.
    """
    source = model.graph.input[0]
    out_height, out_width = (axis.dim_value for axis in source.type.tensor_type.shape.dim[2:])
    down, across = directions(sampling, (height, width), (out_height, out_width))
    added = Added(model)
    value, scale = _pick(added, source.name, (height, width), down, across), np.float32(1)
    if codes:
        value, scale = _resize_code_columns(added, source, value, across, down.lines)
    elif across.weights is not None:
        value = _resize_columns(added, value, across.weights, down.lines)
    if down.weights is not None:
        value = _resize_rows(added, value, down.weights * scale, out_width)
    elif codes:
        value = added.node("Mul", [value, added.scalar(float(scale))])
    if down.weights is not None or across.weights is not None:
        value = _round(added, value)
    if added.nodes:
        value = added.reshape(value, [1, 1, out_height, out_width])
        rename_uses(model.graph, source.name, value)
        added.insert()


def _pick(added: Added, value: str, shape: tuple[int, int], down: Direction, across: Direction) -> str:
    """The lines that both directions read: (down.lines, across.lines); `value` itself where that is all."""
    if down.picked is None or across.picked is None:
        return value
    value = added.reshape(value, list(shape))
    value = added.node("Gather", [value, added.constant(down.picked)], axis=0)
    # a Gather would copy each pixel on its own, in four times the time
    parts = [added.slice(value, 1, first, last) for first, last in runs(across.picked)]
    return added.node("Concat", parts, axis=1)


def runs(ascending: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Whole numbers in ascending order as ranges `(first, last)`, the last one not included."""
    parts = np.split(ascending, np.flatnonzero(np.diff(ascending) > 1) + 1)
    return [(int(part[0]), int(part[-1]) + 1) for part in parts]


def _round(added: Added, value: str) -> str:
    """Values in 0..1 rounded to 8-bit code values, half up, and still in 0..1."""
    zero, scale = added.scalar(0, np.uint8), added.scalar(1 / 255)
    # QuantizeLinear takes halves to even, and sums in another order fall on either side of a half
    up = added.scalar((1 - TIE) / 255)
    return added.node("DequantizeLinear", [added.node("QuantizeLinear", [value, up, zero]), scale, zero])


def _resize_code_columns(
    added: Added, source: ValueInfoProto, value: str, across: Direction, height: int
) -> tuple[str, np.float32]:
    """Columns of a uint8 input, resized: float32 (height, target), and the factor that is left to do.

    In whole numbers, which are exact and take a third of the time of floats, where the weights allow it.
    """
    from onnx import TensorProto

    source.type.tensor_type.elem_type = TensorProto.UINT8
    whole = None if across.weights is None else whole_weights(across.weights, across.divisor)
    if whole is not None:
        value = _resize_columns(added, value, whole, height, "MatMulInteger")
        scale = np.float32(1 / (255 * across.divisor))
        return added.node("Cast", [value], to=TensorProto.FLOAT), scale
    value = added.node("Cast", [value], to=TensorProto.FLOAT)
    if across.weights is not None:
        value = _resize_columns(added, value, across.weights, height)
    return value, np.float32(1 / 255)


def whole_weights(weights: NDArray[np.float32], divisor: int) -> NDArray[np.integer] | None:
    """`weights` times `divisor`, which makes them whole: int8 or uint8; None where one passes 255."""
    whole = np.rint(weights * divisor)
    largest = whole.max()
    if largest > 255:
        return None
    # older processors add pairs of products with int8 in 16 bits: 2 * 255 * 64 still fits
    return whole.astype(np.int8 if largest <= 64 else np.uint8)


def _resize_columns(
    added: Added, value: str, weights: NDArray[Any], height: int, operator: str = "MatMul"
) -> str:
    """(..., height, source) times the transposed weights (target, source): (height, target)."""
    target, source = weights.shape
    block, count = repeated_block(weights)
    if count >= BLOCKS:
        while block.dtype != np.float32 and len(block) <= 8 and count % 2 == 0:
            # a product with whole numbers takes 16 columns in the time of 8
            block, count = np.kron(np.eye(2, dtype=block.dtype), block), count // 2
        value = added.reshape(value, [height * count, source // count])
        value = added.node(operator, [value, added.constant(block.T)])
        return added.reshape(value, [height, target])
    value = added.reshape(value, [height, source])
    parts = [
        added.node(operator, [added.slice(value, 1, first, last), added.constant(part.T)])
        for first, last, part in band_blocks(weights)
    ]
    return added.node("Concat", parts, axis=1)


def _resize_rows(added: Added, value: str, weights: NDArray[np.float32], width: int) -> str:
    """Weights (target, source) times (..., source, width): (target, width)."""
    target, source = weights.shape
    rows, parts = row_windows(weights)
    value = added.reshape(value, [source, width])
    # one copy and one product of many small ones: slices and products of their own take twice the time
    value = added.node("Gather", [value, added.constant(rows)], axis=0)
    value = added.node("MatMul", [added.constant(parts), value])
    return added.reshape(value, [target, width])


def row_windows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Cut the rows of a banded matrix (target, source) into up to `WINDOWS` parts of the same size.

    Returns:
        the columns that each part needs, (parts, columns), and its weights for them,
        (parts, target / parts, columns); zeros lie outside.
    """
    target, source = matrix.shape
    count = max(number for number in range(1, WINDOWS + 1) if target % number == 0)
    parts = matrix.reshape(count, target // count, source)
    used = [np.flatnonzero(part.any(axis=0)) for part in parts]
    size = max(int(columns[-1] - columns[0]) + 1 for columns in used)
    # near the end a window begins early enough to be whole
    first = np.array([min(int(columns[0]), source - size) for columns in used], np.int64)
    rows = first[:, None] + np.arange(size)
    return rows, np.stack([part[:, row] for part, row in zip(parts, rows, strict=True)])


def band_blocks(matrix: NDArray[Any]) -> list[tuple[int, int, NDArray[Any]]]:
    """Cut the rows of a banded matrix into blocks; each with the range of columns that it needs.

    `(first, last, part)`: `part` is the block's rows, columns `first:last`; zeros lie outside.
    """
    blocks = []
    for rows in np.array_split(matrix, min(BLOCKS, len(matrix))):
        used = np.flatnonzero(rows.any(axis=0))
        first, last = int(used[0]), int(used[-1]) + 1
        blocks.append((first, last, rows[:, first:last]))
    return blocks


def repeated_block(matrix: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return `(block, n)` where `matrix` holds `block` n times along its diagonal and zeros elsewhere.

    n is the largest such number; 1 where nothing repeats (then `block` is the matrix).
    """
    target, source = matrix.shape
    count = int(np.gcd(target, source))
    block = matrix[: target // count, : source // count]
    if count > 1 and np.array_equal(np.kron(np.eye(count, dtype=np.float32), block), matrix):
        return np.ascontiguousarray(block), count
    return matrix, 1
