"""Scores as JSON and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import mean_nr, registered, write_model

from vmaf_train.errors import UserError
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.pooling import pool
from vmaf_train.score import ClipScore
from vmaf_train.score_log import log, meaning_text, write_csv, write_logs


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(registered(tmp_path / "m", {"mean_v1": mean_nr()})))
    return load_model("mean_v1")


def clip(path: str = "a.mp4") -> ClipScore:
    scores = np.float32([1.5, 2.5])
    return ClipScore(Path(path), (0, 3), scores, pool(scores), 0.5)


def test_the_log_has_the_shape_of_libvmaf_and_says_what_the_score_is(model: LoadedModel) -> None:
    value = log(clip(), model)
    assert value["frames"] == [
        {"frameNum": 0, "metrics": {"mean_v1": 1.5}},
        {"frameNum": 3, "metrics": {"mean_v1": 2.5}},
    ]
    assert value["pooled_metrics"] == {
        "mean_v1": {"min": 1.5, "max": 2.5, "mean": 2.0, "harmonic_mean": 1.916667}
    }
    assert value["fps"] == 4
    assert value["model"]["score_range"] == [1, 5]
    assert value["model"]["score_direction"] == "higher-is-better"
    assert value["model"]["label_kind"] == "vmaf-proxy"


def test_one_clip_is_a_file_and_several_are_a_folder(model: LoadedModel, tmp_path: Path) -> None:
    write_logs(tmp_path / "one.json", [clip()], model)
    assert json.loads((tmp_path / "one.json").read_text())["frames"]
    write_logs(tmp_path / "many", [clip("x/a.mp4"), clip("x/b.mp4")], model)
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == ["a.mp4.json", "b.mp4.json"]
    with pytest.raises(UserError, match=r"two clips would both be a\.mp4\.json"):
        write_logs(tmp_path / "clash", [clip("x/a.mp4"), clip("y/a.mp4")], model)


def test_csv_has_one_row_a_frame(model: LoadedModel, tmp_path: Path) -> None:
    write_csv(tmp_path / "s.csv", [clip("a,b.mp4"), clip("c.mp4")], model)
    with open(tmp_path / "s.csv", newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["video", "frame", "mean_v1"]
    assert rows[2] == ["a,b.mp4", "3", "2.500000"]
    assert len(rows) == 5


def test_a_model_without_a_sidecar_does_not_pretend_to_know_its_range(tmp_path: Path) -> None:
    bare = load_model(write_model(tmp_path, "bare", mean_nr()), unverified=True)
    assert "not known" in meaning_text(bare)
    assert "score_range" not in log(clip(), bare)["model"]
