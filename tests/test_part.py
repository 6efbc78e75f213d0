"""The unfinished file of a download: which bytes are taken up again, and by whom."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.part import open_part

URL = "https://example.org/a.zip"


def begun(folder: Path, data: bytes = b"x" * 1000, total: int | None = 5000) -> Path:
    """A download that stopped after `data`."""
    target = folder / "a.zip"
    with open_part(URL, target) as part:
        part.start_over(etag='"e"', modified="", total=total)
        part.handle.write(data)
    return target


def test_bytes_and_facts_of_an_earlier_run_are_taken_up(tmp_path: Path) -> None:
    with open_part(URL, begun(tmp_path)) as part:
        assert (part.size, part.total, part.validator) == (1000, 5000, '"e"')
        part.handle.write(b"y" * 4000)
        part.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").read_bytes() == b"x" * 1000 + b"y" * 4000


@pytest.mark.parametrize(
    "facts",
    ["", "[]", "{", '{"url": "https://example.org/a.zip"}', None]
    + [
        json.dumps({"url": url, "etag": "", "modified": "", "total": total})
        for url, total in (("https://example.org/b.zip", 5000), (URL, 999), (URL, None), (URL, "5000"))
    ],
)
def test_bytes_of_unknown_origin_are_dropped(tmp_path: Path, facts: str | None) -> None:
    target = begun(tmp_path)
    (tmp_path / "a.zip.part.json").unlink()
    if facts is not None:
        (tmp_path / "a.zip.part.json").write_text(facts)
    with open_part(URL, target) as part:
        assert (part.size, part.total) == (0, None)
    assert list(tmp_path.iterdir()) == []


def test_a_weak_etag_gives_way_to_the_date(tmp_path: Path) -> None:
    with open_part(URL, tmp_path / "a.zip") as part:
        part.start_over(etag='W/"e"', modified="Mon, 01 Jan 2024 00:00:00 GMT", total=3)
        assert part.validator == "Mon, 01 Jan 2024 00:00:00 GMT"


def test_a_second_process_is_told_to_wait(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    target = begun(tmp_path)
    with (
        open_part(URL, target),
        pytest.raises(UserError, match="another process is downloading"),
        open_part(URL, target),
    ):
        pass
    assert (tmp_path / "a.zip.part").stat().st_size == 1000


def test_an_archive_that_another_process_finished_meanwhile_stays_whole(tmp_path: Path) -> None:
    # the other one gives the file its name between our opening and our locking
    code = (
        "import os, sys; from pathlib import Path; from vmaf_train.part import open_part\n"
        "target = Path(sys.argv[2])\n"
        "def finish(event, arguments):\n"
        "    if event == 'fcntl.flock' and not target.exists(): os.replace(f'{target}.part', target)\n"
        "sys.addaudithook(finish)\n"
        "with open_part(sys.argv[1], target) as part:\n"
        "    print(part.size)\n"
        "    part.handle.write(b'y')\n"
    )
    target = begun(tmp_path)
    (tmp_path / "a.zip.part.json").unlink()
    command = [sys.executable, "-c", code, URL, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
    assert target.read_bytes() == b"x" * 1000
    assert (tmp_path / "a.zip.part").read_bytes() == b"y"


def test_a_disk_with_too_little_room_is_told_before_the_download(tmp_path: Path) -> None:
    more = shutil.disk_usage(tmp_path).total * 2
    with pytest.raises(UserError, match=r"bytes free, a\.zip needs .* VMAF_DATA_ROOT"):
        begun(tmp_path, total=more)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot write .*file/a\.zip: "),
        open_part(URL, tmp_path / "file" / "a.zip"),
    ):
        pass


def test_the_date_of_an_earlier_run_is_taken_up_where_there_is_no_etag(tmp_path: Path) -> None:
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    with open_part(URL, tmp_path / "a.zip") as part:
        part.start_over(etag="", modified=date, total=3)
        part.handle.write(b"x")
    with open_part(URL, tmp_path / "a.zip") as part:
        assert (part.size, part.validator) == (1, date)
