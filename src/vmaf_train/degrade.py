"""The degraded twin of a clean luma frame: the input of the filter's training pairs."""

from __future__ import annotations

import io

import numpy as np

from vmaf_train.luma import Plane


def blur(luma: Plane, sigma: float) -> Plane:
    """Blur a uint8 luma plane (H, W) with a Gaussian of standard deviation `sigma` pixels; 0: as it is."""
    from PIL import Image, ImageFilter

    if sigma == 0:
        return luma
    return np.asarray(Image.fromarray(luma).filter(ImageFilter.GaussianBlur(sigma)), dtype=np.uint8)


def noisy(luma: Plane, sigma: float, rng: np.random.Generator) -> Plane:
    """Add Gaussian noise of standard deviation `sigma` code values to a uint8 luma plane (H, W)."""
    noise = rng.standard_normal(luma.shape, dtype=np.float32) * np.float32(sigma)
    return np.clip(luma + noise + np.float32(0.5), 0, 255).astype(np.uint8)


def degrade(luma: Plane, sigma: float, quality: int) -> Plane:
    """Blur a uint8 luma plane (H, W) with a Gaussian, then send it through JPEG.

    Args:
        luma: code values 0..255.
        sigma: the Gaussian's standard deviation in pixels; 0 leaves the plane sharp.
        quality: JPEG quality, 1 (worst) to 100.
    """
    from PIL import Image

    image = Image.fromarray(blur(luma, sigma))
    packed = io.BytesIO()
    image.save(packed, format="JPEG", quality=quality)
    packed.seek(0)
    with Image.open(packed) as decoded:
        return np.asarray(decoded, dtype=np.uint8).copy()
