"""Archives of strangers: what is refused, and that nothing is left behind then."""

from __future__ import annotations

import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.unpack import CHUNK, unpack

Members = list[tuple[zipfile.ZipInfo | str, bytes]]


def archive(folder: Path, members: Members) -> Path:
    path = folder / "a.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        warnings.simplefilter("ignore")  # doubled names are on purpose
        for member, data in members:
            opened.writestr(member, data)
    return path


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info


def refusal(path: Path, max_bytes: int = 1 << 20) -> str:
    """The refusal's text; it must be one line and leave nothing on disk."""
    target = path.parent / "out" / "unpacked"
    with pytest.raises(UserError) as error:
        unpack(path, target, max_bytes=max_bytes)
    assert not [*target.parent.glob("*"), *target.parent.glob(".*")]
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_members_come_out_whole_without_modes_or_links(tmp_path: Path) -> None:
    members: Members = [
        ("v/", b""),
        (entry("v/1.mp4", stat.S_IFREG | 0o4777), b"one"),
        ("v/deep/2.mp4", b"two" * 9999),
        ("ü.csv", b""),
    ]
    files = unpack(archive(tmp_path, members), tmp_path / "out", max_bytes=1 << 20)
    assert [str(name) for name in files] == ["v/1.mp4", "v/deep/2.mp4", "ü.csv"]
    assert (tmp_path / "out/v/deep/2.mp4").read_bytes() == b"two" * 9999
    assert not (tmp_path / "out/v/1.mp4").stat().st_mode & 0o7111


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/etc/x", "'/etc/x' has an absolute path"),
        ("C:/x", "'C:/x' has an absolute path"),
        ("c:x", "has an absolute path"),
        ("a\\..\\x", "has a backslash"),
        ("../x", "'../x' climbs out of the folder"),
        ("a/../../x", "climbs out of the folder"),
        ("a/..", "climbs out of the folder"),
        ("a//x", "has an empty part"),
        ("./x", "has an empty part"),
        ("a\nb", "has a control character"),
        ("x" * 256, "has a name longer than 255 bytes"),
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    assert message in refusal(archive(tmp_path, [("ok.mp4", b"1"), (name, b"2")]))


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (stat.S_IFLNK | 0o777, "'m' is a symbolic link"),
        (stat.S_IFBLK | 0o600, "'m' is a device"),
        (stat.S_IFCHR | 0o600, "'m' is a device"),
        (stat.S_IFIFO | 0o600, "'m' is a device or another special file"),
        (stat.S_IFDIR | 0o755, "'m' is a folder by its mode"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, mode: int, message: str) -> None:
    assert message in refusal(archive(tmp_path, [(entry("m", mode), b"/etc/passwd")]))


@pytest.mark.parametrize("second", ["v/A.mp4", "V/a.mp4", "v/a.mp4"])
def test_doubled_names_are_refused_also_in_another_case(tmp_path: Path, second: str) -> None:
    text = refusal(archive(tmp_path, [("v/a.mp4", b"1"), (second, b"2")]))
    assert f"members 'v/a.mp4' and {second!r} have the same name" in text


def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a file and a folder" in refusal(archive(tmp_path, [("v", b"1"), ("v/a", b"2")]))


def test_a_total_above_the_limit_is_refused_before_unpacking(tmp_path: Path) -> None:
    text = refusal(archive(tmp_path, [("a", b"0" * 600), ("b", b"0" * 600)]), max_bytes=1000)
    assert "say they unpack to 1,200 bytes, more than the 1,000 allowed" in text


def alter(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """Change the first member's local (`PK 3 4`) and central (`PK 1 2`) headers in place."""
    data = bytearray(path.read_bytes())
    change(data, data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02"))
    path.write_bytes(data)
    return path


def test_a_bomb_that_declares_a_small_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<I", data, central + 24, 10)

    path = alter(archive(tmp_path, [("bomb", b"0" * 10_000_000)]), lie)
    read: list[int] = []
    plain = zipfile.ZipExtFile.read

    def counted(member: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        data = plain(member, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    assert "member 'bomb' unpacks to more than the 10 bytes it says" in refusal(path)
    # it ends at the first piece too many
    assert sum(read) <= CHUNK


def test_a_member_shorter_than_declared_is_damaged(tmp_path: Path) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<I", data, central + 24, 99)

    text = refusal(alter(archive(tmp_path, [("m", b"0" * 10)]), lie))
    assert "member 'm', is damaged (unpacks to 10 bytes, says 99)" in text


def test_a_wrong_crc_is_damaged_and_names_the_member(tmp_path: Path) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<I", data, central + 16, 1)

    assert "member 'm', is damaged (Bad CRC-32" in refusal(alter(archive(tmp_path, [("m", b"data")]), lie))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        data[central + 8] |= 1

    assert "member 'm' is encrypted" in refusal(alter(archive(tmp_path, [("m", b"data")]), lie))


def test_a_compression_that_this_python_was_built_without_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<H", data, central + 10, zipfile.ZIP_BZIP2)

    monkeypatch.setattr("zipfile.bz2", None)
    text = refusal(alter(archive(tmp_path, [("m", b"data")]), lie))
    assert "member 'm', is damaged (Compression requires the (missing) bz2 module)" in text


def test_an_unknown_compression_is_damage_not_a_crash(tmp_path: Path) -> None:
    def lie(data: bytearray, local: int, central: int) -> None:
        struct.pack_into("<H", data, central + 10, 97)

    assert "is damaged" in refusal(alter(archive(tmp_path, [("m", b"data")]), lie))


def test_a_cut_archive_and_one_that_is_none_are_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path, [("m", b"data" * 1000)])
    whole = path.read_bytes()
    for data in (whole[:-1], whole[: len(whole) // 2], b"", b"<html>404</html>"):
        path.write_bytes(data)
        assert "is damaged (File is not a zip file)" in refusal(path)


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no archive" in refusal(tmp_path / "none.zip")


def test_a_name_that_is_cut_at_a_nul_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, [("ok.mp4X/../../x", b"1")])
    path.write_bytes(path.read_bytes().replace(b"ok.mp4X", b"ok.mp4\0"))
    assert "climbs out of the folder" in refusal(path)
    path = archive(tmp_path, [("ok.mp4Xsh", b"1")])
    path.write_bytes(path.read_bytes().replace(b"ok.mp4X", b"ok.mp4\0"))
    assert "has a control character" in refusal(path)


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmaf_train.unpack.MAX_MEMBERS", 2)
    three = archive(tmp_path, [(name, b"1") for name in "abc"])
    assert "it has 3 members, more than 2" in refusal(three)
    two = archive(tmp_path, [(name, b"1") for name in "ab"])
    assert len(unpack(two, tmp_path / "two", max_bytes=9)) == 2


def test_one_name_in_two_forms_of_unicode_is_refused(tmp_path: Path) -> None:
    text = refusal(archive(tmp_path, [("v/\u00fc.mp4", b"1"), ("v/u\u0308.mp4", b"2")]))
    assert "have the same name" in text


def test_a_folder_with_bytes_is_refused(tmp_path: Path) -> None:
    assert "is a folder by its mode or name, and a file by the other" in refusal(
        archive(tmp_path, [("v/", b"data")])
    )
