"""The package's face: the names of `__all__`, and nothing heavy before one is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import vmaf_train


def test_every_name_of_all_is_there() -> None:
    for name in vmaf_train.__all__:
        assert getattr(vmaf_train, name).__name__ == name


def test_dir_shows_every_name_before_one_is_used() -> None:
    program = "import vmaf_train; print(set(vmaf_train.__all__) <= set(dir(vmaf_train)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_a_clip_may_be_named_by_a_plain_string(tmp_path: Path) -> None:
    model = vmaf_train.load_model("learned_filter_v2")
    for work in (
        lambda: vmaf_train.filter_video(str(tmp_path / "no.mp4"), str(tmp_path / "out.mp4"), model),
        lambda: vmaf_train.score_video(str(tmp_path / "no.mp4"), vmaf_train.load_model("nr_metric_v2")),
    ):
        with pytest.raises(vmaf_train.UserError, match=r"no\.mp4"):
            work()


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
