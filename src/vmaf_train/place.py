"""Put files of one folder into another at the least cost: share the disk blocks where that is safe."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

FICLONE = 0x40049409  # Linux: share the blocks of another file until one of the two is written


def place_file(source: Path, target: Path, *, hard_link: bool = False) -> str:
    """Make `target` a file with the bytes of `source`; return how: `reflink`, `hard link` or `copy`.

    A reflink is a file of its own that shares blocks; it is tried first. A hard link is one file under
    two names: a write to either changes both, and DVC may make both read-only when it takes the file
    into its cache. So it is only for data sets that nobody edits, and only where asked for.

    Raises:
        OSError: the file cannot be read or written; call inside `files.replacing_folder`.
    """
    source = source.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    if _reflink(source, target):
        return "reflink"
    if hard_link:
        try:
            os.link(source, target)
            return "hard link"
        except OSError:
            pass  # another disk, or a file system without links: copy
    shutil.copyfile(source, target)
    return "copy"


def _reflink(source: Path, target: Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import fcntl

    try:
        with open(source, "rb") as reader, open(target, "wb") as writer:
            fcntl.ioctl(writer.fileno(), FICLONE, reader.fileno())
    except OSError:
        target.unlink(missing_ok=True)
        return False
    return True
