"""dvc.yaml against the code: DVC does not follow imports, so this test does."""

from __future__ import annotations

import operator
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from vmaf_train.cli import PIPELINE, app
from vmaf_train.params_reader import read_params
from vmaf_train.register import HASHED
from vmaf_train.sources import all_imports

ROOT = Path(__file__).resolve().parents[1]
DVC: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))
STAGES: dict[str, Any] = DVC["stages"]
PARAMS = read_params(ROOT / "params.yaml")
MODELS = list(PARAMS.models)


def sources(stage: str) -> set[str]:
    return {Path(dep).stem for dep in STAGES[stage]["deps"] if dep.startswith("src/")}


def filled_in(text: str) -> str:
    """`${a.b}` replaced by the value of params.yaml, as DVC does it; `${item.x}` stays."""
    for key in re.findall(r"\$\{(.*?)\}", text):
        if not key.startswith("item."):
            text = text.replace(f"${{{key}}}", str(operator.attrgetter(key)(PARAMS)))
    return text


def paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_every_module_that_the_stages_module_imports_or_hashes(stage: str) -> None:
    hashed = HASHED if stage == "register" else ()
    assert sources(stage) == set(all_imports(stage, *hashed))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_command_of_its_name(stage: str) -> None:
    command = STAGES[stage]["cmd"].split()
    assert command[0] == "vmaf-train"
    assert command[1] in (stage, f"{stage}-scan")


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_stage_leaves_yesterdays_outputs(stage: str) -> None:
    entries = [one for kind in ("outs", "metrics", "plots") for one in STAGES[stage].get(kind, [])]
    assert entries
    for entry in entries:
        assert isinstance(entry, dict), f"{entry} is removed before the stage runs"
        assert all(settings["persist"] for settings in entry.values())


def test_every_pipeline_command_is_a_stage() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {name for name, command in commands.items() if command.rich_help_panel == PIPELINE}
    assert {stage["cmd"].split()[1] for stage in STAGES.values()} == names


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_reads_is_in_git_or_made_by_a_stage(stage: str) -> None:
    made = {
        path
        for other in STAGES.values()
        for kind in ("outs", "metrics", "plots")
        for path in paths(other.get(kind, []))
    }
    made |= {path.replace("${item.model}", model) for path in made for model in MODELS}
    for dep in map(filled_in, STAGES[stage]["deps"]):
        inside = any(dep == path or dep.startswith(f"{path}/") for path in made)
        # git keeps the user's folders by the page in each
        assert inside or (ROOT / dep).is_file() or (ROOT / dep / "README.md").is_file(), dep


def dvc(folder: Path, *arguments: str) -> str:
    names = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "PYTHONWARNINGS": ""}
    done = subprocess.run(
        ["dvc", *arguments], cwd=folder, env=os.environ | names, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_dvc_sees_a_changed_score_clip_or_picture_of_the_users_folders_but_no_change_of_their_pages(
    tmp_path: Path,
) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    for name in ("dvc.yaml", "params.yaml", ".dvcignore", "data/clips/README.md", "data/photos/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    dvc(tmp_path, "init", "--no-scm", "-q")
    params, clips = tmp_path / "params.yaml", tmp_path / "data" / "clips"
    params.write_text(params.read_text().replace("name: synthetic", "name: folder"))
    (clips / "a.mp4").write_bytes(b"a")
    (clips / "mos.csv").write_text("key,mos\na,3\n")
    dvc(tmp_path, "repro", "-s", "fetch")
    for path, text, said in (
        (clips / "README.md", "another page", "up to date"),
        (clips / "mos.csv", "key,mos\na,4\n", "data/clips"),
        (clips / "a.mp4", "another a", "data/clips"),
        (tmp_path / "data" / "photos" / "b.png", "a picture", "data/photos"),
    ):
        before = path.read_bytes() if path.exists() else None
        path.write_text(text)
        assert said in dvc(tmp_path, "status", "fetch")
        path.unlink() if before is None else path.write_bytes(before)
    assert "up to date" in dvc(tmp_path, "status", "fetch")


def test_git_ignores_what_a_user_puts_beside_the_pages() -> None:
    for name, ignored in (("mos.csv", True), ("deep/a.mp4", True), ("README.md", False)):
        for folder in ("clips", "photos"):
            done = subprocess.run(
                ["git", "check-ignore", "-q", f"data/{folder}/{name}"], cwd=ROOT, check=False
            )
            assert (done.returncode == 0) == ignored, name


def test_nothing_under_data_is_kept_in_git() -> None:
    for stage in STAGES.values():
        for kind in ("outs", "metrics", "plots"):
            for entry in stage.get(kind, []):
                path = paths([entry])[0]
                cached = isinstance(entry, str) or entry[path].get("cache", True)
                assert cached == path.startswith("data/"), path


def test_register_takes_and_makes_the_files_of_every_model() -> None:
    deps, outs = STAGES["register"]["deps"], paths(STAGES["register"]["outs"])
    for model in MODELS:
        assert {f"model/tiny/{model}.onnx", f"metrics/{model}.json", f"data/int8/{model}"} <= set(deps)
        assert {f"model/tiny/{model}.json", f"docs/models/{model}.md"} <= set(outs)
        assert model in STAGES["register"]["params"]


def test_an_int8_file_that_ships_is_an_output_or_an_experiment_would_lose_it() -> None:
    outs = paths(STAGES["register"]["outs"])
    for model in MODELS:
        assert (f"model/tiny/{model}.int8.onnx" in outs) == PARAMS.model(model).quantize


def test_register_takes_what_was_measured_of_a_model() -> None:
    deps = STAGES["register"]["deps"]
    assert {f"docs/measured/{path.name}" for path in (ROOT / "docs/measured").iterdir()} <= set(deps)


def test_plots_show_the_curves_of_every_model() -> None:
    shown = [path for entry in DVC["plots"] for plot in entry.values() for path in plot["y"]]
    assert shown == [f"metrics/plots/{model}/curves.csv" for model in MODELS]


def test_artifacts_name_every_model() -> None:
    assert {entry["path"] for entry in DVC["artifacts"].values()} == {
        f"model/tiny/{model}.onnx" for model in MODELS
    }
