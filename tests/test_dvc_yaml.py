"""dvc.yaml against the code: DVC does not follow imports, so this test does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from vmaf_train.cli import PIPELINE, app
from vmaf_train.params_reader import read_params
from vmaf_train.sources import all_imports

ROOT = Path(__file__).resolve().parents[1]
DVC: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))
STAGES: dict[str, Any] = DVC["stages"]
MODELS = list(read_params(ROOT / "params.yaml").models)


def sources(stage: str) -> set[str]:
    return {Path(dep).stem for dep in STAGES[stage]["deps"] if dep.startswith("src/")}


def paths(entries: list[Any]) -> list[str]:
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_every_module_that_the_stages_module_imports(stage: str) -> None:
    assert sources(stage) == set(all_imports(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_runs_the_command_of_its_name(stage: str) -> None:
    command = STAGES[stage]["cmd"].split()
    assert command[0] == "vmaf-train"
    assert command[1] in (stage, f"{stage}-scan")


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
    for dep in STAGES[stage]["deps"]:
        inside = any(dep == path or dep.startswith(f"{path}/") for path in made)
        assert inside or (ROOT / dep).is_file(), dep


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


def test_artifacts_name_every_model() -> None:
    assert {entry["path"] for entry in DVC["artifacts"].values()} == {
        f"model/tiny/{model}.onnx" for model in MODELS
    }
