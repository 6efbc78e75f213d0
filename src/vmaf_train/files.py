"""Whole files or none: every writer of the project goes through here."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmaf_train.errors import UserError

CHUNK = 1 << 20


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` when the block succeeds.

    A block that fails, or is interrupted, leaves the earlier file whole and no temporary file.

    Raises:
        UserError: the file system refuses (disk full, no permission).
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; the earlier file, if any, is unchanged: "
            "free some space or fix the permissions and run again"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; put it in the place of `path` on success.

    Raises:
        UserError: the file system refuses (disk full, no permission).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        if path.exists():
            retired = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
            path.replace(retired / "old")
            temporary.replace(path)
            shutil.rmtree(retired)
        else:
            temporary.replace(path)
    except OSError as error:
        raise UserError(
            f"cannot write folder {path}: {error.strerror or error}; free some space or fix the "
            "permissions and run again"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


def read_json(path: Path, command: str) -> dict[str, Any]:
    """Read a JSON object that `command` writes; errors as in `made_by`."""
    value: dict[str, Any] = json.loads(made_by(path, command).read_text("utf-8"))
    return value


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
