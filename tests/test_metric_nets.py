"""The networks of the metrics."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as fn

from vmaf_train.export import compare, to_onnx
from vmaf_train.graph import check_graph
from vmaf_train.metric_nets import (
    ENERGY_CELL,
    EnergyMetric,
    NrMetric,
    derivative_filters,
    local_contrast,
    weighted_mean,
)
from vmaf_train.params_reader import CELL
from vmaf_train.sampling import FRAGMENT


def parameters(net: torch.nn.Module) -> int:
    return sum(values.numel() for values in net.parameters())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_metric_gives_one_score_a_frame(batch: int) -> None:
    assert NrMetric(4).eval()(torch.rand(batch, 1, 224, 224)).shape == (batch,)


def test_a_score_does_not_depend_on_the_other_frames_of_its_batch() -> None:
    net, frames = NrMetric(4).eval(), torch.rand(3, 1, 224, 224)
    with torch.no_grad():
        alone = torch.cat([net(frame[None]) for frame in frames])
        torch.testing.assert_close(net(frames), alone)


def test_an_untrained_metric_answers_about_where_it_starts() -> None:
    net = NrMetric(4).eval()
    net.start_at(4.5)
    with torch.no_grad():
        assert (net(torch.rand(2, 1, 224, 224)) - 4.5).abs().max() < 1.0


def test_an_energy_metric_is_small_and_its_filters_are_no_parameters() -> None:
    net = EnergyMetric()
    assert parameters(net) < 10_000
    assert net.filters.shape == (16, 1, 3, 3)
    torch.testing.assert_close(net.filters.abs().sum((1, 2, 3)), torch.full((16,), 2.0))


def test_energies_are_those_of_absolute_responses() -> None:
    frame = torch.rand(2, 1, 224, 224)
    measured = EnergyMetric(4).measure(frame)
    for scale, (step, cell) in enumerate([(2, 8), (1, 8), (1, 4)]):
        response = fn.conv2d(fn.pad(frame, (1, 1, 1, 1), mode="replicate"), derivative_filters(), stride=step)
        size = torch.log(fn.avg_pool2d(response.abs(), cell) + 1 / 510)
        power = torch.log(fn.avg_pool2d(response.square(), cell) + 1 / 510**2)
        torch.testing.assert_close(measured[:, 16 * scale : 16 * scale + 8], size)
        torch.testing.assert_close(measured[:, 16 * scale + 8 : 16 * scale + 16], 0.5 * power - size)
        frame = fn.avg_pool2d(frame, 2)


def test_fragments_do_not_see_their_neighbours() -> None:
    assert ENERGY_CELL == FRAGMENT == CELL
    net, frame = EnergyMetric(4, apart=True), torch.rand(1, 1, 224, 224)
    before = net.measure(frame)
    assert before.shape == (1, 48, 14, 14)
    frame[:, :, 32:48, 64:80] = torch.rand(16, 16)
    changed = (net.measure(frame) != before).any(1)[0]
    assert changed.nonzero().tolist() == [[2, 4]]


def test_energies_do_not_change_with_brightness_and_shift_with_contrast() -> None:
    torch.manual_seed(1)
    net, frame = EnergyMetric(4), torch.rand(2, 1, 224, 224) * 0.5
    size = net.measure(frame)[:, :8]
    torch.testing.assert_close(net.measure(frame + 0.3)[:, :8], size, atol=1e-4, rtol=0)
    torch.testing.assert_close(net.measure(frame * 2)[:, :8], size + math.log(2), atol=0.05, rtol=0)


def test_an_energy_metric_answers_on_a_plain_frame() -> None:
    net = EnergyMetric(4).eval()
    score = net(torch.zeros(1, 1, 224, 224))
    assert score.isfinite().all()
    score.sum().backward()
    assert all(values.grad is None or values.grad.isfinite().all() for values in net.parameters())


def test_attention_weighs_cells_by_what_they_hold_each_channel_for_itself() -> None:
    maps, even = torch.rand(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    torch.testing.assert_close(weighted_mean(maps, even), maps.mean((2, 3)))
    peaks = even.clone()
    peaks[:, 1, 2, 3] = 100
    expected = maps.mean((2, 3))
    expected[:, 1] = maps[:, 1, 2, 3]
    torch.testing.assert_close(weighted_mean(maps, peaks), expected)


@pytest.mark.parametrize("layers", [1, 3])
def test_the_layers_over_the_energies_are_as_many_as_asked_for(layers: int) -> None:
    net = EnergyMetric(4, layers=layers)
    assert len(net.mix) == layers
    assert net(torch.rand(2, 1, 32, 32)).shape == (2,)
    assert parameters(EnergyMetric(4, layers=layers, attention=True)) == parameters(net) + 4 * 5 + 4 * 24


def test_an_energy_metric_scores_a_frame_alone_as_in_a_batch() -> None:
    net, frames = EnergyMetric(4).eval(), torch.rand(3, 1, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(net(frames), torch.cat([net(frame[None]) for frame in frames]))


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("apart", [False, True])
def test_an_energy_metric_becomes_an_allowed_file_that_equals_it(apart: bool, attention: bool) -> None:
    torch.manual_seed(1)
    net = EnergyMetric(8, layers=3, attention=attention, apart=apart)
    data = to_onnx(net, "nr")
    check_graph(data, name="energies.onnx")
    compare(net, data, "nr", name="energies.onnx")


def test_the_stem_of_the_published_metric_starts_blind_to_brightness() -> None:
    stem = next(NrMetric().features.parameters())
    torch.testing.assert_close(stem.mean((1, 2, 3)), torch.zeros(len(stem)), atol=1e-7, rtol=0)


def test_local_contrast_is_what_a_direct_computation_gives_also_at_the_border() -> None:
    luma = torch.rand(1, 1, 12, 9)

    def around(picture: torch.Tensor, y: int, x: int) -> torch.Tensor:
        return picture[0, 0, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]

    places = [(y, x) for y in range(12) for x in range(9)]
    detail = luma - torch.stack([around(luma, y, x).mean() for y, x in places]).reshape(luma.shape)
    power = torch.stack([around(detail**2, y, x).mean() for y, x in places]).reshape(luma.shape)
    torch.testing.assert_close(local_contrast(luma, radius=1), detail / (power.sqrt() + 6 / 255))


def test_a_metric_of_local_contrast_is_blind_to_brightness_and_nearly_to_contrast() -> None:
    net, luma = NrMetric(4, radius=3).eval(), 0.2 + 0.3 * torch.rand(2, 1, 224, 224)
    torch.testing.assert_close(net(luma + 0.3), net(luma), atol=1e-4, rtol=0)
    seen, more = local_contrast(luma, 3), local_contrast(1.5 * luma, 3)
    assert float((seen - more).abs().mean() / seen.abs().mean()) < 0.2
    assert parameters(net) == parameters(NrMetric(4))


def test_a_plain_frame_has_no_local_contrast() -> None:
    assert float(local_contrast(torch.full((1, 1, 16, 16), 0.7), 3).abs().max()) < 1e-3


def test_a_metric_of_local_contrast_becomes_an_allowed_file_that_equals_it() -> None:
    net = NrMetric(4, radius=3).eval()
    data = to_onnx(net, "nr")
    check_graph(data, name="contrast.onnx")
    compare(net, data, "nr", name="contrast.onnx")
