"""The network that a model's section of params.yaml describes."""

from __future__ import annotations

from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import EnergyMetric, Metric, NrMetric
from vmaf_train.params import FilterModel, NrModel


def build(section: NrModel | FilterModel) -> Metric | LearnedFilter:
    """The untrained network of a model's section of params.yaml."""
    if isinstance(section, NrModel):
        metric = section.net
        if metric.design == "convolutional":
            return NrMetric(metric.width, metric.radius)
        return EnergyMetric(
            metric.width,
            layers=metric.layers,
            attention=metric.pooling == "attention",
            apart=metric.sampling == "fragments",
        )
    net = section.net
    return LearnedFilter(net.channels, net.blocks, net.stride, net.separable)
