"""Edits of graphs: blocks of a resize, clips, names."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny_models import affine_filter, blur_filter, identity_filter, mean_nr, model_bytes

from vmaf_train.luma import area_weights
from vmaf_train.surgery import (
    band_blocks,
    clip_last,
    fix_shape,
    repeated_block,
    resize_first,
    row_windows,
    take_codes,
    whole_weights,
)


@pytest.mark.parametrize(
    ("source", "target"), [(960, 224), (541, 224), (224, 224), (97, 224), (1, 224), (5, 2), (90, 31)]
)
def test_blocks_hold_all_weights(source: int, target: int) -> None:
    matrix = area_weights(source, target)
    rebuilt = []
    for first, last, part in band_blocks(matrix):
        rows = np.zeros((len(part), source), np.float32)
        rows[:, first:last] = part
        rebuilt.append(rows)
    assert np.array_equal(np.concatenate(rebuilt), matrix)
    rows, parts = row_windows(matrix)
    unfolded = np.zeros((len(rows), target // len(rows), source), np.float32)
    for whole, row, part in zip(unfolded, rows, parts, strict=True):
        whole[:, row] = part
    assert np.array_equal(unfolded.reshape(target, source), matrix)
    block, count = repeated_block(matrix)
    assert np.array_equal(np.kron(np.eye(count, dtype=np.float32), block), matrix)


def test_common_sizes_repeat_along_the_diagonal() -> None:
    assert [repeated_block(area_weights(size, 224))[1] for size in (1920, 960, 1080, 720)] == [32, 32, 8, 16]
    # enlarging interpolates between neighbours, so blocks do not stand alone
    assert repeated_block(area_weights(112, 224))[1] == 1


def test_code_values_are_cast_and_scaled_inside_the_graph() -> None:
    model = onnx.load_model_from_string(mean_nr())
    resize_first(model, 100, 64, codes=True)
    fix_shape(model, 100, 64)
    onnx.checker.check_model(model, full_check=True)
    source = model.graph.input[0].type.tensor_type
    assert source.elem_type == onnx.TensorProto.UINT8
    assert [axis.dim_value for axis in source.shape.dim] == [1, 1, 100, 64]


@pytest.mark.parametrize("source", [225, 360, 541, 720, 960, 1920, 4096])
def test_whole_weights_are_the_weights_times_their_divisor(source: int) -> None:
    whole, divisor = whole_weights(source, 224)
    assert whole is not None
    assert np.all(whole.sum(axis=1, dtype=np.int64) == divisor)
    assert np.array_equal((whole / divisor).astype(np.float32), area_weights(source, 224))
    # older processors add two products with int8 in 16 bits
    assert whole.dtype == np.uint8 or 2 * 255 * int(whole.max()) < 2**15
    assert whole_weights(521, 512) == (None, 521)


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (540, 960),
        (1080, 1920),
        (224, 224),
        (224, 960),
        (100, 64),
        (541, 853),
        (97, 541),
        (360, 100),
        (300, 224),
    ],
)
def test_code_values_are_resized_as_the_weights_say(height: int, width: int) -> None:
    model = onnx.load_model_from_string(identity_224())
    resize_first(model, height, width, codes=True)
    for axis, size in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], (height, width), strict=True):
        axis.dim_value = size
    codes = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    # the largest sums that there are
    codes[: height // 2] = 255
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    resized = session.run(None, {"frame": codes[None, None]})[0][0, 0]
    rows, columns = area_weights(height, 224), area_weights(width, 224)
    assert resized == pytest.approx(np.float64(rows) @ codes @ np.float64(columns.T) / 255, abs=1e-6)


def identity_224() -> bytes:
    """A graph that returns the frame that it gets."""
    nodes = [onnx.helper.make_node("Identity", ["frame"], ["same"])]
    return model_bytes(nodes, ("frame", (1, 1, 224, 224)), ("same", (1, 1, 224, 224)))


def test_a_frame_of_the_models_own_size_gets_no_resize() -> None:
    model = onnx.load_model_from_string(mean_nr())
    nodes = len(model.graph.node)
    resize_first(model, 224, 224)
    assert len(model.graph.node) == nodes


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
