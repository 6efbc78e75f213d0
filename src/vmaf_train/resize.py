"""The area resize in front of a metric, in operators of ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.luma import area_weights
from vmaf_train.surgery import Added, rename_uses

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

# blocks along the diagonal of a resize: fewer do more work on zeros, more are too small to be fast
BLOCKS = 8
# the same for rows, where small products cost less
WINDOWS = 28
# of a value: more than the error of the sums, less than the steps between them
TIE = 2e-6


def resize_first(model: ModelProto, height: int, width: int, *, codes: bool = False) -> None:
    """Put the area resize from (height, width) to the model's own size before its first operator.

    The input keeps its name. Each direction is a product with the weights of `luma.area_weights`, cut
    into blocks along its diagonal, outside which it is zero: from 1920x1080 to 224x224 that is about a
    thirtieth of the work of the whole matrices. The result is rounded to code values, half up, as
    `luma.area_resize` rounds what models are trained on: a metric sees in plain areas what rounding left.

    Args:
        model: a model of input [1, 1, h, w]; it is changed.
        height: rows of the frames that the changed model takes.
        width: columns of those frames.
        codes: take 8-bit code values (uint8) in place of float32 in 0..1.
    """
    source = model.graph.input[0]
    out_height, out_width = (axis.dim_value for axis in source.type.tensor_type.shape.dim[2:])
    added = Added(model)
    value, scale = source.name, np.float32(1)
    if codes:
        value, scale = _resize_code_columns(added, source, out_width, height, width)
    elif width != out_width:
        value = _resize_columns(added, value, area_weights(width, out_width), height)
    if height != out_height:
        value = _resize_rows(added, value, area_weights(height, out_height) * scale, out_width)
    elif codes:
        value = added.node("Mul", [value, added.scalar(float(scale))])
    if (height, width) != (out_height, out_width):
        value = _round(added, value)
    if added.nodes:
        value = added.reshape(value, [1, 1, out_height, out_width])
        rename_uses(model.graph, source.name, value)
        added.insert()


def _round(added: Added, value: str) -> str:
    """Values in 0..1 rounded to 8-bit code values, half up, and still in 0..1."""
    zero, scale = added.scalar(0, np.uint8), added.scalar(1 / 255)
    # QuantizeLinear takes halves to even, and sums in another order fall on either side of a half
    up = added.scalar((1 - TIE) / 255)
    return added.node("DequantizeLinear", [added.node("QuantizeLinear", [value, up, zero]), scale, zero])


def _resize_code_columns(
    added: Added, source: ValueInfoProto, target: int, height: int, width: int
) -> tuple[str, np.float32]:
    """Columns of a uint8 input, resized: float32 (height, target), and the factor that is left to do.

    In whole numbers, which are exact and take a third of the time of floats, where the weights allow it.
    """
    from onnx import TensorProto

    source.type.tensor_type.elem_type = TensorProto.UINT8
    whole, divisor = whole_weights(width, target) if target < width else (None, 1)
    if whole is not None:
        value = _resize_columns(added, source.name, whole, height, "MatMulInteger")
        return added.node("Cast", [value], to=TensorProto.FLOAT), np.float32(1 / (255 * divisor))
    value = added.node("Cast", [source.name], to=TensorProto.FLOAT)
    if width != target:
        value = _resize_columns(added, value, area_weights(width, target), height)
    return value, np.float32(1 / 255)


def whole_weights(source: int, target: int) -> tuple[NDArray[np.integer] | None, int]:
    """`area_weights` of a smaller target times the returned divisor: whole, int8 or uint8.

    None where a weight passes 255.
    """
    divisor = source // int(np.gcd(source, target))
    whole = np.rint(area_weights(source, target) * divisor)
    largest = whole.max()
    if largest > 255:
        return None, divisor
    # older processors add pairs of products with int8 in 16 bits: 2 * 255 * 64 still fits
    return whole.astype(np.int8 if largest <= 64 else np.uint8), divisor


def _resize_columns(
    added: Added, value: str, weights: NDArray[Any], height: int, operator: str = "MatMul"
) -> str:
    """(..., height, source) times the transposed weights (target, source): (height, target)."""
    target, source = weights.shape
    block, count = repeated_block(weights)
    if count >= BLOCKS:
        if block.dtype != np.float32 and len(block) <= 8 and count % 2 == 0:
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
