"""The output of `filter`: which paths may be written. The files themselves are in test_filter.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.output import check_target


def test_an_output_is_never_the_input_nor_replaced_unasked(tmp_path: Path) -> None:
    source, other = tmp_path / "in.mkv", tmp_path / "out.mkv"
    for path in (source, other):
        path.write_bytes(b"a clip")
    (tmp_path / "same.mkv").hardlink_to(source)
    with pytest.raises(UserError, match="is the input"):
        check_target(source, tmp_path / "same.mkv", force=True)
    with pytest.raises(UserError, match="not a regular file"):
        check_target(source, tmp_path, force=True)
    with pytest.raises(UserError, match="--force"):
        check_target(source, other, force=False)
    check_target(source, other, force=True)
    check_target(source, tmp_path / "new.mkv", force=False)
