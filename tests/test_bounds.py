"""Loop trip counts are constants, and a graph cannot ask for endless work."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from model_folder import call, constant, function, loop_node, model
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.bounds import MAX_TRIPS, check_bounds, constant_integer
from vmaf_train.errors import UserError


def steps(data: bytes) -> int:
    return check_bounds(onnx.load_model_from_string(data), name="m")


PLAIN = steps(model())


@pytest.mark.parametrize("trips", [0, 1, 7, MAX_TRIPS])
def test_a_constant_trip_count_is_accepted_and_multiplies_the_body(trips: int) -> None:
    data = model(loop_node([constant("count", np.int64(trips))]), "after")
    # the body holds two nodes; around it are two constants and the Loop itself
    assert steps(data) == PLAIN + 3 + 2 * trips


def test_a_count_may_be_a_weight_or_an_integer_attribute() -> None:
    def edit(built: onnx.ModelProto) -> None:
        built.graph.initializer.append(numpy_helper.from_array(np.int64([4]), "count"))

    assert steps(model(loop_node([]), "after", edit=edit)) == PLAIN + 2 + 8
    node = helper.make_node("Constant", [], ["count"], value_int=4)
    assert steps(model(loop_node([node]), "after")) == PLAIN + 3 + 8


def test_a_constant_hidden_by_a_value_of_the_same_name_is_no_constant() -> None:
    nodes = [constant("count", np.int64(4)), helper.make_node("Size", ["relu"], ["count"])]
    with pytest.raises(UserError, match="trip count 'count' is not a constant"):
        steps(model(loop_node(nodes), "after"))


def test_a_count_given_to_a_function_is_no_constant() -> None:
    body = loop_node([], "x")
    body[-1].input[2], body[-1].output[0] = "x", "y"
    with pytest.raises(UserError, match=r"Loop 'repeat' in function local.Own: trip count 'x'"):
        steps(model([call("Own")], "after", functions=[function("Own", body)]))


def test_a_function_counts_once_for_each_call() -> None:
    own = function("Own", [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["y"])])
    data = model([call("Own", "relu", "half"), call("Own", "half", "after")], "after", functions=[own])
    assert steps(data) == PLAIN + 4


def test_two_functions_that_call_each_other_are_refused() -> None:
    functions = [function("A", [call("B", "x", "y")]), function("B", [call("A", "x", "y")])]
    with pytest.raises(UserError, match="calls itself"):
        steps(model(functions=functions))


def test_only_one_int64_value_is_a_trip_count() -> None:
    assert constant_integer(numpy_helper.from_array(np.int64(-3))) == -3
    assert constant_integer(helper.make_tensor("t", TensorProto.INT64, [1], [9])) == 9
    assert constant_integer(numpy_helper.from_array(np.int64([1, 2]))) is None
    assert constant_integer(numpy_helper.from_array(np.int32(3))) is None
    assert constant_integer(TensorProto(data_type=TensorProto.INT64, raw_data=b"123")) is None
