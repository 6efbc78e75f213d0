"""Only checked models are loaded; every trick is refused in one line before ONNX Runtime sees a byte."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks import ATTACKS, Attack
from model_folder import ID, PROVENANCE, change_row, change_sidecar, make_folder, model

from vmaf_train import load
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_bytes
from vmaf_train.kinds import Kind
from vmaf_train.load import load_model, models_dir

FRAMES = np.linspace(0, 1, 3 * 64, dtype=np.float32).reshape(3, 1, 8, 8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_folder(tmp_path / "tiny")
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(made))
    return made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_trick_is_refused_before_the_runtime_sees_it(
    attack: Attack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = attack.trick(folder)
    reached: list[str] = []
    monkeypatch.setattr(load, "make_session", lambda data, **rest: reached.append(rest["name"]))
    with pytest.raises(UserError) as refusal:
        load_model(given, unverified=attack.unverified)
    assert attack.message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not reached


def test_the_attack_table_in_the_docs_is_the_one_that_runs() -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "attacks.md").read_text("utf-8")
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line[:2] == "| "}
    bases = [attack.name.removesuffix(", --unverified") for attack in ATTACKS]
    twice = {base for base in bases if bases.count(base) == 2}
    for attack, base in zip(ATTACKS, bases, strict=True):
        assert attack.unverified or attack.message in rows[base]
        assert (" | + | " in rows[base]) == (base in twice)
    assert len(rows) == len(set(bases)) + 2
    assert f"{len(set(bases))} tricks, {len(twice)} of them tried twice." in text


def test_every_trick_has_a_name_of_its_own() -> None:
    names = [attack.name for attack in ATTACKS]
    assert len(set(names)) == len(names) >= 30


def test_a_registered_model_is_loaded_by_id_and_by_path(folder: Path) -> None:
    for given in (ID, folder / f"{ID}.onnx", str(folder / f"{ID}.onnx")):
        loaded = load_model(given, threads=1)
        assert (loaded.id, loaded.kind) == (ID, Kind.NR)
        assert loaded.entry is not None
        assert loaded.sidecar is not None
        assert loaded.run(FRAMES).shape == (3,)


def test_batch_and_single_frames_score_the_same(folder: Path) -> None:
    loaded = load_model(ID)
    alone = np.concatenate([loaded.run(frame[None]) for frame in FRAMES])
    np.testing.assert_allclose(loaded.run(FRAMES), alone, atol=1e-6)


def test_copies_in_turn_are_made_once_and_of_too_many_the_one_unused_longest_goes(folder: Path) -> None:
    loaded, made = load_model(ID), []

    def session(key: int) -> Any:
        made.append(loaded.edited(key, lambda graph: None, 1))
        return made[-1]

    # clips of as many sizes are scored side by side as there are cores
    assert 2 * (os.cpu_count() or 1) <= load.KEPT
    for key in 3 * list(range(load.KEPT)):
        session(key)
    assert len({id(one) for one in made}) == load.KEPT
    for key in range(load.KEPT, 2 * load.KEPT):
        assert session(0) is made[0]
        session(key)
    assert session(2) is not made[2]


def test_a_file_exchanged_after_the_check_does_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = (folder / f"{ID}.onnx").read_bytes()
    real = load.check_graph

    def exchange(data: bytes, **rest: Any) -> Any:
        facts = real(data, **rest)
        (folder / f"{ID}.onnx").write_bytes(b"something else")
        return facts

    monkeypatch.setattr(load, "check_graph", exchange)
    loaded = load_model(ID)
    assert loaded.data == checked
    assert sha256_bytes(loaded.data) == loaded.entry.sha256  # type: ignore[union-attr]
    assert loaded.run(FRAMES).shape == (3,)


def test_a_file_outside_is_loaded_only_unverified(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(model())
    with pytest.raises(UserError, match="pass --unverified"):
        load_model(path)
    loaded = load_model(path, unverified=True)
    assert (loaded.id, loaded.kind, loaded.entry, loaded.sidecar) == ("mine", Kind.NR, None, None)


def test_another_size_or_type_of_frames_is_named(folder: Path) -> None:
    loaded = load_model(ID)
    with pytest.raises(UserError, match=r"takes float32 frame \[batch, 1, 8, 8\], not float64"):
        loaded.run(FRAMES.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"not float32 \[3, 1, 4, 16\]"):
        loaded.run(FRAMES.reshape(3, 1, 4, 16))


def test_a_model_of_another_kind_is_refused_with_the_right_command(folder: Path) -> None:
    loaded = load_model(ID)
    assert loaded.require(Kind.NR) is loaded
    with pytest.raises(UserError, match=r"kind filter.*use `vmaf-train score`"):
        loaded.require(Kind.FILTER)


def test_a_model_directory_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"VMAF_TINY_MODEL_DIR=.*none: no such folder"):
        models_dir()


def test_the_model_directory_here_is_taken_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "model" / "tiny")
    monkeypatch.delenv("VMAF_TINY_MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert models_dir().resolve() == (tmp_path / "model" / "tiny").resolve()
    assert load_model(ID).id == ID


def test_loading_and_running_needs_neither_torch_nor_pandas(folder: Path) -> None:
    program = (
        "import sys, numpy\n"
        "from vmaf_train import load_model\n"
        f"load_model({ID!r}).run(numpy.zeros((1, 1, 8, 8), numpy.float32))\n"
        "print(sorted({'torch', 'pandas', 'lightning', 'scipy', 'requests'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_installed_package_brings_its_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "site-packages" / "vmaf_train" / "tiny")
    monkeypatch.delenv("VMAF_TINY_MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "__file__", str(tmp_path / "site-packages" / "vmaf_train" / "load.py"))
    assert load_model(ID).path == tmp_path / "site-packages" / "vmaf_train" / "tiny" / f"{ID}.onnx"


def test_without_any_model_directory_all_places_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VMAF_TINY_MODEL_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(load, "__file__", str(tmp_path / "src" / "vmaf_train" / "load.py"))
    named = r"no registry.json in any of model/tiny, .*/model/tiny, .*/tiny; run `dvc repro`"
    with pytest.raises(UserError, match=named):
        models_dir()


def test_a_model_that_was_used_can_be_copied_and_pickled(folder: Path) -> None:
    model = load_model(ID)
    codes = (255 * FRAMES).astype(np.uint8)
    expected = model.run(FRAMES), model.run_codes(codes, 8)
    for other in (copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))):
        assert other == model
        assert "session" not in vars(other)
        assert np.array_equal(other.run(FRAMES), expected[0])
        assert np.array_equal(other.run_codes(codes, 8), expected[1])


def test_an_unverified_file_beside_the_sidecar_of_another_is_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(model(edit=lambda built: setattr(built, "doc_string", "another")))
    path.with_suffix(".json").write_bytes((folder / f"{ID}.json").read_bytes())
    with pytest.raises(UserError, match=r"mine\.json: sha256 is .* but the ONNX file has"):
        load_model(path, unverified=True)


def test_an_int8_file_is_loaded_by_its_path_and_held_to_its_own_hash(folder: Path) -> None:
    path = folder / f"{ID}.int8.onnx"
    path.write_bytes(model(edit=lambda built: setattr(built, "doc_string", "stands for the int8 twin")))
    change_sidecar(folder, quant_mode="static_qdq")
    int8 = {"int8_file": path.name, "int8_sha256": sha256_bytes(path.read_bytes())}
    change_row(folder, quant_mode="static_qdq", **int8, quant_accuracy_budget_plcc=0.01)
    assert load_model(path).data == path.read_bytes() != load_model(ID).data
    path.write_bytes((folder / f"{ID}.onnx").read_bytes())
    with pytest.raises(UserError, match=r"int8\.onnx: .*the file was altered"):
        load_model(path)


def test_only_graphs_without_quantised_values_skip_the_rules_for_them(folder: Path) -> None:
    def skips(loaded: load.LoadedModel) -> str:
        session = loaded.edited("a copy", lambda graph: None, 1)
        return session.get_session_options().get_session_config_entry("session.disable_quant_qdq")

    float_model = load_model(ID)
    operators = {**float_model.facts.operators, "QuantizeLinear": 1}
    quantised = replace(float_model, facts=replace(float_model.facts, operators=operators))
    assert skips(float_model) == "1"
    with pytest.raises(RuntimeError):
        skips(quantised)


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", "other_v1"), ("licence", "mine"), ("provenance", {**PROVENANCE, "frames": "1" * 64})],
)
def test_a_sidecar_that_its_row_belies_is_refused(folder: Path, key: str, value: Any) -> None:
    change_sidecar(folder, **{key: value})
    with pytest.raises(UserError, match=rf"{ID}\.json: {key} is .* but the registry has"):
        load_model(ID)
