import sys

import pytest

from vmaf_train import versions as module
from vmaf_train.versions import versions


def test_versions_are_those_installed_without_the_kind_of_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.metadata, "version", {"torch": "2.13.0+cpu", "onnx": "1.0"}.get)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert versions("onnx", "torch") == {"python": python, "onnx": "1.0", "torch": "2.13.0"}
