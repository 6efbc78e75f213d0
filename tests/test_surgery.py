"""Edits of graphs: clips, code values, names."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_models import affine_filter, blur_filter, identity_filter, model_bytes

from vmaf_train.errors import UserError
from vmaf_train.surgery import clip_last, take_codes, take_part


@pytest.mark.parametrize(("data", "added"), [(affine_filter(2, 0), 1), (blur_filter(), 0)])
def test_a_graph_ends_with_one_clip(data: bytes, added: int) -> None:
    model = onnx.load_model_from_string(data)
    nodes = len(model.graph.node)
    clip_last(model)
    assert len(model.graph.node) == nodes + added
    assert model.graph.node[-1].op_type == "Clip"
    assert model.graph.node[-1].output[0] == model.graph.output[0].name
    onnx.checker.check_model(model, full_check=True)


def test_a_clip_to_another_range_does_not_count() -> None:
    model = onnx.load_model_from_string(blur_filter())
    for tensor in model.graph.initializer:
        if tensor.name == "one":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.float32(2), "one"))
    clip_last(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Clip", "Clip"]


def run_codes(data: bytes, codes: np.ndarray, bits: int) -> np.ndarray:
    model = onnx.load_model_from_string(data)
    take_codes(model, bits)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given: np.ndarray = session.run(["filtered"], {"degraded": codes[None, None]})[0][0, 0]
    assert given.dtype == codes.dtype
    return given


def every_code(bits: int) -> np.ndarray:
    # an odd number of columns: the last ones are no whole register
    kind, rows = (np.uint8, 2**bits // 15 + 1) if bits == 8 else (np.uint16, 2**bits // 15 + 1)
    return np.minimum(np.arange(rows * 15).reshape(rows, 15), 2**bits - 1).astype(kind)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_every_code_value_survives_the_way_through_the_graph(bits: int) -> None:
    codes = every_code(bits)
    assert np.array_equal(run_codes(identity_filter(), codes, bits), codes)


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_a_part_of_the_change_is_the_input_and_that_part_of_the_way(bits: int) -> None:
    codes = every_code(bits)
    for scale, offset in ((0.5, 0.0), (2.0, 0.1)):
        model = onnx.load_model_from_string(affine_filter(scale, offset))
        take_part(model, 0.25)
        given = run_codes(model.SerializeToString(), codes, bits)
        top = 2**bits - 1
        expected = np.clip(codes + 0.25 * (scale * codes + offset * top - codes), 0, top)
        assert np.max(np.abs(given - expected)) <= 0.5 + 1e-3


@pytest.mark.parametrize("strength", [0, -0.5, 1.01, float("nan")])
def test_no_other_part_is_taken(strength: float) -> None:
    with pytest.raises(UserError, match=r"^strength .* must be above 0 and at most 1"):
        take_part(onnx.load_model_from_string(identity_filter()), strength)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_answers_are_clipped_and_rounded_and_no_number_is_black(bits: int) -> None:
    codes, top = every_code(bits), 2**bits - 1
    halved = run_codes(affine_filter(0.5, 0), codes, bits)
    assert np.max(np.abs(halved - codes / 2)) <= 0.5 + 1e-3
    assert not run_codes(affine_filter(-1e30, -1), codes, bits).any()
    assert np.all(run_codes(affine_filter(1e30, 1), codes, bits) == top)
    # infinity times zero is no number
    nodes = [
        onnx.helper.make_node("Mul", ["degraded", "huge"], ["wide"]),
        onnx.helper.make_node("Mul", ["wide", "huge"], ["infinite"]),
        onnx.helper.make_node("Mul", ["infinite", "zero"], ["filtered"]),
    ]
    free = ("batch", 1, "height", "width")
    constants = {"huge": np.float32(1e38), "zero": np.float32(0)}
    none = model_bytes(nodes, ("degraded", free), ("filtered", free), constants)
    assert not run_codes(none, codes, bits).any()


def test_a_part_of_a_part_of_the_change_is_the_product_of_both() -> None:
    codes = every_code(8)
    model = onnx.load_model_from_string(affine_filter(0.5, 0))
    for _ in range(2):
        take_part(model, 0.5)
    given = run_codes(model.SerializeToString(), codes, 8)
    assert np.max(np.abs(given - (codes - 0.25 * 0.5 * codes))) <= 0.5 + 1e-3
