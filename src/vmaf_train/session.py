"""An ONNX Runtime session as this package runs it: on the CPU, with threads that never wait busily."""

from __future__ import annotations

from typing import Any

from vmaf_train.cores import quota
from vmaf_train.errors import UserError


def make_session(data: bytes, *, name: str, threads: int = 0, quantized: bool = True) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU over bytes that passed `check_graph`, or an edit of them.

    Args:
        data: the model.
        name: what messages call it.
        threads: how many run it; 0: one a core that this process may use.
        quantized: keep what is quantised so.

    Raises:
        UserError: ONNX Runtime refuses the graph.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or quota()
    options.log_severity_level = 3
    # threads that wait in a busy loop take the cores from the decoder and the encoder
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # frames of any size come: a plan of memory for each size would double what one 1080p frame takes
    options.enable_mem_pattern = False
    if not quantized:
        # the rules for quantised graphs would convert code values once for each reader
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    # the bytes were checked as ONNX, so they may run as nothing else
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name}: ONNX Runtime refuses it: {reason}; export the model again") from error
