"""The network of the luma filters, apart from the module that trains it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

DETAIL_GAIN = 5.0


class LearnedFilter(nn.Module):
    """Degraded luma to clean luma, of any height and width.

    A convolution in, residual blocks `x + conv(relu(conv(x)))`, a convolution out, added to the input
    and clamped to 0..1. `stride` above 1 runs the blocks, there `relu(x + conv(x))`, at 1/stride of the
    resolution: the first convolution is strided, and the last one, 1x1, gives all pixels of a stride x
    stride square at once; the first `separable` blocks have a depthwise and a 1x1 convolution there, which
    take less than half of the time (MobileNet, Howard et al., 2017). An untrained filter returns its input.
    `channels` 16, `blocks` 4, `stride` 1 is the published network, with 18.9 K parameters.
    """

    def __init__(self, channels: int = 16, blocks: int = 4, stride: int = 1, separable: int = 0) -> None:
        super().__init__()
        # an odd kernel with "same" padding gives ceil(H / stride) rows for every H
        kernel = 3 if stride == 1 else 2 * stride - 1
        self.stride = stride
        self.entry = nn.Conv2d(1, channels, kernel, stride=stride, padding=kernel // 2)
        block = _Residual if stride == 1 else _LightResidual
        kinds = [_SeparableResidual] * separable + [block] * (blocks - separable)
        self.blocks = nn.Sequential(*(kind(channels) for kind in kinds))
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


class _SeparableResidual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.pointwise(self.depthwise(x)))


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
