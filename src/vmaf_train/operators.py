"""Which ONNX operators a model may use, looked for in every node at every depth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

_NAMES = """
Abs Add AveragePool BatchNormalization BitShift Cast Clip Concat Constant ConstantOfShape Conv
ConvTranspose DequantizeLinear Div Dropout Elu Erf Exp Expand Flatten Gather GatherND Gelu Gemm
GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity If InstanceNormalization
LayerNormalization LeakyRelu Log Loop MatMul Max MaxPool Mean Min Mul Neg PRelu Pad Pow
QuantizeLinear Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize
ScatterND Selu Shape Sigmoid Slice Softmax Softplus Softsign Sqrt Squeeze Sub Sum Tanh Transpose
Unsqueeze
"""
# the operators that libvmaf's tiny-model loader accepts
ALLOWED: frozenset[str] = frozenset(_NAMES.split())
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
# ONNX Runtime has kernels of its own in these, so a local function there could lose to one of them
RESERVED_DOMAINS = ("ai.onnx", "com.microsoft", "com.ms", "org.pytorch")

FunctionKey = tuple[str, str, str]


@dataclass(frozen=True)
class Located:
    """A node and the way to it: `graph > If 'branch'.then_branch`, `function local.f`."""

    node: NodeProto
    where: str


def function_key(item: FunctionProto | NodeProto) -> FunctionKey:
    """Domain, name and overload of a function, or of the node that calls it."""
    from onnx import NodeProto

    return (item.domain, item.op_type if isinstance(item, NodeProto) else item.name, item.overload)


def walk(model: ModelProto) -> Iterator[Located]:
    """Every node of a model: main graph, subgraphs in attributes, training graphs, function bodies."""
    yield from _nodes(model.graph.node, "graph")
    for info in model.training_info:
        yield from _nodes(info.initialization.node, "training_info.initialization")
        yield from _nodes(info.algorithm.node, "training_info.algorithm")
    for function in model.functions:
        where = f"function {function.domain}.{function.name}"
        yield from _nodes(function.node, where)
        for attribute in function.attribute_proto:
            for graph in [attribute.g, *attribute.graphs]:
                yield from _nodes(graph.node, f"{where}.{attribute.name}")


def _nodes(nodes: Iterable[NodeProto], where: str) -> Iterator[Located]:
    for node in nodes:
        yield Located(node, where)
        for attribute, graph in subgraphs(node):
            label = f"{node.op_type} {node.name!r}" if node.name else node.op_type
            yield from _nodes(graph.node, f"{where} > {label}.{attribute}")


def subgraphs(node: NodeProto) -> Iterator[tuple[str, GraphProto]]:
    """Attribute name and graph of each subgraph that a node carries, whatever type it declares."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def check_operators(model: ModelProto, *, name: str) -> dict[str, int]:
    """Count the operators of a model; local functions are counted by their bodies.

    A node must belong to the standard domain and the allowlist, or call a function that this very
    file holds in a domain of its own; the body of each function, called or not, obeys the same rule.

    Returns:
        Operator name -> number of nodes, sorted by name.

    Raises:
        UserError: a forbidden operator, a foreign domain, or a function that takes the place of a
            standard operator; names the file, the operator and where it was found.
    """
    functions = _functions(model, name)
    counts: Counter[str] = Counter()
    for located in walk(model):
        node = located.node
        place = f"in {located.where}" + (f" (node {node.name!r})" if node.name else "")
        if node.domain in STANDARD_DOMAINS:
            if node.op_type not in ALLOWED:
                raise UserError(
                    f"{name}: operator {node.op_type!r} {place} is not on the allowlist: libvmaf's loader "
                    "refuses it; export the model without it"
                )
            counts[node.op_type] += 1
        elif function_key(node) not in functions:
            raise UserError(
                f"{name}: operator {node.op_type!r} {place} is from the foreign domain {node.domain!r}; "
                "only standard ONNX operators and functions in the same file are accepted"
            )
    return dict(sorted(counts.items()))


def _functions(model: ModelProto, name: str) -> set[FunctionKey]:
    from onnx import defs

    found: set[FunctionKey] = set()
    for function in model.functions:
        label = f"{name}: function {function.domain}.{function.name}"
        domain = function.domain
        if domain == "" or any(domain == part or domain.startswith(f"{part}.") for part in RESERVED_DOMAINS):
            raise UserError(f"{label} is in a reserved domain; a local function needs a domain of its own")
        if function.name in ALLOWED or defs.has(function.name):
            raise UserError(f"{label} takes the name of a standard operator; give it another name")
        if function_key(function) in found:
            raise UserError(f"{label} is defined twice; keep one definition")
        found.add(function_key(function))
    return found
