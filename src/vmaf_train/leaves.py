"""What rendered scenes are made of: 1/f noise, occluding leaves, text.

Dead leaves: occluding shapes with power-law sizes have the statistics of natural images (Lee, Mumford
and Huang, "Occlusion models for natural images", IJCV 2001). Luma here is float32, 0 black, 1 white.
"""

from __future__ import annotations

import hashlib
import string
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Canvas = NDArray[np.float32]
TILE = 512


def seeded(seed: int, *names: str) -> np.random.Generator:
    """A generator of its own for each (seed, names): SHA-256, so no order of calls matters."""
    digest = hashlib.sha256(":".join([str(seed), *names]).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


def noise_tile(rng: np.random.Generator, slope: float, stretch: float = 1.0, angle: float = 0.0) -> Canvas:
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
    scaled: Canvas = (tile / tile.std()).astype(np.float32)
    return scaled


def crop_tile(tile: Canvas, y: int, x: int, height: int, width: int) -> Canvas:
    """A (height, width) piece of a periodic tile, wrapped around."""
    rows = np.arange(y, y + height) % TILE
    columns = np.arange(x, x + width) % TILE
    return tile[rows[:, None], columns]


def stretched(tile: Canvas, height: int, width: int, zoom: float) -> Canvas:
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
    crossed: bool = False  # stripes both ways: windows, tiles, bricks
    soft: float = 1.0


def paint(canvas: Canvas, leaf: Leaf, tile: Canvas, corner: tuple[int, int]) -> None:
    """Paint one leaf over `canvas` (H, W), in place; `corner` is where its texture starts in `tile`."""
    found = _window(canvas, leaf, leaf.soft)
    if found is None:
        return
    window, u, v, distance = found
    value = np.float32(leaf.slope_u) * u + np.float32(leaf.slope_v) * v + np.float32(leaf.luma)
    if leaf.dome:
        value += np.float32(leaf.dome) * (np.float32(0.5) - np.minimum(distance, 1) ** 2)
    if leaf.texture or leaf.wobble:
        piece = crop_tile(tile, *corner, *window.shape)
        value += np.float32(leaf.texture) * piece
        distance += np.float32(leaf.wobble) * np.maximum(piece, -1.5)
    if leaf.stripes:
        wave = np.sin(u * np.float32(2 * np.pi * leaf.a / leaf.period))
        if leaf.crossed:
            wave = np.maximum(wave, np.sin(v * np.float32(2 * np.pi * leaf.b / leaf.period)))
        value += np.float32(leaf.stripes) * np.clip(4 * wave, -1, 1)
    alpha = np.clip((1 - distance) * np.float32(min(leaf.a, leaf.b) / leaf.soft) + np.float32(0.5), 0, 1)
    window += alpha * (value - window)


def paint_shadow(canvas: Canvas, leaf: Leaf, depth: float) -> None:
    """Darken `canvas` by the fraction `depth` around and below where `leaf` will lie."""
    offset = 0.25 * min(leaf.a, leaf.b)
    found = _window(canvas, replace(leaf, y=leaf.y + offset, x=leaf.x + 0.5 * offset), 4 * offset)
    if found is not None:
        window, _, _, distance = found
        window *= 1 - np.float32(depth) * np.clip(2 * (np.float32(1.25) - distance), 0, 1)


def _window(canvas: Canvas, leaf: Leaf, border: float) -> tuple[Canvas, Canvas, Canvas, Canvas] | None:
    """The part of `canvas` a leaf touches; there, its own two coordinates and the distance (1: the edge)."""
    cos, sin = np.float32(np.cos(leaf.angle)), np.float32(np.sin(leaf.angle))
    reach = np.array([[abs(sin) * leaf.a, abs(cos) * leaf.b], [abs(cos) * leaf.a, abs(sin) * leaf.b]])
    # a rectangle reaches to its corner, the others less far
    reach_y, reach_x = (reach.sum(1) if leaf.shape == 1 else np.hypot(reach[:, 0], reach[:, 1])) * (
        1 + 1.5 * leaf.wobble
    ) + border
    height, width = canvas.shape
    x0, x1 = max(0, int(leaf.x - reach_x)), min(width, int(leaf.x + reach_x) + 2)
    y0, y1 = max(0, int(leaf.y - reach_y)), min(height, int(leaf.y + reach_y) + 2)
    if x0 >= x1 or y0 >= y1:
        return None
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
    return canvas[y0:y1, x0:x1], u, v, distance


def write_text(canvas: Canvas, rng: np.random.Generator, size: int, luma: float) -> None:
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


def as_bytes(canvas: Canvas) -> NDArray[np.uint8]:
    """A plane of 0..1 as 8-bit codes 0..255."""
    codes: NDArray[np.uint8] = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return codes


def blurred(canvas: Canvas, sigma: float) -> Canvas:
    """Gaussian blur of a plane whose values lie in 0..1, at 8 bits (what is out of focus)."""
    image = Image.fromarray(as_bytes(canvas)).filter(ImageFilter.GaussianBlur(sigma))
    return np.asarray(image, dtype=np.float32) / np.float32(255)
