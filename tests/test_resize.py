"""The area resize inside a graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tiny_models import mean_nr, model_bytes

from vmaf_train.luma import area_resize, area_weights
from vmaf_train.resize import band_blocks, repeated_block, resize_first, row_windows, runs, whole_weights
from vmaf_train.sampling import directions, fragments
from vmaf_train.session import make_session
from vmaf_train.surgery import fix_shape


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
    across = directions("area", (224, source), (224, 224))[1]
    assert across.weights is not None
    whole, divisor = whole_weights(across.weights, across.divisor), across.divisor
    assert whole is not None
    assert np.all(whole.sum(axis=1, dtype=np.int64) == divisor)
    assert np.array_equal((whole / divisor).astype(np.float32), area_weights(source, 224))
    # older processors add two products with int8 in 16 bits
    assert whole.dtype == np.uint8 or 2 * 255 * int(whole.max()) < 2**15
    assert whole_weights(area_weights(521, 512), 521) is None
    for largest, kind in ((64, np.int8), (65, np.uint8)):
        two = np.array([[largest, 1]], np.float32) / (largest + 1)
        whole = whole_weights(two, largest + 1)
        assert whole is not None
        assert whole.dtype == kind


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
    session = make_session(model.SerializeToString(), name="resize")
    given = session.run(None, {"frame": codes[None, None]})[0][0, 0] * 255
    exact = np.float64(area_weights(height, 224)) @ codes @ np.float64(area_weights(width, 224).T)
    beside_half = np.abs(exact % 1 - 0.5)
    clear = (beside_half < 3e-5) | (beside_half > 1e-3)  # weights are float32
    assert clear.mean() > 0.995
    assert given[clear] == pytest.approx(np.floor(exact + 0.5 + 3e-5)[clear], abs=1e-4)


@pytest.mark.parametrize("codes_in", [True, False], ids=["code values", "0..1"])
def test_halves_are_rounded_up_as_in_training_frames(codes_in: bool) -> None:
    model = onnx.load_model_from_string(identity_224())
    resize_first(model, 448, 448, codes=codes_in)
    fix_shape(model, 448, 448)
    # sums of four: each fourth pixel is a half
    codes = np.random.default_rng(0).integers(0, 256, (448, 448), np.uint8)
    frame = codes if codes_in else (codes / np.float32(255)).astype(np.float32)
    session = make_session(model.SerializeToString(), name="resize")
    given = session.run(None, {"frame": frame[None, None]})[0][0, 0] * 255
    assert given == pytest.approx(area_resize(codes, 224, 224).astype(np.float64), abs=1e-4)


@pytest.mark.parametrize("codes_in", [True, False], ids=["code values", "0..1"])
@pytest.mark.parametrize(
    ("height", "width"), [(540, 960), (960, 540), (1440, 2560), (270, 480), (600, 800), (1080, 1920)]
)
def test_code_values_beside_a_half_are_rounded_as_in_training_frames(
    height: int, width: int, codes_in: bool
) -> None:
    model = onnx.load_model_from_string(identity_224())
    resize_first(model, height, width, codes=codes_in)
    fix_shape(model, height, width)
    for axis in model.graph.output[0].type.tensor_type.shape.dim[2:]:
        axis.dim_value = 224
    codes = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    frame = codes if codes_in else (codes / np.float32(255)).astype(np.float32)
    session = make_session(model.SerializeToString(), name="resize")
    given = np.rint(session.run(None, {"frame": frame[None, None]})[0][0, 0] * 255)
    assert np.array_equal(given, area_resize(codes, 224, 224))


@pytest.mark.parametrize("codes_in", [True, False], ids=["code values", "0..1"])
@pytest.mark.parametrize(
    ("height", "width"), [(540, 960), (1080, 1920), (720, 1280), (270, 480), (480, 854), (1920, 1080)]
)
def test_fragments_in_a_graph_are_those_of_training(height: int, width: int, codes_in: bool) -> None:
    model = onnx.load_model_from_string(identity_224())
    resize_first(model, height, width, sampling="fragments", codes=codes_in)
    fix_shape(model, height, width)
    # what Identity gives keeps the size of the fragments
    for axis in model.graph.output[0].type.tensor_type.shape.dim[2:]:
        axis.dim_value = 224
    codes = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    frame = codes if codes_in else (codes / np.float32(255)).astype(np.float32)
    session = make_session(model.SerializeToString(), name="resize")
    given = session.run(None, {"frame": frame[None, None]})[0][0, 0] * 255
    assert given == pytest.approx(fragments(codes, 224)[0].astype(np.float64), abs=1e-4)


def test_runs_join_what_follows_without_a_gap() -> None:
    assert runs(np.array([3, 4, 5, 9, 11, 12])) == [(3, 6), (9, 10), (11, 13)]


def identity_224() -> bytes:
    """A graph that returns the frame that it gets."""
    nodes = [onnx.helper.make_node("Identity", ["frame"], ["same"])]
    return model_bytes(nodes, ("frame", (1, 1, 224, 224)), ("same", (1, 1, 224, 224)))


def test_a_frame_of_the_models_own_size_gets_no_resize() -> None:
    model = onnx.load_model_from_string(mean_nr())
    nodes = len(model.graph.node)
    resize_first(model, 224, 224)
    assert len(model.graph.node) == nodes
