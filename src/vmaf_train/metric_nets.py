"""The networks of the no-reference metrics, apart from the module that trains them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

MID_SCORE = 3.0
CONTRAST_FLOOR = 6 / 255  # of luma: local contrast far below it counts as none
FILTERS = 8
ENERGY_SCALES = 3
ENERGY_CELL = 16  # pixels of the frame
ENERGY_HIDDEN = 24
FAINT = 1 / 510  # half a code value: what rounding to 8 bits hides

# oneMKL picks a function's code at the first call, and of threads that make it together one may get code that
# is less exact (issue 188792 of PyTorch): no training would be the same again. Here one thread makes it
for _function in (torch.exp, torch.log, torch.sqrt):
    _function(torch.ones(1))


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

    At every second pixel of the frame, at a half and a quarter of its size: in each of 14x14 cells the
    logarithm of the mean absolute response of eight 3x3 filters, and how much the root mean square exceeds
    it (how sparse the response is). Contrast becomes a sum there, and blur, noise and lost texture become
    differences between scales and filters. `layers` 1x1 layers of `width` channels combine them, and the
    mean and the standard deviation over the cells go through a layer of 24 to the score. Statistics of
    derivatives tell damage whatever the content: BRISQUE (Mittal, Moorthy & Bovik, TIP 2012), GM-LOG (Xue
    et al., TIP 2014). With `attention` each channel has a second mean over the cells, in which its own 1x1
    layer weighs them: damage is rated where it is seen (Bosse et al., TIP 2018).

    With `apart` the cells are fragments that were no neighbours: no filter reaches across their edges.
    """

    filters: Tensor
    measures = "cells"

    def __init__(
        self,
        width: int = 32,
        dropout: float = 0.2,
        *,
        layers: int = 2,
        attention: bool = False,
        apart: bool = False,
    ) -> None:
        super().__init__()
        self.apart = apart
        # an absolute value is the sum of two rectified ones, which take ONNX Runtime half the time
        self.register_buffer("filters", torch.cat([derivative_filters(), -derivative_filters()]))
        measured = 2 * FILTERS * ENERGY_SCALES
        self.even = nn.BatchNorm2d(measured, affine=False)
        inputs = [measured, *[width] * (layers - 1)]
        self.mix = nn.Sequential(*(_conv_bn(channels, width, kernel=1) for channels in inputs))
        self.attention = nn.Conv2d(width, width, 1) if attention else None
        pooled = 2 * (width + measured) + (width if attention else 0)
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
                # every second pixel tells the energy of the whole frame as well
                step = 2 if scale == 0 else 1
                cell = (ENERGY_CELL >> scale) // step
                # of a cell that stands alone, the inner pixels have all their neighbours
                inner = cell - 2 // step if self.apart else cell
                whole = frame if self.apart else _with_border(frame)
                response = fn.relu(fn.conv2d(whole, self.filters, stride=step))
                size = torch.log(_sum_of_signs(fn.avg_pool2d(response, inner, cell)) + FAINT)
                power = torch.log(_sum_of_signs(fn.avg_pool2d(response * response, inner, cell)) + FAINT**2)
                found += [size, 0.5 * power - size]
                frame = fn.avg_pool2d(frame, 2)
        return torch.cat(found, 1)

    def judge(self, measured: Tensor) -> Tensor:
        """Energies (N, 48, H/16, W/16) to scores (N,)."""
        with torch.autocast(measured.device.type, enabled=False):
            energies = self.even(measured)
            mixed = self.mix(energies)
            pooled = [_mean_and_spread(mixed), _mean_and_spread(energies)]
            if self.attention is not None:
                pooled.append(weighted_mean(mixed, self.attention(mixed)))
            hidden = fn.relu(self.hidden(self.dropout(self.even_pooled(torch.cat(pooled, 1)))))
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


def _sum_of_signs(maps: Tensor) -> Tensor:
    """Of means (N, 16, H, W), each channel and its counterpart of the other sign, summed: (N, 8, H, W)."""
    return maps[:, :FILTERS] + maps[:, FILTERS:]


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


def weighted_mean(maps: Tensor, logits: Tensor) -> Tensor:
    """Mean over the positions of (N, C, H, W), weighed by the softmax of `logits`, as large: (N, C)."""
    # fn.softmax takes one axis, and flattened maps export with a number of channels that is not known
    weights = torch.exp(logits - logits.amax((2, 3), keepdim=True))
    return (maps * weights).sum((2, 3)) / weights.sum((2, 3))


def _conv_bn(inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs), act=nn.ReLU6(inplace=True)))


def _separable(inputs: int, outputs: int, *, stride: int) -> nn.Module:
    depthwise = _conv_bn(inputs, inputs, kernel=3, stride=stride, groups=inputs)
    return nn.Sequential(OrderedDict(depthwise=depthwise, pointwise=_conv_bn(inputs, outputs, kernel=1)))
