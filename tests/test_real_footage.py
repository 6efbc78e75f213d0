from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ffmpeg
import pytest
import torch

from vmaf_train.export import to_onnx
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import EnergyMetric

BENCH = Path(__file__).resolve().parents[1] / "bench" / "real_footage.py"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    source = ffmpeg.input("testsrc2=s=160x96:r=24:d=0.4", f="lavfi")
    run_ffmpeg(source.output(str(folder / "a.mp4"), pix_fmt="yuv420p"), what="making a clip")
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_metrics_stand_beside_vmaf_and_filters_beside_doing_nothing(clips: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    nr, filter_ = tmp_path / "nr.onnx", tmp_path / "filter.onnx"
    nr.write_bytes(to_onnx(EnergyMetric(4), "nr"))
    filter_.write_bytes(to_onnx(LearnedFilter(4, 1), "filter"))
    done = run(clips, "--nr", nr, "--filter", filter_, "--seconds", "0.2", "--work", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert "1 clips, 10 impaired" in done.stdout
    rows = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    names = [row[0].strip() for row in rows]
    assert names[2:3] == ["nr"]
    assert names[-2:] == ["do nothing", "filter"]
    # an untrained filter changes nothing
    assert rows[-1][1:] == rows[-2][1:]


def test_a_folder_without_clips_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, "--seconds", "0.2")
    assert done.returncode == 1
    assert done.stderr.startswith("real_footage.py: no clip in ")
    assert done.stderr.count("\n") == 1
