from __future__ import annotations

import numpy as np
from clip_factory import numbered_frame

from vmaf_train.degrade import degrade, noisy


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_the_twin_has_the_shape_of_the_clean_frame_and_the_same_bytes_each_time() -> None:
    clean = numbered_frame(4, 161, 97)
    twin = degrade(clean, 1.2, 35)
    assert twin.shape == clean.shape
    assert twin.dtype == np.uint8
    assert np.array_equal(twin, degrade(clean, 1.2, 35))


def test_more_blur_and_lower_quality_degrade_more() -> None:
    clean = numbered_frame(4)
    assert 0 < error(clean, degrade(clean, 0, 95)) < error(clean, degrade(clean, 0, 20))
    assert error(clean, degrade(clean, 0.5, 95)) < error(clean, degrade(clean, 2, 95))


def test_noise_has_its_strength_and_moves_no_light() -> None:
    grey = np.full((300, 300), 126, np.uint8)
    twin = noisy(grey, 5.0, np.random.default_rng(1))
    assert abs(twin.std() - 5) < 0.1
    assert abs(twin.mean() - 126) < 0.1
