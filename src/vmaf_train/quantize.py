"""Stage `quantize`: the static QDQ int8 twin of a model, held to its accuracy budget.

Static QDQ (QuantizeLinear and DequantizeLinear around Conv and Gemm) is the one int8 form that libvmaf's
client loads. Whether the twin ships is the `quantize` decision in the model's params.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vmaf_train.errors import UserError
from vmaf_train.files import made_by, replacing_folder, sha256_bytes, write_bytes, write_json
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.onnx_frames import frames_of, onnx_runner, packed_frames, split_rows
from vmaf_train.params import Params

if TYPE_CHECKING:
    from vmaf_train.statistics import FloatArray

# ranges settle with a few dozen pictures; more only costs time
CALIBRATION_FRAMES = 64
QUANTIZED = ["Conv", "Gemm"]


def quantize(model_id: str, params: Params, layout: Layout) -> dict[str, Any]:
    """Write `data/int8/<model_id>/` (`<model_id>.int8.onnx`, `report.json`); return the report.

    The report's `plcc_loss` is, for an nr model, the PLCC with the labels that is lost on the test split;
    for a filter, one minus the PLCC of int8 and float output over all pixels of the test split.

    Raises:
        UserError: an input is missing, the int8 graph has an operator that is not allowed, or the model
            is to ship (`quantize: true`) and loses more than `quant_accuracy_budget_plcc`.
    """
    section = params.model(model_id)
    array = frames_of(section)
    source = made_by(layout.onnx(model_id), f"export {model_id}")
    exact = source.read_bytes()
    train, test = split_rows(layout, "train", array), split_rows(layout, "test", array)
    chosen = train.iloc[np.unique(np.linspace(0, len(train) - 1, CALIBRATION_FRAMES).astype(int))]
    name = f"{model_id}.int8.onnx"
    data = static_qdq(exact, to_unit(packed_frames(layout, array, chosen)), name=str(source))
    frames, mos = packed_frames(layout, array, test), test["mos"].to_numpy(np.float64)
    given, rounded = onnx_runner(exact, name=str(source))(frames), onnx_runner(data, name=name)(frames)
    loss = _plcc(given, mos) - _plcc(rounded, mos) if section.kind == "nr" else 1 - _plcc(given, rounded)
    report = {
        "model": model_id,
        "onnx_sha256": sha256_bytes(exact),
        "quant_mode": "static_qdq",
        "ships": section.quantize,
        "calibration_frames": len(chosen),
        "plcc_loss": round(loss, 6),
        "quant_accuracy_budget_plcc": section.quant_accuracy_budget_plcc,
        "bytes": len(data),
        "float_bytes": len(exact),
    }
    if section.quantize and not loss <= section.quant_accuracy_budget_plcc:
        raise UserError(
            f"quantize: {model_id} loses {loss:.4f} PLCC as int8, more than quant_accuracy_budget_plcc "
            f"{section.quant_accuracy_budget_plcc:g}; set {model_id}.quantize to false or raise the budget"
        )
    with replacing_folder(layout.int8(model_id)) as folder:
        write_bytes(folder / name, data)
        write_json(folder / "report.json", report)
    return report


def static_qdq(data: bytes, frames: FloatArray, *, name: str) -> bytes:
    """Quantise the float model `data`, its ranges taken from `frames` (N, 1, H, W) in 0..1.

    Activations are uint8, weights int8 a channel; both sides of each operator carry Q and DQ nodes.

    Raises:
        UserError: the model, `name` in messages, is refused (see `check_graph`).
    """
    import onnx
    from onnxruntime import quantization

    source = check_graph(data, name=name).input.name

    class Frames(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.pending = iter(frames)

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self.pending, None)
            return None if frame is None else {source: frame[None]}

    with tempfile.TemporaryDirectory() as folder, _only_errors_logged():
        target = Path(folder) / "int8.onnx"
        quantization.quantize_static(
            onnx.load_model_from_string(data),
            target,
            Frames(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=QUANTIZED,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        made = onnx.load_model(target)
    # the library declares its own domain, even where no node uses it
    for declared in [entry for entry in made.opset_import if entry.domain]:
        made.opset_import.remove(declared)
    made.producer_version = ""
    result: bytes = made.SerializeToString(deterministic=True)
    return result


@contextlib.contextmanager
def _only_errors_logged() -> Iterator[None]:
    """Silence the library's advice of a pre-processing that the exporter has done already."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


def _plcc(one: FloatArray, other: FloatArray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one.ravel().astype(np.float64), other.ravel().astype(np.float64))[0, 1])
