import numpy as np
import pytest

from vmaf_train.leaves import TILE, Leaf, blurred, crop_tile, noise_tile, paint, seeded, write_text


def spectrum_slope(picture: np.ndarray) -> float:
    """Slope of log amplitude over log frequency, radially averaged."""
    amplitude = np.abs(np.fft.fft2(picture - picture.mean()))
    side = picture.shape[0]
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    band = (frequency > 4 / side) & (frequency < 0.3)
    return float(np.polyfit(np.log(frequency[band]), np.log(amplitude[band]), 1)[0])


def test_the_generator_depends_on_every_name_and_nothing_else() -> None:
    assert seeded(1, "scene", "0001").random() == seeded(1, "scene", "0001").random()
    keys = [(1, ["a", "b"]), (1, ["a", "c"]), (2, ["a", "b"]), (1, ["ab"])]
    drawn = {seeded(seed, *names).random() for seed, names in keys}
    assert len(drawn) == 4


@pytest.mark.parametrize("slope", [1.0, 1.5])
def test_noise_has_the_slope_asked_for(slope: float) -> None:
    tile = noise_tile(seeded(1, "noise"), slope)
    assert tile.shape == (TILE, TILE)
    assert abs(float(tile.std()) - 1) < 1e-3
    assert abs(spectrum_slope(tile) + slope) < 0.1


def test_drawn_out_noise_is_smoother_along_its_angle() -> None:
    tile = noise_tile(seeded(1, "grass"), 1.2, stretch=10.0, angle=0.0)
    assert np.abs(np.diff(tile, axis=1)).mean() < 0.5 * np.abs(np.diff(tile, axis=0)).mean()


def test_a_tile_wraps_around() -> None:
    tile = noise_tile(seeded(1, "noise"), 1.0)
    np.testing.assert_array_equal(crop_tile(tile, TILE - 1, 0, 2, 1)[1], tile[0, :1])


@pytest.mark.parametrize(("shape", "share"), [(0, np.pi / 4), (1, 1.0), (2, 0.5)])
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_a_leaf_covers_the_area_of_its_shape(shape: int, share: float, angle: float) -> None:
    canvas = np.zeros((200, 200), np.float32)
    leaf = Leaf(y=100, x=100, a=60, b=30, angle=angle, shape=shape, luma=1.0)
    paint(canvas, leaf, np.zeros((TILE, TILE), np.float32), (0, 0))
    assert abs(float(canvas.sum()) / (4 * 60 * 30 * share) - 1) < 0.02


def test_a_leaf_beside_the_canvas_changes_nothing() -> None:
    canvas = np.full((20, 20), 0.5, np.float32)
    tile = np.zeros((TILE, TILE), np.float32)
    paint(canvas, Leaf(y=-50, x=10, a=9, b=9, angle=0, shape=0, luma=1.0), tile, (0, 0))
    assert (canvas == 0.5).all()


def test_text_is_written_in_the_luma_asked_for() -> None:
    canvas = np.full((120, 200), 0.5, np.float32)
    write_text(canvas, seeded(3, "text"), 16, 0.9)
    assert canvas.max() > 0.85
    assert canvas.min() == 0.5


def test_blur_keeps_the_mean() -> None:
    canvas = noise_tile(seeded(1, "noise"), 1.0) * 0.1 + 0.5
    soft = blurred(canvas, 3.0)
    assert abs(float(soft.mean() - canvas.mean())) < 0.004
    assert soft.std() < canvas.std()
