"""Tricks against `load_model`, each built for real, with the words that must refuse it.

A trick takes a valid model directory, breaks it, and returns what is then given to `load_model`.
`rehashed` tricks are registered with their right SHA-256: only the later checks can see them.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from model_folder import (
    ID,
    call,
    change_row,
    change_sidecar,
    constant,
    function,
    if_node,
    loop_node,
    make_folder,
    model,
)
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.files import sha256_bytes
from vmaf_train.kinds import Kind

Trick = Callable[[Path], "str | Path"]


@dataclass(frozen=True)
class Attack:
    """One trick, and a part of the message that must come back."""

    name: str
    trick: Trick
    message: str
    unverified: bool = False


ATTACKS: list[Attack] = []


def attack(name: str, message: str, *, unverified: bool = False) -> Callable[[Trick], Trick]:
    def keep(trick: Trick) -> Trick:
        ATTACKS.append(Attack(name, trick, message, unverified))
        return trick

    return keep


def rehashed(name: str, message: str, build: Callable[[], bytes]) -> None:
    """The same trick twice: registered with its right hash, and as an unverified file elsewhere."""

    def registered(folder: Path) -> str:
        make_folder(folder, build())
        return ID

    def elsewhere(folder: Path) -> Path:
        path = folder.parent / "downloads" / "model.onnx"
        path.parent.mkdir()
        path.write_bytes(build())
        return path

    ATTACKS.append(Attack(name, registered, message))
    ATTACKS.append(Attack(f"{name}, --unverified", elsewhere, message, unverified=True))


def onnx_file(folder: Path) -> Path:
    return folder / f"{ID}.onnx"


# ---- bytes ------------------------------------------------------------------------------------------


@attack("one byte of the weights flipped", "the file was altered")
def _(folder: Path) -> str:
    data = bytearray(onnx_file(folder).read_bytes())
    data[data.index(b"weight") + 20] ^= 1
    onnx_file(folder).write_bytes(data)
    return ID


@attack("one byte appended", "the file was altered")
def _(folder: Path) -> str:
    with onnx_file(folder).open("ab") as handle:
        handle.write(b"\0")
    return ID


@attack("file cut short", "the file was altered")
def _(folder: Path) -> str:
    onnx_file(folder).write_bytes(onnx_file(folder).read_bytes()[:-9])
    return ID


@attack("file emptied", "the file was altered")
def _(folder: Path) -> str:
    onnx_file(folder).write_bytes(b"")
    return ID


@attack("file of 50 MiB and one byte", "more than the cap of 52428800")
def _(folder: Path) -> str:
    os.truncate(onnx_file(folder), 50 * 2**20 + 1)
    return ID


@attack("file of 50 MiB and one byte, --unverified", "more than the cap of 52428800", unverified=True)
def _(folder: Path) -> Path:
    os.truncate(onnx_file(folder), 50 * 2**20 + 1)
    return onnx_file(folder)


def zip_of_death() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target:
        target.writestr("model.onnx", bytes(20_000_000))
    return archive.getvalue()


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field, written by hand."""
    size, text = len(data), b""
    while size > 0x7F:
        text, size = text + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([number << 3 | 2]) + text + bytes([size]) + data


def nested(depth: int) -> bytes:
    """A chain of If in If in If; built by hand because the library refuses to."""
    graph = field(1, field(4, b"Relu"))
    for _ in range(depth):
        graph = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, graph)))
    return b"\x08\x08" + field(7, graph) + field(8, b"\x10\x11")


rehashed("zip of death instead of ONNX", "not an ONNX file", zip_of_death)
rehashed("random bytes", "not an ONNX file", lambda: np.random.default_rng(1).bytes(5000))
rehashed("a text file", "not an ONNX file", lambda: b"#!/bin/sh\nrm -rf /\n")
rehashed("an empty message", "no graph in it", lambda: b"\x08\x08")
rehashed("flatbuffer marker ORTM inside valid ONNX", "ONNX Runtime flatbuffer", lambda: model(edit=_ortm))
rehashed("If nested 500 deep", "nested deeper than 100", lambda: nested(500))
rehashed(
    "2 MB of empty nodes (memory bomb)",
    "more than 200000 protobuf fields",
    lambda: b"\x08\x08" + field(7, b"\x0a\x00" * 1_000_000) + field(8, b"\x10\x11"),
)
rehashed(
    "operator name with terminal codes",
    "'op_type' in it is not printable",
    lambda: model([_coloured()], "after"),
)
rehashed(
    "name of a megabyte", "'name' in it is not printable UTF-8 of at most", lambda: model(edit=_long_name)
)


def _coloured() -> onnx.NodeProto:
    return helper.make_node("\x1b[2JRelu\n", ["relu"], ["after"])


def _long_name(built: onnx.ModelProto) -> None:
    built.graph.node[0].name = "a" * 2**20


def _ortm(built: onnx.ModelProto) -> None:
    built.producer_name = "ORTM"


# ---- operators --------------------------------------------------------------------------------------

SIN = helper.make_node("Sin", ["relu"], ["after"])
SIN_Y = [helper.make_node("Sin", ["x"], ["y"])]
RELU_Y = [helper.make_node("Relu", ["x"], ["y"])]
NOT_LISTED = "'Sin' in {} is not on the allowlist"


def scan() -> bytes:
    value = helper.make_tensor_value_info("row", TensorProto.FLOAT, None)
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Relu", ["row"], ["out"])], "body", [value], [out])
    node = helper.make_node("Scan", ["relu"], ["after"], body=body, num_scan_inputs=1)
    return model([node], "after")


def in_graphs_list() -> bytes:
    inner = helper.make_graph([helper.make_node("Sin", ["a"], ["b"])], "inner", [], [])
    node = helper.make_node("Relu", ["relu"], ["after"])
    node.attribute.append(helper.make_attribute("hidden", [inner]))
    return model([node], "after")


def in_training() -> bytes:
    def edit(built: onnx.ModelProto) -> None:
        info = built.training_info.add()
        info.algorithm.node.append(helper.make_node("Sin", ["a"], ["b"]))

    return model(edit=edit)


def deep() -> bytes:
    body = [helper.make_node("Sin", ["carried"], ["step"])]
    loop = loop_node([constant("count", np.int64(2))], body=body)
    loop[-1].output[0] = "then"
    # the inner constant needs a name of its own
    loop[1].output[0] = "inner_true"
    loop[-1].input[1] = "inner_true"
    return model(if_node(loop), "after")


def function_default() -> bytes:
    built = function("Own", RELU_Y)
    inner = helper.make_graph([helper.make_node("Sin", ["a"], ["b"])], "inner", [], [])
    built.attribute_proto.append(helper.make_attribute("body", inner))
    return model([call("Own")], "after", functions=[built])


rehashed("forbidden operator in the main graph", NOT_LISTED.format("graph"), lambda: model([SIN], "after"))
rehashed(
    "dynamic quantisation in the main graph",
    "'DynamicQuantizeLinear' in graph is not on the allowlist",
    lambda: model([helper.make_node("DynamicQuantizeLinear", ["relu"], ["q", "s", "after"])], "after"),
)
rehashed(
    "forbidden operator in an If branch",
    NOT_LISTED.format("graph > If 'branch'.then_branch"),
    lambda: model(if_node([helper.make_node("Sin", ["relu"], ["then"])]), "after"),
)
rehashed(
    "forbidden operator in a Loop body",
    NOT_LISTED.format("graph > Loop 'repeat'.body"),
    lambda: model(
        loop_node([constant("count", np.int64(2))], body=[helper.make_node("Sin", ["carried"], ["step"])]),
        "after",
    ),
)
rehashed(
    "forbidden operator in a Loop in an If",
    NOT_LISTED.format("graph > If 'branch'.then_branch > Loop 'repeat'.body"),
    deep,
)
rehashed(
    "forbidden operator in a function body",
    NOT_LISTED.format("function local.Own"),
    lambda: model([call("Own")], "after", functions=[function("Own", SIN_Y)]),
)
rehashed(
    "forbidden operator in a function nobody calls",
    NOT_LISTED.format("function local.Own"),
    lambda: model(functions=[function("Own", SIN_Y)]),
)
rehashed(
    "forbidden operator in a function that a function calls",
    NOT_LISTED.format("function local.Inner"),
    lambda: model(
        [call("Outer")],
        "after",
        functions=[function("Outer", [call("Inner", "x", "y")]), function("Inner", SIN_Y)],
    ),
)
rehashed(
    "forbidden operator in a function's default attribute",
    NOT_LISTED.format("function local.Own.body"),
    function_default,
)
rehashed(
    "forbidden operator in a list of graphs on a Relu",
    NOT_LISTED.format("graph > Relu.hidden"),
    in_graphs_list,
)
rehashed("forbidden operator in a training graph", "training graphs", in_training)
rehashed("Scan over allowed operators", "'Scan' in graph is not on the allowlist", scan)
rehashed(
    "ONNX Runtime's own domain",
    "foreign domain 'com.microsoft'",
    lambda: model([call("FusedConv", domain="com.microsoft")], "after"),
)
rehashed(
    "custom operator of a made-up domain",
    "foreign domain 'evil'",
    lambda: model([call("Relu", domain="evil")], "after"),
)
rehashed(
    "imported foreign domain",
    "the file imports the foreign operator domain 'ai.onnx.ml'",
    lambda: model(edit=lambda built: built.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))),
)
rehashed(
    "function that takes the name of an allowed operator",
    "takes the name of a standard operator",
    lambda: model([call("Relu")], "after", functions=[function("Relu", RELU_Y)]),
)
rehashed(
    "function in the standard domain",
    "is in a reserved domain",
    lambda: model(functions=[function("Own", RELU_Y, "")]),
)
rehashed(
    "function in ONNX Runtime's domain",
    "is in a reserved domain",
    lambda: model([call("Gelu2", domain="com.microsoft")], "after", functions=[_microsoft()]),
)
rehashed(
    "function that calls itself",
    "calls itself",
    lambda: model([call("Own")], "after", functions=[function("Own", [call("Own", "x", "y")])]),
)
rehashed("functions that double forty times", "executes more than 1000000 nodes", lambda: laughs(40))


def _microsoft() -> onnx.FunctionProto:
    return function("Gelu2", RELU_Y, "com.microsoft")


def laughs(levels: int) -> bytes:
    functions = [function("F0", RELU_Y)]
    for level in range(1, levels):
        calls = [call(f"F{level - 1}", "x", "half"), call(f"F{level - 1}", "half", "y")]
        functions.append(function(f"F{level}", calls))
    return model([call(f"F{levels - 1}")], "after", functions=functions)


# ---- Loop bounds ------------------------------------------------------------------------------------


def counted_at_run_time() -> bytes:
    nodes = [
        helper.make_node("Shape", ["relu"], ["shape"]),
        helper.make_node("ReduceProd", ["shape"], ["count"], keepdims=0),
    ]
    return model(loop_node(nodes), "after")


def count_is_an_input_too() -> bytes:
    def edit(built: onnx.ModelProto) -> None:
        built.graph.initializer.append(numpy_helper.from_array(np.int64(2), "count"))
        built.graph.input.append(helper.make_tensor_value_info("count", TensorProto.INT64, []))

    return model(loop_node([]), "after", edit=edit)


def loops_in_loops() -> bytes:
    inner = loop_node([constant("inner_count", np.int64(1024))], "inner_count")
    inner[1].output[0] = "inner_true"
    node = inner[-1]
    node.input[1], node.input[2], node.output[0] = "inner_true", "carried", "step"
    body = node.attribute[0].g
    for index, name in enumerate(["inner_trip", "inner_on", "inner_carried"]):
        body.input[index].name = name
    body.output[0].name, body.output[1].name = "inner_going", "inner_step"
    body.node[0].input[0], body.node[0].output[0] = "inner_on", "inner_going"
    body.node[1].input[0], body.node[1].output[0] = "inner_carried", "inner_step"
    return model(loop_node([constant("count", np.int64(1024))], body=inner), "after")


def loop_of_a_given_graph(*, default: bool) -> bytes:
    """A Loop in a function, whose body the caller gives or the function's default is."""
    nodes = loop_node([constant("count", np.int64(1024))])
    loop = nodes[-1]
    loop.input[2], loop.output[0] = "x", "y"
    body = onnx.AttributeProto()
    body.CopyFrom(loop.attribute[0])
    given = onnx.AttributeProto(name="body", type=onnx.AttributeProto.GRAPH, ref_attr_name="body")
    loop.attribute[0].CopyFrom(given)
    repeat = function("Repeat", nodes)
    caller = call("Repeat")
    if default:
        repeat.attribute_proto.append(body)
    else:
        repeat.attribute.append("body")
        caller.attribute.append(body)
    return model([caller], "after", functions=[repeat])


rehashed(
    "graph given to a function that repeats it",
    "gives a graph to function local.Repeat",
    lambda: loop_of_a_given_graph(default=False),
)
rehashed(
    "graph that a function repeats by default",
    "local.Repeat takes a graph as an attribute",
    lambda: loop_of_a_given_graph(default=True),
)
rehashed(
    "Loop of 1025 trips",
    "trip count 1025 is outside 0..1024",
    lambda: model(loop_node([constant("count", np.int64(1025))]), "after"),
)
rehashed(
    "Loop of -1 trips",
    "trip count -1 is outside 0..1024",
    lambda: model(loop_node([constant("count", np.int64(-1))]), "after"),
)
rehashed("Loop without a trip count", "has no trip count", lambda: model(loop_node([], ""), "after"))
rehashed("Loop counted at run time", "trip count 'count' is not a constant", counted_at_run_time)
rehashed(
    "Loop counted by a weight that is an input too",
    "trip count 'count' is not a constant",
    count_is_an_input_too,
)
rehashed("Loop of 1024 in a Loop of 1024", "executes more than 1000000 nodes", loops_in_loops)


# ---- versions, inputs, tensors ----------------------------------------------------------------------


def _set_opset(version: int) -> Callable[[onnx.ModelProto], None]:
    def edit(built: onnx.ModelProto) -> None:
        built.opset_import[0].version = version

    return edit


def _set_ir(version: int) -> Callable[[onnx.ModelProto], None]:
    def edit(built: onnx.ModelProto) -> None:
        built.ir_version = version

    return edit


def _two_opsets(built: onnx.ModelProto) -> None:
    built.opset_import.append(helper.make_opsetid("ai.onnx", 21))


def _second_input(built: onnx.ModelProto) -> None:
    built.graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))


def _uint8_input(built: onnx.ModelProto) -> None:
    built.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def _weight_is_input(built: onnx.ModelProto) -> None:
    built.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1, 8, 8), np.float32), "frame"))


def _ten_gigabytes(built: onnx.ModelProto) -> None:
    built.graph.initializer[0].dims[:] = [2_500_000_000, 1, 1, 1]


def _overflow(built: onnx.ModelProto) -> None:
    # 2^62 values of 4 bytes: the size in bytes is 0 when counted in 64 bits
    built.graph.initializer[0].dims[:] = [2**31, 2**31, 1, 1]
    built.graph.initializer[0].raw_data = b""


def _negative(built: onnx.ModelProto) -> None:
    built.graph.initializer[0].dims[:] = [-1, -9, 1, 1]


def _string(built: onnx.ModelProto) -> None:
    built.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"hello"]))


def _sparse(built: onnx.ModelProto) -> None:
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("where", TensorProto.INT64, [1], [7])
    built.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2_500_000_000]))


def _external(location: str) -> Callable[[onnx.ModelProto], None]:
    def edit(built: onnx.ModelProto) -> None:
        tensor = built.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return edit


def _external_unmarked(built: onnx.ModelProto) -> None:
    built.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def external_tensor(name: str) -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/shadow")
    return tensor


def external_in_if() -> bytes:
    node = helper.make_node("Constant", [], ["then"], value=external_tensor("then"))
    return model(if_node([node]), "after")


def external_in_function() -> bytes:
    node = helper.make_node("Constant", [], ["one"], value=external_tensor("one"))
    body = [node, helper.make_node("Add", ["x", "one"], ["y"])]
    return model([call("Own")], "after", functions=[function("Own", body)])


def huge_constant_of_shape() -> bytes:
    shape = constant("shape", np.int64([2_500_000_000]))
    fill = helper.make_node("ConstantOfShape", ["shape"], ["huge"])
    total = helper.make_node("ReduceSum", ["huge"], ["total"], keepdims=0)
    return model([shape, fill, total, helper.make_node("Add", ["relu", "total"], ["after"])], "after")


rehashed("opset 18", "imports opset [18], not exactly [17]", lambda: model(edit=_set_opset(18)))
rehashed("opset 16", "imports opset [16], not exactly [17]", lambda: model(edit=_set_opset(16)))
rehashed("opset 17 and, as ai.onnx, 21", "imports opset [17, 21]", lambda: model(edit=_two_opsets))
rehashed("IR version 11", "IR version 11, not 4 to 10", lambda: model(edit=_set_ir(11)))
rehashed("a second input", "2 inputs, not exactly one", lambda: model(edit=_second_input))
rehashed("an input of bytes", "is not a float32 tensor", lambda: model(edit=_uint8_input))
rehashed("an input with a built-in value", "is a weight too", lambda: model(edit=_weight_is_input))
rehashed("tensor that declares 10 GB", "= 2500000000 values of FLOAT", lambda: model(edit=_ten_gigabytes))
rehashed("tensor size that overflows to 0", "= 4611686018427387904 values", lambda: model(edit=_overflow))
rehashed("tensor of negative sizes", "has a negative size", lambda: model(edit=_negative))
rehashed("tensor of strings", "has the data type STRING", lambda: model(edit=_string))
rehashed("sparse tensor of 10 GB", "sparse tensor at model.graph", lambda: model(edit=_sparse))
rehashed("10 GB made by ConstantOfShape", "'huge' would take 9.3 GiB", huge_constant_of_shape)
rehashed(
    "weights in /etc/passwd",
    "keeps its data in another file ('/etc/passwd')",
    lambda: model(edit=_external("/etc/passwd")),
)
rehashed(
    "weights in a file beside",
    "keeps its data in another file ('weights.bin')",
    lambda: model(edit=_external("weights.bin")),
)
rehashed(
    "external location on a tensor not marked external",
    "keeps its data in another file ('/etc/passwd')",
    lambda: model(edit=_external_unmarked),
)
rehashed("external data in an If branch", "etc/shadow", external_in_if)
rehashed("external data in a function body", "etc/shadow", external_in_function)
rehashed(
    "output that no node makes",
    "the ONNX checker refuses it",
    lambda: model([helper.make_node("Relu", ["missing"], ["after"])], "after"),
)


# ---- paths ------------------------------------------------------------------------------------------


@attack("folder with the directory's name as prefix", "outside the model directory")
def _(folder: Path) -> Path:
    other = make_folder(folder.with_name(folder.name + "-evil"))
    return onnx_file(other)


@attack("the same by dots", "outside the model directory")
def _(folder: Path) -> str:
    make_folder(folder.with_name(folder.name + "-evil"))
    return f"{folder}/../{folder.name}-evil/{ID}.onnx"


@attack("link to a file outside", "outside the model directory")
def _(folder: Path) -> str:
    outside = folder.parent / "outside.onnx"
    onnx_file(folder).rename(outside)
    onnx_file(folder).symlink_to(outside)
    return ID


@attack("path through a linked folder", "outside the model directory")
def _(folder: Path) -> Path:
    other = make_folder(folder.parent / "other")
    (folder / "inside").symlink_to(other)
    return folder / "inside" / f"{ID}.onnx"


@attack("link that points at itself", "cannot be resolved")
def _(folder: Path) -> str:
    onnx_file(folder).unlink()
    onnx_file(folder).symlink_to(onnx_file(folder))
    return ID


@attack("id that is a path", "no such file")
def _(_: Path) -> str:
    return "../../../etc/nothing"


@attack("/etc/passwd as the model", "outside the model directory")
def _(_: Path) -> str:
    return "/etc/passwd"


@attack("NUL in the path", "cannot be resolved")
def _(folder: Path) -> str:
    return f"{folder}/{ID}.onnx\0.txt"


@attack("NUL in the path, --unverified", "cannot be opened", unverified=True)
def _(folder: Path) -> str:
    return f"{folder}/{ID}.onnx\0.txt"


def pipe(folder: Path) -> Path:
    onnx_file(folder).unlink()
    os.mkfifo(onnx_file(folder))
    return onnx_file(folder)


attack("named pipe that never answers", "not a regular file")(lambda folder: pipe(folder) and ID)
attack("named pipe that never answers, --unverified", "not a regular file", unverified=True)(pipe)
attack("/dev/zero", "outside the model directory")(lambda _: Path("/dev/zero"))
attack("/dev/zero, --unverified", "not a regular file", unverified=True)(lambda _: Path("/dev/zero"))


@attack("a folder in the place of the file", "not a regular file")
def _(folder: Path) -> str:
    onnx_file(folder).unlink()
    onnx_file(folder).mkdir()
    return ID


@attack("file in the directory that no row names", "no row of")
def _(folder: Path) -> Path:
    other = folder / "other.onnx"
    other.write_bytes(model())
    return other


@attack("file removed", "no such file")
def _(folder: Path) -> str:
    onnx_file(folder).unlink()
    return ID


# ---- registry ---------------------------------------------------------------------------------------


def registry_edit(name: str, message: str, edit: Callable[[str], str]) -> None:
    def trick(folder: Path) -> str:
        path = folder / "registry.json"
        path.write_text(edit(path.read_text()))
        return ID

    ATTACKS.append(Attack(name, trick, message))


def _rows(change: Callable[[list[dict[str, object]]], None]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        value = json.loads(text)
        change(value["models"])
        return json.dumps(value, indent=2) + "\n"

    return edit


registry_edit("two rows for one id", "two rows for the id", _rows(lambda rows: rows.append(dict(rows[0]))))
registry_edit(
    "row with a second sha256",
    "key 'sha256' is given twice",
    lambda text: text.replace('"opset"', f'"sha256": "{"1" * 64}",\n      "opset"'),
)
registry_edit("row with an unknown key", "was unexpected", _rows(lambda rows: rows[0].update(trusted=True)))
registry_edit("row without a hash", "'sha256' is a required", _rows(lambda rows: rows[0].pop("sha256")))
registry_edit("row with a short hash", "sha256", _rows(lambda rows: rows[0].update(sha256="abc")))
registry_edit(
    "row whose file is /etc/passwd", "models[0].file", _rows(lambda r: r[0].update(file="/etc/passwd"))
)
registry_edit("row whose file is ../x.onnx", "models[0].file", _rows(lambda r: r[0].update(file="../x.onnx")))
registry_edit(
    "row whose file is another's", "is not 'tiny_v1.onnx'", _rows(lambda r: r[0].update(file="b.onnx"))
)
registry_edit("row with opset 18", "17 was expected", _rows(lambda rows: rows[0].update(opset=18)))
registry_edit("row of kind svm", "'svm' is not one of", _rows(lambda rows: rows[0].update(kind="svm")))
registry_edit(
    "row that names an int8 file it denies",
    "models[0].int8_file",
    _rows(lambda rows: rows[0].update(int8_file=f"{ID}.int8.onnx")),
)
registry_edit("spaces changed by hand", "edited by hand", lambda text: text.replace('"id": ', '"id":  '))
registry_edit("NaN in the registry", "NaN is not a JSON number", lambda text: text.replace("null", "NaN", 1))
registry_edit("registry cut short", "not valid JSON", lambda text: text[: len(text) // 2])
registry_edit("registry of 100000 brackets", "not valid JSON", lambda text: "[" * 100_000)
registry_edit("registry that is a list", "not an object", lambda text: f"[{text}]")
registry_edit("registry of 2 MiB", "more than the cap of 1048576", lambda text: text + " " * 2**21)


@attack("registry that is a link", "cannot be opened")
def _(folder: Path) -> str:
    outside = folder.parent / "registry.json"
    (folder / "registry.json").rename(outside)
    (folder / "registry.json").symlink_to(outside)
    return ID


@attack("registry removed", "registry")
def _(folder: Path) -> str:
    (folder / "registry.json").unlink()
    return ID


@attack("nr model registered as a filter", "is not the shape of a filter model")
def _(folder: Path) -> str:
    make_folder(folder, kind=Kind.FILTER)
    return ID


@attack("an id that is not registered", "no registered model 'other' (known: tiny_v1)")
def _(_: Path) -> str:
    return "other"


# ---- sidecar ----------------------------------------------------------------------------------------


def sidecar_file(folder: Path) -> Path:
    return folder / f"{ID}.json"


@attack("sidecar of 2 MiB", "more than the cap of 1048576")
def _(folder: Path) -> str:
    os.truncate(sidecar_file(folder), 2**21)
    return ID


@attack("sidecar of 2 MiB, --unverified", "more than the cap of 1048576", unverified=True)
def _(folder: Path) -> Path:
    os.truncate(sidecar_file(folder), 2**21)
    return onnx_file(folder)


@attack("score range changed by hand", "the file was altered")
def _(folder: Path) -> str:
    text = sidecar_file(folder).read_text()
    sidecar_file(folder).write_text(text.replace("higher-is-better", "lower-is-better"))
    return ID


@attack("sidecar removed", "no such file")
def _(folder: Path) -> str:
    sidecar_file(folder).unlink()
    return ID


@attack("sidecar that is a link outside", "outside the model directory")
def _(folder: Path) -> str:
    outside = folder.parent / "sidecar.json"
    sidecar_file(folder).rename(outside)
    sidecar_file(folder).symlink_to(outside)
    return ID


@attack("registered sidecar with another input", "input_name is 'picture' but the ONNX file has 'frame'")
def _(folder: Path) -> str:
    change_sidecar(folder, input_name="picture")
    return ID


@attack("registered sidecar with another shape", "input_shape is ('batch', 1, 9, 9)")
def _(folder: Path) -> str:
    change_sidecar(folder, input_shape=("batch", 1, 9, 9))
    return ID


@attack("registered sidecar with another kind", "is not the shape of a filter model")
def _(folder: Path) -> str:
    change_sidecar(folder, kind=Kind.FILTER)
    return ID


@attack("registered sidecar of another file", "sha256 is")
def _(folder: Path) -> str:
    change_sidecar(folder, sha256=sha256_bytes(b"other"))
    return ID


@attack("registered sidecar with another licence", "licence is 'mine' but the registry has")
def _(folder: Path) -> str:
    change_sidecar(folder, licence="mine")
    return ID


@attack("int8 mode without an int8 file", "quant_mode is 'static_qdq' but the registry has 'fp32'")
def _(folder: Path) -> str:
    change_sidecar(folder, quant_mode="static_qdq")
    return ID


@attack("sidecar whose text hides a second kind from libvmaf", 'the first text "kind"')
def _(folder: Path) -> str:
    text = sidecar_file(folder).read_text()
    value = json.loads(text)
    value["metrics"] = {"kind": 1}
    moved = {"metrics": value.pop("metrics"), **value}
    data = json.dumps(moved, indent=2).encode()
    sidecar_file(folder).write_bytes(data)
    change_row(folder, sidecar_sha256=sha256_bytes(data))
    return ID


@attack("sidecar without name at its top", "the first keys are")
def _(folder: Path) -> str:
    value = json.loads(sidecar_file(folder).read_text())
    moved = {"licence": value.pop("licence"), **value}
    data = json.dumps(moved, indent=2).encode()
    sidecar_file(folder).write_bytes(data)
    change_row(folder, sidecar_sha256=sha256_bytes(data))
    return ID
