"""The network that a model's section of params.yaml describes."""

from __future__ import annotations

from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import EnergyMetric, Metric, NrMetric
from vmaf_train.params import FilterModel, NrModel


def build(section: NrModel | FilterModel) -> Metric | LearnedFilter:
    """The untrained network of a model's section of params.yaml."""
    if isinstance(section, NrModel):
        if section.net.design == "energies":
            return EnergyMetric(section.net.width, apart=section.net.sampling == "fragments")
        return NrMetric(section.net.width, section.net.radius)
    net = section.net
    return LearnedFilter(net.channels, net.blocks, net.stride, net.separable)
