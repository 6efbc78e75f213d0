"""Quantize: static QDQ, allowed operators, inside the budget or refused by name."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_models import textured_nr
from tiny_repository import make_repository
from torch import nn

from vmaf_train.checkpoint import save_checkpoint
from vmaf_train.errors import UserError
from vmaf_train.export import export
from vmaf_train.files import sha256_file
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.nets import build
from vmaf_train.onnx_frames import onnx_runner, packed_frames, split_rows
from vmaf_train.params import Params
from vmaf_train.quantize import quantize

Make = Callable[..., Params]
NR, FILTER = "nr_metric_v1", "learned_filter_v1"


def trained(make_params: Make, layout: Layout, std: float, **changes: object) -> Params:
    """A repository whose filter's weights are random with the given spread."""
    params = make_params(models=[FILTER], frames__size=64, **changes)
    make_repository(layout, params)
    torch.manual_seed(0)
    net = build(params.model(FILTER))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=std)
    save_checkpoint(layout.checkpoint(FILTER), params.model(FILTER), net.state_dict())
    export(FILTER, params, layout)
    return params


def test_the_twin_is_static_qdq_at_the_same_contract(make_params: Make, layout: Layout) -> None:
    report = quantize(FILTER, trained(make_params, layout, 0.03), layout)
    data = (layout.int8(FILTER) / f"{FILTER}.int8.onnx").read_bytes()
    facts = check_graph(data, name="int8")
    assert (facts.opset, facts.input.text) == (17, "degraded [batch, 1, height, width]")
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= set(facts.operators)
    assert not {"ConvInteger", "QLinearConv", "DynamicQuantizeLinear"} & set(facts.operators)
    assert [entry.domain for entry in onnx.load_model_from_string(data).opset_import] == [""]
    assert json.loads((layout.int8(FILTER) / "report.json").read_text()) == report
    assert report["onnx_sha256"] == sha256_file(layout.onnx(FILTER))


def test_the_twin_answers_nearly_as_the_float_model(make_params: Make, layout: Layout) -> None:
    quantize(FILTER, trained(make_params, layout, 0.03), layout)
    frames = np.load(layout.frames / "degraded.npy")[:4, None]
    files = (layout.onnx(FILTER), layout.int8(FILTER) / f"{FILTER}.int8.onnx")
    exact, rounded = (onnx_runner(path.read_bytes(), name=path.name)(frames) for path in files)
    assert np.abs(exact - rounded).max() > 0
    assert np.abs(exact - rounded).mean() < 0.02


@pytest.fixture
def metric(make_params: Make, layout: Layout) -> Params:
    """A repository whose one model is a metric with random weights."""
    params = make_params(models=[NR])
    make_repository(layout, params)
    layout.onnx(NR).write_bytes(textured_nr())
    return params


def test_the_loss_of_a_metric_is_the_correlation_with_the_labels_that_rounding_takes(
    metric: Params, layout: Layout
) -> None:
    report = quantize(NR, metric, layout)
    rows = split_rows(layout, "test")
    files = (layout.onnx(NR), layout.int8(NR) / f"{NR}.int8.onnx")
    frames = packed_frames(layout, "luma", rows)
    scores = [onnx_runner(path.read_bytes(), name=path.name)(frames) for path in files]
    exact, rounded = (np.corrcoef(one, rows["mos"])[0, 1] for one in scores)
    assert report["plcc_loss"] == pytest.approx(exact - rounded, abs=1e-6) != 0


def test_a_broken_file_is_named_and_the_callers_logging_is_as_before(metric: Params, layout: Layout) -> None:
    level = logging.getLogger().level
    quantize(NR, metric, layout)
    assert logging.getLogger().level == level
    layout.onnx(NR).write_bytes(layout.onnx(NR).read_bytes()[:-9])
    with pytest.raises(UserError, match=rf"{NR}\.onnx: "):
        quantize(NR, metric, layout)


def test_ranges_come_from_training_clips_alone(metric: Params, layout: Layout) -> None:
    array, training = layout.frames / "luma.npy", split_rows(layout, "train")["row"]
    clean = np.load(array)
    trained_on = np.isin(np.arange(len(clean)), training)

    def quantized(darkened: np.ndarray) -> bytes:
        np.save(array, np.where(darkened[:, None, None], clean // 4, clean))
        quantize(NR, metric, layout)
        return (layout.int8(NR) / f"{NR}.int8.onnx").read_bytes()

    as_they_are = quantized(np.zeros(len(clean), bool))
    assert quantized(~trained_on) == as_they_are
    assert quantized(trained_on) != as_they_are


def test_a_model_over_its_budget_may_not_ship(make_params: Make, layout: Layout) -> None:
    params = trained(
        make_params,
        layout,
        0.08,
        learned_filter_v1__quantize=True,
        learned_filter_v1__quant_accuracy_budget_plcc=0.0,
    )
    with pytest.raises(UserError, match=r"learned_filter_v1 loses .* PLCC as int8, more than"):
        quantize(FILTER, params, layout)
    assert not layout.int8(FILTER).exists()


def test_quantizing_twice_gives_the_same_bytes(make_params: Make, layout: Layout) -> None:
    params = trained(make_params, layout, 0.03)
    path = layout.int8(FILTER) / f"{FILTER}.int8.onnx"
    quantize(FILTER, params, layout)
    first = path.read_bytes()
    quantize(FILTER, params, layout)
    assert path.read_bytes() == first


def test_no_float_model_names_the_command_to_run(make_params: Make, tmp_path: Path) -> None:
    params = make_params(models=[FILTER], frames__size=64)
    make_repository(Layout(tmp_path), params)
    with pytest.raises(UserError, match="vmaf-train export learned_filter_v1"):
        quantize(FILTER, params, Layout(tmp_path))


def test_each_channel_of_weights_has_a_scale_of_its_own(make_params: Make, layout: Layout) -> None:
    quantize(FILTER, trained(make_params, layout, 0.03), layout)
    graph = onnx.load_model(layout.int8(FILTER) / f"{FILTER}.int8.onnx").graph
    sizes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for node in convolutions:
        weights, scale, _ = made[node.input[1]].input
        assert sizes[scale] == [sizes[weights][0]]


def test_the_loss_of_a_filter_is_what_its_pixels_no_longer_share_with_the_float_ones(
    make_params: Make, layout: Layout
) -> None:
    report = quantize(FILTER, trained(make_params, layout, 0.03), layout)
    frames = packed_frames(layout, "degraded", split_rows(layout, "test"))
    files = (layout.onnx(FILTER), layout.int8(FILTER) / f"{FILTER}.int8.onnx")
    exact, rounded = (onnx_runner(path.read_bytes(), name=path.name)(frames).ravel() for path in files)
    assert report["plcc_loss"] == pytest.approx(1 - np.corrcoef(exact, rounded)[0, 1], abs=1e-5)
    assert 0 < report["plcc_loss"] < 0.1
