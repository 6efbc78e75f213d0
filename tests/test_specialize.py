"""Fixed-size copies for libvmaf's C client."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from tiny_models import (
    affine_filter,
    blur_filter,
    identity_filter,
    linear_fr,
    mean_nr,
    model_bytes,
    registered,
    textured_nr,
    write_model,
)

from vmaf_train.errors import UserError
from vmaf_train.graph import check_graph
from vmaf_train.load import load_model
from vmaf_train.luma import area_resize
from vmaf_train.planes import filter_codes
from vmaf_train.sampling import fragments
from vmaf_train.score import FrameScorer
from vmaf_train.sidecar import read_sidecar, write_sidecar
from vmaf_train.specialize import specialize

# (width, height): the model's own, common ones, sizes without a common divisor, smaller than the model
SIZES = [(224, 224), (960, 540), (1920, 1080), (853, 481), (224, 300), (97, 61), (1, 1)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = {
        "textured_v1": textured_nr(),
        "mean_v1": mean_nr(),
        "blur_v1": blur_filter(),
        "gain_v1": affine_filter(3.0, -0.5),
        "noop_v1": identity_filter(),
        "linear_v1": linear_fr(),
    }
    return registered(tmp_path_factory.mktemp("models"), tiny)


@pytest.fixture
def load(models: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(models))
    return load_model


def noise(width: int, height: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def run(path: Path, frame: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    values = (frame / np.float32(255)).astype(np.float32)[None, None]
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: values})[0]
    return result


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_copy_scores_as_score_does(load: object, tmp_path: Path, width: int, height: int) -> None:
    model = load_model("textured_v1")
    copy = specialize(model, width, height, tmp_path)
    frame = noise(width, height)
    assert abs(float(run(copy.path, frame).reshape(())) - FrameScorer(model)(frame)) < 1e-4
    assert copy.facts.input.shape == (1, 1, height, width)
    assert copy.facts.output.shape == (1,)


@pytest.mark.parametrize("name", ["blur_v1", "gain_v1", "noop_v1"])
@pytest.mark.parametrize(("width", "height"), [(224, 224), (853, 481), (1, 1)])
def test_a_copy_filters_as_filter_does(
    load: object, tmp_path: Path, name: str, width: int, height: int
) -> None:
    model = load_model(name)
    copy = specialize(model, width, height, tmp_path)
    frame = noise(width, height)
    given = run(copy.path, frame)
    filter_codes(frame, 8, model.run_codes)
    assert np.max(np.abs(np.rint(given[0, 0] * 255) - frame)) <= 1
    assert given.shape == copy.facts.output.shape == (1, 1, height, width)
    assert given.min() >= 0
    assert given.max() <= 1


@pytest.mark.parametrize("name", ["blur_v1", "gain_v1"])
def test_a_copy_at_a_strength_says_so_and_filters_as_filter_does(
    load: object, tmp_path: Path, name: str
) -> None:
    model = load_model(name)
    copy = specialize(model, 97, 61, tmp_path, strength=0.5)
    assert copy.path.name == f"{name}_97x61_50.onnx"
    assert read_sidecar(copy.sidecar).description.endswith(" At strength 0.5.")
    frame = noise(97, 61)
    given = run(copy.path, frame)
    expected = frame + 0.5 * (model.run_codes(frame[None, None], 8)[0, 0].astype(float) - frame)
    if name == "blur_v1":  # the other leaves 0..1 before its end is clipped
        assert np.max(np.abs(given[0, 0] * 255 - expected)) <= 0.5
    filter_codes(frame, 8, partial(model.run_codes, strength=0.5))
    assert np.max(np.abs(np.rint(given[0, 0] * 255) - frame)) <= 1
    assert 0 <= given.min() <= given.max() <= 1


def test_a_strength_is_for_filters(load: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="strength is for filters"):
        specialize(load_model("mean_v1"), 224, 224, tmp_path, strength=0.5)
    assert list(tmp_path.iterdir()) == []


def test_the_resize_is_area_interpolation(load: object) -> None:
    frame = noise(959, 541)
    expected = 1 + 4 * np.mean(area_resize(frame, 224, 224)) / 255
    assert FrameScorer(load_model("mean_v1"))(frame) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(960, 540), (1920, 1080), (853, 481), (448, 448), (100, 64)])
def test_a_metric_sees_what_rounding_leaves_of_a_plain_area_as_it_did_in_training(
    load: object, width: int, height: int
) -> None:
    scorer = FrameScorer(load_model("textured_v1"))
    down, across = np.mgrid[:height, :width]
    sky = (40 + 9 * down / height + 4 * across / width).astype(np.uint8)
    assert scorer(sky) == pytest.approx(scorer(area_resize(sky, 224, 224)), abs=1e-4)
    assert scorer(noise(width, height)) == pytest.approx(
        scorer(area_resize(noise(width, height), 224, 224)), abs=1e-4
    )


@pytest.mark.parametrize(("width", "height"), [(960, 540), (1920, 1080), (853, 481), (480, 270), (224, 224)])
def test_a_copy_of_a_metric_that_samples_fragments_cuts_them_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    folder = registered(tmp_path / "models", {"textured_v1": textured_nr()}, sampling="fragments")
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    model = load_model("textured_v1")
    frame = noise(width, height)
    score = FrameScorer(model)(frame)
    seen = (fragments(frame, 224)[0] / np.float32(255)).astype(np.float32)
    assert score == pytest.approx(float(model.run(seen[None, None])[0]), abs=1e-4)
    copy = specialize(model, width, height, tmp_path)
    assert float(run(copy.path, frame).reshape(())) == pytest.approx(score, abs=1e-4)
    # the copy is fed whole frames: nothing is left to sample
    assert read_sidecar(copy.sidecar).sampling is None
    assert FrameScorer(load_model(copy.path, unverified=True))(frame) == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [
        ("nr_metric_v1", 2560, 1440),
        ("nr_metric_v1", 540, 960),
        ("nr_metric_v3", 53, 97),
        # a pixel lies on a half, as far as float32 can tell
        ("nr_metric_v1", 41, 37),
    ],
)
def test_a_pixel_that_is_rounded_the_other_way_is_no_reason_to_refuse_a_copy(
    name: str, width: int, height: int, tmp_path: Path
) -> None:
    assert specialize(load_model(name), width, height, tmp_path).difference < 5e-3


def test_a_filter_that_clips_already_gets_no_second_clip(load: object, tmp_path: Path) -> None:
    for name, clips in (("blur_v1", 1), ("gain_v1", 1)):
        copy = specialize(load_model(name), 64, 48, tmp_path)
        assert copy.facts.operators["Clip"] == clips


def test_every_copy_passes_the_checks_of_a_registered_model(load: object, tmp_path: Path) -> None:
    copy = specialize(load_model("textured_v1"), 960, 540, tmp_path)
    check_graph(copy.path.read_bytes(), name="copy")
    assert load_model(copy.path, unverified=True).kind.label == "nr"


def test_the_sidecar_starts_with_the_name_and_says_where_the_copy_comes_from(
    load: object, tmp_path: Path
) -> None:
    model = load_model("textured_v1")
    copy = specialize(model, 960, 540, tmp_path)
    assert copy.path.name == "textured_v1_960x540.onnx"
    assert next(iter(json.loads(copy.sidecar.read_text()))) == "name"
    sidecar = read_sidecar(copy.path.with_suffix(".json"))
    assert sidecar.input_shape == (1, 1, 540, 960)
    assert sidecar.specialized_from == {"id": "textured_v1", "sha256": model.sidecar.sha256}
    assert sidecar.quant_mode is None


@pytest.mark.parametrize("suffix", [".json", ".onnx"])
def test_a_copy_and_its_sidecar_are_written_both_or_not_at_all(
    load: object, tmp_path: Path, suffix: str
) -> None:
    (tmp_path / f"textured_v1_64x64{suffix}").mkdir()
    with pytest.raises(UserError, match=rf"cannot write .*textured_v1_64x64\{suffix}: Is a directory"):
        specialize(load_model("textured_v1"), 64, 64, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"textured_v1_64x64{suffix}"]


def test_the_same_model_and_size_give_the_same_bytes(load: object, tmp_path: Path) -> None:
    model = load_model("textured_v1")
    first = specialize(model, 320, 180, tmp_path / "a")
    second = specialize(model, 320, 180, tmp_path / "b")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.sidecar.read_bytes() == second.sidecar.read_bytes()


def test_a_model_inside_an_if_reads_the_resized_frame(tmp_path: Path) -> None:
    graph = onnx.load_model_from_string(mean_nr())
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceMean", ["frame"], ["inner"], axes=[1, 2, 3], keepdims=0)],
        "branch",
        [],
        [onnx.helper.make_tensor_value_info("inner", onnx.TensorProto.FLOAT, None)],
    )
    branch = onnx.helper.make_node("If", ["on"], ["mean"], then_branch=inner, else_branch=inner)
    graph.graph.node[0].CopyFrom(branch)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.bool_(True), "on"))
    folder = registered(tmp_path / "models", {"if_v1": bytes(graph.SerializeToString())})
    model = load_model(folder / "if_v1.onnx", unverified=True)
    copy = specialize(model, 300, 200, tmp_path)
    frame = noise(300, 200)
    assert float(run(copy.path, frame).reshape(())) == pytest.approx(1 + 4 * frame.mean() / 255, abs=0.01)


def test_what_cannot_be_specialized_is_refused_and_nothing_is_written(load: object, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="takes no frames"):
        specialize(load_model("linear_v1"), 64, 64, out)
    for width, height in ((0, 64), (64, -1), (99999, 64)):
        with pytest.raises(UserError, match="must be 1 to"):
            specialize(load_model("noop_v1"), width, height, out)
    copy = load_model(specialize(load_model("noop_v1"), 64, 48, tmp_path).path, unverified=True)
    with pytest.raises(UserError, match="is a specialized copy already"):
        specialize(copy, 64, 48, out)
    size = ("batch", 1, 48, 64)
    nodes = [helper.make_node("Identity", ["degraded"], ["filtered"])]
    own = registered(tmp_path / "own", {"own_v1": model_bytes(nodes, ("degraded", size), ("filtered", size))})
    with pytest.raises(UserError, match="fixed at 64x48"):
        specialize(load_model(own / "own_v1.onnx", unverified=True), 32, 32, out)
    bare = load_model(write_model(tmp_path, "bare", identity_filter()), unverified=True)
    with pytest.raises(UserError, match="no sidecar"):
        specialize(bare, 32, 32, out)
    assert not out.exists()


def test_a_size_that_memory_does_not_hold_is_one_line(models: Path, tmp_path: Path) -> None:
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from vmaf_train.cli import main; sys.argv[0] = 'vmaf-train'; main()\n"
    )
    arguments = ["specialize", "noop_v1", "--width", "16384", "--height", "16384", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "VMAF_TINY_MODEL_DIR": str(models)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("vmaf-train: noop_v1 at 16384x16384: no memory for frames of that size")
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_a_model_with_an_int8_file_claims_none(models: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path, "textured_v1", textured_nr())
    claims = replace(read_sidecar(models / "textured_v1.json"), quant_mode="static_qdq")
    write_sidecar(path.with_suffix(".json"), claims)
    copy = specialize(load_model(path, unverified=True), 320, 180, tmp_path / "out")
    # libvmaf would open textured_v1_320x180.int8.onnx in its place
    assert "quant_mode" not in copy.sidecar.read_text()


def test_a_copy_of_a_file_of_another_name_names_the_model_it_is_of(models: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path, "Mine-2", textured_nr())
    path.with_suffix(".json").write_bytes((models / "textured_v1.json").read_bytes())
    copy = specialize(load_model(path, unverified=True), 320, 180, tmp_path)
    found = read_sidecar(copy.sidecar).specialized_from
    assert copy.path.name == "Mine-2_320x180.onnx"
    assert found is not None
    assert found["id"] == "textured_v1"


def test_a_copy_that_differs_from_score_is_not_written(tmp_path: Path) -> None:
    # 1e6 times the last bits by which a pixel misses its code value: none where code values go in
    nodes = [
        helper.make_node("QuantizeLinear", ["frame", "scale", "zero"], ["codes"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["exact"]),
        helper.make_node("Sub", ["frame", "exact"], ["missing"]),
        helper.make_node("Abs", ["missing"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "steep"], ["mos"]),
    ]
    constants = {"scale": np.float32(1 / 255), "zero": np.uint8(0), "steep": np.float32(1e6)}
    source, target = ("frame", ("batch", 1, 224, 224)), ("mos", ("batch",))
    folder = registered(tmp_path / "models", {"steep_v1": model_bytes(nodes, source, target, constants)})
    model = load_model(folder / "steep_v1.onnx", unverified=True)
    with pytest.raises(UserError, match=r"steep_v1 at 224x224: the copy differs by .*; nothing was written"):
        specialize(model, 224, 224, tmp_path / "out")
    assert not (tmp_path / "out").exists()
