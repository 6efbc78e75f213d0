"""The registry: one writer, a strict reader, and no edit by hand goes unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_folder import HASH, ID, PROVENANCE, make_folder

from vmaf_train.errors import UserError
from vmaf_train.kinds import Kind
from vmaf_train.registry import (
    Entry,
    bundle_name,
    int8_name,
    onnx_name,
    read_registry,
    registry_text,
    sidecar_name,
    write_registry,
)

IDS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)


def entry(model_id: str = ID, **changes: Any) -> Entry:
    made = Entry(
        id=model_id,
        kind=Kind.FILTER,
        file=onnx_name(model_id),
        sha256=HASH,
        sidecar=sidecar_name(model_id),
        sidecar_sha256=HASH,
        opset=17,
        licence="BSD-2-Clause-Patent",
        provenance=PROVENANCE,
        sigstore_bundle=bundle_name(model_id),
    )
    return replace(made, **changes)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.sets(IDS, max_size=5))
def test_rows_are_read_back_sorted_by_id(ids: set[str], tmp_path: Path) -> None:
    write_registry(tmp_path / "registry.json", [entry(model_id) for model_id in ids])
    found = read_registry(tmp_path / "registry.json")
    assert [row.id for row in found.entries] == sorted(ids)
    assert all(found.find(model_id) == entry(model_id) for model_id in ids)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_by_hand_is_refused_in_one_line(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "registry.json"
    text = bytearray(registry_text([entry()]).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    choice = data.draw(st.sampled_from(["change", "insert", "remove"]))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != text[place]))
    # a changed hash or licence is a valid registry that no longer fits the files: `verify` sees that
    values = {bytes(text).index(HASH.encode()) + at for at in range(64)}
    if choice == "change":
        text[place] = byte
    elif choice == "insert":
        text.insert(place, byte)
    else:
        del text[place]
    path.write_bytes(bytes(text))
    try:
        changed = read_registry(path).entries
    except UserError as error:
        message = str(error)
    else:
        message = ""
        assert changed != (entry(),) or place in values
    assert "\n" not in message


def test_an_int8_row_names_its_file_hash_and_budget(tmp_path: Path) -> None:
    whole = entry(
        quant_mode="static_qdq", int8_file=int8_name(ID), int8_sha256=HASH, quant_accuracy_budget_plcc=0.01
    )
    write_registry(tmp_path / "registry.json", [whole])
    assert read_registry(tmp_path / "registry.json").find(ID) == whole
    for missing in ("int8_file", "int8_sha256", "quant_accuracy_budget_plcc"):
        with pytest.raises(UserError, match=missing):
            registry_text([replace(whole, **{missing: None})])
    with pytest.raises(UserError, match=r"int8_(file|sha256).* is not of type 'null'"):
        registry_text([replace(whole, quant_mode="fp32")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "other.onnx"}, "file 'other.onnx' of 'tiny_v1' is not 'tiny_v1.onnx'"),
        ({"sidecar": "other.json"}, "sidecar 'other.json'"),
        ({"sigstore_bundle": "other.sig"}, "sigstore_bundle 'other.sig'"),
        ({"kind": Kind.SVM}, "'svm' is not one of"),
        ({"opset": 21}, "17 was expected"),
        ({"sha256": HASH + "\n"}, "sha256"),
        ({"licence": ""}, "licence"),
    ],
)
def test_a_bad_row_is_never_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_registry(tmp_path / "registry.json", [entry(**changes)])
    assert not (tmp_path / "registry.json").exists()


def test_an_id_with_a_line_break_is_refused() -> None:
    with pytest.raises(UserError, match="tiny"):
        registry_text([entry("tiny\n")])


def test_two_rows_of_one_id_are_refused() -> None:
    with pytest.raises(UserError, match="two rows for the id 'tiny_v1'"):
        registry_text([entry(), entry(sha256="1" * 64)])


def test_an_unknown_id_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no registered model 'x' \(known: tiny_v1\)"):
        read_registry(make_folder(tmp_path) / "registry.json").find("x")


def test_a_missing_registry_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no registry here; run `dvc repro`"):
        read_registry(tmp_path / "registry.json")
