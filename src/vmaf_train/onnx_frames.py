"""Running an exported file on the extracted frames of one split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError
from vmaf_train.graph import check_graph
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.packed import read_packed
from vmaf_train.params import Model, NrModel
from vmaf_train.session import make_session
from vmaf_train.statistics import FloatArray
from vmaf_train.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

BATCH = 32
Run: TypeAlias = Callable[[NDArray[np.uint8]], FloatArray]


def frames_of(section: Model) -> str:
    """The array that a model takes: `luma`, or `fragments` of it, for a metric; `degraded` for a filter."""
    if isinstance(section, NrModel):
        return "fragments" if section.net.sampling == "fragments" else "luma"
    return "degraded"


def split_rows(layout: Layout, split: str, array: str = "luma") -> pd.DataFrame:
    """Rows (key, frame_path, row, mos) of one split, a clip each, in key order; `row` is that in `array`.

    Of `degraded` frames those of clean targets alone.

    Raises:
        UserError: the frames or the split have not been made, or no clip is left.
    """
    table = "fragments" if array == "fragments" else "mos"
    rows = read_table(layout.frames / f"{table}.parquet", stage="frames")
    if "place" in rows:
        rows = rows[rows["place"] == 0]
    if array == "degraded":
        rows = rows[rows["key"].isin(read_table(layout.frames / "pairs.parquet", stage="frames")["key"])]
    splits = read_table(layout.split, stage="split")
    found = rows[rows["key"].isin(splits.loc[splits["split"] == split, "key"])]
    if found.empty:
        clean = " that is a clean target (column `target` of the score table)" if array == "degraded" else ""
        raise UserError(f"no {split} clip has a frame{clean}; change `split` in params.yaml, or add clips")
    return found


def packed_frames(layout: Layout, array: str, rows: pd.DataFrame) -> NDArray[np.uint8]:
    """The frames of `rows`, uint8 (N, 1, H, W), of one array: `luma`, `fragments`, `degraded` or `mixed`.

    Raises:
        UserError: the array is missing or is not whole.
    """
    return read_packed(layout.frames / f"{array}.npy", rows["row"].to_numpy(np.int64))[:, None]


def onnx_runner(data: bytes, *, name: str) -> Run:
    """Check the file `data`, and return the function that runs it on uint8 luma (N, 1, H, W), in batches.

    The function gives the file's output, first axis N, and raises UserError where that is not finite.

    Raises:
        UserError: the file, `name` in messages, is refused: see `check_graph` and `make_session`.
    """
    source = check_graph(data, name=name).input.name
    session = make_session(data, name=name)

    def run(frames: NDArray[np.uint8]) -> FloatArray:
        batches = (to_unit(frames[i : i + BATCH]) for i in range(0, len(frames), BATCH))
        output: FloatArray = np.concatenate([session.run(None, {source: batch})[0] for batch in batches])
        if not np.isfinite(output).all():
            raise UserError(f"{name} gives values that are not finite; lower lr and train it again")
        return output

    return run
