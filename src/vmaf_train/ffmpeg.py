"""The one door to the ffmpeg binary: the one that imageio-ffmpeg carries, commands of ffmpeg-python.

The binary has x264, x265, VP9, SVT-AV1 and libvmaf, so a machine needs no ffmpeg of its own.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError

# -nostdin alone does not stop every build from reading the terminal: stdin is closed as well
QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error", "-y")
# encoder and muxer settings that keep versions, dates and random ids out of a file
BITEXACT = {"fflags": "+bitexact", "flags": "+bitexact", "map_metadata": -1, "threads": 1}
PR_SET_PDEATHSIG = 1


@functools.cache
def ffmpeg_exe() -> str:
    """Path of imageio-ffmpeg's binary (or of `$IMAGEIO_FFMPEG_EXE`).

    Raises:
        UserError: imageio-ffmpeg has no binary for this platform.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"no ffmpeg binary ({reason}); reinstall imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE to one "
            "built with libx264, libx265, libvpx and libvmaf"
        ) from None


@functools.cache
def ffmpeg_version() -> str:
    """Version word of the binary, for example `7.0.2-static`."""
    first = _run([ffmpeg_exe(), "-version"], b"", "asking ffmpeg for its version").splitlines()[0]
    return first.decode(errors="replace").split()[2]


def run_ffmpeg(command: Any, *, what: str, data: bytes | memoryview = b"", threads: int = 1) -> bytes:
    """Run one ffmpeg command, quietly and without a terminal, and return what it wrote to stdout.

    Args:
        command: an output (or merged outputs) of ffmpeg-python.
        what: the job in a few words, for the error: `encoding 0003_b.mkv`.
        data: bytes for an input named `pipe:`.
        threads: threads of the filters; encoders take theirs from the command (`BITEXACT`: one).

    Raises:
        UserError: ffmpeg fails; the text carries its first line of complaint.
    """
    import ffmpeg

    arguments = ffmpeg.compile(command, cmd=ffmpeg_exe())
    limits = ("-filter_threads", str(threads), "-filter_complex_threads", str(threads))
    return _run([arguments[0], *QUIET, *limits, *arguments[1:]], data, what)


def _run(arguments: list[str], data: bytes | memoryview, what: str) -> bytes:
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE if data else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # SVT-AV1 does not heed -loglevel; 1: errors only
            env={**os.environ, "SVT_LOG": "1"},
            preexec_fn=_die_with_parent(),
        )
    except OSError as error:
        raise UserError(
            f"{what}: cannot start {arguments[0]} ({error.strerror}); reinstall imageio-ffmpeg, or correct "
            "IMAGEIO_FFMPEG_EXE"
        ) from None
    with process:
        try:
            # Popen's type has no memoryview, its code does
            output, complaint = process.communicate(data or None)  # type: ignore[arg-type]
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        lines = complaint.decode(errors="replace").strip().splitlines()
        reason = lines[0] if lines else f"exit status {process.returncode}"
        raise UserError(f"{what}: ffmpeg failed: {reason.strip()}; check the file and the free disk space")
    return output


def grey_video(luma: NDArray[np.uint8], fps: float, source: str = "pipe:") -> tuple[Any, bytes]:
    """Luma (N, H, W) with even sides as yuv420p, chroma flat: an input of ffmpeg-python, and its bytes.

    `source` is where ffmpeg finds these bytes: its stdin, or a file.
    """
    import ffmpeg

    _, height, width = luma.shape
    size = f"{width}x{height}"
    stream = ffmpeg.input(source, format="rawvideo", pix_fmt="yuv420p", s=size, framerate=fps)
    chroma = bytes([128]) * (height * width // 2)
    return stream, b"".join(frame.tobytes() + chroma for frame in luma)


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux, what a child runs so that the kernel kills it when we die, even by SIGKILL."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = _prctl(), os.getpid()

    def ask_kernel() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # of a death before it was asked the kernel tells nothing
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


@functools.cache
def _prctl() -> Any:
    return ctypes.CDLL(None).prctl
