"""The frames of one split, whole in memory as uint8: no file is read for an item or a batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.packed import read_packed
from vmaf_train.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


MEASURED_AT_ONCE = 64  # frames: bounds the memory of their activations
# twins of params.yaml -> the table that lists them
PAIR_TABLES = {"degraded": "pairs", "mixed": "mixed"}
# sampling of a metric -> the table that lists its frames
FRAME_TABLES = {"area": "mos", "fragments": "fragments"}


class FrameMOSDataset(Dataset[tuple[Tensor, Tensor]]):
    """Distorted luma frames with their mean opinion scores, in table order.

    An item is `(frame (1, H, W) float32 in 0..1, mos () float32)`; `frames` (N, H, W) uint8, `mos` (N,)
    and `scene` (N,), a number for each scene, hold the whole set.
    """

    def __init__(self, frames: Tensor, mos: Tensor, keys: list[str], scenes: list[str]) -> None:
        numbers = {name: number for number, name in enumerate(dict.fromkeys(scenes))}
        self.keys = keys
        self.frames = frames
        self.mos = mos
        self.scene = torch.tensor([numbers[name] for name in scenes], dtype=torch.int64)
        self.measured: Tensor | None = None

    @classmethod
    def of_split(
        cls, layout: Layout, split: str, *, min_mos: float = 1.0, sampling: str = "area"
    ) -> FrameMOSDataset:
        """Read the clips of `split` whose MOS is at least `min_mos`.

        With `sampling` fragments a clip to train on has an item for each place that its fragments were cut
        at; the items of one scene and one place count as a scene. Other splits have place 0 only.

        Raises:
            UserError: a table or an array is missing, they do not belong together, or no clip is left.
        """
        table = _rows(layout, FRAME_TABLES[sampling], split, min_mos)
        scenes = table["scene"]
        if "place" in table:
            table = table if split == "train" else table[table["place"] == 0]
            scenes = table["scene"] + "/" + table["place"].astype(str)
        mos = torch.from_numpy(table["mos"].to_numpy(np.float32).copy())
        frames = _packed(layout.frames, table, "frame_path")
        return cls(frames, mos, list(table["key"]), list(scenes))

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return to_float(self.frames[index])[None], self.mos[index]

    @torch.no_grad()
    def measure(self, function: Callable[[Tensor], Tensor]) -> None:
        """Keep `function` of every frame, (N, ...) float32 of (n, 1, H, W) in 0..1, as `measured`."""
        chunks = torch.split(self.frames, MEASURED_AT_ONCE)
        self.measured = torch.cat([function(to_float(frames)[:, None]) for frames in chunks])

    def to(self, device: torch.device | str) -> FrameMOSDataset:
        """Move the whole set to a device, once; return itself."""
        self.frames, self.mos, self.scene = (
            values.to(device) for values in (self.frames, self.mos, self.scene)
        )
        if self.measured is not None:
            self.measured = self.measured.to(device)
        return self


class PairedFrameDataset(Dataset[tuple[Tensor, Tensor]]):
    """Degraded and clean luma of the same frames, in table order.

    An item is `(degraded, clean)`, each (1, H, W) float32 in 0..1; `degraded` and `clean`, (N, H, W)
    uint8, hold the whole set.
    """

    def __init__(self, degraded: Tensor, clean: Tensor, keys: list[str]) -> None:
        self.keys = keys
        self.degraded = degraded
        self.clean = clean

    @classmethod
    def of_split(
        cls, layout: Layout, split: str, *, min_mos: float = 1.0, pairs: str = "degraded"
    ) -> PairedFrameDataset:
        """Read the pairs of `split` whose clip has a MOS of at least `min_mos`.

        `pairs` names the twins: `degraded` (blur and JPEG), or `mixed` (damage of real encoders among it).

        Raises:
            UserError: a table or an array is missing, they do not belong together, or no clip is left.
        """
        table = _rows(layout, PAIR_TABLES[pairs], split, min_mos)
        degraded = _packed(layout.frames, table, "deg_path")
        clean = _packed(layout.frames, table, "clean_path")
        return cls(degraded, clean, list(table["key"]))

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return to_float(self.degraded[index])[None], to_float(self.clean[index])[None]

    def to(self, device: torch.device | str) -> PairedFrameDataset:
        """Move the whole set to a device, once; return itself."""
        self.degraded, self.clean = self.degraded.to(device), self.clean.to(device)
        return self


def to_float(luma: Tensor) -> Tensor:
    """Luma as coded (uint8) to float32 in 0..1."""
    return luma.to(torch.float32).div_(255)


def _rows(layout: Layout, table: str, split: str, min_mos: float) -> pd.DataFrame:
    """The rows of one table whose clip is in `split`, with the clip's scene."""
    rows = read_table(layout.frames / f"{table}.parquet", stage="frames")
    splits = read_table(layout.split, stage="split")
    rows = rows.merge(splits[splits["split"] == split][["key", "scene"]], on="key")
    if rows.empty:
        clean = (
            ", of clean targets (column `target` of the score table)" if table in PAIR_TABLES.values() else ""
        )
        raise UserError(
            f"no {split} clip has a row in {layout.frames / f'{table}.parquet'}{clean}; add clips, or run "
            "`dvc repro`"
        )
    if min_mos > 1:
        scores = read_table(layout.frames / "mos.parquet", stage="frames")
        kept = rows[rows["key"].isin(scores.loc[scores["mos"] >= min_mos, "key"])]
        if kept.empty:
            best = scores.loc[scores["key"].isin(rows["key"]), "mos"].max()
            raise UserError(
                f"no {split} clip has a MOS of at least min_mos = {min_mos:g} (the best has {best:g}); "
                "lower min_mos in params.yaml"
            )
        rows = kept
    return rows


def _packed(folder: Path, table: pd.DataFrame, column: str) -> Tensor:
    """The frames (N, H, W) uint8 that `table` points at; every path names one packed array."""
    parts: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []
    order: list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]] = []
    for name, group in table.reset_index(drop=True).groupby(column, sort=True):
        parts.append(read_packed(folder / str(name), group["row"].to_numpy(np.int64)))
        order.append(group.index.to_numpy(np.int64))
    frames = np.concatenate(parts)[np.argsort(np.concatenate(order))]
    return torch.from_numpy(cast("np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", frames))
