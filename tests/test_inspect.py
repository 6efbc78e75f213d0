"""What `inspect` says of a model."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest
from tiny_models import blur_filter, linear_fr, registered, textured_nr, write_model

from vmaf_train.cli_use import inspect
from vmaf_train.inspect import costs, facts, models
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.specialize import specialize


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny = {"textured_v1": textured_nr(), "blur_v1": blur_filter(), "linear_v1": linear_fr()}
    folder = registered(tmp_path / "models", tiny)
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    return folder


def test_facts_name_kind_shapes_operators_size_and_provenance(folder: Path) -> None:
    rows = facts(load_model("textured_v1"))
    assert rows["kind"] == "nr (2)"
    assert rows["input"] == "float32 frame [batch, 1, 224, 224]"
    assert "Conv 1" in rows["operators"]
    assert rows["parameters"] == "81"
    assert rows["score"] == "1..5, higher-is-better"
    assert rows["corpus"] == "none (vmaf-proxy)"
    assert rows["provenance: params"].startswith("0000")
    assert rows["trust"].startswith("in the registry")


ROOT = Path(__file__).resolve().parents[1]


def test_the_list_of_the_models_that_ship_has_a_line_each_on_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(ROOT / "model" / "tiny"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    inspect(None)
    header, rows = models()
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    # the rest are three rules and the caption
    assert len(lines) == len(rows) + 5
    for told in (header, *rows):
        assert any(all(cell in line for cell in told) for line in lines), told


def test_an_unverified_file_says_so(tmp_path: Path) -> None:
    path = write_model(tmp_path, "bare", blur_filter())
    rows = facts(load_model(path, unverified=True))
    assert rows["trust"].startswith("NOT in the registry")
    assert "corpus" not in rows


def test_work_is_counted_a_frame_and_a_filter_is_measured_at_540p_and_1080p(folder: Path) -> None:
    small, large = costs(load_model("blur_v1"))
    assert (small.label, small.macs) == ("540p", 9 * 540 * 960)
    assert (large.label, large.macs) == ("1080p", 9 * 1080 * 1920)
    (own,) = costs(load_model("textured_v1"))
    assert own.shape == (1, 1, 224, 224)
    assert own.macs == 8 * 9 * 112 * 112 + 8
    (features,) = costs(load_model("linear_v1"))
    assert features.shape == (1, 6)
    assert min(cost.seconds for cost in (small, large, own, features)) > 0


def test_a_copy_is_measured_at_its_size_which_is_told_width_first(folder: Path, tmp_path: Path) -> None:
    copy = specialize(load_model("textured_v1"), 320, 180, tmp_path)
    (cost,) = costs(load_model(copy.path, unverified=True))
    assert (cost.label, cost.shape) == ("320x180", (1, 1, 180, 320))


def test_the_time_of_a_frame_is_that_of_one_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedModel, "run", lambda *_: time.sleep(0.2))
    (cost,) = costs(load_model("textured_v1"))
    assert 0.2 <= cost.seconds < 0.6
