"""Whole files or none: every writer of the project goes through here."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmaf_train.errors import UserError

UNFINISHED = "unfinished-"  # in the name of what is being written: nobody's own files are named so
RETIRED = ".old"  # in the name of a folder that holds the earlier one while the new one takes its place


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block succeeds.

    A block that fails, or is interrupted, leaves the earlier file whole and no temporary file. What a
    killed process left goes at the next write of the same file.

    Raises:
        UserError: the file system refuses (disk full, no permission).
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with _beside(path) as temporary:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            # what its owner allowed of the earlier file holds for the new one
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
            temporary.chmod(mode)
            temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; the earlier file, if any, is unchanged: "
            "free some space or fix the permissions and run again"
        ) from error


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; put it in the place of `path` on success.

    Failures and killed processes leave what they leave in `replacing`: the earlier folder.

    Raises:
        UserError: the file system refuses (disk full, no permission).
    """
    try:
        with _beside(path, folder=True) as temporary:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                _exchange(path, temporary)
            else:
                temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write folder {path}: {error.strerror or error}; free some space or fix the "
            "permissions and run again"
        ) from error


def _exchange(path: Path, temporary: Path) -> None:
    with _beside(path, folder=True, mark=RETIRED) as retired:
        try:
            path.replace(retired / "old")
            temporary.replace(path)
        except BaseException:
            # fails where another process has put its own there meanwhile, which is whole too
            with contextlib.suppress(OSError):
                (retired / "old").replace(path)
            raise
        # no longer to be put back, should the process be killed while it is removed
        (retired / "old").rename(retired / "replaced")


@contextlib.contextmanager
def _beside(path: Path, *, folder: bool = False, mark: str = "") -> Iterator[Path]:
    """An empty temporary file or folder beside `path`, gone after the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_leftovers(path, folders=folder)
    prefix = f".{path.name}{mark}.{UNFINISHED}"
    while True:
        if folder:
            temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        else:
            handle, name = tempfile.mkstemp(prefix=prefix, suffix=path.suffix, dir=path.parent)
            os.close(handle)
            temporary = Path(name)
        try:
            with _in_use(temporary) as there:
                if there:
                    yield temporary
                    return
        finally:
            _remove(temporary)


@contextlib.contextmanager
def _in_use(temporary: Path) -> Iterator[bool]:
    """Lock it for the block, so that nobody sweeps it; False: somebody had before it was locked."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    try:
        handle = os.open(temporary, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        # the kernel drops this lock when the process ends, however it ends
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield is_at(handle, temporary)
    finally:
        os.close(handle)


def is_at(handle: int, path: Path) -> bool:
    """Whether the open file `handle` is the one that `path` names now."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def sweep_leftovers(path: Path, *, folders: bool = True) -> None:
    """Remove the temporary folders, or files, of `path` that killed processes left beside it.

    Those that a process still writes stay. An earlier folder that was moved away, and whose successor
    never came, is put back.
    """
    mark, random = rf"(?P<mark>{re.escape(RETIRED)})?", rf"{UNFINISHED}[a-z0-9_]{{6,}}"
    pattern = re.compile(rf"\.{re.escape(path.name)}{mark}\.{random}{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):
        for leftover in list(path.parent.iterdir()):
            found = pattern.fullmatch(leftover.name)
            if found and (leftover.is_dir() if folders else leftover.is_file()):
                _sweep(leftover, path if found["mark"] else None)


def _sweep(leftover: Path, home: Path | None) -> None:
    """Remove a leftover unless it is in use; `home`: where the folder that was moved into it belongs."""
    if sys.platform == "win32":
        return
    import fcntl

    with contextlib.suppress(OSError):
        handle = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if home is not None and not home.exists():
                with contextlib.suppress(FileNotFoundError):
                    (leftover / "old").replace(home)
            _remove(leftover)
        finally:
            os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, whole or not at all; bytes of file names that are no UTF-8 stay."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def json_text(value: Any) -> str:
    """The project's one JSON form: two spaces, keys in the order given, a final newline, no NaN."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write `value` as `json_text`, whole or not at all."""
    write_text(path, json_text(value))


def made_by(path: Path, command: str) -> Path:
    """Return `path`, a file that the command `vmaf-train <command>` writes.

    Raises:
        UserError: it is not there; the text names the command.
    """
    if not path.is_file():
        raise UserError(f"no {path}: run `vmaf-train {command}` (or `dvc repro`) first")
    return path


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in 1 MiB pieces."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
