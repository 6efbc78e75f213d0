"""A valid model directory of one small NR model, and the parts that tests break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.files import sha256_bytes, sha256_file
from vmaf_train.kinds import Kind
from vmaf_train.registry import Entry, bundle_name, onnx_name, read_registry, sidecar_name, write_registry
from vmaf_train.schemas import write_schemas
from vmaf_train.sidecar import Sidecar, read_sidecar, write_sidecar

ID = "tiny_v1"
HASH = "0" * 64
PROVENANCE = {
    "params": HASH,
    "manifest": HASH,
    "frames": HASH,
    "sources": HASH,
    "versions": {"torch": "2.13.0"},
}
Edit = Callable[[onnx.ModelProto], None]


def relu_then(nodes: Sequence[onnx.NodeProto], last: str) -> onnx.GraphProto:
    """frame -> relu -> (the nodes given, which turn `relu` into `last`) -> mean of the picture -> mos."""
    weight = numpy_helper.from_array(np.full((1, 1, 3, 3), 1 / 9, np.float32), "weight")
    return helper.make_graph(
        [
            helper.make_node("Conv", ["frame", "weight"], ["conv"], name="first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["conv"], ["relu"], name="second"),
            *nodes,
            helper.make_node("GlobalAveragePool", [last], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Squeeze", ["flat", "axes"], ["mos"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("mos", TensorProto.FLOAT, ["batch"])],
        [weight, numpy_helper.from_array(np.int64([1]), "axes")],
    )


def model(
    nodes: Sequence[onnx.NodeProto] = (),
    last: str = "relu",
    *,
    functions: Sequence[onnx.FunctionProto] = (),
    edit: Edit | None = None,
) -> bytes:
    """A serialised NR model; `edit` changes the message before it is written."""
    imports = [helper.make_opsetid("", 17)]
    imports += [helper.make_opsetid(domain, 1) for domain in sorted({f.domain for f in functions} - {""})]
    built = helper.make_model(
        relu_then(nodes, last), opset_imports=imports, functions=list(functions), ir_version=8
    )
    if edit is not None:
        edit(built)
    return bytes(built.SerializeToString())


def subgraph(nodes: Sequence[onnx.NodeProto], output: str, *, loop: bool = False) -> onnx.GraphProto:
    """A body for If, or for Loop: one float output; a Loop's body also passes its condition on."""
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    if not loop:
        return helper.make_graph(list(nodes), "branch", [], [value])
    condition = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    carried = helper.make_tensor_value_info("carried", TensorProto.FLOAT, None)
    trip = helper.make_tensor_value_info("trip", TensorProto.INT64, [])
    nodes = [helper.make_node("Identity", ["on"], ["going"]), *nodes]
    return helper.make_graph(nodes, "body", [trip, condition, carried], [going, value])


def constant(name: str, value: Any) -> onnx.NodeProto:
    """A Constant node."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value), name))


def if_node(then: Sequence[onnx.NodeProto], output: str = "then") -> list[onnx.NodeProto]:
    """A constant True, and an If whose then-branch holds the nodes given: `relu` -> `after`."""
    other = subgraph([helper.make_node("Identity", ["relu"], ["else"])], "else")
    branch = subgraph(then, output)
    return [
        constant("true", np.bool_(True)),
        helper.make_node("If", ["true"], ["after"], name="branch", then_branch=branch, else_branch=other),
    ]


def loop_node(
    count: Sequence[onnx.NodeProto],
    source: str = "count",
    body: Sequence[onnx.NodeProto] = (),
    output: str = "step",
) -> list[onnx.NodeProto]:
    """A Loop that runs `source` times over `relu`; `count` are the nodes that make `source`."""
    inner = list(body) or [helper.make_node("Relu", ["carried"], [output])]
    return [
        *count,
        constant("true", np.bool_(True)),
        helper.make_node(
            "Loop",
            [source, "true", "relu"],
            ["after"],
            name="repeat",
            body=subgraph(inner, output, loop=True),
        ),
    ]


def function(name: str, nodes: Sequence[onnx.NodeProto], domain: str = "local") -> onnx.FunctionProto:
    """A local function `x` -> `y`."""
    imports = [helper.make_opsetid("", 17)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_function(domain, name, ["x"], ["y"], list(nodes), imports)


def call(name: str, source: str = "relu", target: str = "after", domain: str = "local") -> onnx.NodeProto:
    """A call of a local function."""
    return helper.make_node(name, [source], [target], domain=domain)


def make_folder(folder: Path, data: bytes | None = None, *, kind: Kind = Kind.NR) -> Path:
    """Write a model directory whose one row, sidecar and hashes all agree with the file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_schemas(folder)
    data = model() if data is None else data
    (folder / onnx_name(ID)).write_bytes(data)
    sidecar = Sidecar(
        name=ID,
        kind=kind,
        input_name="frame",
        output_name="mos",
        onnx_opset=17,
        description="Mean of a blurred picture.",
        input_shape=("batch", 1, 8, 8),
        output_shape=("batch",),
        output_range=(0, 1),
        score_range=(0, 1),
        score_direction="higher-is-better",
        sha256=sha256_bytes(data),
        corpus="none",
        label_kind="vmaf-proxy",
        split_counts={"train": 8, "val": 1, "test": 1},
        metrics={"val": {"mse": 0.25}},
        provenance=PROVENANCE,
        licence="BSD-2-Clause-Patent",
    )
    write_sidecar(folder / sidecar_name(ID), sidecar)
    entry = Entry(
        id=ID,
        kind=kind,
        file=onnx_name(ID),
        sha256=sidecar.sha256,
        sidecar=sidecar_name(ID),
        sidecar_sha256=sha256_file(folder / sidecar_name(ID)),
        opset=17,
        licence=sidecar.licence,
        provenance=PROVENANCE,
        sigstore_bundle=bundle_name(ID),
    )
    write_registry(folder / "registry.json", [entry])
    return folder


def change_sidecar(folder: Path, **changes: Any) -> None:
    """Write the sidecar with some keys changed, and let the registry pin the changed file."""
    path = folder / sidecar_name(ID)
    write_sidecar(path, replace(read_sidecar(path), **changes))
    change_row(folder, sidecar_sha256=sha256_file(path))


def change_row(folder: Path, **changes: Any) -> None:
    """Write the registry with some keys of its one row changed."""
    path = folder / "registry.json"
    write_registry(path, [replace(read_registry(path).entries[0], **changes)])
