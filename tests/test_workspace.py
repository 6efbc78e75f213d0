"""A stage runs the code of its own repository, on models that both files of the pipeline name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.params import Params
from vmaf_train.workspace import TRIED, check_pipeline

ROOT = Path(__file__).resolve().parents[1]
Make = Callable[..., Params]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose `split` says that it is its own."""
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    path = tmp_path / "src" / "vmaf_train" / "split.py"
    path.write_text(path.read_text() + '\nprint("own code")\n')
    return tmp_path


def split(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("vmaf-train"), "split"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, cwd=folder, env=clean | environment, capture_output=True, text=True, check=False
    )


def test_a_copy_of_the_repository_runs_its_own_code_as_an_experiment_in_a_queue_must(
    repository: Path,
) -> None:
    done = split(repository)
    assert done.stdout == "own code\n"
    assert done.stderr == (
        "vmaf-train: no data/manifest.parquet: run `vmaf-train manifest-scan` (or `dvc repro`) first\n"
    )
    assert done.returncode == 1


def test_code_that_cannot_be_started_instead_stops_the_stage(repository: Path) -> None:
    done = split(repository, **{TRIED: "1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"vmaf-train: the code that runs is {ROOT / 'src' / 'vmaf_train'}, not that"
    )
    assert f"set PYTHONPATH to {repository / 'src'}" in done.stderr


def test_the_projects_own_files_fit(make_params: Make, tmp_path: Path) -> None:
    check_pipeline(make_params(), Layout(ROOT))
    check_pipeline(make_params(), Layout(tmp_path))  # no DVC there


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["nr_metric_v1"]}, "register in dvc.yaml names learned_filter_v1, and models"),
        (
            {"learned_filter_v2__quantize": True},
            r"name model/tiny/learned_filter_v2\.int8\.onnx among the outs",
        ),
    ],
)
def test_what_only_one_of_them_names_is_told(
    make_params: Make, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check_pipeline(make_params(**changes), Layout(ROOT))


def test_lines_that_dvc_yaml_lacks_or_has_too_many_are_told(make_params: Make, tmp_path: Path) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    path, line = tmp_path / "dvc.yaml", "      - model/tiny/nr_metric_v2.json:\n"
    path.write_text(text.replace(line, ""))
    with pytest.raises(UserError, match=r"params\.yaml names nr_metric_v2, and register"):
        check_pipeline(make_params(), Layout(tmp_path))
    path.write_text(text.replace(line, line + line.replace(".json", ".int8.onnx")))
    with pytest.raises(
        UserError, match=r"names nr_metric_v2\.int8\.onnx, and nr_metric_v2\.quantize is false"
    ):
        check_pipeline(make_params(), Layout(tmp_path))
    check_pipeline(make_params(nr_metric_v2__quantize=True), Layout(tmp_path))


def test_a_copy_keeps_the_paths_that_python_was_given(repository: Path) -> None:
    (repository / "more").mkdir()
    (repository / "more" / "sitecustomize.py").write_text('print("more", flush=True)\n')
    paths = os.pathsep.join([str(ROOT / "src"), str(repository / "more")])
    # both starts see them
    assert split(repository, PYTHONPATH=paths).stdout == "more\nmore\nown code\n"
