"""A file is read once, capped, and only from where it may lie."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.regular_files import inside, read_regular


def test_the_bytes_of_a_regular_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"12345")
    assert read_regular(path, limit=5) == b"12345"
    with pytest.raises(UserError, match="5 bytes, more than the cap of 4"):
        read_regular(path, limit=4)


def test_links_pipes_sockets_folders_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        for name, message in {
            "link": "cannot be opened",
            "pipe": "not a regular file",
            "folder": "not a regular file",
            "s": "cannot be opened",
            "missing": "cannot be opened",
        }.items():
            with pytest.raises(UserError, match=message):
                read_regular(tmp_path / name, limit=10)
    with pytest.raises(UserError, match="not a regular file"):
        read_regular(Path("/dev/zero"), limit=10)


def test_a_file_that_lies_about_its_size_is_still_capped() -> None:
    # the kernel's own files say 0 bytes and hold more
    with pytest.raises(UserError, match="grew past the cap of 4 bytes"):
        read_regular(Path("/proc/self/status"), limit=4)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_file_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    before = open_files()
    for _ in range(5):
        with pytest.raises(UserError):
            read_regular(tmp_path / "folder", limit=1)
    assert open_files() == before


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "file").write_bytes(b"1")
    (root / "link").symlink_to("sub/file")
    (tmp_path / "alias").symlink_to(root)
    assert inside(root / "link", root) == (root / "sub" / "file").resolve()
    assert inside(tmp_path / "alias" / "link", root) == (root / "sub" / "file").resolve()
    assert inside(root / "link", tmp_path / "alias") == (root / "sub" / "file").resolve()


@pytest.mark.parametrize("name", ["../root-evil/file", "../outside", "out", "outdir/file", "/etc/passwd"])
def test_every_way_out_is_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    evil = tmp_path / "root-evil"
    evil.mkdir()
    (evil / "file").write_bytes(b"1")
    (tmp_path / "outside").write_bytes(b"1")
    (root / "out").symlink_to("../outside")
    (root / "outdir").symlink_to(evil)
    with pytest.raises(UserError, match="outside the model directory"):
        inside(root / name, root)
