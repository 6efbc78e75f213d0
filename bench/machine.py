"""The machine in one line, clips to measure on, a door: shared by all benchmarks."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import ffmpeg
import typer

from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import ffmpeg_version, run_ffmpeg

LIBRARIES = ("onnxruntime", "numpy", "av")


def machine() -> str:
    """Processor, cores, versions."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        name = models[0] if models else name
    versions = [f"{library} {importlib.metadata.version(library)}" for library in LIBRARIES]
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = f"{os.cpu_count()} cores"
    return ", ".join(
        [name, cores, f"Python {platform.python_version()}", *versions, f"ffmpeg {ffmpeg_version()}", load]
    )


def make_clip(path: Path, width: int, height: int, frames: int, *, crf: int = 23) -> Path:
    """H.264 of ffmpeg's test picture with noise, 24 frames a second, unless it is there already."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    source = ffmpeg.input(f"testsrc2=s={width}x{height}:r=24", f="lavfi")
    noisy = source.filter("noise", alls=6, allf="t")
    settings = {"frames:v": frames, "c:v": "libx264", "crf": crf, "preset": "medium", "pix_fmt": "yuv420p"}
    run_ffmpeg(noisy.output(str(path), **settings), what=f"making {path.name}", threads=0)
    return path


def program(main: Callable[..., None]) -> None:
    """Run a benchmark's command line; a user's mistake is one line, as everywhere."""
    try:
        typer.run(main)
    except UserError as error:
        sys.exit(f"{Path(sys.argv[0]).name}: {error}")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print an aligned table."""
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    for row in [header, tuple("-" * width for width in widths), *rows]:
        first, *rest = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]))


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table; the first column is text, the others are figures."""
    for row in [header, ("---", *["---:"] * (len(header) - 1)), *rows]:
        print(f"| {' | '.join(row)} |")
