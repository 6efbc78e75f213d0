"""The README is true: its commands run, its figures are those of metrics/, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from vmaf_train.cards import card, readme_block
from vmaf_train.cli import app
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.params_reader import read_params
from vmaf_train.register import card_gmacs
from vmaf_train.sidecar import read_sidecar

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
LAYOUT = Layout(ROOT)
MODELS = list(read_params(LAYOUT.params).models)
SIDECARS = [read_sidecar(LAYOUT.models / f"{model}.json") for model in MODELS]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "data").glob("*.md")),
]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    lines += [line[2:] for block in blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [part.strip() for line in lines for part in line.partition(" #")[0].split("&&")]


def test_the_table_is_that_of_the_metrics() -> None:
    assert readme_block(SIDECARS) in README, "run `vmaf-train register`"


@pytest.mark.parametrize("sidecar", SIDECARS, ids=MODELS)
def test_a_card_is_that_of_the_sidecar_and_the_metrics(sidecar: object) -> None:
    (one,) = [item for item in SIDECARS if item is sidecar]
    data = LAYOUT.onnx(one.name).read_bytes()
    notes = LAYOUT.measured(one.name)
    text = LAYOUT.card(one.name).read_text("utf-8")
    citation = text.split("## Metrics")[0].rstrip().splitlines()[-1]
    facts = check_graph(data, name=one.name)
    measured = notes.read_text("utf-8") if notes.is_file() else ""
    assert text == card(one, facts, card_gmacs(one.kind, data), measured=measured, citation=citation)


def test_the_first_two_blocks_are_the_two_commands() -> None:
    first, second = blocks("bash")[:2]
    assert first.strip().endswith("pip install -c constraints.txt -e '.[train]' && dvc repro")
    assert second.strip() == "pip install -c constraints.txt -e '.[test]' && pytest -n 2"
    assert second.strip() in (ROOT / ".ci" / "run").read_text().replace("pip install -q", "pip install")


@pytest.mark.parametrize("command", sorted({line for line in commands() if line.startswith("vmaf-train ")}))
def test_each_command_shown_exists_with_its_options(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    known = get_command(app).commands[name]  # type: ignore[attr-defined]
    options = {option for parameter in known.params for option in parameter.opts}
    assert {word for word in arguments if re.match(r"--?[a-z]", word)} <= options


@pytest.mark.parametrize("setting", sorted(set(re.findall(r"-S ([a-z0-9_.]+)=", README))))
def test_each_parameter_set_in_an_example_exists(setting: str) -> None:
    value = YAML(typ="safe", pure=True).load(LAYOUT.params.read_text("utf-8"))
    for key in setting.split("."):
        value = value[key]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text("utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_no_figure_is_offered_as_one_of_konvid() -> None:
    trained_on = {sidecar.corpus for sidecar in SIDECARS}
    assert trained_on == {"synthetic"} or "konvid-1k" in trained_on
    if "konvid-1k" not in trained_on:
        assert "No figure here is a KoNViD-1k result" in README


def test_the_time_table_has_every_stage_and_adds_up() -> None:
    rows = re.findall(r"^\| (\S+) \| (\d+) \|$", README, re.MULTILINE)
    (total,) = re.findall(r"^\| \*\*dvc repro\*\* \| \*\*(\d+)\*\* \|$", README, re.MULTILINE)
    assert sum(int(seconds) for _, seconds in rows) == pytest.approx(int(total), abs=len(rows))
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
    runs = [
        [f"{name}@{m}" for m in MODELS] if "matrix" in stage else [name] for name, stage in stages.items()
    ]
    assert sorted(name for name, _ in rows) == sorted(run for stage in runs for run in stage)
