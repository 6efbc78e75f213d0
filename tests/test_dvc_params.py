"""dvc.yaml against the code: every parameter that a stage reads is one that makes DVC run it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from recorded_params import Reads
from ruamel.yaml import YAML
from tiny_repository import make_repository

from vmaf_train.eval import eval_model
from vmaf_train.export import export
from vmaf_train.fetch import fetch
from vmaf_train.fit import fit
from vmaf_train.frames import frames
from vmaf_train.layout import Layout
from vmaf_train.manifest import manifest
from vmaf_train.params import Params
from vmaf_train.quantize import quantize
from vmaf_train.register import register
from vmaf_train.split import split

ROOT = Path(__file__).resolve().parents[1]
STAGES: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
# where the work is done, never what comes of it
FREE = "compute"


def declared(stage: str, model: str = "") -> set[str]:
    return {entry.replace("${item.model}", model) for entry in STAGES[stage].get("params", [])}


def is_below(path: str, entry: str) -> bool:
    return path == entry or path.startswith(f"{entry}.")


@pytest.fixture(scope="module")
def read(
    make_params: Callable[..., Params], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Reads]:
    """(stage, model or nothing) -> what it read, over all corpora and both recipes."""
    reads: dict[tuple[str, str], Reads] = {}

    def run(stage: Callable[..., Any], params: Params, layout: Layout, name: str, model: str = "") -> None:
        recorded = reads.setdefault((name, model), Reads()).of(params)
        stage(*([model] if model else []), recorded, layout)

    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("data")
        patch.setenv("VMAF_DATA_ROOT", str(root))
        (root / "konvid-1k").mkdir()
        (root / "konvid-1k" / "11.mp4").write_bytes(b"clip")
        (root / "konvid-1k" / "KoNViD_1k_mos.csv").write_text("flickr_id,mos\n11,3\n")
        scene = {"scenes": 1, "variants": 2, "width": 64, "height": 64, "frames": 2}
        tiny: dict[str, Any] = {f"corpus__synthetic__{key}": value for key, value in scene.items()}
        tiny |= {"frames__coded__encodes": 1, "compute__workers": 1}
        folder = {
            f"corpus__folder__{key}": str(root / "konvid-1k" / name)
            for key, name in {"path": "", "scores": "KoNViD_1k_mos.csv"}.items()
        }
        layout = Layout(tmp_path_factory.mktemp("corpus"))
        for corpus in ("konvid-1k", "folder", "synthetic"):
            run(fetch, make_params(corpus__name=corpus, **tiny, **folder), layout, "fetch")
    run(manifest, make_params(**tiny), layout, "manifest")
    run(frames, make_params(**tiny), layout, "frames")

    layout = Layout(tmp_path_factory.mktemp("repository"))
    make_repository(layout, make_params())
    run(split, make_params(), layout, "split")
    for model in make_params().models:
        for steps in (-1, 1):
            run(fit, make_params(max_steps=steps, **{f"{model}__reference__epochs": 1}), layout, "fit", model)
        run(export, make_params(), layout, "export", model)
        run(quantize, make_params(), layout, "quantize", model)
        run(eval_model, make_params(), layout, "eval", model)
    run(register, make_params(), layout, "register")
    return reads


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_parameter_that_it_reads(
    read: dict[tuple[str, str], Reads], stage: str
) -> None:
    for (name, model), paths in read.items():
        if name == stage:
            entries = {*declared(stage, model), FREE}
            assert not {path for path in paths if not any(is_below(path, entry) for entry in entries)}, model


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_no_parameter_that_it_does_not_read(
    read: dict[tuple[str, str], Reads], stage: str
) -> None:
    mine = {model: paths for (name, model), paths in read.items() if name == stage}
    # a filter may read what a metric does not, and dvc.yaml has one list for all models
    for entry in STAGES[stage].get("params", []):
        filled = [(entry.replace("${item.model}", model), paths) for model, paths in mine.items()]
        assert any(
            is_below(path, name) or is_below(name, path) for name, paths in filled for path in paths
        ), entry


def test_an_experiment_changes_one_line_of_the_parameters(tmp_path: Path) -> None:
    before = (ROOT / "params.yaml").read_text("utf-8").splitlines()
    (tmp_path / "params.yaml").write_text("\n".join(before) + "\n", "utf-8")
    apply_overrides(tmp_path / "params.yaml", ["lr=3e-4"])  # as `dvc exp run -S` does
    after = (tmp_path / "params.yaml").read_text("utf-8").splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert [new.split()[:2] for _, new in changed] == [["lr:", "0.0003"]]
