"""The tensors inside an ONNX file: all their bytes present, none taken from another file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vmaf_train.errors import UserError

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

# data type of the format -> (bytes of one element, the typed field that may hold it instead of raw_data)
_STORAGE = {
    "FLOAT": (4, "float_data"),
    "DOUBLE": (8, "double_data"),
    "INT64": (8, "int64_data"),
    "INT32": (4, "int32_data"),
    "INT16": (2, "int32_data"),
    "INT8": (1, "int32_data"),
    "UINT16": (2, "int32_data"),
    "UINT8": (1, "int32_data"),
    "BOOL": (1, "int32_data"),
    "FLOAT16": (2, "int32_data"),
}


def messages(message: Any, path: str = "model") -> Iterator[tuple[str, Any]]:
    """A protobuf message and every message below it, each with its path."""
    yield path, message
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for item in value if field.is_repeated else [value]:
            yield from messages(item, f"{path}.{field.name}")


def check_tensors(model: ModelProto, *, name: str) -> None:
    """Refuse data outside the file, and tensors whose declared size is not what the file holds.

    Nothing is allocated from a declared size, so a tensor that claims 10 GB costs nothing. Sparse
    tensors are refused whole: ONNX Runtime expands them to the size they declare.

    Raises:
        UserError: names the file, the tensor and what is wrong with it.
    """
    from onnx import SparseTensorProto, TensorProto

    for path, message in messages(model):
        if isinstance(message, SparseTensorProto):
            raise UserError(f"{name}: sparse tensor at {path}; store the weights as a dense tensor")
        if isinstance(message, TensorProto):
            _check_tensor(message, f"{name}: tensor {message.name!r} at {path}")


def _check_tensor(tensor: TensorProto, label: str) -> None:
    from onnx import TensorProto

    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        places = [repr(item.value)[:100] for item in tensor.external_data if item.key == "location"]
        raise UserError(
            f"{label} keeps its data in another file ({', '.join(places) or 'no location'}); "
            "save the model as one file"
        )
    known = {value: key for key, value in TensorProto.DataType.items()}
    dtype = known.get(tensor.data_type, str(tensor.data_type))
    if dtype not in _STORAGE:
        raise UserError(f"{label} has the data type {dtype}; accepted: {', '.join(_STORAGE)}")
    if any(size < 0 for size in tensor.dims) or tensor.HasField("segment"):
        raise UserError(f"{label} has a negative size or is only a segment; export the model again")
    item_bytes, field = _STORAGE[dtype]
    declared = math.prod(tensor.dims)
    held = len(tensor.raw_data) / item_bytes if tensor.HasField("raw_data") else len(getattr(tensor, field))
    if held != declared:
        raise UserError(
            f"{label} declares {list(tensor.dims)} = {declared} values of {dtype} but the file holds "
            f"{held:g}; export the model again"
        )
