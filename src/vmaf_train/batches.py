"""Whole batches at once: order, crops and flips are drawn on the CPU, pixels move on the data's device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset, to_float
from vmaf_train.errors import UserError

Data = TypeVar("Data", FrameMOSDataset, PairedFrameDataset)


class ScoredBatch(NamedTuple):
    """Luma (N, 1, H, W) in 0..1, MOS (N,) and scene number (N,).

    `measured`: in place of luma, `frame` holds what the metric's `measure` gives for it.
    """

    frame: Tensor
    mos: Tensor
    scene: Tensor
    measured: bool = False


class PairBatch(NamedTuple):
    """Degraded and clean luma, each (N, 1, H, W) in 0..1."""

    degraded: Tensor
    clean: Tensor


class Windows(NamedTuple):
    """Where N square crops start and which are mirrored; all (N,), on the CPU."""

    top: Tensor
    left: Tensor
    mirror: Tensor
    turn: Tensor


class Batches(Generic[Data]):
    """An endless supply of epochs over a data set; each `iter` is one epoch, shuffled by seed and number.

    `by_scene` keeps clips of one scene together, as a ranking loss needs them, in pieces of at most half a
    batch. The draws come from the CPU's generator, so they are the same on every device. With `world`
    processes, process `rank` takes every world-th batch, and all take the same number.
    """

    def __init__(
        self, data: Data, batch_size: int, *, seed: int, crop: int = 0, by_scene: bool = False,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self.data: Data = data
        self.seed = seed
        self.crop = crop
        self.rank, self.world = rank, world
        self.epoch = 0
        self.groups = [[index] for index in range(len(data))]
        if by_scene:
            self.groups = _pieces(_scene_groups(data), max(2, batch_size // 2), seed)
        largest = max(len(group) for group in self.groups)
        # by scene at least two: a scene may be one clip, of which batch normalisation can take no variance
        self.groups_a_batch = max(2 if by_scene else 1, batch_size // largest)
        side = min((data.frames if isinstance(data, FrameMOSDataset) else data.degraded).shape[1:])
        if crop > side:
            raise UserError(
                f"crop = {crop} in params.yaml is larger than the frames ({side} pixels); lower it"
            )

    def __len__(self) -> int:
        """Batches an epoch, in this process; a rest too small for a batch is left out."""
        whole = len(self.groups) // (self.groups_a_batch * self.world)
        return max(1, whole)

    def __iter__(self) -> Iterator[ScoredBatch | PairBatch]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        self.epoch += 1
        order: list[int] = torch.randperm(len(self.groups), generator=generator).tolist()
        for number in range(len(self) * self.world):
            start = number * self.groups_a_batch
            # a set smaller than one batch a process goes round
            chosen = [order[i % len(order)] for i in range(start, start + self.groups_a_batch)]
            chosen = list(dict.fromkeys(chosen))
            index = torch.tensor([item for group in chosen for item in self.groups[group]])
            windows = self._draw(len(index), generator)
            if number % self.world == self.rank:
                yield self._assemble(index, windows)

    def _draw(self, count: int, generator: torch.Generator) -> Windows:
        data = self.data
        height, width = (data.frames if isinstance(data, FrameMOSDataset) else data.degraded).shape[1:]
        free = (height - self.crop + 1, width - self.crop + 1) if self.crop else (1, 1)
        top, left = (torch.randint(limit, (count,), generator=generator) for limit in free)
        mirror, turn = torch.randint(2, (2, count), generator=generator).bool()
        return Windows(top, left, mirror, turn)

    def _assemble(self, index: Tensor, windows: Windows) -> ScoredBatch | PairBatch:
        if isinstance(self.data, FrameMOSDataset):
            return _scored(self.data, index, windows, self.crop)
        return PairBatch(
            to_float(cut(self.data.degraded, index, windows, self.crop)),
            to_float(cut(self.data.clean, index, windows, self.crop)),
        )


class InOrder(Generic[Data]):
    """The whole set once, whole frames in table order, in batches of at most `batch_size`."""

    def __init__(self, data: Data, batch_size: int) -> None:
        self.data: Data = data
        self.batch_size = batch_size

    def __len__(self) -> int:
        """Batches in the set."""
        return math.ceil(len(self.data) / self.batch_size)

    def __iter__(self) -> Iterator[ScoredBatch | PairBatch]:
        data = self.data
        for start in range(0, len(data), self.batch_size):
            part = slice(start, start + self.batch_size)
            if isinstance(data, FrameMOSDataset):
                measured = data.measured
                frame = to_float(data.frames[part])[:, None] if measured is None else measured[part]
                yield ScoredBatch(frame, data.mos[part], data.scene[part], measured is not None)
            else:
                yield PairBatch(to_float(data.degraded[part])[:, None], to_float(data.clean[part])[:, None])


def cut(frames: Tensor, index: Tensor, windows: Windows, crop: int) -> Tensor:
    """Crops (N, 1, crop, crop) of `frames` (M, H, W) at `index`; crop 0: whole frames.

    `mirror` swaps left and right, `turn` top and bottom. The pixels never leave the device of `frames`.
    """
    if frames.device.type != "cpu":
        return gather(frames, index, windows, crop)
    height, width = (crop, crop) if crop else frames.shape[1:]
    pieces = []
    # slices: an index for each pixel takes five times as long
    for item, top, left, mirror, turn in torch.stack([index, *windows], 1).tolist():
        piece = frames[item, top : top + height, left : left + width]
        axes = [axis for axis, swapped in enumerate((turn, mirror)) if swapped]
        pieces.append(piece.flip(axes) if axes else piece)
    return torch.stack(pieces)[:, None]


def gather(frames: Tensor, index: Tensor, windows: Windows, crop: int) -> Tensor:
    """As `cut`, by an index for each row and column: on a GPU each slice would be a launch of its own."""
    height, width = (crop, crop) if crop else frames.shape[1:]
    rows = _lines(windows.top, height, windows.turn)
    columns = _lines(windows.left, width, windows.mirror)
    # in one tensor, so that there is one copy to the device
    places = torch.cat([index[:, None], rows, columns], 1).to(frames.device)
    item, rows, columns = torch.split(places, [1, height, width], 1)
    return frames[item[:, :, None], rows[:, :, None], columns[:, None, :]][:, None]


def _lines(first: Tensor, count: int, swapped: Tensor) -> Tensor:
    """The `count` lines from each `first` on, (N, count), in falling order where `swapped`."""
    lines = torch.arange(count)
    return first[:, None] + torch.where(swapped[:, None], count - 1 - lines, lines)


def _scored(data: FrameMOSDataset, index: Tensor, windows: Windows, crop: int) -> ScoredBatch:
    # upside down is no natural picture: a metric sees left and right swapped only
    upright = windows._replace(turn=torch.zeros_like(windows.turn))
    there = index.to(data.mos.device)
    if data.measured is None:
        frame = to_float(cut(data.frames, index, upright, crop))
    elif data.measured.shape[1:] == (1, *data.frames.shape[1:]):
        frame = cut(data.measured[:, 0], index, upright, crop)
    else:
        frame = data.measured[there]
    return ScoredBatch(frame, data.mos[there], data.scene[there], data.measured is not None)


def _scene_groups(data: FrameMOSDataset | PairedFrameDataset) -> list[list[int]]:
    if not isinstance(data, FrameMOSDataset):
        raise TypeError("only scored frames have scenes")
    groups: dict[int, list[int]] = {}
    for index, scene in enumerate(data.scene.tolist()):
        groups.setdefault(scene, []).append(index)
    return list(groups.values())


def _pieces(groups: list[list[int]], limit: int, seed: int) -> list[list[int]]:
    """`groups`, those of more than `limit` cut into pieces of about equal length, shuffled by `seed`."""
    generator = torch.Generator().manual_seed(seed)
    pieces: list[list[int]] = []
    for group in groups:
        count = math.ceil(len(group) / limit)
        if count > 1:
            # their order may be that of their quality, and each piece should hold good and bad ones
            group = [group[place] for place in torch.randperm(len(group), generator=generator).tolist()]
        pieces += [group[start::count] for start in range(count)]
    return pieces
