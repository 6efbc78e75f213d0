"""What an ONNX file is allowed to be, and the facts read out of it.

Checked before ONNX Runtime sees a byte, in this order: size, parse, opset and IR, operators at every
depth, Loop bounds, tensors inside the file, one float32 input and output, the ONNX checker, sizes of
intermediate tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmaf_train.bounds import check_bounds
from vmaf_train.errors import UserError
from vmaf_train.operators import STANDARD_DOMAINS, check_operators
from vmaf_train.tensors import check_tensors
from vmaf_train.wire import check_fields

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

OPSET = 17
MAX_IR = 10
MIN_IR = 4
MAX_BYTES = 50 * 2**20
# the largest single tensor a graph with known sizes may ask for (8K luma in 16 channels is 2.1 GB)
MAX_TENSOR_BYTES = 4 * 2**30
# what the checker's C++ code throws on damaged files, besides its own errors
_CPP_ERRORS = (RuntimeError, ValueError, IndexError, OverflowError, MemoryError)
# operators whose inputs after the first are learned
_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "PRelu"})


@dataclass(frozen=True)
class Value:
    """Input or output of a graph: name and shape; a free axis has its symbolic name."""

    name: str
    shape: tuple[int | str, ...]

    @property
    def text(self) -> str:
        """`frame [batch, 1, 224, 224]`."""
        return f"{self.name} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class GraphFacts:
    """What a checked file says of itself."""

    opset: int
    ir_version: int
    input: Value
    output: Value
    operators: Mapping[str, int]
    """Operator name -> number of nodes, at every depth."""
    parameters: int
    """Weights and biases of the main graph's layers, integer ones of a QDQ file included."""
    bytes: int


def check_graph(data: bytes, *, name: str) -> GraphFacts:
    """Check an ONNX file in memory and read its facts; `name` is used in messages only.

    Raises:
        UserError: the file breaks a rule of the module's list; the first one is named.
    """
    model = _parse(data, name)
    opset = _check_versions(model, name)
    operators = check_operators(model, name=name)
    check_bounds(model, name=name)
    check_tensors(model, name=name)
    source = _single(model.graph.input, "input", name)
    target = _single(model.graph.output, "output", name)
    shadowed = [tensor.name for tensor in model.graph.initializer if tensor.name == source.name]
    if shadowed:
        raise UserError(f"{name}: input {source.name!r} is a weight too; export the model again")
    _check_by_onnx(data, name)
    return GraphFacts(
        opset=opset,
        ir_version=model.ir_version,
        input=source,
        output=target,
        operators=operators,
        parameters=_count_parameters(model.graph),
        bytes=len(data),
    )


def macs(data: bytes, shape: Sequence[int], *, name: str) -> int:
    """Multiply-accumulates of one run at an input shape, for example `(1, 1, 1080, 1920)`.

    Counts Conv, ConvTranspose, Gemm and MatMul of the main graph (the rest is a few per cent), from
    the shapes that ONNX infers. `data` must have passed `check_graph`.

    Raises:
        UserError: a shape that does not fit the graph's input.
    """
    import onnx

    model = _parse(data, name)
    source = model.graph.input[0].type.tensor_type.shape
    if len(source.dim) != len(shape):
        raise UserError(f"{name}: input shape {tuple(shape)} has {len(shape)} axes, not {len(source.dim)}")
    for axis, size in zip(source.dim, shape, strict=True):
        if axis.HasField("dim_value") and axis.dim_value != size:
            raise UserError(f"{name}: input shape {tuple(shape)}: an axis is fixed at {axis.dim_value}")
        axis.dim_value = size
    # declared output and intermediate shapes still have free axes: let them be inferred anew
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    try:
        graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise UserError(f"{name}: no input of shape {tuple(shape)}: {_one_line(error)}") from error
    return _count_macs(graph)


def _count_macs(graph: GraphProto) -> int:
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for item in [*graph.input, *graph.value_info, *graph.output]:
        shapes[item.name] = [axis.dim_value for axis in item.type.tensor_type.shape.dim]
    for node in graph.node:
        # quantised weights keep their shape through DequantizeLinear
        if node.op_type in ("DequantizeLinear", "QuantizeLinear") and node.input[0] in shapes:
            shapes.setdefault(node.output[0], shapes[node.input[0]])
    total = 0
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            pixels = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
            total += pixels[0] * math.prod(pixels[2:]) * math.prod(shapes[node.input[1]])
        elif node.op_type in ("Gemm", "MatMul"):
            transposed = any(a.name == "transA" and a.i for a in node.attribute)
            total += math.prod(shapes[node.output[0]]) * shapes[node.input[0]][-2 if transposed else -1]
    return total


def _count_parameters(graph: GraphProto) -> int:
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    # exporters share equal weights through Identity, and QDQ files keep them behind DequantizeLinear
    behind = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type in ("Identity", "DequantizeLinear", "QuantizeLinear") and node.input
    }
    used: set[str] = set()
    for node in graph.node:
        if node.op_type in _LAYERS:
            for source in node.input[1:]:
                while source in behind and source not in sizes:
                    source = behind[source]
                used.add(source)
    return sum(sizes.get(source, 0) for source in used)


def _parse(data: bytes, name: str) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if len(data) > MAX_BYTES:
        raise UserError(f"{name}: {len(data)} bytes, more than the cap of {MAX_BYTES} (50 MiB)")
    if data[4:8] == b"ORTM":
        raise UserError(f"{name}: bytes of an ONNX Runtime flatbuffer, not an ONNX file; export it as ONNX")
    check_fields(data, name=name)
    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise UserError(
            f"{name}: not an ONNX file ({_one_line(error)}); rebuild or fetch it again"
        ) from error
    if not model.HasField("graph") or not model.graph.node:
        raise UserError(f"{name}: not an ONNX file (no graph in it); rebuild or fetch it again")
    return model


def _check_versions(model: ModelProto, name: str) -> int:
    if not MIN_IR <= model.ir_version <= MAX_IR:
        raise UserError(
            f"{name}: ONNX IR version {model.ir_version}, not {MIN_IR} to {MAX_IR}; export it again"
        )
    own = {function.domain for function in model.functions}
    standard: list[int] = []
    for place, imports in [("file", model.opset_import)] + [
        (f"function {function.domain}.{function.name}", function.opset_import) for function in model.functions
    ]:
        versions = [item.version for item in imports if item.domain in STANDARD_DOMAINS]
        if versions != [OPSET] and not (place != "file" and not versions):
            raise UserError(
                f"{name}: the {place} imports opset {versions or 'none'}, not exactly [{OPSET}]; "
                f"export it with opset {OPSET}"
            )
        foreign = sorted({item.domain for item in imports} - STANDARD_DOMAINS - own)
        if foreign:
            raise UserError(f"{name}: the {place} imports the foreign operator domain {foreign[0]!r}")
        standard += versions
    if model.training_info:
        raise UserError(f"{name}: holds training graphs (training_info); export it for inference")
    return standard[0]


def _single(values: Sequence[ValueInfoProto], what: str, name: str) -> Value:
    from onnx import TensorProto

    if len(values) != 1:
        raise UserError(f"{name}: {len(values)} {what}s, not exactly one; export a single-{what} model")
    tensor = values[0].type.tensor_type
    label = f"{name}: {what} {values[0].name!r}"
    if not values[0].type.HasField("tensor_type") or tensor.elem_type != TensorProto.FLOAT:
        raise UserError(f"{label} is not a float32 tensor; export it with float32 {what}s")
    if not tensor.HasField("shape"):
        raise UserError(f"{label} has no declared shape; export it with one")
    shape: list[int | str] = []
    for axis in tensor.shape.dim:
        if axis.HasField("dim_value"):
            shape.append(axis.dim_value)
        else:
            shape.append(axis.dim_param or "?")
    if any(isinstance(size, int) and size < 1 for size in shape):
        raise UserError(f"{label} has the shape {shape}; every axis must be at least 1")
    return Value(values[0].name, tuple(shape))


def _check_by_onnx(data: bytes, name: str) -> None:
    """The checker of the ONNX project, with shape inference; then the sizes it inferred."""
    import onnx

    try:
        onnx.checker.check_model(data, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(data), data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, *_CPP_ERRORS) as error:
        raise UserError(f"{name}: the ONNX checker refuses it: {_one_line(error)}") from error
    _check_sizes(inferred.graph, name)


def _check_sizes(graph: GraphProto, name: str) -> None:
    for item in [*graph.input, *graph.value_info, *graph.output]:
        # an unknown axis counts as 1: a tensor that is too large even so is refused
        size = 4 * math.prod(max(1, axis.dim_value) for axis in item.type.tensor_type.shape.dim)
        if size > MAX_TENSOR_BYTES:
            raise UserError(
                f"{name}: tensor {item.name!r} would take {size / 2**30:.1f} GiB, more than "
                f"{MAX_TENSOR_BYTES // 2**30}; work at a smaller size"
            )
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                _check_sizes(inner, name)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
