"""Sidecars are written once, read strictly, and libvmaf's text search finds the right keys."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_folder import ID, make_folder

from vmaf_train.errors import UserError
from vmaf_train.sidecar import CLIENT_KEYS, Sidecar, parse_sidecar, read_sidecar, sidecar_text, write_sidecar


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    return read_sidecar(make_folder(tmp_path) / f"{ID}.json")


def first_value(text: str, key: str) -> str | None:
    """The value that the C client finds: the text after the first `"key"`."""
    found = re.search(rf'"{key}"\s*:\s*"?([^",\n]*)', text[max(text.find(f'"{key}"'), 0) :])
    return found.group(1) if found and f'"{key}"' in text else None


def test_a_sidecar_is_read_back_as_it_was_written(sidecar: Sidecar, tmp_path: Path) -> None:
    full = replace(sidecar, quant_mode="static_qdq", specialized_from={"id": ID, "sha256": "1" * 64})
    for value in (sidecar, full, replace(sidecar, score_range=None, score_direction=None)):
        write_sidecar(tmp_path / "s.json", value)
        assert read_sidecar(tmp_path / "s.json") == value


def test_name_is_first_and_the_client_finds_every_key(sidecar: Sidecar) -> None:
    text = sidecar_text(sidecar)
    assert list(json.loads(text))[:5] == list(CLIENT_KEYS[:5])
    assert [first_value(text, key) for key in CLIENT_KEYS] == [ID, "nr", "frame", "mos", "17", None]


def test_quant_mode_is_written_only_when_it_is_set(sidecar: Sidecar) -> None:
    assert "quant_mode" not in sidecar_text(sidecar)
    assert first_value(sidecar_text(replace(sidecar, quant_mode="static_qdq")), "quant_mode") == "static_qdq"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "kind"},
        {"input_name": "onnx_opset"},
        {"output_name": "quant_mode"},
        {"metrics": {"quant_mode": 1}},
        {"metrics": {"quant_mode": 1}, "quant_mode": "static_qdq"},
        {"description": "quant_mode"},
    ],
)
def test_a_text_that_the_client_would_misread_is_refused(sidecar: Sidecar, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="libvmaf would read that one"):
        sidecar_text(replace(sidecar, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "vmaf"}, "name: "),
        ({"name": "Has Space"}, "name: "),
        ({"score_direction": "up"}, "score_direction"),
        ({"sha256": "xyz"}, "sha256"),
        ({"onnx_opset": 18}, "onnx_opset: 17 was expected"),
        ({"label_kind": "mos"}, "label_kind"),
        ({"split_counts": {"train": 1}}, "split_counts"),
        ({"metrics": {"mse": float("nan")}}, "a metric must be a finite number"),
        ({"metrics": {"note": "x" * 2**20}}, "more than 1048576 bytes"),
        ({"provenance": {}}, "provenance"),
        ({"input_shape": ("batch", 0)}, "input_shape"),
    ],
)
def test_a_value_outside_the_schema_is_never_written(
    sidecar: Sidecar, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        write_sidecar(tmp_path / "new.json", replace(sidecar, **changes))
    assert not (tmp_path / "new.json").exists()


def test_an_unknown_key_is_refused(sidecar: Sidecar) -> None:
    value = {**json.loads(sidecar_text(sidecar)), "trusted": True}
    with pytest.raises(UserError, match="'trusted' was unexpected"):
        parse_sidecar(json.dumps(value, indent=2).encode(), name="s.json")
