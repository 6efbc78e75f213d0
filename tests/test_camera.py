import numpy as np
from PIL import Image

from vmaf_train.camera import HIGH, LOW, add_grain, camera, film, published
from vmaf_train.leaves import seeded

SIZE = (160, 96)


def test_film_keeps_mid_luma_and_bends_the_ends_into_limited_range() -> None:
    codes = film(np.array([[-500, 60, 125.5, 190, 900]], np.float32))[0]
    assert LOW <= codes[0] < 20
    assert abs(int(codes[1]) - 60) <= 4
    assert codes[2] == 126
    assert abs(int(codes[3]) - 190) <= 4
    assert 231 < codes[4] <= HIGH


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


def test_a_long_shot_zooms_and_stops_where_the_picture_ends_or_its_pixels_show() -> None:
    # bright lines, 20 pixels apart: the wider the shot, the more of them
    lines = np.zeros((240, 400), np.uint8)
    lines[:, ::20] = 255
    counts = []
    for index in range(20):
        clip = camera(Image.fromarray(lines), seeded(1, f"{index}"), *SIZE, frames=1000)
        rows = clip[[0, 500, 999], 48].astype(int)
        first, middle, last = (np.diff((rows > 60).astype(int)) > 0).sum(1)
        assert abs(middle - last) <= 1
        counts.append(last - first)
    assert min(counts) < 0 < max(counts)


def test_grain_has_the_strength_asked_for_and_is_new_in_each_frame() -> None:
    grey = np.full((4, 100, 100), 128, np.uint8)
    noisy = add_grain(grey, 5.0, seeded(1, "grain"))
    assert abs(float(noisy.std()) - 5) < 0.3
    assert abs(float(noisy.mean()) - 128) < 0.2
    assert (noisy[0] != noisy[1]).any()
    assert add_grain(grey, 0.0, seeded(1, "grain")) is grey


def test_a_published_clip_keeps_size_and_light_and_is_the_same_again() -> None:
    clip = np.tile(np.linspace(40, 200, 160, dtype=np.uint8), (3, 96, 1))
    changed = 0
    for index in range(12):
        out = published(clip, seeded(1, "published", str(index)))
        assert out.shape == clip.shape
        assert out.dtype == np.uint8
        assert abs(float(out.mean()) - float(clip.mean())) < 2
        assert (out == published(clip, seeded(1, "published", str(index)))).all()
        changed += bool((out != clip).any())
    assert changed > 8


def test_grain_is_stronger_in_the_shadows() -> None:
    dark, light = (
        add_grain(np.full((4, 100, 100), level, np.uint8), 5.0, seeded(1, "x")) for level in (40, 215)
    )
    assert dark.std() > 1.3 * light.std()
