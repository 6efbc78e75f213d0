import numpy as np
import pytest

from vmaf_train.scenes import render_clip, render_still

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
