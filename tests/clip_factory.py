"""Small clips whose every frame carries its number, made by the real ffmpeg, for several test files."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from vmaf_train.ffmpeg import ffmpeg_exe

WIDTH, HEIGHT, FPS, COUNT = 160, 96, 30, 45
MIDDLE = 23  # of 45 frames: the first at or after 0.75 s
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


LATE = 300  # frames before sound begins: more seconds than are read when a clip is opened


def late_sound(path: Path, count: int = LATE) -> Path:
    """An FLV clip of `count` frames whose sound begins after all of them."""
    pictures = make_clip(path.with_name("pictures.flv"), *X264, count=count, width=64, height=48)
    sound = path.with_name("sound.flv")
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.2", "-c:a", "aac", sound)
    data, at, tags = sound.read_bytes(), 13, b""
    while at < len(data):
        # a tag: its type (8: sound), the data's size in 24 bits, 7 bytes more, the data, the tag's size in 32
        size = 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        tags += data[at : at + size] if data[at] == 8 else b""
        at += size
    path.write_bytes(pictures.read_bytes() + tags)
    return path


OPEN_GOP = "open-gop=1:bframes=3:b-pyramid=normal:keyint=12:min-keyint=12:scenecut=0"
X265 = ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=12:min-keyint=12:open-gop=1"]
INTERLACED = ["-flags", "+ilme+ildct"]

# name -> encoder options; each of these clips holds COUNT frames, of which MIDDLE is the middle one
CLIPS: dict[str, list[str]] = {
    "closed_gop.mp4": X264,
    "open_gop.mp4": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "open_gop.mkv": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "open_gop.ts": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "hevc_open_gop.mp4": X265,
    "intra_refresh.mp4": ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=12"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-g", "12"],
    "av1.mp4": ["-c:v", "libsvtav1", "-preset", "12", "-g", "12"],
    "mpeg4.avi": ["-c:v", "mpeg4", "-bf", "2", "-g", "12"],
    "mpeg2.mpg": ["-c:v", "mpeg2video", "-bf", "2", "-g", "12"],
    "motion_jpeg.mp4": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "2"],
    "fragmented.mp4": [*X264, "-movflags", "frag_keyframe+empty_moov"],
    "no_duration.mkv": [*X264, "-f", "matroska", "-live", "1"],
    "no_times.h264": X264,
    "interlaced.mp4": [*X264, *INTERLACED],
    "interlaced.mpg": ["-c:v", "mpeg2video", "-bf", "2", "-g", "12", *INTERLACED],
    "wide_pixels.mp4": [*X264, "-vf", "setsar=16/11"],
    "h264_10_bits.mp4": [*X264, "-pix_fmt", "yuv420p10le"],
    "hevc_12_bits.mp4": [*X265, "-pix_fmt", "yuv420p12le"],
    "prores_422_10_bits.mov": ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"],
    "h264_444.mp4": [*X264, "-pix_fmt", "yuv444p"],
    "packed_422.mov": ["-c:v", "rawvideo", "-pix_fmt", "uyvy422"],
    "rgb.mkv": ["-c:v", "ffv1", "-pix_fmt", "bgr0"],
}


def known_clip(folder: Path, name: str) -> Path:
    """The clip `name` of CLIPS, encoded once a folder."""
    path = folder / name
    return path if path.exists() else make_clip(path, *CLIPS[name])


def zero_middle(path: Path) -> Path:
    """Zero 1500 bytes in the middle of a clip."""
    middle = path.stat().st_size // 2
    with open(path, "r+b") as handle:
        handle.seek(middle)
        handle.write(bytes(1500))
    return path


def zero_packet(path: Path, number: int) -> Path:
    """Zero the first 64 bytes of packet `number` of the pictures, which then cannot be decoded at all."""
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[number]
    with open(path, "r+b") as handle:
        handle.seek(packet.pos)
        handle.write(bytes(min(64, packet.size)))
    return path
