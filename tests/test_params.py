"""Params: sections, and which recipe is in force."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import ffmpeg
import pytest

from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.params import LIBVMAF_METRIC, MODEL_KINDS, Params


def test_parameters_cannot_be_changed_after_reading(make_params: Callable[..., Params]) -> None:
    with pytest.raises(FrozenInstanceError):
        make_params().lr = 1.0  # type: ignore[misc]


def test_a_models_kind_decides_its_section(make_params: Callable[..., Params]) -> None:
    for section in make_params().models.values():
        assert type(section) is MODEL_KINDS[section.kind]


def test_libvmafs_own_metrics_are_known_by_name(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    features = ["psnr", "psnr_hvs", "float_ssim", "float_ms_ssim", "float_moment", "ciede", "cambi"]
    features += ["vif", "adm", "motion", "float_ansnr"]
    still = [ffmpeg.input("testsrc2=s=320x240:d=0.2", f="lavfi") for _ in range(2)]
    wanted = "|".join(f"name={one}" for one in features)
    asked = {"log_fmt": "json", "log_path": str(tmp_path / "log"), "feature": wanted}
    run_ffmpeg(ffmpeg.filter(still, "libvmaf", **asked).output("pipe:", format="null"), what="asking libvmaf")
    report = json.loads((tmp_path / "log").read_text())
    names = [name for name in report["frames"][0]["metrics"] if name == name.lower()]
    assert len(names) > 20
    assert [name for name in names if not re.fullmatch(LIBVMAF_METRIC, name)] == []
    ours = (*make_params().models, "vmaf_tiny", "motion_nr")
    assert not any(re.fullmatch(LIBVMAF_METRIC, name) for name in ours)
