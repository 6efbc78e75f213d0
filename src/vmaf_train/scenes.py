"""Rendered scenes: from a name and a seed to luma frames, the same bytes each time.

A scene is a large canvas (sky, ground, groups of leaves that look alike, rounded bodies, text) and a
nearer layer that moves apart from it; a camera moves over both.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from vmaf_train.camera import MARGIN, Frames, camera, film, lens
from vmaf_train.leaves import (
    TILE,
    Canvas,
    Leaf,
    as_bytes,
    blurred,
    noise_tile,
    paint,
    paint_shadow,
    seeded,
    stretched,
    write_text,
)

FINE = 1.25  # canvas pixels a frame pixel: the camera's shrinking removes jagged edges


def render_clip(name: str, seed: int, width: int, height: int, frames: int) -> Frames:
    """Render a pristine clip: uint8 luma (frames, height, width), nearly all of it in 16..235."""
    rng = seeded(seed, "scene", name)
    unit = FINE * width / 960  # canvas pixels of one pixel of a 960 wide frame
    shape = (int(height * MARGIN * FINE), int(width * MARGIN * FINE))
    tiles = [
        noise_tile(rng, rng.uniform(0.9, 1.3)),
        noise_tile(rng, rng.uniform(1.4, 1.9)),
        noise_tile(rng, rng.uniform(1.0, 1.5), rng.uniform(3, 20), rng.uniform(0, np.pi)),
    ]
    canvas = _background(rng, tiles, *shape)
    _fill(canvas, rng, tiles, unit)
    scale, shift = _exposure(canvas, rng)
    picture = Image.fromarray(film(canvas * scale + shift))
    clip = camera(picture, rng, width, height, frames)
    if rng.random() < 0.5:
        near, mask = _near_layer(rng, tiles, *shape, unit)
        front = Image.fromarray(film(near * scale + shift))
        moved = rng.bit_generator.state
        clip_front = camera(front, rng, width, height, frames)
        # the same path for the layer and for its mask
        rng.bit_generator.state = moved
        weight = camera(Image.fromarray(as_bytes(mask)), rng, width, height, frames) * np.float32(1 / 255)
        clip = (clip + weight * (clip_front.astype(np.float32) - clip) + np.float32(0.5)).astype(np.uint8)
    return lens(clip, rng)


def render_still(name: str, seed: int, width: int, height: int) -> Frames:
    """One frame of a scene: uint8 luma (height, width)."""
    still: Frames = render_clip(name, seed, width, height, 1)[0]
    return still


def _background(rng: np.random.Generator, tiles: list[Canvas], height: int, width: int) -> Canvas:
    """Sky or wall above, perhaps textured ground below."""
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    canvas = np.float32(rng.uniform(0.3, 0.8)) + np.float32(rng.normal(0, 0.15)) * down
    canvas = canvas + np.float32(rng.normal(0, 0.08)) * across
    clouds = rng.choice([0.0, 0.02, 0.06, 0.12]) * rng.uniform(0.5, 1)
    canvas += np.float32(clouds) * stretched(tiles[1], height, width, float(rng.uniform(3, 9)))
    if rng.random() < 0.6:
        horizon = int(rng.uniform(0.2, 0.85) * height)
        level = np.float32(rng.uniform(0.1, 0.65))
        contrast = np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.12))))
        ground = stretched(tiles[int(rng.integers(3))], height, width, float(rng.uniform(1, 3)))
        slope = np.float32(rng.normal(0, 0.15)) * np.linspace(0, 1, height - horizon, dtype=np.float32)
        canvas[horizon:] = level + slope[:, None] + contrast * ground[horizon:]
    return canvas.astype(np.float32)


def _fill(canvas: Canvas, rng: np.random.Generator, tiles: list[Canvas], unit: float) -> None:
    """Groups of leaves from far to near, with the far ones out of focus; then bodies and text."""
    for _ in range(int(rng.integers(0, 10))):
        _mass(canvas, rng, tiles, unit)
    groups = int(rng.integers(0, 6))
    focus = float(rng.choice([0.0, 0.0, 0.0, 1.5, 3.0, 6.0])) * unit
    for depth in range(groups):
        _group(canvas, rng, tiles, unit, far=1 - depth / groups)
        if focus and depth in (0, groups // 2) and depth < groups - 1:
            canvas[:] = blurred(canvas, focus / (1 + depth))
    if focus:
        # a picture has something in focus
        for _ in range(int(rng.integers(1, 4))):
            _mass(canvas, rng, tiles, unit)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            _body(canvas, rng, tiles)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 4))):
            size = int(np.exp(rng.uniform(np.log(9), np.log(60))) * unit)
            write_text(canvas, rng, max(size, 4), float(rng.choice([0.05, 0.95])))


def _mass(canvas: Canvas, rng: np.random.Generator, tiles: list[Canvas], unit: float) -> None:
    """A large plain thing, sharp or soft: a hill, a wall, a vehicle, furniture."""
    height, width = canvas.shape
    size = float(np.exp(rng.uniform(np.log(0.06), np.log(0.6)))) * height
    leaf = Leaf(
        y=rng.uniform(0.1, 1.1) * height,
        x=rng.uniform(0, 1) * width,
        a=size * float(np.exp(rng.uniform(0, 1.3))),
        b=size,
        angle=float(rng.choice([0, np.pi / 2])) + float(rng.choice([0.0, 0.1, 1.0])) * rng.normal(),
        shape=int(rng.choice(3, p=[0.4, 0.5, 0.1])),
        luma=rng.uniform(0.05, 0.9),
        slope_u=rng.normal(0, 0.08),
        slope_v=rng.normal(0, 0.08),
        dome=float(rng.choice([0.0, 0.1])),
        texture=float(np.exp(rng.uniform(np.log(0.001), np.log(0.05)))),
        wobble=float(rng.choice([0.0, 0.0, 0.06, 0.15])),
        stripes=rng.uniform(0.02, 0.2) if rng.random() < 0.12 else 0.0,
        crossed=bool(rng.random() < 0.6),
        period=float(np.exp(rng.uniform(np.log(8), np.log(90)))) * unit,
        soft=float(rng.choice([0.8, 1.0, 1.5, 6.0, 25.0])) * unit,
    )
    if rng.random() < 0.3:
        paint_shadow(canvas, leaf, 0.3)
    paint(canvas, leaf, tiles[int(rng.integers(3))], (int(rng.integers(TILE)), int(rng.integers(TILE))))


def _group(canvas: Canvas, rng: np.random.Generator, tiles: list[Canvas], unit: float, far: float) -> None:
    """Leaves of one kind around one place: foliage, pebbles, bricks, a crowd, a row of houses.

    The radius has density r^-3 between a smallest and a largest one (Lee, Mumford and Huang).
    """
    height, width = canvas.shape
    centre = rng.uniform(0, 1, 2) * (height, width)
    centre[0] += (0.5 - far) * 0.4 * height  # near things stand lower in the picture
    reach = np.exp(rng.uniform(np.log(0.04), np.log(0.7), 2)) * (height, width)
    smallest = float(np.exp(rng.uniform(np.log(1.8), np.log(18)))) * unit
    largest = smallest * float(np.exp(rng.uniform(np.log(1.5), np.log(40))))
    largest = min(largest, 0.35 * width)
    cover = float(np.exp(rng.uniform(np.log(0.05), np.log(1.5))))
    mean_area = 2 * np.pi * np.log(largest / smallest) / (smallest**-2 - largest**-2)
    area = min(4 * reach[0] * reach[1], height * width)
    count = min(int(cover * area / mean_area) + 1, 4000)
    radius = (smallest**-2 - rng.random(count) * (smallest**-2 - largest**-2)) ** -0.5
    spread = rng.standard_normal((count, 2)) if rng.random() < 0.6 else rng.uniform(-1.2, 1.2, (count, 2))
    places = centre + spread * reach
    angle, straight = rng.uniform(0, np.pi), float(rng.choice([0.02, 0.3, 3.0]))
    squeeze, palette, contrast = rng.uniform(0.25, 1.0), rng.uniform(0.1, 0.85), rng.uniform(0.01, 0.15)
    texture = float(np.exp(rng.uniform(np.log(0.001), np.log(0.1))))
    shape = int(rng.choice(3, p=[0.6, 0.3, 0.1]))
    if shape == 1 and rng.random() < 0.7:
        angle = 0.0
    kind = Leaf(
        y=0,
        x=0,
        a=1,
        b=1,
        angle=0,
        shape=shape,
        luma=0,
        dome=float(rng.choice([0.0, 0.1, 0.25])) * rng.normal(),
        texture=texture,
        wobble=rng.uniform(0.05, 0.2) if rng.random() < 0.5 else 0.0,
        stripes=rng.uniform(0.03, 0.2) if rng.random() < 0.15 else 0.0,
        crossed=bool(rng.random() < 0.5),
        period=float(np.exp(rng.uniform(np.log(4), np.log(40)))) * unit,
        soft=rng.uniform(0.8, 1.6) * unit,
    )
    tile = tiles[int(rng.integers(len(tiles)))]
    light = rng.normal(0, 0.08, 2)
    shadow = float(rng.choice([0.0, 0.25, 0.45]))
    for size, (y, x) in zip(radius, places, strict=True):
        thin = np.sqrt(np.clip(squeeze * np.exp(rng.normal(0, 0.15)), 0.1, 1))
        leaf = replace(
            kind,
            y=y,
            x=x,
            a=size / thin,
            b=max(size * thin, 0.8),
            angle=angle + straight * rng.normal(),
            luma=palette + contrast * rng.normal(),
            slope_u=light[0] + 0.04 * rng.normal(),
            slope_v=light[1] + 0.04 * rng.normal(),
        )
        if shadow and size > 5 * unit:
            paint_shadow(canvas, leaf, shadow)
        paint(canvas, leaf, tile, (int(rng.integers(TILE)), int(rng.integers(TILE))))


def _body(canvas: Canvas, rng: np.random.Generator, tiles: list[Canvas]) -> None:
    """A large smooth rounded body: skin, cloth, a ball."""
    height, width = canvas.shape
    size = rng.uniform(0.08, 0.3) * height
    leaf = Leaf(
        y=rng.uniform(0.3, 1.0) * height,
        x=rng.uniform(0.1, 0.9) * width,
        a=size * rng.uniform(1, 2),
        b=size,
        angle=np.pi / 2 + rng.normal(0, 0.4),
        shape=0,
        luma=rng.uniform(0.2, 0.75),
        slope_u=rng.normal(0, 0.12),
        slope_v=rng.normal(0, 0.12),
        dome=rng.uniform(0.02, 0.25),
        texture=rng.uniform(0, 0.02),
        wobble=rng.uniform(0, 0.08),
        soft=rng.uniform(1.5, 5),
    )
    paint_shadow(canvas, leaf, 0.3)
    paint(canvas, leaf, tiles[1], (int(rng.integers(TILE)), int(rng.integers(TILE))))


def _near_layer(
    rng: np.random.Generator, tiles: list[Canvas], height: int, width: int, unit: float
) -> tuple[Canvas, Canvas]:
    """A few near things, perhaps out of focus: their luma and their mask 0..1."""
    near = np.full((height, width), np.float32(rng.uniform(0.1, 0.8)))
    marked = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        size = float(np.exp(rng.uniform(np.log(0.03), np.log(0.25)))) * height
        leaf = Leaf(
            y=rng.uniform(0.3, 1.1) * height,
            x=rng.uniform(0, 1) * width,
            a=size * rng.uniform(1, 4),
            b=size,
            angle=np.pi / 2 + rng.normal(0, 0.3),
            shape=int(rng.integers(2)),
            luma=rng.uniform(0.05, 0.85),
            slope_u=rng.normal(0, 0.1),
            slope_v=rng.normal(0, 0.1),
            dome=rng.uniform(0, 0.2),
            texture=float(np.exp(rng.uniform(np.log(0.005), np.log(0.12)))),
            stripes=rng.uniform(0, 0.2) if rng.random() < 0.2 else 0.0,
            period=rng.uniform(6, 30) * unit,
            wobble=rng.uniform(0, 0.1),
            soft=1.5 * unit,
        )
        tile, corner = tiles[int(rng.integers(3))], (int(rng.integers(TILE)), int(rng.integers(TILE)))
        paint(near, leaf, tile, corner)
        flat = replace(leaf, luma=1.0, slope_u=0, slope_v=0, dome=0, texture=0, stripes=0)
        paint(marked, flat, tile, corner)
    if rng.random() < 0.25:
        sigma = rng.uniform(2, 8) * unit
        near, marked = blurred(near, sigma), blurred(marked, sigma)
    return near, marked


def _exposure(canvas: Canvas, rng: np.random.Generator) -> tuple[np.float32, np.float32]:
    """Scale and shift that give the canvas the mean and contrast of filmed luma, in code values."""
    mean = float(np.clip(rng.normal(108, 32), 36, 185))
    spread = float(np.clip(rng.normal(46, 14), 12, 72))
    scale = spread / max(float(canvas.std()), 0.04)
    return np.float32(scale), np.float32(mean - scale * float(canvas.mean()))
