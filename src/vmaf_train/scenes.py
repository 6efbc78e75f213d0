"""Rendered scenes: from a name and a seed to luma frames, the same bytes each time.

A scene is one large canvas of dead leaves, sky, skin, text and blur, over which a camera moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vmaf_train.leaves import Leaf, Plane, blurred, noise_tile, paint, seeded, stretched, write_text

Frames = NDArray[np.uint8]
MARGIN = 1.15  # canvas beyond the frame, for the camera's path
FINE = 1.25  # canvas pixels a frame pixel: the camera's shrinking removes the jagged edges
LOW, HIGH = 16, 235  # limited range, as video is coded


def render_clip(name: str, seed: int, width: int, height: int, frames: int) -> Frames:
    """Render a pristine clip: uint8 luma (frames, height, width), nearly all of it in 16..235."""
    rng = seeded(seed, "scene", name)
    canvas = _canvas(rng, int(width * MARGIN * FINE), int(height * MARGIN * FINE))
    clip = camera(Image.fromarray(canvas), rng, width, height, frames)
    grain = float(rng.choice([0.0, 0.4, 0.8, 1.5, 2.5]))
    return add_grain(clip, grain, rng)


def render_still(name: str, seed: int, width: int, height: int) -> Frames:
    """The first frame of `render_clip`: uint8 luma (height, width)."""
    still: Frames = render_clip(name, seed, width, height, 1)[0]
    return still


def camera(picture: Image.Image, rng: np.random.Generator, width: int, height: int, frames: int) -> Frames:
    """Move a camera over an 8-bit `picture` (pan, zoom, shake): uint8 (frames, height, width)."""
    crop = min(picture.width / width, picture.height / height) / MARGIN
    room = np.array([picture.width - width * crop, picture.height - height * crop])
    place = rng.uniform(0.2, 0.8, 2) * room
    speed = float(rng.choice([0.0, 0.3, 1.0, 3.0, 7.0])) * crop * width / 960
    angle = rng.uniform(0, 2 * np.pi)
    step = speed * np.array([np.cos(angle), np.sin(angle)])
    zoom = float(rng.choice([0.0, 0.0, 0.003, -0.003, 0.01]))
    shake = float(rng.choice([0.0, 0.0, 0.3, 1.0])) * crop
    clip = np.empty((frames, height, width), np.uint8)
    for index in range(frames):
        scale = crop * (1 - zoom * index)
        size = np.array([width, height]) * scale
        spare = np.array([picture.width, picture.height]) - size
        corner = np.clip(
            place + step * index + shake * rng.standard_normal(2) + 0.5 * (room - spare), 0, spare
        )
        box = (corner[0], corner[1], corner[0] + size[0], corner[1] + size[1])
        clip[index] = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
    return clip


def add_grain(clip: Frames, sigma: float, rng: np.random.Generator) -> Frames:
    """Add sensor noise, `sigma` code values in the shadows and somewhat less in the lights."""
    if sigma <= 0:
        return clip
    noise = rng.standard_normal(clip.shape, dtype=np.float32) * np.float32(sigma)
    noise *= 1.2 - clip * np.float32(0.6 / 255)
    noisy: Frames = np.clip(clip + noise + np.float32(0.5), 0, 255).astype(np.uint8)
    return noisy


def _canvas(rng: np.random.Generator, width: int, height: int) -> Frames:
    unit = width / (960 * MARGIN * FINE)  # one pixel of a 960 wide frame
    tiles = [
        noise_tile(rng, rng.uniform(0.9, 1.3)),
        noise_tile(rng, rng.uniform(1.3, 1.8)),
        noise_tile(rng, rng.uniform(1.0, 1.5), rng.uniform(3, 20), rng.uniform(0, np.pi)),
    ]
    canvas = _background(rng, tiles, width, height)
    busy = float(np.exp(rng.uniform(np.log(0.04), np.log(1.0))))
    focus = float(rng.choice([0.0, 0.0, 1.5, 3.0, 6.0, 10.0])) * unit * FINE
    where = stretched(tiles[1], height, width, float(rng.uniform(2.5, 8))) * rng.uniform(0, 1.5)
    for depth in range(3):
        _scatter(canvas, rng, tiles, where, busy / 3, unit * FINE)
        if depth < 2 and focus:
            canvas = blurred(canvas, focus / (1 + 2 * depth))
    if rng.random() < 0.35:
        _people(canvas, rng, tiles)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            size = int(rng.uniform(9, 40) * unit * FINE)
            write_text(canvas, rng, max(size, 4), float(rng.choice([0.05, 0.95])))
    return _tone(canvas, rng)


def _background(rng: np.random.Generator, tiles: list[Plane], width: int, height: int) -> Plane:
    """Sky or wall above, textured ground below."""
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    canvas = np.float32(rng.uniform(0.25, 0.8)) + np.float32(rng.normal(0, 0.15)) * down
    canvas = canvas + np.float32(rng.normal(0, 0.08)) * across
    canvas += np.float32(rng.uniform(0, 0.12)) * stretched(tiles[1], height, width, float(rng.uniform(3, 9)))
    if rng.random() < 0.6:
        horizon = int(rng.uniform(0.25, 0.9) * height)
        ground = stretched(tiles[int(rng.integers(3))], height, width, float(rng.uniform(0.8, 3)))
        level = np.float32(rng.uniform(0.1, 0.7))
        canvas[horizon:] = level + np.float32(rng.uniform(0.01, 0.12)) * ground[horizon:]
    return canvas.astype(np.float32)


def _scatter(
    canvas: Plane,
    rng: np.random.Generator,
    tiles: list[Plane],
    where: Plane,
    cover: float,
    unit: float,
) -> None:
    """Scatter leaves with radius density r^-3 until they would cover `cover` of the canvas."""
    height, width = canvas.shape
    smallest = float(np.exp(rng.uniform(np.log(2), np.log(9)))) * unit
    largest = float(rng.uniform(0.08, 0.35)) * width
    mean_area = 2 * np.pi * smallest**2 * np.log(largest / smallest)
    count = int(cover * height * width / mean_area) + 3
    uniform = rng.random(count)
    radius = (smallest**-2 + uniform * (largest**-2 - smallest**-2)) ** -0.5
    contrast = rng.uniform(0.05, 0.3)
    texture = np.exp(rng.uniform(np.log(0.004), np.log(0.12)))
    shapes = rng.dirichlet([1.5, 1, 0.4])
    for size in radius:
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        if where[int(y), int(x)] < rng.normal(0, 0.3):
            continue
        squeeze = rng.uniform(0.25, 1.0)
        local = canvas[int(y), int(x)]
        upright = rng.random() < 0.5
        leaf = Leaf(
            y=y,
            x=x,
            a=size / np.sqrt(squeeze),
            b=max(size * np.sqrt(squeeze), 0.8),
            angle=(rng.integers(2) * np.pi / 2 + rng.normal(0, 0.03)) if upright else rng.uniform(0, np.pi),
            shape=int(rng.choice(3, p=shapes)),
            luma=float(np.clip(0.6 * local + 0.4 * rng.uniform(0.1, 0.9) + contrast * rng.normal(), 0, 1)),
            slope_u=rng.normal(0, 0.06),
            slope_v=rng.normal(0, 0.06),
            dome=rng.normal(0, 0.1),
            texture=texture * rng.exponential(),
            wobble=0.12 * rng.random() if rng.random() < 0.5 else 0.0,
            stripes=rng.uniform(0.03, 0.2) if rng.random() < 0.08 else 0.0,
            period=rng.uniform(4, 24) * unit,
            soft=float(rng.uniform(1.0, 2.5)) * unit,
        )
        paint(canvas, leaf, tiles[int(rng.integers(3))], (int(rng.integers(512)), int(rng.integers(512))))


def _people(canvas: Plane, rng: np.random.Generator, tiles: list[Plane]) -> None:
    """Large smooth rounded bodies: skin, cloth, balls."""
    height, width = canvas.shape
    for _ in range(int(rng.integers(1, 4))):
        size = rng.uniform(0.08, 0.3) * height
        leaf = Leaf(
            y=rng.uniform(0.2, 0.8) * height,
            x=rng.uniform(0.1, 0.9) * width,
            a=size,
            b=size * rng.uniform(0.6, 1),
            angle=rng.uniform(0, np.pi),
            shape=0,
            luma=rng.uniform(0.35, 0.75),
            slope_u=rng.normal(0, 0.12),
            slope_v=rng.normal(0, 0.12),
            dome=rng.uniform(0.05, 0.3),
            texture=rng.uniform(0, 0.012),
            soft=rng.uniform(1.5, 5),
        )
        paint(canvas, leaf, tiles[0], (int(rng.integers(512)), int(rng.integers(512))))


def _tone(canvas: Plane, rng: np.random.Generator) -> Frames:
    """Give the canvas the mean and contrast of a filmed picture, in limited range."""
    mean = float(np.clip(rng.normal(108, 30), 38, 180))
    spread = float(np.clip(rng.normal(45, 14), 14, 70))
    toned = (canvas - canvas.mean()) / max(float(canvas.std()), 1e-3) * spread + mean
    # a soft knee at both ends, as cameras have
    middle, half = (LOW + HIGH) / 2, (HIGH - LOW) / 2
    bent = middle + half * np.tanh((toned - middle) / half * np.float32(1.1)) / np.tanh(np.float32(1.5))
    coded: Frames = np.clip(bent + np.float32(0.5), LOW - 4, HIGH + 8).astype(np.uint8)
    return coded
