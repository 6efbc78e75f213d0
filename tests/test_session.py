"""Sessions of ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import mean_nr

from vmaf_train.errors import UserError
from vmaf_train.session import make_session


def test_a_session_runs_the_bytes_on_the_cpu_and_never_spins() -> None:
    session = make_session(mean_nr(), name="mean", threads=1)
    assert session.get_providers() == ["CPUExecutionProvider"]
    options = session.get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert session.run(None, {"frame": np.zeros((2, 1, 224, 224), np.float32)})[0].tolist() == [1, 1]


@pytest.mark.parametrize(("threads", "used"), [(0, 3), (2, 2)])
def test_a_session_has_the_threads_of_a_quota_unless_asked_for_others(
    monkeypatch: pytest.MonkeyPatch, threads: int, used: int
) -> None:
    monkeypatch.setattr("vmaf_train.session.quota", lambda: 3)
    session = make_session(mean_nr(), name="mean", threads=threads)
    assert session.get_session_options().intra_op_num_threads == used


@pytest.mark.parametrize("data", [b"", b"no model", mean_nr()[:200]])
def test_bytes_that_the_runtime_refuses_are_one_line(data: bytes) -> None:
    with pytest.raises(
        UserError, match=r"broken: ONNX Runtime refuses it: .*; export the model again"
    ) as error:
        make_session(data, name="broken")
    assert "\n" not in str(error.value)
