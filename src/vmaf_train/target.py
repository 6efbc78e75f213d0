"""The file that `filter` writes: whether it may, what encodes for it, and errors that name it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import OutputContainer

from vmaf_train.container import reason
from vmaf_train.encode import Encoder
from vmaf_train.errors import UserError

NOT_ENCODED = (".y4m", ".yuv")


def default_encoder(target: Path) -> str:
    """What encodes where nobody says: `libx264`, or `rawvideo` for pictures as they are, Y4M and YUV."""
    # of a link the file that it points to is written
    suffix = Path(os.path.realpath(target)).suffix.lower()
    return "rawvideo" if suffix in NOT_ENCODED else "libx264"


def check_target(source: Path, target: Path, force: bool) -> None:
    """Check that `target` may be written.

    Raises:
        UserError: it is the input, no regular file, or exists without `force`; or no container is written
            under its suffix, or one of several files.
    """
    if target.exists():
        if source.exists() and target.samefile(source):
            raise UserError(f"{target} is the input; give another output")
        if not target.is_file():
            raise UserError(f"{target} is not a regular file; give another output")
        if not force:
            raise UserError(f"{target} exists; give another name, or --force to replace it")
    try:
        # opening a muxer touches no file before the header is written
        with av.open(str(target), "w") as container:
            several = container.format.no_file
            name = container.format.name
    except (av.FFmpegError, ValueError):
        raise UserError(
            f"{target}: no container is written under {target.suffix or 'a name without suffix'}; "
            "give a name that ends in .mkv or .mp4"
        ) from None
    if several:
        # they would be overwritten unasked, and left half-written by an error
        raise UserError(
            f"{target}: {name} writes no single file, and filter writes one; give a name that ends in .mkv "
            "or .mp4 and cut that with ffmpeg, for example"
        )


@contextlib.contextmanager
def writing(temporary: Path, target: Path, encoder: Encoder) -> Iterator[OutputContainer]:
    """Open the output container; errors of the encoder and the muxer become errors that name the output."""
    # of Y4M's deep formats, which all encoders read, FFmpeg calls none official
    options = {"strict": "-1"} if target.suffix.lower() == ".y4m" else {}
    try:
        # the encoder and the muxer each take the options that they know
        container = av.open(str(temporary), "w", options=options | dict(encoder.options))
        try:
            yield container
        except BaseException:
            # the first error is the one to tell, not what closing an unfinished file says
            with contextlib.suppress(av.FFmpegError, ValueError, OSError):
                container.close()
            raise
        container.close()
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (
            errno.ENOSPC,
            errno.EACCES,
            errno.EIO,
            errno.EDQUOT,
        ):
            raise
        told = getattr(error, "__notes__", None)
        who = "refused by" if told else f"{encoder.name} or the container refuses:"
        raise UserError(
            f"{target}: {who} {told[0] if told else reason(error)}; try other options, or another suffix, "
            "for example .mkv"
        ) from None
