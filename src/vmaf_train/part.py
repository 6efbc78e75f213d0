"""The unfinished file of a download: its bytes, and what the server said of the whole.

Bytes lie in `<name>.part`, the facts (URL, ETag, date, length) in `<name>.part.json`, written before the
first byte, so that a later run knows whether these bytes belong to the file that is there now.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vmaf_train.errors import UserError
from vmaf_train.files import is_at, write_json


@dataclass
class Part:
    """Bytes on disk and what is known of the whole file; `total` is None where no length was given."""

    url: str
    target: Path
    handle: IO[bytes]
    etag: str = ""
    modified: str = ""
    total: int | None = None

    @property
    def data(self) -> Path:
        """The bytes so far."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def facts(self) -> Path:
        """What the server said of the file that the bytes are of."""
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.handle.seek(0, os.SEEK_END)

    @property
    def validator(self) -> str:
        """Value for If-Range; a weak ETag may not stand there (RFC 9110, section 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified

    def start_over(self, *, etag: str, modified: str, total: int | None) -> None:
        """Drop the bytes and note the facts of the file that is now to come.

        Raises:
            UserError: the disk has less room than the file needs.
        """
        self.handle.truncate(0)
        self.etag, self.modified, self.total = etag, modified, total
        write_json(self.facts, {"url": self.url, "etag": etag, "modified": modified, "total": total})
        free = shutil.disk_usage(self.target.parent).free
        if total is not None and total > free:
            raise UserError(
                f"{self.target.parent} has {free:,} bytes free, {self.target.name} needs {total:,}; free "
                "some space or set VMAF_DATA_ROOT to another disk"
            )

    def drop(self) -> None:
        """Drop the bytes; the facts stay."""
        self.handle.truncate(0)

    def finish(self) -> None:
        """Give the file its name."""
        self.handle.flush()
        os.fsync(self.handle.fileno())
        self.data.replace(self.target)
        self.facts.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove all of it."""
        self.data.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)

    def recall(self) -> None:
        """Take up what an earlier run wrote down; anything doubtful drops the bytes."""
        try:
            facts = json.loads(self.facts.read_text(encoding="utf-8"))
            url, etag, modified, total = (facts[key] for key in ("url", "etag", "modified", "total"))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            url = etag = modified = total = None
        if url == self.url and isinstance(total, int) and self.size <= total:
            self.etag, self.modified, self.total = str(etag), str(modified), total
        else:
            self.drop()


@contextlib.contextmanager
def open_part(url: str, target: Path) -> Iterator[Part]:
    """Open the unfinished file of `target` for this process alone.

    Raises:
        UserError: another process downloads it, or the file system refuses.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with open(target.with_name(f"{target.name}.part"), "ab") as handle:
                part = Part(url, target, handle)
                _lock(part)
                # another process may have finished it before it was locked: then `handle` is its archive
                if not is_at(handle.fileno(), part.data):
                    continue
                part.recall()
                try:
                    yield part
                finally:
                    if not part.size:
                        part.discard()
                return
    except OSError as error:
        raise UserError(
            f"cannot write {target}: {error.strerror or error}; free some space, fix the permissions or set "
            "VMAF_DATA_ROOT to another disk"
        ) from error


def _lock(part: Part) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    try:
        # the kernel drops this lock when the process ends, however it ends
        fcntl.flock(part.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"another process is downloading {part.target}; wait until it is done") from None
