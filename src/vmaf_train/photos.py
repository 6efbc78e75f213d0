"""A user's own photographs and clips as scenes of the synthetic corpus: one file, one scene."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, dropwhile, islice, takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import ExifTags, Image, ImageOps

from vmaf_train.camera import HIGH, LOW, MARGIN, Frames, camera
from vmaf_train.condition import FULL_RANGE, is_flat
from vmaf_train.container import Span, declared_span, frames_of, opened, packets_of, read_packets
from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.leaves import seeded
from vmaf_train.luma import GRAY_ALPHA, Plane, area_resize, luma_of
from vmaf_train.mos import CLIP_SUFFIXES, is_hidden
from vmaf_train.own import own_folder
from vmaf_train.scenes import FINE

PAGE = "README.md"
NAMED = 3  # files that a message names
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
# full-range codes as limited range, as video is coded
LIMITED = (np.arange(256) * ((HIGH - LOW) / 255) + LOW + 0.5).astype(np.uint8)


def find_photos(value: str, layout: Layout) -> list[Path]:
    """Photographs and clips at any depth below the folder that `corpus.synthetic.photos` names, sorted.

    The default folder, `data/photos`, may be empty or missing: all scenes are rendered then.

    Raises:
        UserError: another folder is missing or holds none, or the folder lies around the corpus or in it.
    """
    optional = bool(value) and layout.root / value == layout.photos
    if optional and not layout.photos.exists():
        return []
    folder = own_folder("corpus.synthetic.photos", value, layout)
    kinds = PHOTO_SUFFIXES + CLIP_SUFFIXES
    below = sorted(folder.rglob("*"))
    files = [path for path in below if path.is_file() and not is_hidden(path.relative_to(folder))]
    found = [path for path in files if path.suffix.lower() in kinds]
    if not found and not optional:
        raise UserError(
            f"no photograph or clip in {folder} (looked for {', '.join(kinds)}); add some, or set "
            "corpus.synthetic.photos back to data/photos"
        )
    unknown = sorted(path.name for path in files if path.suffix.lower() not in kinds and path.name != PAGE)
    if unknown:
        names = ", ".join(unknown[:NAMED]) + (" …" if len(unknown) > NAMED else "")
        print(f"fetch: files of {folder} that are no known photograph or clip, left out: {names}")
    return found


def check_sizes(paths: Sequence[Path], width: int, height: int) -> None:
    """Check that each picture covers the frame: enlarged it would be soft and yet count as pristine.

    Raises:
        UserError: pictures are smaller, all named in one line, or a file cannot be read.
    """
    small = []
    for path in paths:
        size = _photo_size(path) if path.suffix.lower() in PHOTO_SUFFIXES else _clip_size(path)
        if size[0] < width or size[1] < height:
            small.append(f"{path} ({size[0]}x{size[1]})")
    if small:
        names = ", ".join(small[:NAMED]) + (f" and {len(small) - NAMED} more" if len(small) > NAMED else "")
        raise UserError(
            f"smaller than the scenes' {width}x{height}: {names}; remove what is too small or lower "
            "corpus.synthetic.width and height"
        )


def photo_clip(path: Path, name: str, seed: int, width: int, height: int, frames: int) -> Frames:
    """A pristine clip from one file: uint8 luma (frames, height, width), limited range.

    A camera moves over a photograph; of a clip, the frames from its middle on are taken, as films open in
    black. Both are shrunk to cover the frame, which `check_sizes` says they can, and cut to its form.

    Raises:
        UserError: the file is damaged, of one grey level, or a clip too short.
    """
    if path.suffix.lower() in PHOTO_SUFFIXES:
        clip = camera(_photo(path, width, height), seeded(seed, "photo", name), width, height, frames)
        if any(map(is_flat, clip)):
            raise UserError(f"{path} shows one grey level, which is no picture; replace or remove it")
        return clip
    clip = _clip(path, width, height, frames)
    if any(map(is_flat, clip)):
        raise UserError(
            f"{path} shows one grey level in its middle, where the scene's {frames} frames are taken; cut it "
            "so that a picture is there, or remove it"
        )
    return clip


def _photo_size(path: Path) -> tuple[int, int]:
    """Width and height of a photograph as it is shown."""
    with _opened_photo(path) as opened:
        # only a PNG is decoded for it: its orientation may lie behind its pixels
        turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
        return (opened.height, opened.width) if turned else opened.size


@contextlib.contextmanager
def _opened_photo(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as opened:
            yield opened
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read photograph {path} ({error}); remove or replace it") from None


def _photo(path: Path, width: int, height: int) -> Image.Image:
    with _opened_photo(path) as opened:
        grey = _grey(path, ImageOps.exif_transpose(opened))
    cover = FINE * MARGIN * max(width / grey.width, height / grey.height)
    if cover < 1:
        size = (round(grey.width * cover), round(grey.height * cover))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return Image.fromarray(LIMITED[np.asarray(grey)])


def _grey(path: Path, picture: Image.Image) -> Image.Image:
    """The picture in 8-bit grey (mode L); Pillow alone would turn nearly all of 16 bits into white."""
    if picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise UserError(
            f"{path} holds 32-bit numbers whose white is unknown; save it with 8 or 16 bits, or remove it"
        )
    try:
        return picture.convert("L")
    except ValueError as error:  # LAB, for one
        raise UserError(f"cannot read photograph {path} ({error}); remove or replace it") from None


def _clip(path: Path, width: int, height: int, frames: int) -> Frames:
    shown = [_cut(frame, path, width, height) for frame in _sought(path, frames)]
    if len(shown) < frames:
        shown = [_cut(frame, path, width, height) for frame in _walked(path, frames)]
    if len(shown) < frames:
        raise UserError(
            f"clip {path} has {len(shown)} frames, fewer than corpus.synthetic.frames ({frames}); remove it "
            "or lower the number"
        )
    return np.stack(shown)


def _clip_size(path: Path) -> tuple[int, int]:
    """Width and height of a clip's pictures as they are shown; the first one is decoded."""
    with opened(path) as (container, stream):
        first = next(frames_of(container, stream), None)
        if first is None:
            raise UserError(f"{path} has no picture; remove or replace it")
        height, width = luma_of(first, path).shape
    return width, height


def _sought(path: Path, frames: int) -> Iterator[VideoFrame]:
    """Yield `frames` frames from the first at or after half of the duration on, after a seek.

    In the middle of an open group of pictures the next key frame is the first. There are fewer than
    `frames` where the header does not tell the duration, tells it wrongly, or the clip is damaged there.
    """
    with opened(path) as (container, stream), contextlib.suppress(av.FFmpegError):
        span = _span(container, stream)
        if span is None:
            return
        container.seek(span.start + int(span.duration / 2), stream=stream)
        packets = dropwhile(lambda packet: not packet.is_keyframe, packets_of(container, stream))
        key = next(packets, None)
        if key is None or key.pts is None:
            return
        # frames shown before the key frame may lean on others that were not decoded
        start = max(key.pts, span.start + math.ceil(span.duration / 2))
        decoded = (frame for packet in chain([key], packets) for frame in packet.decode())
        late = dropwhile(lambda frame: frame.pts is None or frame.pts < start, decoded)
        yield from takewhile(lambda frame: not frame.is_corrupt, islice(late, frames))


def _span(container: Any, stream: VideoStream) -> Span | None:
    """When the pictures are shown, by the header or the demuxer's estimate, which need not be exact here."""
    span = declared_span(container, stream)
    if span is None and stream.start_time is not None and stream.duration is not None:
        return Span(stream.start_time, Fraction(stream.duration))
    return span


def _walked(path: Path, frames: int) -> Iterator[VideoFrame]:
    """Yield the frames from the middle one on, decoded from the start; where too few follow, the last ones.

    Raises:
        UserError: one of them is damaged.
    """
    with opened(path) as (container, stream):
        until = (read_packets(container, stream).count + 1) // 2 + frames
    with opened(path) as (container, stream):
        shown = deque(islice(frames_of(container, stream), until), maxlen=frames)
        if any(frame.is_corrupt for frame in shown):
            raise UserError(f"{path}: the frames in its middle are damaged; replace or remove it")
        yield from shown


def _cut(frame: VideoFrame, path: Path, width: int, height: int) -> Plane:
    """Luma in limited range, shrunk to cover the wanted size, of which the middle is cut out."""
    luma = luma_of(frame, path)
    cover = max(width / luma.shape[1], height / luma.shape[0])
    rows, columns = max(height, round(luma.shape[0] * cover)), max(width, round(luma.shape[1] * cover))
    top, left = (rows - height) // 2, (columns - width) // 2
    small = area_resize(luma, rows, columns)[top : top + height, left : left + width]
    return LIMITED[small] if _is_full_range(frame) else small


def _is_full_range(frame: VideoFrame) -> bool:
    name, told = frame.format.name, int(frame.color_range)
    # luma of RGB is made in limited range
    if frame.format.is_rgb or frame.format.has_palette:
        return False
    # grey that does not tell is full, as in ffmpeg
    return told == FULL_RANGE or (not told and (name.startswith("gray") or name in GRAY_ALPHA))
