"""Tables: one reader and one writer of parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vmaf_train.errors import UserError
from vmaf_train.tables import read_table, write_table


def test_a_table_comes_back_as_it_was_and_gives_the_same_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"key": ["a", "b"], "mos": [1.5, 4.0], "row": [0, 1]})
    write_table(tmp_path / "a.parquet", table)
    write_table(tmp_path / "b.parquet", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a.parquet", stage="frames"), table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_missing_table_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run `vmaf-train manifest-scan`"):
        read_table(tmp_path / "manifest.parquet", stage="manifest-scan")


def test_garbage_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "split.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(UserError, match=r"split\.parquet is not a parquet table") as caught:
        read_table(tmp_path / "split.parquet", stage="split")
    assert "\n" not in str(caught.value)
