"""A user's own photographs and clips as scenes of the synthetic corpus: one file, one scene."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from vmaf_train.camera import HIGH, LOW, MARGIN, Frames, camera
from vmaf_train.errors import UserError
from vmaf_train.ffmpeg import run_ffmpeg
from vmaf_train.layout import Layout
from vmaf_train.leaves import seeded
from vmaf_train.mos import CLIP_SUFFIXES, is_hidden
from vmaf_train.own import own_folder
from vmaf_train.scenes import FINE

PAGE = "README.md"
SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
PHOTO_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


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
        names = ", ".join(unknown[:3]) + (" …" if len(unknown) > 3 else "")
        print(f"fetch: files of {folder} that are no known photograph or clip, left out: {names}")
    return found


def photo_clip(path: Path, name: str, seed: int, width: int, height: int, frames: int) -> Frames:
    """A pristine clip from one file: uint8 luma (frames, height, width), limited range.

    A camera moves over a photograph; of a clip, the first frames are taken. Both are shrunk to cover
    the frame and cut to its form.

    Raises:
        UserError: the file is damaged, smaller than the frame, or a clip too short.
    """
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return camera(_photo(path, width, height), seeded(seed, "photo", name), width, height, frames)
    return _clip(path, width, height, frames)


def _photo(path: Path, width: int, height: int) -> Image.Image:
    try:
        with Image.open(path) as opened:
            # the size first: a picture need not be decoded to be refused
            turned = opened.getexif().get(ExifTags.Base.Orientation, 1) in SIDEWAYS
            size = (opened.height, opened.width) if turned else opened.size
            _refuse_small(path, size, (width, height))
            grey = _grey(path, ImageOps.exif_transpose(opened))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read photograph {path} ({error}); remove or replace it") from None
    cover = FINE * MARGIN * max(width / grey.width, height / grey.height)
    if cover < 1:
        size = (round(grey.width * cover), round(grey.height * cover))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    codes = np.arange(256) * ((HIGH - LOW) / 255) + LOW + 0.5
    return Image.fromarray(codes.astype(np.uint8)[np.asarray(grey)])


def _grey(path: Path, picture: Image.Image) -> Image.Image:
    """The picture in 8-bit grey (mode L); Pillow alone would turn nearly all of 16 bits into white."""
    if picture.mode.startswith("I;16"):
        deep = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise UserError(
            f"{path} holds 32-bit numbers whose white is unknown; save it with 8 or 16 bits, or remove it"
        )
    return picture.convert("L")


def _clip(path: Path, width: int, height: int, frames: int) -> Frames:
    import ffmpeg

    _refuse_small(path, _clip_size(path), (width, height))
    cover = {"force_original_aspect_ratio": "increase", "flags": "area", "out_range": "tv"}
    luma = (
        ffmpeg.input(str(path), threads=1)
        .video.filter("scale", width, height, **cover)
        .filter("crop", width, height)
        .filter("format", "yuv420p")
        .filter("extractplanes", "y")
        .output("pipe:", format="rawvideo", pix_fmt="gray", vframes=frames)
    )
    data = np.frombuffer(run_ffmpeg(luma, what=f"reading {path}"), np.uint8)
    if data.size < frames * height * width:
        raise UserError(
            f"clip {path} has {data.size // (height * width)} frames, fewer than corpus.synthetic.frames "
            f"({frames}); remove it or lower the number"
        )
    return data[: frames * height * width].reshape(frames, height, width)


def _clip_size(path: Path) -> tuple[int, int]:
    """Width and height of a clip's pictures as they are shown, which ffmpeg turns as the file says."""
    # not video.probe: the whole corpus would be rendered anew whenever that module changes
    import av

    try:
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0), None) if container.streams.video else None
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"cannot read clip {path} ({error}); remove or replace it") from None
    if frame is None:
        raise UserError(f"{path} has no picture; remove or replace it")
    return (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)


def _refuse_small(path: Path, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """A picture enlarged to the frame would be soft and yet count as pristine."""
    if size[0] < wanted[0] or size[1] < wanted[1]:
        raise UserError(
            f"{path} is {size[0]}x{size[1]}, smaller than the scenes' {wanted[0]}x{wanted[1]}; remove it "
            "or lower corpus.synthetic.width and height"
        )
