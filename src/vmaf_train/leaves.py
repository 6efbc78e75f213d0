"""What rendered scenes are made of: 1/f noise, occluding leaves, text.

Dead leaves: occluding shapes with power-law sizes have the statistics of natural images (Lee, Mumford
and Huang, "Occlusion models for natural images", IJCV 2001). Luma here is float32, 0 black, 1 white.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Plane = NDArray[np.float32]
TILE = 512


def seeded(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each (seed, names): SHA-256, so no order of calls matters."""
    digest = hashlib.sha256(":".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def noise_tile(rng: np.random.Generator, slope: float, stretch: float = 1.0, angle: float = 0.0) -> Plane:
    """Periodic noise (TILE, TILE) with amplitude spectrum 1/f^slope, mean 0, standard deviation 1.

    `stretch` > 1 draws it out along `angle` (radians): grass, hair, wood, water.
    """
    fy = np.fft.fftfreq(TILE)[:, None]
    fx = np.fft.rfftfreq(TILE)[None, :]
    along = fx * np.cos(angle) + fy * np.sin(angle)
    across = fy * np.cos(angle) - fx * np.sin(angle)
    radius = np.sqrt((along * stretch) ** 2 + across**2)
    radius[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal((TILE, TILE))) * radius**-slope
    spectrum[0, 0] = 0.0
    tile = np.fft.irfft2(spectrum, s=(TILE, TILE))
    scaled: Plane = (tile / tile.std()).astype(np.float32)
    return scaled


def crop_tile(tile: Plane, y: int, x: int, height: int, width: int) -> Plane:
    """A (height, width) piece of a periodic tile, wrapped around."""
    rows = np.arange(y, y + height) % TILE
    columns = np.arange(x, x + width) % TILE
    return tile[rows[:, None], columns]


def stretched(tile: Plane, height: int, width: int, zoom: float) -> Plane:
    """The tile's corner enlarged `zoom` times and cut to (height, width): smooth, large forms."""
    part = crop_tile(tile, 0, 0, int(height / zoom) + 2, int(width / zoom) + 2)
    image = Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One opaque shape: centre, half axes and edge softness in pixels, luma and its changes inside."""

    y: float
    x: float
    a: float
    b: float
    angle: float
    shape: int  # 0 ellipse, 1 rectangle, 2 diamond
    luma: float
    slope_u: float = 0.0
    slope_v: float = 0.0
    dome: float = 0.0  # shading of a rounded body
    texture: float = 0.0
    wobble: float = 0.0  # how far the outline follows the texture
    stripes: float = 0.0
    period: float = 8.0  # of the stripes, pixels
    soft: float = 1.0


def paint(canvas: Plane, leaf: Leaf, tile: Plane, corner: tuple[int, int]) -> None:
    """Paint one leaf over `canvas` (H, W), in place; `corner` is where its texture starts in `tile`."""
    cos, sin = np.float32(np.cos(leaf.angle)), np.float32(np.sin(leaf.angle))
    grow = 1.0 + 2.0 * leaf.wobble
    diagonal = leaf.shape == 1
    reach_x = grow * (
        abs(cos) * leaf.a + abs(sin) * leaf.b if diagonal else np.hypot(cos * leaf.a, sin * leaf.b)
    )
    reach_y = grow * (
        abs(sin) * leaf.a + abs(cos) * leaf.b if diagonal else np.hypot(sin * leaf.a, cos * leaf.b)
    )
    x0, x1 = (
        max(0, int(leaf.x - reach_x - leaf.soft)),
        min(canvas.shape[1], int(leaf.x + reach_x + leaf.soft) + 2),
    )
    y0, y1 = (
        max(0, int(leaf.y - reach_y - leaf.soft)),
        min(canvas.shape[0], int(leaf.y + reach_y + leaf.soft) + 2),
    )
    if x0 >= x1 or y0 >= y1:
        return
    dx = np.arange(x0, x1, dtype=np.float32) - np.float32(leaf.x)
    dy = (np.arange(y0, y1, dtype=np.float32) - np.float32(leaf.y))[:, None]
    u = dx * (cos / np.float32(leaf.a)) + dy * (sin / np.float32(leaf.a))
    v = dy * (cos / np.float32(leaf.b)) - dx * (sin / np.float32(leaf.b))
    if leaf.shape == 0:
        distance = np.sqrt(u * u + v * v)
    elif leaf.shape == 1:
        distance = np.maximum(np.abs(u), np.abs(v))
    else:
        distance = np.abs(u) + np.abs(v)
    value = np.float32(leaf.slope_u) * u + np.float32(leaf.slope_v) * v + np.float32(leaf.luma)
    if leaf.dome:
        value += np.float32(leaf.dome) * (np.float32(0.5) - np.minimum(distance, 1) ** 2)
    if leaf.texture or leaf.wobble:
        piece = crop_tile(tile, *corner, y1 - y0, x1 - x0)
        value += np.float32(leaf.texture) * piece
        if leaf.wobble:
            distance += np.float32(leaf.wobble) * piece
    if leaf.stripes:
        phase = u * np.float32(2 * np.pi * leaf.a / leaf.period)
        value += np.float32(leaf.stripes) * np.clip(3 * np.sin(phase), -1, 1)
    alpha = np.clip((1 - distance) * np.float32(min(leaf.a, leaf.b) / leaf.soft) + np.float32(0.5), 0, 1)
    target = canvas[y0:y1, x0:x1]
    target += alpha * (value - target)


def write_text(canvas: Plane, rng: np.random.Generator, size: int, luma: float) -> None:
    """Write a few random words, `size` pixels high, somewhere on `canvas`, in place."""
    height, width = canvas.shape
    letters = np.array(list(string.ascii_letters + string.digits))
    lines = []
    for _ in range(int(rng.integers(1, 6))):
        words = [
            "".join(rng.choice(letters, int(rng.integers(1, 9)))) for _ in range(int(rng.integers(1, 5)))
        ]
        lines.append(" ".join(words))
    mask = Image.new("L", (width, height))
    place = (float(rng.uniform(-0.1, 0.8) * width), float(rng.uniform(0, 0.9) * height))
    ImageDraw.Draw(mask).text(place, "\n".join(lines), fill=255, font=ImageFont.load_default(size))
    alpha = np.asarray(mask, dtype=np.float32) / 255
    canvas += alpha * (np.float32(luma) - canvas)


def blurred(canvas: Plane, sigma: float) -> Plane:
    """Gaussian blur of a plane whose values lie in 0..1, at 8 bits (a background out of focus)."""
    image = Image.fromarray((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.float32) / np.float32(255)
