"""The networks, apart from the modules that train them."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn

from vmaf_train.params import FilterModel, NrModel

MID_SCORE = 3.0
DETAIL_GAIN = 5.0


class NrMetric(nn.Module):
    """One distorted luma frame to a mean opinion score.

    A 3x3 stem of stride 2 and five depthwise-separable blocks (1/32 of the resolution, `8 * width`
    channels), global average pooling, one linear layer. `width` 16 has 19.1 K parameters.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.features = nn.Sequential(
            _conv_bn(1, w, kernel=3, stride=2),
            _separable(w, 2 * w, stride=2),
            _separable(2 * w, 2 * w, stride=1),
            _separable(2 * w, 4 * w, stride=2),
            _separable(4 * w, 4 * w, stride=1),
            _separable(4 * w, 8 * w, stride=2),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * w, 1)
        self.start_at(MID_SCORE)

    def start_at(self, score: float) -> None:
        """Set the head's bias, so that an untrained network answers about `score`."""
        with torch.no_grad():
            self.head.bias.fill_(score)

    def forward(self, frame: Tensor) -> Tensor:
        """Map luma (N, 1, H, W) in 0..1 to scores (N,); the registered graph fixes H = W = 224."""
        return cast(Tensor, self.head(self.pool(self.features(frame)).flatten(1))).squeeze(1)


class LearnedFilter(nn.Module):
    """Degraded luma to clean luma, of any height and width.

    A convolution in, residual blocks `x + conv(relu(conv(x)))`, a convolution out, added to the input
    and clamped to 0..1. `stride` above 1 runs the blocks, there `relu(x + conv(x))`, at 1/stride of the
    resolution: the first convolution is strided, and the last one, 1x1, gives all pixels of a stride x
    stride square at once. An untrained filter returns its input. `channels` 16, `blocks` 4, `stride` 1
    is the published network, with 18.9 K parameters.
    """

    def __init__(self, channels: int = 16, blocks: int = 4, stride: int = 1) -> None:
        super().__init__()
        # an odd kernel with "same" padding gives ceil(H / stride) rows for every H
        kernel = 3 if stride == 1 else 2 * stride + 1
        self.stride = stride
        self.entry = nn.Conv2d(1, channels, kernel, stride=stride, padding=kernel // 2)
        block = _Residual if stride == 1 else _LightResidual
        self.blocks = nn.Sequential(*(block(channels) for _ in range(blocks)))
        self.exit = nn.Conv2d(channels, stride**2, 3 if stride == 1 else 1, padding=1 if stride == 1 else 0)
        with torch.no_grad():
            # brightness, some 20 times larger than detail, would drown it: kernels start without a mean
            self.entry.weight -= self.entry.weight.mean((1, 2, 3), keepdim=True)
            self.entry.weight *= DETAIL_GAIN
        nn.init.zeros_(cast(Tensor, self.entry.bias))
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(cast(Tensor, self.exit.bias))

    def unclamped(self, degraded: Tensor) -> Tensor:
        """As `forward` without the clamp, whose gradient is zero outside 0..1."""
        change = cast(Tensor, self.exit(self.blocks(self.entry(degraded))))
        if self.stride > 1:
            change = interleave(change, self.stride)[:, :, : degraded.shape[2], : degraded.shape[3]]
        return degraded + change

    def forward(self, degraded: Tensor) -> Tensor:
        """Map luma (N, 1, H, W) in 0..1 to luma of the same shape and range."""
        return self.unclamped(degraded).clamp(0, 1)


def interleave(squares: Tensor, stride: int) -> Tensor:
    """Lay channels (N, stride^2, H, W) out as pixels (N, 1, stride * H, stride * W).

    What DepthToSpace does, of allowed operators. Two transpositions, columns then rows, take ONNX Runtime
    1 ms for a 1080p frame; a single one takes 58 ms, a ConvTranspose 22 ms.
    """
    count, _, height, width = squares.shape
    columns = squares.reshape(count, stride, stride, height, width).permute(0, 1, 3, 4, 2)
    rows = columns.reshape(count, stride, height, width * stride).permute(0, 2, 1, 3)
    return rows.reshape(count, 1, height * stride, width * stride)


class _LightResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # ONNX Runtime runs these three as one operator
        return torch.relu(x + self.conv(x))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + cast(Tensor, self.body(x))


def _conv_bn(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs), act=nn.ReLU6(inplace=True)))


def _separable(inputs: int, outputs: int, *, stride: int) -> nn.Module:
    depthwise = _conv_bn(inputs, inputs, kernel=3, stride=stride, groups=inputs)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=_conv_bn(inputs, outputs, kernel=1)))


def build(section: NrModel | FilterModel) -> NrMetric | LearnedFilter:
    """The untrained network of a model's section of params.yaml."""
    if isinstance(section, NrModel):
        return NrMetric(width=section.net.width)
    return LearnedFilter(section.net.channels, section.net.blocks, section.net.stride)
