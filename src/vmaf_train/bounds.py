"""How much work a graph can ask for: Loop trip counts and the expansion of local functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from vmaf_train.errors import UserError
from vmaf_train.operators import FunctionKey, function_key, subgraphs

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto

MAX_TRIPS = 1024
# nodes executed at most, with functions written out and Loop bodies counted once a trip
MAX_STEPS = 1_000_000

# value name -> the constant integer it holds, or None when it is only known at run time
Scope = Mapping[str, int | None]


def check_bounds(model: ModelProto, *, name: str) -> int:
    """Count the nodes one run executes at most.

    Returns:
        Nodes executed, with local functions written out and Loop bodies counted once a trip.

    Raises:
        UserError: a Loop whose trip count is not a constant of 0..1024, a function that calls itself or
            takes a graph as an attribute, or more than 1,000,000 nodes in all.
    """
    counter = _Counter(model, name)
    return counter.graph(model.graph, {}, "graph")


class _Counter:
    def __init__(self, model: ModelProto, name: str) -> None:
        self._name = name
        self._functions: dict[FunctionKey, FunctionProto] = {function_key(f): f for f in model.functions}
        self._steps: dict[FunctionKey, int] = {}
        self._open: list[FunctionKey] = []
        for key in self._functions:
            self._function(key)

    def graph(self, graph: GraphProto, outer: Scope, where: str) -> int:
        scope = dict(outer)
        scope.update({tensor.name: constant_integer(tensor) for tensor in graph.initializer})
        # a value that is also an input can be replaced by the caller, so it is no constant
        scope.update({item.name: None for item in graph.input})
        return self._nodes(graph.node, scope, where)

    def _function(self, key: FunctionKey) -> int:
        if key in self._open:
            raise UserError(
                f"{self._name}: function {key[0]}.{key[1]} calls itself; write it without recursion"
            )
        if key not in self._steps:
            self._open.append(key)
            function = self._functions[key]
            where = f"function {function.domain}.{function.name}"
            if any(default.HasField("g") or default.graphs for default in function.attribute_proto):
                raise UserError(
                    f"{self._name}: {where} takes a graph as an attribute; write the function out"
                )
            self._steps[key] = self._nodes(function.node, dict.fromkeys(function.input), where)
            self._open.pop()
        return self._steps[key]

    def _nodes(self, nodes: Iterable[NodeProto], outer: Scope, where: str) -> int:
        scope = dict(outer)
        steps = 0
        for node in nodes:
            scope.update(dict.fromkeys(node.output))
            if node.op_type == "Constant" and len(node.output) == 1:
                scope[node.output[0]] = _constant_node(node)
            key = function_key(node)
            if key in self._functions and any(subgraphs(node)):
                # it would be counted here, and not once a trip of a Loop in there
                label = f"function {key[0]}.{key[1]}"
                raise UserError(f"{self._name}: {where} gives a graph to {label}; write the function out")
            steps += self._function(key) if key in self._functions else 1
            trips = self._trips(node, scope, where) if node.op_type == "Loop" else 1
            for attribute, graph in subgraphs(node):
                steps += trips * self.graph(graph, scope, f"{where} > {node.op_type}.{attribute}")
            if steps > MAX_STEPS:
                raise UserError(
                    f"{self._name}: {where} executes more than {MAX_STEPS} nodes once Loops and local "
                    "functions are written out; simplify the model"
                )
        return steps

    def _trips(self, node: NodeProto, scope: Scope, where: str) -> int:
        label = f"{self._name}: Loop {node.name!r} in {where}"
        source = node.input[0] if node.input else ""
        trips = scope.get(source)
        if trips is None:
            what = f"trip count {source!r} is not a constant" if source else "has no trip count"
            raise UserError(f"{label}: {what}; give it a constant of at most {MAX_TRIPS}")
        if not 0 <= trips <= MAX_TRIPS:
            raise UserError(f"{label}: trip count {trips} is outside 0..{MAX_TRIPS}; unroll less")
        return trips


def constant_integer(tensor: TensorProto) -> int | None:
    """The value of an int64 tensor of one element, else None."""
    from onnx import TensorProto

    if tensor.data_type != TensorProto.INT64 or list(tensor.dims) not in ([], [1]):
        return None
    if tensor.HasField("raw_data"):
        return int.from_bytes(tensor.raw_data, "little", signed=True) if len(tensor.raw_data) == 8 else None
    return int(tensor.int64_data[0]) if len(tensor.int64_data) == 1 else None


def _constant_node(node: NodeProto) -> int | None:
    values = [a for a in node.attribute if not a.ref_attr_name]
    if len(values) != len(node.attribute) or len(values) != 1:
        return None
    attribute = values[0]
    if attribute.name == "value" and attribute.HasField("t"):
        return constant_integer(attribute.t)
    if attribute.name == "value_int" and attribute.HasField("i"):
        return int(attribute.i)
    if attribute.name == "value_ints" and len(attribute.ints) == 1:
        return int(attribute.ints[0])
    return None
