"""All bytes of a tensor are in the file, no more and no fewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from model_folder import if_node, model
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.errors import UserError
from vmaf_train.tensors import check_tensors


def with_tensor(tensor: onnx.TensorProto) -> onnx.ModelProto:
    built = onnx.load_model_from_string(model())
    built.graph.initializer.append(tensor)
    return built


@pytest.mark.parametrize(
    "dtype",
    [np.float32, np.float64, np.float16, np.int64, np.int32, np.int16, np.int8, np.uint8, np.uint16, bool],
)
def test_a_whole_tensor_passes_whichever_way_it_is_stored(dtype: type) -> None:
    values = np.ones((2, 3), dtype)
    raw = numpy_helper.from_array(values, "t")
    typed = helper.make_tensor("t", raw.data_type, [2, 3], values.flatten().tolist())
    check_tensors(with_tensor(raw), name="m")
    check_tensors(with_tensor(typed), name="m")


def test_scalars_and_empty_tensors_pass() -> None:
    check_tensors(with_tensor(numpy_helper.from_array(np.float32(1), "t")), name="m")
    check_tensors(with_tensor(numpy_helper.from_array(np.zeros((0, 3), np.float32), "t")), name="m")


@pytest.mark.parametrize("size", [0, 1, 11, 13, 24])
def test_too_few_or_too_many_bytes_are_refused(size: int) -> None:
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[3], raw_data=bytes(size))
    with pytest.raises(UserError, match=r"tensor 't' at model.graph.initializer declares \[3\] = 3 values"):
        check_tensors(with_tensor(tensor), name="m")


def test_external_data_is_refused_in_an_attribute_of_a_subgraph(tmp_path: Path) -> None:
    tensor = TensorProto(name="then", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=str(tmp_path / "x"))
    built = onnx.load_model_from_string(
        model(if_node([helper.make_node("Constant", [], ["then"], value=tensor)]), "after")
    )
    with pytest.raises(UserError, match=r"node.attribute.g.node.attribute.t keeps its data in another file"):
        check_tensors(built, name="m")


def test_a_file_saved_by_onnx_with_external_weights_is_refused(tmp_path: Path) -> None:
    built = onnx.load_model_from_string(model())
    onnx.save_model(
        built, tmp_path / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0
    )
    stored = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    with pytest.raises(UserError, match=r"another file \('m.onnx.data'\); save the model as one file"):
        check_tensors(stored, name="m.onnx")


def test_a_tensor_that_is_a_segment_of_another_is_refused() -> None:
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "t")
    tensor.segment.begin, tensor.segment.end = 0, 3
    with pytest.raises(UserError, match="is only a segment"):
        check_tensors(with_tensor(tensor), name="m")
