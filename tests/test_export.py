"""Export: opset 17, one file, and the network's own numbers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from vmaf_train import checkpoint
from vmaf_train.checkpoint import save_checkpoint
from vmaf_train.errors import UserError
from vmaf_train.export import compare, comparison_pictures, export, to_onnx
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.nets import build
from vmaf_train.params import Params

MODELS = ("nr_metric_v1", "learned_filter_v1")


@pytest.fixture
def trained(make_params: Callable[..., Params], layout: Layout) -> Params:
    """Checkpoints of two networks whose weights are far from zero, batch statistics included."""
    params = make_params()
    for seed, model in enumerate(MODELS):
        torch.manual_seed(seed)
        section = params.model(model)
        net = build(section)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.08)
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(std=0.3)
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
        save_checkpoint(layout.checkpoint(model), section, net.state_dict())
    return params


@pytest.mark.parametrize("model", MODELS)
def test_the_file_keeps_the_contract_with_libvmaf(model: str, trained: Params, layout: Layout) -> None:
    export(model, trained, layout)
    facts = check_graph(layout.onnx(model).read_bytes(), name=model)
    assert facts.opset == 17
    assert facts.ir_version <= 10
    assert [path.name for path in layout.models.iterdir()] == [f"{model}.onnx"]
    shapes = {
        "nr_metric_v1": ("frame [batch, 1, 224, 224]", "mos [batch]"),
        "learned_filter_v1": (
            "degraded [batch, 1, height, width]",
            "filtered [batch, 1, height, width]",
        ),
    }
    assert (facts.input.text, facts.output.text) == shapes[model]


def test_a_strided_filter_declares_the_shape_of_its_input_as_its_output(
    make_params: Callable[..., Params],
) -> None:
    net = build(make_params().model("learned_filter_v2"))
    facts = check_graph(to_onnx(net, "filter"), name="strided")
    assert facts.input.shape == facts.output.shape == ("batch", 1, "height", "width")


def test_the_filter_runs_at_any_size_and_keeps_it(trained: Params, layout: Layout) -> None:
    export("learned_filter_v1", trained, layout)
    session = onnxruntime.InferenceSession(layout.onnx("learned_filter_v1").read_bytes())
    for shape in ((1, 1, 1080, 1920), (3, 1, 270, 481), (1, 1, 1, 1)):
        output = session.run(None, {"degraded": np.full(shape, 0.4, np.float32)})[0]
        assert output.shape == shape
        assert 0 <= output.min() <= output.max() <= 1


@pytest.mark.parametrize("model", MODELS)
def test_exporting_twice_gives_the_same_bytes(model: str, trained: Params, layout: Layout) -> None:
    export(model, trained, layout)
    first = layout.onnx(model).read_bytes()
    export(model, trained, layout)
    assert layout.onnx(model).read_bytes() == first


def test_no_date_and_no_path_is_in_the_file(trained: Params, layout: Layout) -> None:
    export("nr_metric_v1", trained, layout)
    model = onnx.load_model(layout.onnx("nr_metric_v1"))
    assert not any(node.doc_string for node in model.graph.node)
    assert str(Path.home()).encode() not in layout.onnx("nr_metric_v1").read_bytes()


def test_a_file_that_differs_from_the_network_is_refused(trained: Params) -> None:
    net = build(trained.model("learned_filter_v1"))
    data = to_onnx(net, "filter")
    with torch.no_grad():
        net.exit.bias.fill_(0.01)  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"differs from the network by 0\.0"):
        compare(net.eval(), data, "filter", name="learned_filter_v1.onnx")


class Beside(nn.Module):
    """A metric that rates each frame beside the others of its batch, as no metric may."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        scores = frame.mean(dim=(1, 2, 3))
        return scores - scores.mean()


def test_a_network_that_scores_a_frame_by_its_batch_is_refused() -> None:
    net = Beside()
    with pytest.raises(UserError, match=r"ONNX Runtime, one by one, differs from the network .* at \(5, 224"):
        compare(net, to_onnx(net, "nr"), "nr", name="beside.onnx")


def test_a_failed_export_keeps_the_earlier_file(trained: Params, layout: Layout) -> None:
    export("nr_metric_v1", trained, layout)
    before = layout.onnx("nr_metric_v1").read_bytes()
    layout.checkpoint("nr_metric_v1").write_bytes(b"garbage")
    with pytest.raises(UserError, match="is not a checkpoint"):
        export("nr_metric_v1", trained, layout)
    assert layout.onnx("nr_metric_v1").read_bytes() == before


def test_no_checkpoint_names_the_command_to_run(make_params: Callable[..., Params], layout: Layout) -> None:
    with pytest.raises(UserError, match="vmaf-train fit nr_metric_v1"):
        export("nr_metric_v1", make_params(), layout)


def test_pictures_of_the_comparison_are_seeded_and_never_constant() -> None:
    pictures = comparison_pictures((2, 48, 64), seed=3)
    np.testing.assert_array_equal(pictures, comparison_pictures((2, 48, 64), seed=3))
    assert pictures.shape == (2, 1, 48, 64)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.std() > 0.1


class Wave(nn.Module):
    """A metric with an operator that libvmaf does not know."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return torch.sin(frame).mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    ("net", "message"),
    [(Wave(), "operator 'Sin' in graph .* not on the allowlist"), (Beside(), "one by one")],
)
def test_a_network_that_breaks_a_rule_is_not_exported(
    trained: Params, layout: Layout, monkeypatch: pytest.MonkeyPatch, net: nn.Module, message: str
) -> None:
    export("nr_metric_v1", trained, layout)
    before = layout.onnx("nr_metric_v1").read_bytes()
    monkeypatch.setattr(checkpoint, "load_checkpoint", lambda *_: net)
    with pytest.raises(UserError, match=message):
        export("nr_metric_v1", trained, layout)
    assert layout.onnx("nr_metric_v1").read_bytes() == before


def test_a_ten_thousandth_is_too_much_of_a_difference_and_no_number_is_one(trained: Params) -> None:
    net = build(trained.model("learned_filter_v1"))
    data = to_onnx(net, "filter")
    for bias, refused in ((5e-5, False), (2e-4, True), (float("nan"), True)):
        with torch.no_grad():
            net.exit.bias.fill_(bias)  # type: ignore[union-attr]
        # of a network that gives no numbers the file gives none either
        given = to_onnx(net, "filter") if math.isnan(bias) else data
        with (
            pytest.raises(UserError, match="differs from the network")
            if refused
            else contextlib.nullcontext()
        ):
            compare(net.eval(), given, "filter", name="learned_filter_v1.onnx")
