"""Stage `frames`: the middle luma frame of each clip and its degraded twin, packed in two arrays."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vmaf_train.degrade import degrade
from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.files import replacing_folder
from vmaf_train.layout import Layout
from vmaf_train.luma import Plane, area_resize
from vmaf_train.manifest import check_dropped, remove_leftovers
from vmaf_train.params import Frames, Params
from vmaf_train.video import middle_luma

LUMA = "luma.npy"
DEGRADED = "degraded.npy"


def frames(params: Params, layout: Layout) -> int:
    """Write `data/frames`; return the number of frames N.

    `luma.npy` and `degraded.npy` are uint8 (N, S, S) with S = `frames.size`, rows in manifest order;
    `mos.parquet` (key, frame_path, row, mos) and `pairs.parquet` (key, deg_path, clean_path, row) say
    whose they are. The frames go to disk one by one: memory does not grow with N.

    Raises:
        UserError: no manifest, a clip that cannot be decoded (more than `corpus.max_dropped`), disk full.
    """
    import pandas as pd

    from vmaf_train.tables import read_table, write_table

    table = read_table(layout.manifest, stage="manifest-scan")
    remove_leftovers(layout.frames)
    extract = partial(extract_frame, str(layout.corpus.resolve()), params.frames)
    keys: list[str] = []
    scores: list[float] = []
    dropped: list[str] = []
    size = params.frames.size
    with replacing_folder(layout.frames) as folder:
        with packed(folder / LUMA, size) as clean, packed(folder / DEGRADED, size) as degraded:
            pairs = map_ordered(extract, table["path"].tolist(), params.compute, "frames")
            for key, mos, pair in zip(table["key"], table["mos"], pairs, strict=True):
                if isinstance(pair, UserError):
                    dropped.append(str(pair))
                else:
                    clean.add(pair[0])
                    degraded.add(pair[1])
                    keys.append(key)
                    scores.append(mos)
            check_dropped(dropped, params.corpus.max_dropped, "frames")
            if not keys:
                raise UserError(f"no usable clip in {layout.manifest}: every clip was left out")
        rows = np.arange(len(keys), dtype=np.int64)
        mos_table = pd.DataFrame({"key": keys, "frame_path": LUMA, "row": rows, "mos": scores})
        write_table(folder / "mos.parquet", mos_table)
        pair_table = pd.DataFrame({"key": keys, "deg_path": DEGRADED, "clean_path": LUMA, "row": rows})
        write_table(folder / "pairs.parquet", pair_table)
    return len(keys)


def extract_frame(corpus: str, params: Frames, path: str) -> tuple[Plane, Plane]:
    """Middle luma frame of one clip at (S, S), and its degraded twin; runs in a worker."""
    clean = area_resize(middle_luma(Path(corpus) / path), params.size, params.size)
    return clean, degrade(clean, params.blur_sigma, params.jpeg_quality)


@dataclass
class Packed:
    """An open `.npy` file that frames are appended to."""

    handle: BinaryIO
    count: int = 0

    def add(self, frame: Plane) -> None:
        """Append one frame (S, S)."""
        self.handle.write(np.ascontiguousarray(frame).tobytes())
        self.count += 1


@contextlib.contextmanager
def packed(path: Path, size: int) -> Iterator[Packed]:
    """Yield a `Packed` for frames (size, size); the header gets their number at the end."""
    with open(path, "wb") as handle:
        _write_header(handle, 0, size)
        array = Packed(handle)
        yield array
        handle.seek(0)
        _write_header(handle, array.count, size)


def _write_header(handle: BinaryIO, count: int, size: int) -> None:
    # numpy pads the header so that the first axis can grow in place
    header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size)}
    np.lib.format.write_array_header_1_0(handle, header)
