"""Placing files: the same bytes whichever way the file system allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_train.place import place_file


@pytest.mark.parametrize("hard_link", [False, True])
def test_the_bytes_are_the_same_and_a_link_is_made_only_where_asked(tmp_path: Path, hard_link: bool) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"clip")
    target = tmp_path / "sub" / "b"
    how = place_file(source, target, hard_link=hard_link)
    assert target.read_bytes() == b"clip"
    assert how in (("reflink", "hard link") if hard_link else ("reflink", "copy"))
    assert source.samefile(target) == (how == "hard link")


def test_another_disk_gets_a_copy(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    source = tmp_path / "a"
    source.write_bytes(b"clip")
    target = other / f"vmaf-train-test-{tmp_path.name}"
    try:
        assert place_file(source, target, hard_link=True) == "copy"
        assert target.read_bytes() == b"clip"
    finally:
        target.unlink(missing_ok=True)
