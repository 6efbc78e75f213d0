"""What `check_graph` reads out of a file, and how work and size are counted."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_folder import constant, if_node, model
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.errors import UserError
from vmaf_train.graph import Value, check_graph, macs


def graph_of(nodes: list[onnx.NodeProto], shape: list[int | str], **weights: np.ndarray) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"][: len(shape)])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(built.SerializeToString())


def test_facts_are_read_out_of_the_file() -> None:
    data = model()
    facts = check_graph(data, name="m")
    assert (facts.opset, facts.ir_version, facts.bytes) == (17, 8, len(data))
    assert facts.input == Value("frame", ("batch", 1, 8, 8))
    assert facts.output == Value("mos", ("batch",))
    assert facts.operators == {"Conv": 1, "Flatten": 1, "GlobalAveragePool": 1, "Relu": 1, "Squeeze": 1}
    assert facts.parameters == 9


def test_multiply_accumulates_are_those_of_the_textbook() -> None:
    free: list[int | str] = ["n", 2, "h", "w"]
    conv = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2])
    data = graph_of([conv], free, k=np.zeros((5, 2, 3, 3)))
    assert macs(data, (3, 2, 10, 20), name="m") == 3 * 5 * 10 * (5 * 2 * 9)
    depthwise = helper.make_node("Conv", ["x", "k"], ["y"], pads=[1, 1, 1, 1], group=2)
    data = graph_of([depthwise], free, k=np.zeros((2, 1, 3, 3)))
    assert macs(data, (1, 2, 10, 20), name="m") == 200 * 2 * 9
    up = helper.make_node("ConvTranspose", ["x", "k"], ["y"], strides=[2, 2])
    data = graph_of([up], free, k=np.zeros((2, 7, 2, 2)))
    assert macs(data, (1, 2, 10, 20), name="m") == 200 * (2 * 7 * 4)
    gemm = helper.make_node("Gemm", ["x", "k"], ["y"])
    data = graph_of([gemm], ["n", 6], k=np.zeros((6, 4)))
    assert macs(data, (8, 6), name="m") == 8 * 6 * 4
    matmul = helper.make_node("MatMul", ["x", "k"], ["y"])
    data = graph_of([matmul], free, k=np.zeros((20, 4)))
    assert macs(data, (1, 2, 10, 20), name="m") == 2 * 10 * 4 * 20


def test_a_shape_that_the_graph_does_not_take_is_named() -> None:
    with pytest.raises(UserError, match=r"input shape \(1, 8, 8\) has 3 axes, not 4"):
        macs(model(), (1, 8, 8), name="m")
    with pytest.raises(UserError, match=r"input shape \(1, 1, 9, 8\): an axis is fixed at 8"):
        macs(model(), (1, 1, 9, 8), name="m")


def test_parameters_shared_or_quantised_are_counted_once() -> None:
    nodes = [
        helper.make_node("Identity", ["k"], ["same"]),
        helper.make_node("Conv", ["x", "k"], ["m"], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["m", "same"], ["y"], pads=[1, 1, 1, 1]),
    ]
    assert (
        check_graph(graph_of(nodes, ["n", 1, "h", "w"], k=np.zeros((1, 1, 3, 3))), name="m").parameters == 9
    )


def test_a_symbolic_axis_without_a_name_is_shown_as_unknown() -> None:
    data = graph_of([helper.make_node("Relu", ["x"], ["y"])], ["", 1, 8, 8])
    assert check_graph(data, name="m").input.shape == ("?", 1, 8, 8)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_is_accepted_or_refused_in_one_line(data: st.DataObject) -> None:
    damaged = bytearray(model())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    refusal = ""
    try:
        check_graph(bytes(damaged), name="m")
    except UserError as error:
        refusal = str(error)
    assert "\n" not in refusal


@pytest.mark.parametrize("shared", [False, True])
def test_quantised_weights_are_counted_however_they_reach_their_layer(shared: bool) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["k", "scale", "zero"], ["float"]),
        helper.make_node("Identity", ["float"], ["same"]),
        helper.make_node("Conv", ["x", "same" if shared else "float"], ["y"], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5, "h", "w"])],
        [
            numpy_helper.from_array(np.zeros((5, 1, 3, 3), np.int8), "k"),
            numpy_helper.from_array(np.float32(0.1), "scale"),
            numpy_helper.from_array(np.int8(0), "zero"),
        ],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert check_graph(built.SerializeToString(), name="m").parameters == 45


def test_a_huge_tensor_in_a_branch_is_refused() -> None:
    inner = [
        constant("size", np.int64([2_500_000_000])),
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["one"], keepdims=0),
        helper.make_node("Add", ["relu", "one"], ["then"]),
    ]
    with pytest.raises(UserError, match=r"tensor 'huge' would take 9\.3 GiB, more than 4"):
        check_graph(model(if_node(inner), "after"), name="m")
