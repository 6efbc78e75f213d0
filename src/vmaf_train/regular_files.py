"""Read a regular file once, capped in size, and only from where it may lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vmaf_train.errors import UserError

# Windows has none of the last three, and needs the first to leave line ends alone
FLAGS = os.O_RDONLY
for _name in ("O_BINARY", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC"):
    FLAGS |= getattr(os, _name, 0)


def inside(path: Path, folder: Path) -> Path:
    """Return `path` with every link resolved, which must lie below `folder`, resolved too.

    Raises:
        UserError: the file is missing, or lies elsewhere (`..`, a link, a folder such as `tiny-evil`).
    """
    resolved, root = _resolve(path), _resolve(folder)
    if not resolved.is_relative_to(root):
        raise UserError(
            f"{path}: lies at {resolved}, outside the model directory {root}; move it there and register "
            "it, or pass --unverified"
        )
    return resolved


def _resolve(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run `dvc repro` or check the name") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{path!s:.200}: cannot be resolved ({error!s:.200}); check the path") from error


def read_regular(path: Path, *, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; a link at `path` itself is not followed.

    The same open file is examined and read, so it cannot be exchanged in between; a pipe or a device
    is never waited for.

    Raises:
        UserError: missing, unreadable, a link, not a regular file, or larger than `limit`.
    """
    try:
        handle = os.open(path, FLAGS)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: cannot be opened ({reason}); check the path and its permissions") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a regular file (a folder, pipe or device); give a plain file")
        if status.st_size > limit:
            raise UserError(
                f"{path}: {status.st_size} bytes, more than the cap of {limit}; give a smaller file"
            )
        with os.fdopen(handle, "rb", closefd=False) as source:
            data = source.read(limit + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the disk and try again") from error
    finally:
        os.close(handle)
    if len(data) > limit:
        raise UserError(f"{path}: grew past the cap of {limit} bytes while it was read; give a smaller file")
    return data
