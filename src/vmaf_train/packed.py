"""Packed arrays: the frames of many clips in one .npy file, uint8 (N, H, W), read a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError


def read_packed(path: Path, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The frames (len(rows), H, W) at `rows` of the array that the stage `frames` wrote.

    Raises:
        UserError: no such file, no such array, or fewer frames than the tables beside it tell.
    """
    try:
        packed = np.load(path, mmap_mode="r")
    except FileNotFoundError:
        raise UserError(f"no {path}: run `vmaf-train frames` (or `dvc repro`) first") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a packed array ({error}); delete it and run `dvc repro`") from None
    fits = packed.dtype == np.uint8 and packed.ndim == 3
    if not fits or (len(rows) and not 0 <= rows.min() <= rows.max() < len(packed)):
        raise UserError(
            f"{path} holds {packed.dtype} {packed.shape}, which does not fit the tables beside it; "
            "run `vmaf-train frames` again"
        )
    frames: NDArray[np.uint8] = packed[rows]
    return frames
