"""Stage `frames`: the middle luma frame of each clip, its fragments and degraded twins, in packed arrays."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from vmaf_train.coded import CLEAN, NOISE, coded_twins, draw_damage, uncoded_twin
from vmaf_train.degrade import degrade
from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.files import replacing_folder
from vmaf_train.layout import Layout
from vmaf_train.luma import Plane, area_resize
from vmaf_train.manifest import check_dropped
from vmaf_train.middle import middle_luma
from vmaf_train.params import Frames, Params
from vmaf_train.sampling import FRAGMENT, fragments

if TYPE_CHECKING:
    import pandas as pd

LUMA = "luma.npy"
DEGRADED = "degraded.npy"
MIXED = "mixed.npy"
FRAGMENTS = "fragments.npy"


def frames(params: Params, layout: Layout) -> int:
    """Write `data/frames`; return the number of frames N.

    `luma.npy` and `degraded.npy` are uint8 (N, S, S) with S = `frames.size`, rows in manifest order;
    `mos.parquet` (key, frame_path, row, mos) and `pairs.parquet` (key, deg_path, clean_path, row; clips
    that are a `target` alone) say whose they are. `mixed.npy` holds a second twin of each frame, from a
    real encoder for the shares of `frames.coded`, and `mixed.parquet` (as pairs.parquet, with damage and
    crf) what each went through. `fragments.npy` (N * P, S, S) and `fragments.parquet` (as mos.parquet, with
    place) are the fragments of each frame at P = `frames.fragments.places` places; place 0 is the one that
    a metric looks at.
    The frames go to disk one by one: memory does not grow with N.

    Raises:
        UserError: no manifest, a clip that cannot be decoded (more than `corpus.max_dropped`), disk full.
    """
    import pandas as pd

    from vmaf_train.tables import read_table, write_table

    table = read_table(layout.manifest, stage="manifest-scan")
    size, places = params.frames.size, params.frames.fragments.places
    if places and size % FRAGMENT:
        raise UserError(
            f"frames.size is {size} in params.yaml, no multiple of the {FRAGMENT} pixels of a fragment; "
            "correct it, or set frames.fragments.places to 0"
        )
    extract = partial(extract_frame, str(layout.corpus.resolve()), params.frames)
    keys: list[str] = []
    scores: list[float] = []
    targets: list[bool] = []
    dropped: list[str] = []
    with replacing_folder(layout.frames) as folder:
        with (
            packed(folder / LUMA, size) as clean,
            packed(folder / DEGRADED, size) as degraded,
            packed(folder / FRAGMENTS, size) as pieces,
        ):
            pairs = map_ordered(extract, table["path"].tolist(), params.compute, "frames")
            columns = (table[name] for name in ("key", "mos", "target"))
            for key, mos, target, pair in zip(*columns, pairs, strict=True):
                if isinstance(pair, UserError):
                    dropped.append(str(pair))
                else:
                    clean.add(pair.clean)
                    degraded.add(pair.degraded)
                    for piece in pair.fragments:
                        pieces.add(piece)
                    keys.append(key)
                    scores.append(mos)
                    targets.append(target)
            check_dropped(dropped, params.corpus.max_dropped, "frames")
            if not keys:
                raise UserError(f"no usable clip in {layout.manifest}: every clip was left out")
        rows = np.arange(len(keys), dtype=np.int64)
        mos_table = pd.DataFrame({"key": keys, "frame_path": LUMA, "row": rows, "mos": scores})
        write_table(folder / "mos.parquet", mos_table)
        pair_table = pd.DataFrame({"key": keys, "deg_path": DEGRADED, "clean_path": LUMA, "row": rows})
        pair_table = pair_table[targets]
        write_table(folder / "pairs.parquet", pair_table)
        write_table(folder / "fragments.parquet", _fragment_table(mos_table, places))
        write_mixed(folder, pair_table, params)
    return len(keys)


def _fragment_table(mos_table: pd.DataFrame, places: int) -> pd.DataFrame:
    """As `mos_table`, with a row for each place that the fragments of a frame were cut at."""
    table = mos_table.loc[mos_table.index.repeat(places)].reset_index(drop=True)
    place = np.tile(np.arange(places), len(mos_table))
    return table.assign(frame_path=FRAGMENTS, row=np.arange(len(table)), place=place)


def write_mixed(folder: Path, pairs: pd.DataFrame, params: Params) -> None:
    """Write `mixed.npy` and `mixed.parquet`, of the clips in `pairs`, beside the arrays in `folder`.

    Raises:
        UserError: an encoder fails.
    """
    from vmaf_train.tables import write_table

    shutil.copyfile(folder / DEGRADED, folder / MIXED)
    mixed = np.load(folder / MIXED, mmap_mode="r+")
    keys, coded = dict(zip(pairs["row"], pairs["key"], strict=True)), params.frames.coded
    damages = {row: draw_damage(key, coded, params.seed) for row, key in keys.items()}
    shares = [damage.share for damage in damages.values()]
    table = pairs.set_index("row", drop=False).assign(damage=shares, crf=0, deg_path=MIXED)
    clean = np.load(folder / LUMA, mmap_mode="r")
    for row, damage in damages.items():
        if damage.share in (NOISE, CLEAN):
            mixed[row] = uncoded_twin(clean[row], keys[row], damage, params.seed)
    for job, twins in coded_twins(folder / LUMA, keys, coded, params.seed, params.compute):
        rows = list(job.rows)
        mixed[rows] = twins
        table.loc[rows, "crf"] = job.encode.crf
    mixed.flush()
    write_table(folder / "mixed.parquet", table.reset_index(drop=True))


class Extracted(NamedTuple):
    """Of one clip: the middle luma frame (S, S), its degraded twin, and its fragments (P, S, S)."""

    clean: Plane
    degraded: Plane
    fragments: Plane


def extract_frame(corpus: str, params: Frames, path: str) -> Extracted:
    """What becomes of one clip; runs in a worker."""
    whole = middle_luma(Path(corpus) / path)
    clean = area_resize(whole, params.size, params.size)
    pieces = fragments(whole, params.size, params.fragments.places)
    return Extracted(clean, degrade(clean, params.blur_sigma, params.jpeg_quality), pieces)


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
