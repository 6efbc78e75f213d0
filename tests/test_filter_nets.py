"""The network of the filters."""

from __future__ import annotations

import pytest
import torch

from vmaf_train.export import compare, to_onnx
from vmaf_train.filter_nets import LearnedFilter, interleave
from vmaf_train.graph import check_graph


@pytest.mark.parametrize(("stride", "separable"), [(1, 0), (2, 0), (4, 0), (4, 1)])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 64), (33, 65)])
def test_a_filter_keeps_any_size_and_an_untrained_one_its_input(
    stride: int, separable: int, size: tuple[int, int]
) -> None:
    luma = torch.rand(2, 1, *size)
    with torch.no_grad():
        assert torch.equal(LearnedFilter(4, 2, stride, separable)(luma), luma)


def test_a_separable_block_has_a_fifth_of_the_weights_and_becomes_an_allowed_file() -> None:
    torch.manual_seed(1)
    nets = [LearnedFilter(16, 2, 4, separable) for separable in (0, 1)]
    dense, light = (sum(values.numel() for values in net.blocks[0].parameters()) for net in nets)
    assert light * 5 < dense
    torch.nn.init.normal_(nets[1].exit.weight, std=0.05)
    data = to_onnx(nets[1], "filter")
    check_graph(data, name="separable.onnx")
    compare(nets[1], data, "filter", name="separable.onnx")


@pytest.mark.parametrize(("stride", "separable"), [(1, 0), (2, 0), (4, 0), (4, 1)])
def test_a_filter_stays_inside_the_range_of_luma_and_every_weight_learns(stride: int, separable: int) -> None:
    torch.manual_seed(1)
    net = LearnedFilter(4, 1, stride, separable)
    torch.nn.init.normal_(net.exit.weight, std=5)
    luma = torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        filtered = net(luma)
    assert (float(filtered.min()), float(filtered.max())) == (0, 1)
    net.unclamped(luma).square().mean().backward()
    assert all(values.grad is not None and values.grad.abs().sum() > 0 for values in net.parameters())


@pytest.mark.parametrize(("stride", "separable"), [(1, 0), (4, 0), (4, 1)])
def test_a_block_that_adds_nothing_hands_on_what_it_got(stride: int, separable: int) -> None:
    block = LearnedFilter(4, 1, stride, separable).blocks[0]
    for values in block.parameters():
        torch.nn.init.zeros_(values)
    light = torch.rand(1, 4, 6, 6)
    assert torch.equal(block(light), light)


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_interleaving_is_what_depth_to_space_does(stride: int) -> None:
    squares = torch.rand(2, stride**2, 3, 5)
    assert torch.equal(interleave(squares, stride), torch.nn.functional.pixel_shuffle(squares, stride))


def test_an_untrained_filter_sees_no_brightness() -> None:
    entry = LearnedFilter(4, 1, 4).entry
    assert entry.weight.sum((1, 2, 3)).abs().max() < 1e-4


def test_gradients_of_a_strided_filter_at_odd_sizes_are_those_of_plain_indexing() -> None:
    torch.manual_seed(0)
    net = LearnedFilter(4, 1, stride=4)
    torch.nn.init.normal_(net.exit.weight)
    frame, weight = torch.rand(2, 1, 21, 35), torch.rand(2, 1, 21, 35)
    (net.unclamped(frame) * weight).sum().backward()
    given = [values.grad for values in net.parameters()]
    net.zero_grad()
    change = interleave(net.exit(net.blocks(net.entry(frame))), 4)[:, :, :21, :35]
    ((frame + change) * weight).sum().backward()
    for values, gradient in zip(net.parameters(), given, strict=True):
        torch.testing.assert_close(gradient, values.grad)
