"""The networks, apart from the modules that train them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from vmaf_train.params import FilterModel, NrModel

MID_SCORE = 3.0
CONTRAST_FLOOR = 6 / 255  # of luma: local contrast far below it counts as none
ENERGY_SCALES = 3
ENERGY_CELL = 16  # pixels of the frame
ENERGY_HIDDEN = 24
FAINT = 1 / 510  # half a code value: what rounding to 8 bits hides
DETAIL_GAIN = 5.0


class Metric(nn.Module, ABC):
    """One distorted luma frame to a mean opinion score; `head` is the last linear layer."""

    head: nn.Linear
    measures: Literal["nothing", "pixels", "cells"] = "nothing"
    """What `measure` gives: the frame itself, a value for each pixel of it, or values for cells of it.

    Training measures a frame once, except where it draws crops that cells do not fit.
    """

    def measure(self, frame: Tensor) -> Tensor:
        """The part without weights: luma (N, 1, H, W) in 0..1 to what `judge` takes."""
        return frame

    @abstractmethod
    def judge(self, measured: Tensor) -> Tensor:
        """The part that learns: what `measure` gives to scores (N,)."""

    def forward(self, frame: Tensor) -> Tensor:
        """Map luma (N, 1, H, W) in 0..1 to scores (N,); the registered graph fixes H = W = 224."""
        return self.judge(self.measure(frame))

    def start_at(self, score: float) -> None:
        """Set the head's bias, so that an untrained network answers about `score`."""
        with torch.no_grad():
            self.head.bias.fill_(score)


class NrMetric(Metric):
    """The published metric: a small convolutional network.

    A 3x3 stem of stride 2 and five depthwise-separable blocks (1/32 of the resolution, `8 * width`
    channels), global average pooling, one linear layer. `width` 16 has 19.1 K parameters. With `radius`
    above 0 it sees luma after `local_contrast`, so that neither brightness nor contrast sways the score.
    """

    def __init__(self, width: int = 16, radius: int = 0) -> None:
        super().__init__()
        w = width
        self.radius = radius
        self.measures = "pixels" if radius else "nothing"
        self.features = nn.Sequential(
            _conv_bn(1, w, kernel=3, stride=2),
            _separable(w, 2 * w, stride=2),
            _separable(2 * w, 2 * w, stride=1),
            _separable(2 * w, 4 * w, stride=2),
            _separable(4 * w, 4 * w, stride=1),
            _separable(4 * w, 8 * w, stride=2),
        )
        with torch.no_grad():
            # brightness is no quality: the stem's kernels start without a mean
            stem = next(self.features.parameters())
            stem.sub_(stem.mean((1, 2, 3), keepdim=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8 * w, 1)
        self.start_at(MID_SCORE)

    def measure(self, frame: Tensor) -> Tensor:
        """Luma (N, 1, H, W) in 0..1 to its local contrast, or unchanged, of the same shape."""
        return local_contrast(frame, self.radius) if self.radius else frame

    def judge(self, measured: Tensor) -> Tensor:
        """Map what `measure` gives, (N, 1, H, W), to scores (N,)."""
        return cast(Tensor, self.head(self.pool(self.features(measured)).flatten(1))).squeeze(1)


def local_contrast(luma: Tensor, radius: int) -> Tensor:
    """Luma less its local mean, divided by its local standard deviation: about -3..3, same shape.

    `luma` is (N, 1, H, W) in 0..1, the mean is over 2 `radius` + 1 pixels each way. The result has much
    the same statistics in every clean picture, and others in a damaged one: Ruderman, "The statistics of
    natural images", Network 1994; BRISQUE (Mittal, Moorthy & Bovik, TIP 2012).
    """

    def mean(values: Tensor) -> Tensor:
        return fn.avg_pool2d(values, 2 * radius + 1, 1, radius, count_include_pad=False)

    # squares of faint details are too small for half precision
    with torch.autocast(luma.device.type, enabled=False):
        detail = luma.float() - mean(luma.float())
        return detail / (mean(detail * detail).sqrt() + CONTRAST_FLOOR)


class EnergyMetric(Metric):
    """A metric that looks at the energies of fixed derivative filters only, never at luma itself.

    At the frame's size, a half and a quarter of it: in each of 14x14 cells the logarithm of the mean
    absolute response of eight 3x3 filters, and how much the root mean square exceeds it (how sparse the
    response is). Contrast becomes a sum there, and blur, noise and lost texture become differences between
    scales and filters. Two 1x1 layers of `width` channels combine them, and the mean and the standard
    deviation over the cells go through a layer of 24 to the score. Statistics of derivatives tell damage
    whatever the content: BRISQUE (Mittal, Moorthy & Bovik, TIP 2012), GM-LOG (Xue et al., TIP 2014).
    """

    filters: Tensor
    measures = "cells"

    def __init__(self, width: int = 32, dropout: float = 0.2) -> None:
        super().__init__()
        self.register_buffer("filters", derivative_filters())
        measured = 2 * len(self.filters) * ENERGY_SCALES
        self.even = nn.BatchNorm2d(measured, affine=False)
        self.mix = nn.Sequential(_conv_bn(measured, width, kernel=1), _conv_bn(width, width, kernel=1))
        pooled = 2 * (width + measured)
        self.even_pooled = nn.BatchNorm1d(pooled, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(pooled, ENERGY_HIDDEN)
        self.head = nn.Linear(ENERGY_HIDDEN, 1)
        self.start_at(MID_SCORE)

    def measure(self, frame: Tensor) -> Tensor:
        """Luma (N, 1, H, W) in 0..1 to logarithms of energies (N, 48, H/16, W/16)."""
        found = []
        # the square of a faint response is too small for half precision
        with torch.autocast(frame.device.type, enabled=False):
            frame = frame.float()
            for scale in range(ENERGY_SCALES):
                response = fn.conv2d(_with_border(frame), self.filters)
                cell = ENERGY_CELL >> scale
                size = torch.log(fn.avg_pool2d(response.abs(), cell) + FAINT)
                power = torch.log(fn.avg_pool2d(response * response, cell) + FAINT**2)
                found += [size, 0.5 * power - size]
                frame = fn.avg_pool2d(frame, 2)
        return torch.cat(found, 1)

    def judge(self, measured: Tensor) -> Tensor:
        """Energies (N, 48, H/16, W/16) to scores (N,)."""
        with torch.autocast(measured.device.type, enabled=False):
            energies = self.even(measured)
            pooled = torch.cat([_mean_and_spread(self.mix(energies)), _mean_and_spread(energies)], 1)
            hidden = fn.relu(self.hidden(self.dropout(self.even_pooled(pooled))))
            return cast(Tensor, self.head(hidden)).squeeze(1)


def derivative_filters() -> Tensor:
    """First and second differences across, down, and mixed: (8, 1, 3, 3), absolute weights sum to 2."""
    difference, centred, second = [0.0, -1.0, 1.0], [-1.0, 0.0, 1.0], [1.0, -2.0, 1.0]
    one = [0.0, 1.0, 0.0]
    pairs = [
        (one, difference), (difference, one), (one, second), (second, one),
        (difference, difference), (second, second), (one, centred), (centred, one),
    ]  # fmt: skip
    bank = torch.stack([torch.outer(torch.tensor(down), torch.tensor(across)) for down, across in pairs])
    return (2 * bank / bank.abs().sum((1, 2), keepdim=True))[:, None]


def _with_border(frame: Tensor) -> Tensor:
    """Repeat the outermost pixels once on each side; `pad` would export with shapes computed at run time."""
    frame = torch.cat([frame[:, :, :1], frame, frame[:, :, -1:]], 2)
    return torch.cat([frame[..., :1], frame, frame[..., -1:]], 3)


def _mean_and_spread(maps: Tensor) -> Tensor:
    """Mean and standard deviation over the positions of (N, C, H, W): (N, 2 C)."""
    mean = maps.mean((2, 3), keepdim=True)
    # a square root is too steep at zero
    spread = ((maps - mean).square().mean((2, 3)) + 1e-3).sqrt()
    return torch.cat([mean.flatten(1), spread], 1)


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
        kernel = 3 if stride == 1 else 2 * stride - 1
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
            change = cast(Any, _Crop).apply(interleave(change, self.stride), degraded)
        return degraded + change

    def forward(self, degraded: Tensor) -> Tensor:
        """Map luma (N, 1, H, W) in 0..1 to luma of the same shape and range."""
        return self.unclamped(degraded).clamp(0, 1)


class _Crop(torch.autograd.Function):
    """Cut `picture` to the height and width of `like`; one Slice in ONNX, where indexing gives two."""

    @staticmethod
    def forward(context: Any, picture: Tensor, like: Tensor) -> Tensor:
        context.missing = [0, picture.shape[3] - like.shape[3], 0, picture.shape[2] - like.shape[2]]
        return picture[:, :, : like.shape[2], : like.shape[3]]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return nn.functional.pad(gradient, context.missing), None

    @staticmethod
    def symbolic(graph: Any, picture: Any, like: Any) -> Any:
        def constant(*values: int) -> Any:
            return graph.op("Constant", value_t=torch.tensor(values))

        ends = graph.op("Slice", graph.op("Shape", like), constant(2), constant(4))
        return graph.op("Slice", picture, constant(0, 0), ends, constant(2, 3))


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


def build(section: NrModel | FilterModel) -> Metric | LearnedFilter:
    """The untrained network of a model's section of params.yaml."""
    if isinstance(section, NrModel):
        if section.net.design == "energies":
            return EnergyMetric(section.net.width)
        return NrMetric(section.net.width, section.net.radius)
    return LearnedFilter(section.net.channels, section.net.blocks, section.net.stride)
