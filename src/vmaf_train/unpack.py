"""Zip archives of strangers: every member is checked before the first byte is written, and while it is."""

from __future__ import annotations

import copy
import lzma
import re
import stat
import struct
import sys
import unicodedata
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from vmaf_train.errors import UserError
from vmaf_train.files import replacing_folder

CHUNK = 1 << 20
MAX_MEMBERS = 500_000
LONGEST_NAME = 255  # bytes of one part of a path, on every usual file system
DRIVE = re.compile(r"[A-Za-z]:")
ENCRYPTED = 0x1  # general purpose flag bit 0 (APPNOTE 4.4.4)
# what zipfile raises on archives that are cut, altered or made up
DAMAGED = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    # zipfile's own: a compression whose module this Python lacks, or (NotImplementedError) none that it knows
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
    MemoryError,
)


def unpack(archive: Path, folder: Path, *, max_bytes: int) -> list[PurePosixPath]:
    """Unpack a zip archive into `folder`, whole or not at all; return the paths of its files, sorted.

    Names, kinds and sizes of all members are checked first, then each member's CRC-32 and real size as it
    is unpacked. Modes and dates of members are ignored.

    Args:
        max_bytes: largest total size of the unpacked files.

    Raises:
        UserError: the archive is damaged, encrypted or too large, or a member's name is absolute, climbs
            out, is doubled or not portable, or a member is a link or a device. The text names both.
    """
    try:
        with zipfile.ZipFile(archive) as opened, replacing_folder(folder) as temporary:
            members = _checked(opened, archive, max_bytes)
            for name, member in members.items():
                _write(opened, member, temporary / name, archive)
    except FileNotFoundError:
        raise UserError(f"no archive {archive}; run `vmaf-train fetch`") from None
    except OSError as error:
        raise UserError(f"cannot read {archive}: {error.strerror or error}; check the file") from None
    except DAMAGED as error:
        raise UserError(_damaged(archive, error)) from None
    return sorted(members)


def _checked(opened: zipfile.ZipFile, archive: Path, max_bytes: int) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Paths and entries of the files of an archive, after looking at every member."""
    infos = opened.infolist()
    if len(infos) > MAX_MEMBERS:
        raise _refused(archive, f"it has {len(infos):,} members, more than {MAX_MEMBERS:,}")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise _refused(
            archive,
            f"its members say they unpack to {total:,} bytes, more than the {max_bytes:,} allowed",
        )
    seen: dict[str, str] = {}
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    parents: set[str] = set()
    for info in infos:
        # orig_filename: zipfile cuts `filename` at a NUL
        name = info.orig_filename
        fault = _fault(name, info)
        if fault:
            raise _refused(archive, f"member {name!r} {fault}")
        path = PurePosixPath(name)
        plain = _folded(path)
        if plain in seen:
            raise _refused(archive, f"members {seen[plain]!r} and {name!r} have the same name")
        seen[plain] = name
        parents.update(_folded(parent) for parent in path.parents)
        if not info.is_dir():
            files[path] = info
    for path in files:
        if _folded(path) in parents:
            raise _refused(archive, f"member {str(path)!r} is a file and a folder at once")
    return files


def _fault(name: str, info: zipfile.ZipInfo) -> str:
    """What is wrong with one member, or nothing."""
    parts = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if name.startswith("/") or DRIVE.match(name):
        return "has an absolute path"
    if "\\" in name:
        return "has a backslash in its name"
    if ".." in parts:
        return "climbs out of the folder (`..`)"
    if any(part in ("", ".") for part in parts):
        return "has an empty part in its path"
    if any(unicodedata.category(letter)[0] == "C" for letter in name):
        return "has a control character in its name"
    if any(len(part.encode(errors="replace")) > LONGEST_NAME for part in parts):
        return f"has a name longer than {LONGEST_NAME} bytes"
    if stat.S_ISLNK(kind):
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device or another special file"
    if (kind == stat.S_IFDIR and not info.is_dir()) or (info.is_dir() and info.file_size):
        return "is a folder by its mode or name, and a file by the other"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted"
    return ""


def _write(opened: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    # zipfile stops at the declared size and would not tell that there is more: let it go on, and count
    endless = copy.copy(info)
    endless.file_size = sys.maxsize
    try:
        # zipfile compares the CRC-32 when it reaches the end
        with opened.open(endless) as reader, open(path, "xb") as writer:
            while size <= info.file_size and (chunk := reader.read(CHUNK)):
                size += len(chunk)
                writer.write(chunk)
    except DAMAGED as error:
        raise UserError(_damaged(archive, error, info.orig_filename)) from None
    if size > info.file_size:
        raise _refused(
            archive,
            f"member {info.orig_filename!r} unpacks to more than the {info.file_size:,} bytes it says",
        )
    if size < info.file_size:
        reason = f"unpacks to {size:,} bytes, says {info.file_size:,}"
        raise UserError(_damaged(archive, reason, info.orig_filename))


def _folded(path: PurePosixPath) -> str:
    """A name as file systems that ignore case and Unicode form see it."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _refused(archive: Path, reason: str) -> UserError:
    return UserError(f"{archive} is refused: {reason}; delete the archive and get it from its official page")


def _damaged(archive: Path, reason: object, member: str = "") -> str:
    what = f"{archive}, member {member!r}," if member else f"{archive}"
    detail = " ".join(str(reason).split()) or type(reason).__name__
    return f"{what} is damaged ({detail}); delete the archive and run `vmaf-train fetch` again"
