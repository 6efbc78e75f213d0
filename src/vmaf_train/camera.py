"""The camera of the rendered scenes: its path, its tone curve, its lens and its sensor."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vmaf_train.leaves import Canvas

Frames = NDArray[np.uint8]
MARGIN = 1.15  # picture beyond the frame, for the camera's path
LOW, HIGH = 16, 235  # limited range, as video is coded


def film(luma: Canvas) -> Frames:
    """Luma in code values bent into limited range with a soft knee, as cameras do."""
    middle, half = np.float32((LOW + HIGH) / 2), np.float32((HIGH - LOW) / 2)
    bent = (luma - middle) / half
    bent = bent / (1 + np.abs(bent) ** 4) ** np.float32(0.25)
    coded: Frames = (middle + half * bent + np.float32(0.5)).astype(np.uint8)
    return coded


def camera(picture: Image.Image, rng: np.random.Generator, width: int, height: int, frames: int) -> Frames:
    """Move a camera over an 8-bit `picture` (pan, zoom, shake): uint8 (frames, height, width)."""
    crop = min(picture.width / width, picture.height / height) / MARGIN
    room = np.array([picture.width - width * crop, picture.height - height * crop])
    place = rng.uniform(0.2, 0.8, 2) * room
    speed = float(rng.choice([0.0, 0.0, 0.3, 1.0, 3.0, 7.0])) * crop * width / 960
    angle = rng.uniform(0, 2 * np.pi)
    step = speed * np.array([np.cos(angle), np.sin(angle)])
    zoom = float(rng.choice([0.0, 0.0, 0.003, -0.003, 0.01]))
    shake = float(rng.choice([0.0, 0.0, 0.3, 1.0])) * crop
    whole = np.array([picture.width, picture.height])
    clip = np.empty((frames, height, width), np.uint8)
    for index in range(frames):
        # a zoom stops where the picture would end, or its pixels show
        size = np.array([width, height]) * crop * np.clip(1 - zoom * index, 1 / MARGIN, MARGIN)
        size = np.minimum(size, whole)
        spare = whole - size
        wanted = place + step * index + shake * rng.standard_normal(2) + 0.5 * (spare - room)
        corner = np.clip(wanted, 0, spare)
        box = (corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
        clip[index] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
    return clip


def add_grain(clip: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """Add sensor noise, `sigma` code values at mid luma, more in the shadows and less in the lights."""
    if sigma <= 0:
        return clip
    noise = rng.standard_normal(clip.shape, dtype=np.float32) * np.float32(sigma)
    noise *= np.float32(1.3) - clip * np.float32(0.6 / 255)
    noisy: Frames = np.clip(clip + noise + np.float32(0.5), 0, 255).astype(np.uint8)
    return noisy


def lens(clip: Frames, rng: np.random.Generator) -> Frames:
    """Even good cameras are a little soft and a little noisy."""
    softness = float(rng.choice([0.0, 0.0, 0.3, 0.6, 0.9]))
    if softness:
        blur = ImageFilter.GaussianBlur(softness)
        clip = np.stack([np.asarray(Image.fromarray(frame).filter(blur)) for frame in clip])
    return add_grain(clip, float(rng.choice([0.0, 0.0, 0.4, 0.8, 1.6])), rng)


def published(clip: Frames, rng: np.random.Generator) -> Frames:
    """What a clip has been through before anyone calls it pristine: uint8 luma (frames, height, width).

    It was enlarged (often by different factors across and down) or is soft, sharpened, noisy, and has been
    compressed: so that neither sharpness nor grain alone tells the score.
    """
    kind = rng.random()
    # most clips have about the resolution that they are shown at; where many are soft, blur looks natural
    if kind < 0.5:
        clip = _enlarged(clip, rng, 0.5 if kind < 0.35 else 1.1)
    elif kind < 0.65:
        clip = _each(clip, ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.2))))
    if rng.random() < 0.25:
        amount = int(rng.integers(40, 140))
        clip = _each(clip, ImageFilter.UnsharpMask(float(rng.uniform(0.8, 2)), amount, 0))
    clip = add_grain(clip, float(rng.choice([0.0, 0.0, 0.6, 1.2, 2.4, 4.0])), rng)
    if rng.random() < 0.5:
        quality = int(rng.integers(55, 93))
        clip = np.stack([_compressed(frame, quality) for frame in clip])
    return clip


def _enlarged(clip: Frames, rng: np.random.Generator, most: float) -> Frames:
    """Shrunk and enlarged again, by factors of up to exp(`most`)."""
    height, width = clip.shape[1:]
    across = float(np.exp(rng.uniform(0.1, most)))
    down = across if rng.random() < 0.5 else float(np.exp(rng.uniform(0.0, most)))
    small = (max(1, int(width / across)), max(1, int(height / down)))
    bicubic = Image.Resampling.BICUBIC
    back = bicubic if rng.random() < 0.5 else Image.Resampling.LANCZOS
    pictures = (Image.fromarray(frame).resize(small, bicubic) for frame in clip)
    return np.stack([np.asarray(picture.resize((width, height), back)) for picture in pictures])


def _each(clip: Frames, change: ImageFilter.Filter) -> Frames:
    return np.stack([np.asarray(Image.fromarray(frame).filter(change)) for frame in clip])


def _compressed(frame: Frames, quality: int) -> Frames:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as opened:
        return np.asarray(opened)
