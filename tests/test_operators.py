"""The allowlist, and the walk that meets every node at every depth."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from model_folder import call, constant, function, if_node, loop_node, model
from onnx import helper

from vmaf_train.errors import UserError
from vmaf_train.operators import ALLOWED, check_operators, walk


def parsed(data: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(data)


def everywhere() -> onnx.ModelProto:
    """A Sigmoid in an If, in a Loop and in a function."""
    branch = if_node([helper.make_node("Sigmoid", ["relu"], ["then"])])
    body = function("Own", [helper.make_node("Tanh", ["x"], ["y"])])
    loop = loop_node([constant("count", np.int64(2))], body=[helper.make_node("Elu", ["carried"], ["step"])])
    loop[1].output[0] = "true2"
    loop[-1].input[1], loop[-1].input[2], loop[-1].output[0] = "true2", "after", "looped"
    return parsed(model([*branch, *loop, call("Own", "looped", "last")], "last", functions=[body]))


def test_the_allowlist_is_the_one_libvmaf_has() -> None:
    assert len(ALLOWED) == 70
    assert {"Conv", "QuantizeLinear", "DequantizeLinear", "If", "Loop", "ConvTranspose", "Resize"} <= ALLOWED
    assert not {"DynamicQuantizeLinear", "ConvInteger", "QLinearConv", "DepthToSpace", "Scan"} & ALLOWED


def test_every_depth_is_walked_and_named() -> None:
    places = {located.node.op_type: located.where for located in walk(everywhere())}
    assert places["Conv"] == "graph"
    assert places["Sigmoid"] == "graph > If 'branch'.then_branch"
    assert places["Elu"] == "graph > Loop 'repeat'.body"
    assert places["Tanh"] == "function local.Own"


def test_operators_are_counted_at_every_depth_and_calls_by_their_bodies() -> None:
    counts = check_operators(everywhere(), name="m")
    assert (counts["Sigmoid"], counts["Elu"], counts["Tanh"], counts["Identity"]) == (1, 1, 1, 2)
    assert "Own" not in counts
    assert list(counts) == sorted(counts)


def test_a_forbidden_operator_names_file_operator_node_and_place() -> None:
    built = parsed(model([helper.make_node("Sin", ["relu"], ["after"], name="wave")], "after"))
    with pytest.raises(UserError, match=r"^m\.onnx: operator 'Sin' in graph \(node 'wave'\) is not on"):
        check_operators(built, name="m.onnx")


def test_a_function_of_the_same_name_and_another_overload_is_another_function() -> None:
    built = parsed(model([call("Own")], "after", functions=[function("Own", [])]))
    built.graph.node[2].overload = "other"
    with pytest.raises(UserError, match="foreign domain 'local'"):
        check_operators(built, name="m")


def test_a_function_defined_twice_is_refused() -> None:
    built = parsed(model(functions=[function("Own", []), function("Own", [])]))
    with pytest.raises(UserError, match="defined twice"):
        check_operators(built, name="m")
