"""The whole pipeline once, tiny, in a clone of its own: real ffmpeg, real DVC, real training steps."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from vmaf_train.files import sha256_file
from vmaf_train.params_reader import read_params
from vmaf_train.tables import read_table

# thirty processes that each import torch: minutes, on a machine that is slow or has other work
pytestmark = pytest.mark.timeout(1200)
ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "max_steps": 3,
    "corpus.synthetic.scenes": 12,
    "corpus.synthetic.variants": 2,
    "corpus.synthetic.width": 192,
    "corpus.synthetic.height": 128,
    "corpus.synthetic.frames": 3,
    "frames.coded.encodes": 2,
    "split.test": 0.3,
    "split.val": 0.3,
}
MODELS = list(read_params(ROOT / "params.yaml").models)


def run(folder: Path, *command: str, status: int = 0) -> str:
    """Run one command in a clone; return what it printed."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "",
        "COLUMNS": "200",
    }
    names = ("user.name=Test", "user.email=test@example.org", "protocol.file.allow=always")
    if command[0] == "git":
        command = ("git", *(part for name in names for part in ("-c", name)), *command[1:])
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def hashes(folder: Path) -> dict[str, str]:
    return {model: sha256_file(folder / "model" / "tiny" / f"{model}.onnx") for model in MODELS}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the working tree with tiny parameters, built once by `dvc repro`."""
    folder = tmp_path_factory.mktemp("pipeline") / "clone"
    run(ROOT, "git", "clone", "-q", str(ROOT), str(folder))
    # what is changed and not yet committed is what is tested
    for name in run(ROOT, "git", "ls-files", "-mo", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load((folder / "params.yaml").read_text("utf-8"))
    for path, value in TINY.items():
        *parents, last = path.split(".")
        section = params
        for parent in parents:
            section = section[parent]
        section[last] = value
    with open(folder / "params.yaml", "w", encoding="utf-8") as stream:
        yaml.dump(params, stream)
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "tiny run")
    return folder


def test_every_stage_left_its_outputs(clone: Path) -> None:
    table = read_table(clone / "data" / "manifest.parquet", stage="manifest-scan")
    assert len(table) == 24
    assert table["mos"].between(1, 5).all()
    metrics = {model: json.loads((clone / "metrics" / f"{model}.json").read_text()) for model in MODELS}
    assert metrics["nr_metric_v1"]["val"]["mse"] > 0
    assert metrics["learned_filter_v1"]["val"]["l1"] > 0
    assert (clone / "docs" / "models" / "nr_metric_v1.md").is_file()


def test_the_models_are_verified(clone: Path) -> None:
    run(clone, "vmaf-train", "verify")


def test_a_second_repro_has_nothing_to_do(clone: Path) -> None:
    assert "up to date" in run(clone, "dvc", "repro")


def test_training_again_gives_the_same_bytes(clone: Path) -> None:
    before = hashes(clone)
    run(
        clone,
        "dvc",
        "repro",
        "-f",
        "-s",
        *(f"{stage}@{model}" for model in MODELS[:2] for stage in ("fit", "export")),
    )
    assert hashes(clone) == before


def test_git_holds_no_score_and_nothing_of_data(clone: Path) -> None:
    rows = [line.split(",") for line in (clone / "data/corpus/scores.csv").read_text().splitlines()[1:]]
    planted = {mos for _, mos, *_ in rows if len(mos) > 5}
    assert len(planted) > len(rows) / 4, "too few scores with digits enough to be told from other numbers"
    run(clone, "git", "grep", "-qF", *(word for mos in planted for word in ("-e", mos)), status=1)
    tracked = run(clone, "git", "ls-files", "data").split()
    assert tracked == [f"data/{folder}README.md" for folder in ("", "clips/", "photos/")]


def test_a_clean_clone_passes_the_check_without_data(clone: Path, tmp_path: Path) -> None:
    run(clone, "git", "clone", "-q", str(clone), str(tmp_path / "again"))
    said = run(tmp_path / "again", "dvc", "repro", "--dry", "--allow-missing")
    assert "Running stage" not in said
    run(tmp_path / "again", "vmaf-train", "verify")


def test_an_experiment_changes_the_models_asked_for_and_shows_in_the_diff(clone: Path) -> None:
    asked = {"nr_metric_v2", "learned_filter_v2"}
    before = hashes(clone)
    run(clone, "dvc", "exp", "run", "-S", "lr=3e-4", *(f"eval@{model}" for model in sorted(asked)))
    after = hashes(clone)
    assert {model for model in MODELS if after[model] != before[model]} == asked
    difference = run(clone, "dvc", "metrics", "diff", "--md")
    assert "val.mse" in difference
    assert "val.l1" in difference
    run(clone, "git", "checkout", "-q", ".")
    run(clone, "dvc", "checkout", "-q")
    assert hashes(clone) == before


def test_a_mistyped_parameter_stops_a_stage_in_one_line(clone: Path) -> None:
    path = clone / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace("max_steps: 3", "max_steps: '3'"))
    said = run(clone, "vmaf-train", "split", status=1)
    path.write_text(text)
    assert said.splitlines() == [
        "vmaf-train: params.yaml: max_steps is '3'; expected a whole number, not text: "
        "write it without quotes, as 3"
    ]
