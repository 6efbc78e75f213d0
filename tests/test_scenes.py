import numpy as np
import pytest
from PIL import Image

from vmaf_train.leaves import seeded
from vmaf_train.scenes import add_grain, camera, render_clip, render_still

SIZE = (160, 96)


@pytest.fixture(scope="module")
def stills() -> np.ndarray:
    return np.stack([render_still(f"{index:04d}", 1, *SIZE) for index in range(16)])


def test_a_clip_is_the_same_each_time_and_another_by_name_or_seed() -> None:
    clip = render_clip("0001", 1, *SIZE, frames=3)
    assert clip.shape == (3, 96, 160)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, render_clip("0001", 1, *SIZE, frames=3))
    assert (clip != render_clip("0002", 1, *SIZE, frames=3)).any()
    assert (clip != render_clip("0001", 2, *SIZE, frames=3)).any()


def test_a_still_has_the_frame_size_asked_for() -> None:
    assert render_still("0001", 1, *SIZE).shape == (96, 160)


def test_luma_lies_in_limited_range_but_for_grain(stills: np.ndarray) -> None:
    assert np.mean((stills >= 16) & (stills <= 235)) > 0.99


def test_scenes_differ_in_brightness_contrast_and_detail(stills: np.ndarray) -> None:
    means = [still.mean() for still in stills]
    detail = [np.abs(np.diff(still.astype(float), axis=1)).mean() for still in stills]
    assert max(means) - min(means) > 60
    assert max(detail) > 4 * min(detail)


def test_the_camera_moves_and_never_leaves_the_picture() -> None:
    picture = Image.fromarray(np.full((120, 200), 99, np.uint8))
    moved = 0
    ramp = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (120, 1)))
    for index in range(20):
        name = f"{index}"
        assert (camera(picture, seeded(1, name), *SIZE, frames=6) == 99).all()
        clip = camera(ramp, seeded(1, name), *SIZE, frames=6)
        moved += bool((clip[0] != clip[-1]).any())
    assert moved > 10


def test_grain_has_the_strength_asked_for_and_is_new_in_each_frame() -> None:
    grey = np.full((4, 100, 100), 128, np.uint8)
    noisy = add_grain(grey, 5.0, seeded(1, "grain"))
    assert abs(float(noisy.std()) - 5) < 0.3
    assert abs(float(noisy.mean()) - 128) < 0.2
    assert (noisy[0] != noisy[1]).any()
    assert add_grain(grey, 0.0, seeded(1, "grain")) is grey
