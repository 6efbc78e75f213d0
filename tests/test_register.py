"""Export, quantize, eval and register on a tiny repository: what each leaves, and that it agrees."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_repository import make_repository

from vmaf_train.cards import BEGIN, END
from vmaf_train.checkpoint import save_checkpoint
from vmaf_train.errors import UserError
from vmaf_train.eval import eval_model
from vmaf_train.export import export
from vmaf_train.files import sha256_bytes, sha256_file, write_json
from vmaf_train.kinds import Kind
from vmaf_train.layout import Layout
from vmaf_train.luma import to_8_bits, to_unit
from vmaf_train.nets import build
from vmaf_train.params import Params
from vmaf_train.quantize import quantize
from vmaf_train.register import _description, _params_sha256, register
from vmaf_train.registry import read_registry
from vmaf_train.sidecar import read_sidecar
from vmaf_train.sources import all_imports, sources_sha256
from vmaf_train.strict_json import read_json
from vmaf_train.tables import read_table
from vmaf_train.verify import verify

Make = Callable[..., Params]


@pytest.fixture(scope="module")
def built(make_params: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    params, layout = make_params(), Layout(tmp_path_factory.mktemp("repository"))
    make_repository(layout, params)
    (layout.root / "README.md").write_text(f"# Ours\n\n{BEGIN}\n\nold\n\n{END}\n\nThe end.\n")
    for model in params.models:
        export(model, params, layout)
        quantize(model, params, layout)
        eval_model(model, params, layout)
    register(params, layout)
    return params, layout


def test_the_registry_pins_every_model_and_its_sidecar(built: tuple[Params, Layout]) -> None:
    params, layout = built
    entries = read_registry(layout.models / "registry.json").entries
    assert [entry.id for entry in entries] == sorted(params.models)
    for entry in entries:
        assert entry.sha256 == sha256_file(layout.models / entry.file)
        assert entry.sidecar_sha256 == sha256_file(layout.models / entry.sidecar)
        assert entry.kind.label == params.model(entry.id).kind
        assert (entry.quant_mode, entry.int8_file) == ("fp32", None)


def test_a_sidecar_carries_the_metrics_and_the_split(built: tuple[Params, Layout]) -> None:
    params, layout = built
    for model in params.models:
        sidecar = read_sidecar(layout.models / f"{model}.json")
        metrics = json.loads(layout.metrics(model).read_text())
        assert sidecar.metrics == {name: value for name, value in metrics.items() if isinstance(value, dict)}
        used = 30
        if sidecar.kind is Kind.FILTER:
            # what scores less than 3 is no clean target to train on
            frames = read_table(layout.frames / "mos.parquet", stage="frames")
            splits = read_table(layout.split, stage="split").set_index("key")["split"]
            training = frames[frames["key"].map(splits) == "train"]
            used -= int((training["mos"] < 3).sum())
        assert sum(sidecar.split_counts.values()) == used
        assert (sidecar.corpus, sidecar.label_kind) == ("synthetic", "vmaf-proxy")


def test_provenance_covers_the_sources_that_train_and_those_that_export(built: tuple[Params, Layout]) -> None:
    params, layout = built
    assert {"lit", "batches", "export"} <= set(all_imports("fit", "export"))
    for model in params.models:
        found = read_sidecar(layout.models / f"{model}.json").provenance["sources"]
        assert found == sources_sha256("fit", "export") != sources_sha256("export")


def test_each_kind_says_what_becomes_of_deeper_video(built: tuple[Params, Layout]) -> None:
    params, layout = built
    for model, section in params.models.items():
        said = read_sidecar(layout.models / f"{model}.json").luma
        assert said in layout.card(model).read_text()
        ten_bits = np.arange(1024, dtype=np.uint16)
        if section.kind == "nr":
            assert "deeper video first divided by 2^(bits - 8) and rounded to 8 bits" in said
            exact = np.minimum(np.floor(ten_bits / 2 ** (10 - 8) + 0.5), 255).astype(np.float32)
            assert np.array_equal(to_unit(to_8_bits(ten_bits, 10)), exact / np.float32(255))
        else:
            assert "divided by 2^bits - 1 (8-bit: 255, 10-bit: 1023)" in said


def test_the_client_meets_the_name_first(built: tuple[Params, Layout]) -> None:
    _, layout = built
    text = (layout.models / "nr_metric_v1.json").read_text()
    assert text.startswith('{\n  "name": "nr_metric_v1",')
    assert "quant_mode" not in text


def test_metrics_stand_beside_their_baselines(built: tuple[Params, Layout]) -> None:
    _, layout = built
    nr = json.loads(layout.metrics("nr_metric_v1").read_text())["test"]
    assert {"n", "mse", "rmse", "plcc", "srocc", "krocc", "mean_predictor_mse"} == set(nr)
    fidelity = json.loads(layout.metrics("learned_filter_v1").read_text())["val"]
    # an untrained filter returns its input, so it does as well as doing nothing
    assert fidelity["l1"] == pytest.approx(fidelity["do_nothing_l1"], rel=1e-4)
    assert fidelity["psnr"] == pytest.approx(fidelity["do_nothing_psnr"], rel=1e-4)


def test_pictures_and_curves_lie_where_dvc_looks(built: tuple[Params, Layout]) -> None:
    _, layout = built
    assert sorted(path.name for path in layout.plots("nr_metric_v1").iterdir()) == [
        "curves.csv",
        "predicted_mos.png",
    ]
    assert sorted(path.name for path in layout.plots("learned_filter_v1").iterdir()) == [
        "coded.png",
        "curves.csv",
        "filtered.png",
    ]


def test_a_card_says_what_the_labels_are(built: tuple[Params, Layout]) -> None:
    _, layout = built
    text = layout.card("nr_metric_v1").read_text()
    assert "**No person rated these clips**" in text
    assert "`frame [batch, 1, 224, 224]`" in text
    assert "MSE (training mean)" in text


def test_the_readme_table_is_renewed_between_its_markers(built: tuple[Params, Layout]) -> None:
    _, layout = built
    text = (layout.root / "README.md").read_text()
    assert text.startswith("# Ours\n\n" + BEGIN)
    assert text.endswith(END + "\n\nThe end.\n")
    assert "old" not in text
    assert "| learned_filter_v1 | test, blur and JPEG |" in text


def test_registering_again_changes_no_byte(built: tuple[Params, Layout]) -> None:
    params, layout = built

    def hashes() -> dict[Path, str]:
        folders = (layout.models, layout.root / "docs", layout.root / "metrics")
        return {path: sha256_file(path) for top in folders for path in top.rglob("*") if path.is_file()}

    before = hashes()
    for model in params.models:
        export(model, params, layout)
        quantize(model, params, layout)
        eval_model(model, params, layout)
    register(params, layout)
    assert hashes() == before


def test_a_model_that_ships_int8_is_registered_with_it(make_params: Make, tmp_path: Path) -> None:
    params = make_params(
        models=["learned_filter_v1"],
        frames__size=64,
        learned_filter_v1__quantize=True,
        learned_filter_v1__quant_accuracy_budget_plcc=0.5,
    )
    layout = Layout(tmp_path)
    make_repository(layout, params)
    export("learned_filter_v1", params, layout)
    quantize("learned_filter_v1", params, layout)
    eval_model("learned_filter_v1", params, layout)
    register(params, layout)
    (entry,) = read_registry(layout.models / "registry.json").entries
    data = (layout.models / "learned_filter_v1.int8.onnx").read_bytes()
    assert (entry.quant_mode, entry.int8_sha256) == ("static_qdq", sha256_bytes(data))
    assert read_sidecar(layout.models / "learned_filter_v1.json").quant_mode == "static_qdq"


def test_missing_metrics_name_the_command_to_run(make_params: Make, layout: Layout) -> None:
    params = make_params()
    make_repository(layout, params)
    for model in params.models:
        export(model, params, layout)
        quantize(model, params, layout)
    with pytest.raises(UserError, match=r"metrics/nr_metric_v1\.json: run `vmaf-train eval nr_metric_v1`"):
        register(params, layout)
    assert not (layout.models / "registry.json").exists()


def test_schemas_that_were_edited_are_written_again(built: tuple[Params, Layout]) -> None:
    params, layout = built
    path = layout.models / "sidecar.schema.json"
    before = path.read_bytes()
    path.write_text("{}")
    assert any(check.problem and "vmaf-train register" in check.problem for check in verify(layout.models))
    register(params, layout)
    assert path.read_bytes() == before
    assert [check.problem for check in verify(layout.models) if check.problem] == []


def test_a_sidecar_says_how_frames_are_sampled(built: tuple[Params, Layout]) -> None:
    params, layout = built
    found = {model: read_sidecar(layout.models / f"{model}.json").sampling for model in params.models}
    assert found["nr_metric_v3"] == "fragments"
    assert found["nr_metric_v1"] == found["nr_metric_v2"] == "area"
    assert {found[model] for model, section in params.models.items() if section.kind == "filter"} == {None}


def test_an_int8_file_that_no_longer_ships_goes(make_params: Make, layout: Layout) -> None:
    changes = {"models": ["learned_filter_v1"], "frames__size": 64}
    budget = {"learned_filter_v1__quant_accuracy_budget_plcc": 0.5}
    make_repository(layout, make_params(**changes))
    for ships in (True, False):
        params = make_params(**changes, **budget, learned_filter_v1__quantize=ships)
        export("learned_filter_v1", params, layout)
        quantize("learned_filter_v1", params, layout)
        eval_model("learned_filter_v1", params, layout)
        register(params, layout)
        assert (layout.models / "learned_filter_v1.int8.onnx").exists() == ships
        assert [check.problem for check in verify(layout.models) if check.problem] == []


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2}, {"lr": 3e-4}, {"max_steps": 7}, {"train__precision": "32-true"},
        {"frames__jpeg_quality": 36}, {"split__salt": "another"}, {"nr_metric_v1__capped__batch_size": 9},
        {"nr_metric_v1__net__width": 8},
    ],
)  # fmt: skip
def test_provenance_tells_apart_whatever_parameter_trains_a_model(
    make_params: Make, change: dict[str, Any]
) -> None:
    assert _params_sha256(make_params(**change), "nr_metric_v1") != _params_sha256(
        make_params(), "nr_metric_v1"
    )


def test_the_same_library_built_for_another_machine_gives_the_same_provenance(
    built: tuple[Params, Layout],
) -> None:
    _, layout = built
    versions = read_sidecar(layout.models / "nr_metric_v1.json").provenance["versions"]
    assert set(versions) == {"python", "lightning", "numpy", "onnx", "onnxruntime", "torch"}
    for name, version in versions.items():
        assert "+" not in version
        assert re.fullmatch(r"\d+\.\d+(\..+)?", version), name
    assert versions["torch"] == torch.__version__.partition("+")[0]


def test_the_versions_are_of_the_libraries_that_trained_and_not_of_those_that_register(
    built: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = built
    again = Layout(tmp_path / "again")
    shutil.copytree(layout.root, again.root)
    path = again.versions("nr_metric_v1")
    trained = read_json(path, "export nr_metric_v1") | {"torch": "1.13.1"}
    write_json(path, trained)
    register(params, again)
    assert read_sidecar(again.models / "nr_metric_v1.json").provenance["versions"] == trained
    path.unlink()
    with pytest.raises(UserError, match="run `vmaf-train export nr_metric_v1`"):
        register(params, again)


def test_figures_of_another_corpus_are_not_registered(built: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = built
    again = Layout(tmp_path / "again")
    shutil.copytree(layout.root, again.root)
    provenance = read_json(again.provenance, "fetch")
    write_json(again.provenance, provenance | {"corpus": "folder", "label_kind": "human-mos"})
    with pytest.raises(
        UserError, match=r"nr_metric_v1\.json is of corpus synthetic \(vmaf-proxy\), not folder"
    ):
        register(params, again)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "blur and JPEG, x264, x265, SVT-AV1, VP9, noise, and clean frames."),
        (dict.fromkeys(("x264", "x265", "svtav1", "vp9", "blur_jpeg"), 0.0), "noise, and clean frames."),
    ],
)
def test_a_filter_is_described_by_the_damage_that_it_was_trained_on(
    make_params: Make, change: dict[str, float], said: str
) -> None:
    given = make_params(**{f"frames__coded__shares__{name}": share for name, share in change.items()})
    assert _description(given, "learned_filter_v2").endswith(f"trained on {said}")
    assert _description(given, "learned_filter_v1").endswith("JPEG (the published pairs).")
    harder = make_params(frames__jpeg_quality=20)
    assert _description(harder, "learned_filter_v1").endswith("JPEG of sigma 1.2 and quality 20.")


def test_figures_and_int8_files_of_another_build_are_not_registered(
    built: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = built
    model, again = "learned_filter_v1", Layout(tmp_path / "again")
    shutil.copytree(layout.root, again.root)
    torch.manual_seed(1)
    net = build(params.model(model))
    torch.nn.init.normal_(net.exit.bias, std=0.01)
    save_checkpoint(again.checkpoint(model), params.model(model), net.state_dict())
    export(model, params, again)
    for stage, made in ((quantize, again.int8(model)), (eval_model, again.metrics(model))):
        name = stage.__name__.removesuffix("_model")
        with pytest.raises(UserError) as caught:
            register(params, again)
        assert str(caught.value).startswith(f"{made} is of another build of {again.onnx(model)}; run ")
        assert f"`vmaf-train {name} {model}`" in str(caught.value)
        stage(model, params, again)
    register(params, again)
