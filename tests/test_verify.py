"""`verify` looks at everything in the model directory and finds every problem, not only the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attacks import ATTACKS, Attack
from model_folder import ID, change_row, change_sidecar, make_folder, model

from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.verify import report, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "tiny")


def problems(folder: Path) -> list[str]:
    return [f"{check.subject} {check.check}" for check in verify(folder) if check.problem is not None]


def add_int8(folder: Path) -> None:
    path = folder / f"{ID}.int8.onnx"
    path.write_bytes(model())
    change_sidecar(folder, quant_mode="static_qdq")
    change_row(
        folder,
        quant_mode="static_qdq",
        int8_file=path.name,
        int8_sha256=sha256_file(path),
        quant_accuracy_budget_plcc=0.01,
    )


def test_a_whole_directory_passes_every_check(folder: Path) -> None:
    checks = verify(folder)
    assert [check.problem for check in checks] == [None] * len(checks)
    assert {check.check for check in checks} == {
        "rows",
        "registry.schema.json",
        "sidecar.schema.json",
        "stray files",
        "file",
        "SHA-256",
        "graph",
        "sidecar",
    }


def test_the_int8_file_is_checked_too(folder: Path) -> None:
    add_int8(folder)
    assert problems(folder) == []
    (folder / f"{ID}.int8.onnx").write_bytes(model()[:-3])
    assert problems(folder) == [f"{ID} int8 SHA-256", f"{ID} int8 graph"]


IN_THE_DIRECTORY = [
    attack
    for attack in ATTACKS
    if not attack.unverified
    and attack.name.split()[0] not in ("/etc/passwd", "/dev/zero", "NUL", "id", "an")
    and "prefix" not in attack.name
    and "dots" not in attack.name
]


@pytest.mark.parametrize("attack", IN_THE_DIRECTORY, ids=lambda attack: attack.name)
def test_whatever_load_model_refuses_in_the_directory_verify_finds(attack: Attack, folder: Path) -> None:
    attack.trick(folder)
    assert problems(folder)


@pytest.mark.parametrize(
    ("trick", "expected"),
    [
        (lambda folder: (folder / "more.onnx").write_bytes(model()), ["registry stray files"]),
        (lambda folder: (folder / "tiny_v1.onnx.data").write_bytes(b"1"), ["registry stray files"]),
        (lambda folder: (folder / "sidecar.schema.json").write_text("{}"), ["registry sidecar.schema.json"]),
        (lambda folder: (folder / "registry.schema.json").unlink(), ["registry registry.schema.json"]),
        (lambda folder: (folder / f"{ID}.json").unlink(), [f"{ID} sidecar"]),
    ],
)
def test_each_problem_is_found_by_its_own_check(
    folder: Path, trick: Callable[[Path], object], expected: list[str]
) -> None:
    trick(folder)
    assert problems(folder) == expected


def test_several_problems_are_all_found(folder: Path) -> None:
    (folder / "more.onnx").write_bytes(model())
    (folder / f"{ID}.json").unlink()
    (folder / f"{ID}.onnx").write_bytes(b"x")
    assert problems(folder) == ["registry stray files", f"{ID} SHA-256", f"{ID} graph", f"{ID} sidecar"]


def test_the_report_names_each_problem_on_a_line_and_the_first_in_the_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "more.onnx").write_bytes(model())
    (folder / f"{ID}.json").unlink()
    with pytest.raises(UserError, match=r"^2 of 8 checks failed, first: .*more\.onnx: no row of registry"):
        report(folder)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "no row of registry.json names this file" in line]
    assert [line for line in lines if f"{ID}.json: no such file" in line]


def test_the_command_exits_with_status_1_and_one_line(folder: Path) -> None:
    command = [sys.executable, "-m", "vmaf_train.cli", "verify"]
    environment = {**os.environ, "VMAF_TINY_MODEL_DIR": str(folder)}
    good = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert f"{ID}\tSHA-256\tpassed\n" in good.stdout
    (folder / f"{ID}.onnx").write_bytes(b"x")
    bad = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert bad.stderr.startswith("vmaf-train: 2 of 8 checks failed, first: ")
    assert bad.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["a.onnx.old", "a.ort", "a.pb", "a.weights", "a.data", "deep/er/a.onnx"])
def test_whatever_could_hold_a_graph_or_weights_is_a_stray(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"1")
    assert problems(folder) == ["registry stray files"]
