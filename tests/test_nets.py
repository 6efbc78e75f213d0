from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from vmaf_train.export import compare, to_onnx
from vmaf_train.graph import check_graph
from vmaf_train.nets import EnergyMetric, LearnedFilter, NrMetric, build, interleave, local_contrast
from vmaf_train.params import Params


def parameters(net: torch.nn.Module) -> int:
    return sum(values.numel() for values in net.parameters())


def test_sizes_are_those_of_the_published_networks() -> None:
    assert parameters(NrMetric()) == 19_105
    assert parameters(LearnedFilter()) == 18_865


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


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 64), (33, 65)])
def test_a_filter_keeps_any_size_and_an_untrained_one_its_input(stride: int, size: tuple[int, int]) -> None:
    luma = torch.rand(2, 1, *size)
    with torch.no_grad():
        assert torch.equal(LearnedFilter(4, 1, stride)(luma), luma)


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_filter_stays_inside_the_range_of_luma_and_every_weight_learns(stride: int) -> None:
    torch.manual_seed(1)
    net = LearnedFilter(4, 1, stride)
    torch.nn.init.normal_(net.exit.weight, std=5)
    luma = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        filtered = net(luma)
    assert (float(filtered.min()), float(filtered.max())) == (0, 1)
    net.unclamped(luma).square().mean().backward()
    assert all(values.grad is not None and values.grad.abs().sum() > 0 for values in net.parameters())


def test_a_section_of_the_parameters_decides_the_network(make_params: Callable[..., Params]) -> None:
    params = make_params(nr_metric_v1__net__width=8, learned_filter_v1__net__stride=2)
    assert parameters(build(params.model("nr_metric_v1"))) == parameters(NrMetric(8))
    net = build(params.model("learned_filter_v1"))
    assert isinstance(net, LearnedFilter)
    assert net.stride == 2


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_interleaving_is_what_depth_to_space_does(stride: int) -> None:
    squares = torch.rand(2, stride**2, 3, 5)
    assert torch.equal(interleave(squares, stride), torch.nn.functional.pixel_shuffle(squares, stride))


def test_an_untrained_filter_sees_no_brightness() -> None:
    entry = LearnedFilter(4, 1, 4).entry
    assert entry.weight.sum((1, 2, 3)).abs().max() < 1e-4


def test_an_energy_metric_is_small_and_its_filters_are_no_parameters() -> None:
    net = EnergyMetric()
    assert parameters(net) < 10_000
    assert net.filters.shape == (8, 1, 3, 3)
    torch.testing.assert_close(net.filters.abs().sum((1, 2, 3)), torch.full((8,), 2.0))


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


def test_an_energy_metric_scores_a_frame_alone_as_in_a_batch() -> None:
    net, frames = EnergyMetric(4).eval(), torch.rand(3, 1, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(net(frames), torch.cat([net(frame[None]) for frame in frames]))


def test_an_energy_metric_becomes_an_allowed_file_that_equals_it() -> None:
    torch.manual_seed(1)
    net = EnergyMetric(8)
    data = to_onnx(net, "nr")
    check_graph(data, name="energies.onnx")
    compare(net, data, "nr", name="energies.onnx")


def test_the_design_in_the_parameters_decides_the_metric(make_params: Callable[..., Params]) -> None:
    params = make_params(models=["nr_metric_v2"], nr_metric_v2__net__width=8)
    net = build(params.model("nr_metric_v2"))
    assert isinstance(net, EnergyMetric)
    assert parameters(net) == parameters(EnergyMetric(8))


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
