"""Running an exported file on the extracted frames of one split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.params import Model, NrModel
from vmaf_train.statistics import FloatArray
from vmaf_train.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

BATCH = 32


def frames_of(section: Model) -> str:
    """The array that a model takes: `luma`, or `fragments` of it, for a metric; `degraded` for a filter."""
    if isinstance(section, NrModel):
        return "fragments" if section.net.sampling == "fragments" else "luma"
    return "degraded"


def split_rows(layout: Layout, split: str, array: str = "luma") -> pd.DataFrame:
    """Rows (key, frame_path, row, mos) of one split, a clip each, in key order; `row` is that in `array`.

    Raises:
        UserError: the frames or the split have not been made.
    """
    table = "fragments" if array == "fragments" else "mos"
    rows = read_table(layout.frames / f"{table}.parquet", stage="frames")
    if "place" in rows:
        rows = rows[rows["place"] == 0]
    splits = read_table(layout.split, stage="split")
    return rows[rows["key"].isin(splits.loc[splits["split"] == split, "key"])]


def packed_frames(layout: Layout, array: str, rows: pd.DataFrame) -> NDArray[np.uint8]:
    """The frames of `rows`, uint8 (N, 1, H, W), of one array: `luma`, `fragments` or `degraded`.

    Raises:
        UserError: the array is missing or is not whole.
    """
    path = layout.frames / f"{array}.npy"
    try:
        packed = np.load(path, mmap_mode="r")
        frames: NDArray[np.uint8] = packed[rows["row"].to_numpy()][:, None]
    except (OSError, ValueError, IndexError) as error:
        raise UserError(f"cannot read {path} ({error}); run `vmaf-train frames` again") from None
    return frames


def run_onnx(data: bytes, frames: NDArray[np.uint8]) -> FloatArray:
    """Run the file `data` on uint8 luma (N, 1, H, W), in batches; return its output, first axis N.

    Raises:
        UserError: an output is not finite.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    batches = (to_unit(frames[i : i + BATCH]) for i in range(0, len(frames), BATCH))
    output: FloatArray = np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
    if not np.isfinite(output).all():
        raise UserError("the exported file gives values that are not finite; lower lr and train it again")
    return output
