"""Eval: the exported file beside its baseline, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from tiny_models import affine_filter, mean_nr
from tiny_repository import make_repository

from vmaf_train.errors import UserError
from vmaf_train.eval import eval_model
from vmaf_train.export import export
from vmaf_train.files import sha256_file
from vmaf_train.layout import Layout
from vmaf_train.onnx_frames import onnx_runner, packed_frames, split_rows
from vmaf_train.params import Params

NR, FILTER = "nr_metric_v1", "learned_filter_v1"


@pytest.fixture
def exported(make_params: Callable[..., Params], layout: Layout) -> Params:
    params = make_params(models=[FILTER], frames__size=48)
    make_repository(layout, params)
    export(FILTER, params, layout)
    return params


def test_l1_is_that_of_the_exported_file_over_the_split(exported: Params, layout: Layout) -> None:
    metrics = eval_model(FILTER, exported, layout)
    for name in ("val", "test"):
        rows = split_rows(layout, name)
        output = onnx_runner(layout.onnx(FILTER).read_bytes(), name=FILTER)(
            packed_frames(layout, "degraded", rows)
        )
        clean = packed_frames(layout, "luma", rows) / 255
        assert metrics[name]["l1"] == pytest.approx(np.abs(output - clean).mean(), rel=1e-4)
        assert metrics[name]["n"] == len(rows)
    assert json.loads(layout.metrics(FILTER).read_text()) == metrics


def test_a_metric_is_measured_on_each_split_beside_the_mean_of_its_training_clips(
    make_params: Callable[..., Params], layout: Layout
) -> None:
    params = make_params(models=[NR])
    make_repository(layout, params)
    layout.onnx(NR).write_bytes(mean_nr())
    scored, parts = (pd.read_parquet(path) for path in (layout.frames / "mos.parquet", layout.split))
    scored["split"] = scored["key"].map(parts.set_index("key")["split"])
    scored["score"] = 1 + 4 * np.load(layout.frames / "luma.npy").mean(axis=(1, 2)) / 255
    mean = scored.loc[scored["split"] == "train", "mos"].mean()
    metrics = eval_model(NR, params, layout)
    for name in ("val", "test"):
        rows = scored[scored["split"] == name]
        assert metrics[name]["n"] == len(rows) > 1
        assert metrics[name]["mse"] == pytest.approx(((rows["score"] - rows["mos"]) ** 2).mean(), rel=1e-4)
        assert metrics[name]["plcc"] == pytest.approx(rows["score"].corr(rows["mos"]), rel=1e-3)
        assert metrics[name]["mean_predictor_mse"] == pytest.approx(((mean - rows["mos"]) ** 2).mean())
    assert (layout.plots(NR) / "predicted_mos.png").stat().st_size > 0


def test_values_that_are_not_finite_are_refused(exported: Params, layout: Layout) -> None:
    model = onnx.load_model(layout.onnx(FILTER))
    weight = model.graph.initializer[0]
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(weight.dims, np.nan, np.float32), weight.name))
    layout.onnx(FILTER).write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="not finite; lower lr"):
        eval_model(FILTER, exported, layout)
    assert not layout.metrics(FILTER).exists()


@pytest.mark.parametrize("missing", ["onnx", "curves"])
def test_a_missing_input_names_the_command_that_makes_it(
    missing: str, exported: Params, layout: Layout
) -> None:
    getattr(layout, missing)(FILTER).unlink()
    with pytest.raises(UserError, match="run `vmaf-train"):
        eval_model(FILTER, exported, layout)
    assert not layout.metrics(FILTER).exists()


def test_a_filter_is_measured_on_damage_of_encoders_too(exported: Params, layout: Layout) -> None:
    metrics = eval_model(FILTER, exported, layout)["test_coded"]
    rows = split_rows(layout, "test")
    coded = rows[rows["row"] % 4 > 0]
    twins, clean = (packed_frames(layout, name, coded) / 255 for name in ("mixed", "luma"))
    assert metrics["n"] == len(coded) > 0
    assert metrics["do_nothing_l1"] == pytest.approx(np.abs(twins - clean).mean(), rel=1e-4)
    assert (layout.plots(FILTER) / "coded.png").stat().st_size > 0


def test_a_filter_stands_beside_doing_nothing_and_not_in_its_place(exported: Params, layout: Layout) -> None:
    # half of the light is far from clean, and what came in is near
    layout.onnx(FILTER).write_bytes(affine_filter(0.5, 0.0))
    metrics = eval_model(FILTER, exported, layout)
    for name in ("val", "test"):
        rows = split_rows(layout, name)
        twins, clean = (packed_frames(layout, array, rows) / 255 for array in ("degraded", "luma"))
        assert metrics[name]["l1"] == pytest.approx(np.abs(twins / 2 - clean).mean(), rel=1e-4)
        assert metrics[name]["do_nothing_l1"] == pytest.approx(np.abs(twins - clean).mean(), rel=1e-4)
        for better in ("psnr", "ssim"):
            assert metrics[name][better] < metrics[name][f"do_nothing_{better}"]


def test_the_figures_of_noise_are_of_noisy_test_clips_alone(exported: Params, layout: Layout) -> None:
    path, rows = layout.frames / "mixed.parquet", split_rows(layout, "test")
    table = pd.read_parquet(path)
    table["damage"] = "clean"
    table.loc[table["key"] == rows["key"].iloc[0], "damage"] = "noise"
    table.to_parquet(path)
    metrics = eval_model(FILTER, exported, layout)
    assert "test_coded" not in metrics
    twin, clean = (packed_frames(layout, name, rows.iloc[:1]) / 255 for name in ("mixed", "luma"))
    assert metrics["test_noise"]["n"] == 1
    assert metrics["test_noise"]["do_nothing_l1"] == pytest.approx(np.abs(twin - clean).mean(), rel=1e-4)


def test_a_filter_is_measured_on_clean_targets_alone(exported: Params, layout: Layout) -> None:
    everything = eval_model(FILTER, exported, layout)
    path, rows = layout.frames / "pairs.parquet", split_rows(layout, "val")
    pairs = pd.read_parquet(path)
    pairs[pairs["key"] != rows["key"].iloc[0]].to_parquet(path)
    assert eval_model(FILTER, exported, layout)["val"]["n"] == everything["val"]["n"] - 1


def test_pictures_that_are_no_longer_drawn_go(exported: Params, layout: Layout) -> None:
    old = layout.plots(FILTER) / "of_before.png"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.write_bytes(b"")
    eval_model(FILTER, exported, layout)
    assert sorted(path.name for path in old.parent.iterdir()) == ["coded.png", "curves.csv", "filtered.png"]


def test_the_figures_name_the_file_that_they_are_of_where_dvcs_tables_do_not_show_it(
    exported: Params, layout: Layout
) -> None:
    (sha256,) = eval_model(FILTER, exported, layout)["onnx_sha256"]
    assert sha256 == sha256_file(layout.onnx(FILTER))
    for command in (("init", "--no-scm", "-q"), ("metrics", "show", "--md", str(layout.metrics(FILTER)))):
        dvc = [Path(sys.executable).with_name("dvc"), *command]
        said = subprocess.run(dvc, cwd=layout.root, capture_output=True, text=True, check=True).stdout
    assert "val.l1" in said
    assert "sha256" not in said
