"""Edits of an ONNX graph that turn a registered model into a copy for one frame size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.luma import area_weights

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

# every name that is added starts with this, so it cannot meet a name of the model's own
PREFIX = "specialized/"
CONTRIB = "com.microsoft"  # ONNX Runtime's own operators
# blocks along the diagonal of a resize: fewer do more work on zeros, more are too small to be fast
BLOCKS = 8
# the same for rows, where small products cost less
WINDOWS = 28


def fix_shape(model: ModelProto, height: int, width: int) -> None:
    """Fix the input at [1, 1, height, width] and free axes of the output accordingly.

    A filter's output gets the input's shape; a score keeps its rank, with every axis 1.
    """
    source, target = model.graph.input[0], model.graph.output[0]
    shape = [1, 1, height, width]
    rank = len(target.type.tensor_type.shape.dim)
    for value, sizes in ((source, shape), (target, shape if rank == len(shape) else [1] * rank)):
        for axis, size in zip(value.type.tensor_type.shape.dim, sizes, strict=True):
            axis.dim_value = size
    # intermediate shapes carry the free axes' names; they are inferred anew by whoever needs them
    del model.graph.value_info[:]


def resize_first(model: ModelProto, height: int, width: int, *, codes: bool = False) -> None:
    """Put the area resize from (height, width) to the model's own size before its first operator.

    The input keeps its name. Each direction is a product with the weights of `luma.area_weights`, cut
    into blocks along its diagonal, outside which it is zero: from 1920x1080 to 224x224 that is about a
    thirtieth of the work of the whole matrices.

    Args:
        model: a model of input [1, 1, h, w]; it is changed.
        height: rows of the frames that the changed model takes.
        width: columns of those frames.
        codes: take 8-bit code values (uint8) in place of float32 in 0..1.
    """
    source = model.graph.input[0]
    out_height, out_width = (axis.dim_value for axis in source.type.tensor_type.shape.dim[2:])
    added = _Added(model)
    value, scale = source.name, np.float32(1)
    if codes:
        value, scale = _resize_code_columns(added, source, out_width, height, width)
    elif width != out_width:
        value = _resize_columns(added, value, area_weights(width, out_width), height)
    if height != out_height:
        value = _resize_rows(added, value, area_weights(height, out_height) * scale, out_width)
    elif codes:
        value = added.node("Mul", [value, added.scalar(float(scale))])
    if added.nodes:
        value = added.reshape(value, [1, 1, out_height, out_width])
        rename_uses(model.graph, source.name, value)
        added.insert()


def _resize_code_columns(
    added: _Added, source: ValueInfoProto, target: int, height: int, width: int
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
    added: _Added, value: str, weights: NDArray[Any], height: int, operator: str = "MatMul"
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


def _resize_rows(added: _Added, value: str, weights: NDArray[np.float32], width: int) -> str:
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


def clip_last(model: ModelProto) -> None:
    """End the graph with a Clip to 0..1, unless it has one already; the output keeps its name."""
    graph = model.graph
    output = graph.output[0].name
    last = next((node for node in graph.node if output in node.output), None)
    if last is not None and _clips_to_unit(graph, last):
        return
    unclipped = _rename_output(graph, output, "unclipped")
    added = _Added(model)
    zero, one = added.scalar(0), added.scalar(1)
    added.node("Clip", [unclipped, zero, one], output=output)
    graph.node.extend(added.nodes)


def take_codes(model: ModelProto, bits: int) -> None:
    """Let a filter take and give code values 0..2^bits-1: uint8, above 8 bits uint16.

    What it gives is clipped and rounded to the nearest code value, half to even; no number becomes black.
    """
    from onnx import helper

    if bits > 8:
        clip_last(model)
        # ONNX's own operators take 16 bits from opset 21 on, ONNX Runtime's at every opset
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    kind, domain = (np.uint8, "") if bits == 8 else (np.uint16, CONTRIB)
    graph, added, last = model.graph, _Added(model), _Added(model)
    scale, zero = added.scalar(1 / (2**bits - 1)), added.scalar(0, kind)
    unit = added.node("DequantizeLinear", [graph.input[0].name, scale, zero], domain=domain)
    rename_uses(graph, graph.input[0].name, unit)
    added.insert()
    output = graph.output[0].name
    unrounded = _rename_output(graph, output, "unrounded")
    # its saturation does the clipping of 8 bits, and takes 0 where a value is no number
    last.node("QuantizeLinear", [unrounded, scale, zero], output=output, domain=domain)
    graph.node.extend(last.nodes)
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))


def _rename_output(graph: GraphProto, output: str, label: str) -> str:
    """Free the name of the graph's output: its value gets another name, which is returned."""
    for node in graph.node:
        _replace(node.output, output, f"{PREFIX}{label}")
    rename_uses(graph, output, f"{PREFIX}{label}")
    return f"{PREFIX}{label}"


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


def rename_uses(graph: GraphProto, old: str, new: str) -> None:
    """Let every node, at every depth, read `new` where it read `old`."""
    for node in graph.node:
        _replace(node.input, old, new)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                rename_uses(inner, old, new)
                for value in inner.output:
                    value.name = new if value.name == old else value.name


def _replace(names: list[str], old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def _clips_to_unit(graph: GraphProto, node: NodeProto) -> bool:
    from onnx import numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    for other in graph.node:
        if other.op_type == "Constant" and other.attribute and other.attribute[0].name == "value":
            constants[other.output[0]] = other.attribute[0].t
    if node.op_type != "Clip" or len(node.input) != 3 or not set(node.input[1:]) <= constants.keys():
        return False
    return [float(numpy_helper.to_array(constants[name])) for name in node.input[1:]] == [0.0, 1.0]


class _Added:
    """Nodes and constants to be added to a model, with names of their own."""

    def __init__(self, model: ModelProto) -> None:
        self.model = model
        self.nodes: list[NodeProto] = []

    def node(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        label = f"{PREFIX}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output or label], name=label, **attributes))
        return output or label

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def scalar(self, value: float, kind: type[np.generic] = np.float32) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def reshape(self, source: str, shape: list[int]) -> str:
        return self.node("Reshape", [source, self.constant(np.array(shape, np.int64))])

    def slice(self, source: str, axis: int, first: int, last: int) -> str:
        bounds = [self.constant(np.array([number], np.int64)) for number in (first, last, axis)]
        return self.node("Slice", [source, *bounds])

    def insert(self) -> None:
        """Put the nodes before the graph's own."""
        own = list(self.model.graph.node)
        del self.model.graph.node[:]
        self.model.graph.node.extend([*self.nodes, *own])
