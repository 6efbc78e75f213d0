"""Edits of an ONNX graph: one frame size for a copy, code values instead of 0..1 for `score`, `filter`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

PREFIX = "specialized/"  # every name that is added starts with this
CONTRIB = "com.microsoft"  # ONNX Runtime's own operators


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


def clip_last(model: ModelProto) -> None:
    """End the graph with a Clip to 0..1, unless it has one already; the output keeps its name."""
    graph = model.graph
    output = graph.output[0].name
    last = next((node for node in graph.node if output in node.output), None)
    if last is not None and _clips_to_unit(graph, last):
        return
    unclipped = _rename_output(graph, output, "unclipped")
    added = Added(model)
    zero, one = added.scalar(0), added.scalar(1)
    added.node("Clip", [unclipped, zero, one], output=output)
    graph.node.extend(added.nodes)


def check_strength(strength: float) -> None:
    """Refuse what is no part of a filter's change.

    Raises:
        UserError: not above 0 and at most 1.
    """
    if not 0 < strength <= 1:
        raise UserError(f"strength {strength:g}: must be above 0 and at most 1, which is the filter as it is")


def take_part(model: ModelProto, strength: float) -> None:
    """Let a filter apply a part of its change only: input + strength * (output - input).

    Raises:
        UserError: as `check_strength`.
    """
    check_strength(strength)
    graph, added = model.graph, Added(model)
    source, output = graph.input[0].name, graph.output[0].name
    change = added.node("Sub", [_rename_output(graph, output, "whole"), source])
    added.node("Add", [source, added.node("Mul", [change, added.scalar(strength)])], output=output)
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
    graph, added, last = model.graph, Added(model), Added(model)
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
    new = _free_name(graph, label)
    for node in graph.node:
        _replace(node.output, output, new)
    rename_uses(graph, output, new)
    return new


def _free_name(graph: GraphProto, label: str) -> str:
    """A name that nothing in the graph has: a copy that was edited once may be edited again."""
    taken = {name for node in graph.node for name in (node.name, *node.input, *node.output)}
    taken |= {tensor.name for tensor in graph.initializer}
    name, count = f"{PREFIX}{label}", 1
    while name in taken:
        count += 1
        name = f"{PREFIX}{label}.{count}"
    return name


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


class Added:
    """Nodes and constants to be added to a model, with names of their own."""

    def __init__(self, model: ModelProto) -> None:
        """Begin with none."""
        self.model = model
        self.nodes: list[NodeProto] = []

    def node(self, operator: str, inputs: list[str], *, output: str = "", **attributes: Any) -> str:
        """Add a node of one output, whose name is returned."""
        from onnx import helper

        label = _free_name(self.model.graph, f"{operator.lower()}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, inputs, [output or label], name=label, **attributes))
        return output or label

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add an array; its name is returned."""
        from onnx import numpy_helper

        name = _free_name(self.model.graph, f"constant_{len(self.model.graph.initializer)}")
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def scalar(self, value: float, kind: type[np.generic] = np.float32) -> str:
        """Add a number; its name is returned."""
        return self.constant(np.array(value, kind))

    def reshape(self, source: str, shape: list[int]) -> str:
        """Add a Reshape; the name of its output is returned."""
        return self.node("Reshape", [source, self.constant(np.array(shape, np.int64))])

    def slice(self, source: str, axis: int, first: int, last: int) -> str:
        """Add a Slice of one axis, `first` to `last`; the name of its output is returned."""
        bounds = [self.constant(np.array([number], np.int64)) for number in (first, last, axis)]
        return self.node("Slice", [source, *bounds])

    def insert(self) -> None:
        """Put the nodes before the graph's own."""
        own = list(self.model.graph.node)
        del self.model.graph.node[:]
        self.model.graph.node.extend([*self.nodes, *own])
