"""The package's face: four names, and nothing heavy before one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vmaf_train


def test_every_name_of_all_is_there() -> None:
    for name in vmaf_train.__all__:
        assert getattr(vmaf_train, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        vmaf_train.nothing  # noqa: B018


def test_the_import_alone_brings_nothing_heavy() -> None:
    program = (
        "import sys, vmaf_train\n"
        "print(sorted({'numpy', 'onnx', 'onnxruntime', 'torch', 'jsonschema'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
