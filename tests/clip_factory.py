"""Small clips whose every frame carries its number, made by the real ffmpeg, for several test files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vmaf_train.ffmpeg import ffmpeg_exe

WIDTH, HEIGHT, FPS, COUNT = 160, 96, 30, 45
BITS = 8  # of the number that a frame carries, as black and white blocks along its top
SMALL_GROUPS = ["-g", "12", "-bf", "3"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", *SMALL_GROUPS]


def numbered_frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """Luma (height, width): a moving texture below blocks that spell `number` in binary."""
    noise = np.random.default_rng(5).integers(60, 190, (height, width)).astype(np.float32)
    smooth = sum(np.roll(noise, (i, j), (0, 1)) for i in range(3) for j in range(3)) / 9
    frame = np.roll(smooth, (number, 2 * number), (0, 1)).astype(np.uint8)
    side = width // BITS
    for bit in range(BITS):
        frame[: height // 3, bit * side : (bit + 1) * side] = 235 if number >> bit & 1 else 16
    return frame


def number_in(luma: npt.NDArray[np.uint8]) -> int:
    """The number that a frame carries."""
    height, width = luma.shape
    side = width // BITS
    blocks = luma[4 : height // 3 - 4, : side * BITS].reshape(-1, BITS, side)[:, :, 4:-4]
    return sum(1 << bit for bit, level in enumerate(blocks.mean(axis=(0, 2))) if level > 125)


def ffmpeg(*arguments: str | Path, data: bytes = b"") -> bytes:
    """Run the project's ffmpeg binary with raw arguments."""
    command = [ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def make_clip(
    path: Path,
    *options: str | Path,
    count: int = COUNT,
    width: int = WIDTH,
    height: int = HEIGHT,
    before: tuple[str | Path, ...] = (),
) -> Path:
    """Encode `count` numbered frames to `path` with ffmpeg's output `options`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chroma = bytes([128]) * (2 * ((width + 1) // 2) * ((height + 1) // 2))
    raw = b"".join(numbered_frame(number, width, height).tobytes() + chroma for number in range(count))
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}", "-r", str(FPS)]
    ffmpeg(*source, *before, "-i", "-", *(options or X264), path, data=raw)
    return path
