"""The network that a model's parameters describe."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import EnergyMetric, NrMetric
from vmaf_train.nets import build
from vmaf_train.params import Params


def parameters(net: torch.nn.Module) -> int:
    return sum(values.numel() for values in net.parameters())


def test_sizes_are_those_of_the_published_networks() -> None:
    assert parameters(NrMetric()) == 19_105
    assert parameters(LearnedFilter()) == 18_865


def test_a_section_of_the_parameters_decides_the_network(make_params: Callable[..., Params]) -> None:
    params = make_params(nr_metric_v1__net__width=8, learned_filter_v1__net__stride=2)
    assert parameters(build(params.model("nr_metric_v1"))) == parameters(NrMetric(8))
    net = build(params.model("learned_filter_v1"))
    assert isinstance(net, LearnedFilter)
    assert net.stride == 2


def test_the_design_in_the_parameters_decides_the_metric(make_params: Callable[..., Params]) -> None:
    sized = {"nr_metric_v2__net__width": 8, "nr_metric_v2__net__layers": 4}
    params = make_params(models=["nr_metric_v2"], **sized)
    net = build(params.model("nr_metric_v2"))
    assert isinstance(net, EnergyMetric)
    assert parameters(net) == parameters(EnergyMetric(8, layers=4, attention=True))
    assert not net.apart
    plain = build(make_params(nr_metric_v2__net__pooling="mean", **sized).model("nr_metric_v2"))
    assert parameters(plain) == parameters(EnergyMetric(8, layers=4))


def test_a_metric_that_samples_fragments_keeps_them_apart(make_params: Callable[..., Params]) -> None:
    net = build(make_params(models=["nr_metric_v3"]).model("nr_metric_v3"))
    assert isinstance(net, EnergyMetric)
    assert net.apart
