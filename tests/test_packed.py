"""Packed arrays: some frames of many, and what is said of a file that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmaf_train.errors import UserError
from vmaf_train.packed import read_packed


def test_frames_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    packed = np.arange(60, dtype=np.uint8).reshape(5, 3, 4)
    np.save(tmp_path / "a.npy", packed)
    assert np.array_equal(read_packed(tmp_path / "a.npy", np.array([4, 0, 4])), packed[[4, 0, 4]])
    assert read_packed(tmp_path / "a.npy", np.array([], np.int64)).shape == (0, 3, 4)


def saved(array: np.ndarray, path: Path) -> bytes:
    np.save(path, array)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("rows", "message"),
    [([0, 5], r"holds uint8 \(5, 3, 4\), which does not fit"), ([-1], "does not fit the tables beside it")],
)
def test_rows_beyond_the_array_are_refused(tmp_path: Path, rows: list[int], message: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 3, 4), np.uint8))
    with pytest.raises(UserError, match=message):
        read_packed(tmp_path / "a.npy", np.array(rows))


def test_a_file_that_is_no_packed_array_is_named_with_what_to_do(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.npy", np.array([0])
    with pytest.raises(UserError, match=r"^no .*a\.npy: run `vmaf-train frames`"):
        read_packed(path, rows)
    whole = saved(np.zeros((2, 3, 4), np.uint8), path)
    wrong = [saved(np.zeros((2, 3, 4), np.float32), path), saved(np.zeros((2, 3), np.uint8), path)]
    for data in (b"", b"no array", whole[:-1], *wrong):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"a\.npy (is not a packed array|holds .* does not fit)"):
            read_packed(path, rows)
