from pathlib import Path

import clip_factory
import numpy as np
import pytest
from PIL import ExifTags, Image

from vmaf_train.errors import UserError
from vmaf_train.impair import Impairment, encode
from vmaf_train.layout import Layout
from vmaf_train.photos import find_photos, photo_clip
from vmaf_train.scenes import render_clip


def save(path: Path, width: int, height: int, level: int = 128) -> Path:
    ramp = np.clip(np.arange(width) % 32 + level, 0, 255).astype(np.uint8)
    Image.fromarray(np.tile(ramp, (height, 1))).convert("RGB").save(path)
    return path


def test_a_missing_folder_is_named(layout: Layout) -> None:
    with pytest.raises(UserError, match=r"photos is 'nowhere', which does not exist; .*params\.yaml"):
        find_photos("nowhere", layout)


def test_a_folder_without_pictures_is_named(layout: Layout) -> None:
    (layout.root / "mine").mkdir()
    (layout.root / "mine" / "notes.txt").write_text("none")
    with pytest.raises(UserError, match=r"no photograph or clip in .*mine .*back to data/photos"):
        find_photos("mine", layout)


def test_the_default_folder_may_be_missing_or_without_pictures(layout: Layout) -> None:
    assert find_photos("data/photos", layout) == []
    layout.photos.mkdir(parents=True)
    (layout.photos / "README.md").write_text("Put pictures here.")
    assert find_photos("data/photos", layout) == []


def test_photos_are_found_at_any_depth_in_order(layout: Layout) -> None:
    (layout.photos / "b").mkdir(parents=True)
    save(layout.photos / "b" / "1.JPG", 64, 64)
    save(layout.photos / "a.png", 64, 64)
    for value in ("data/photos", str(layout.photos)):
        assert [path.name for path in find_photos(value, layout)] == ["a.png", "1.JPG"]


def test_every_container_of_a_corpus_is_a_scene_and_other_files_are_told(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    (layout.photos / ".hidden").mkdir(parents=True)
    for name in (
        "a.ts",
        "b.mpeg",
        "c.heic",
        "README.md",
        ".DS_Store",
        "notes.txt",
        "._a.jpg",
        ".hidden/a.ts",
    ):
        (layout.photos / name).write_bytes(b"x")
    assert [path.name for path in find_photos("data/photos", layout)] == ["a.ts", "b.mpeg"]
    said = capsys.readouterr().out
    assert said.endswith("no known photograph or clip, left out: c.heic, notes.txt\n")
    assert said.count("\n") == 1


@pytest.mark.parametrize("value", ["data/corpus", "data", "."])
def test_the_corpus_that_is_about_to_be_replaced_gives_no_photos(layout: Layout, value: str) -> None:
    layout.corpus.mkdir(parents=True)
    with pytest.raises(UserError, match=r"corpus\.synthetic\.photos is .*data/corpus, "):
        find_photos(value, layout)


def test_a_photo_becomes_a_clip_in_limited_range(tmp_path: Path) -> None:
    path = save(tmp_path / "white.png", 800, 600, 255)
    clip = photo_clip(path, "0000", 1, 160, 96, 3)
    assert clip.shape == (3, 96, 160)
    assert (clip == 235).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path: Path, name: str) -> None:
    ramp = np.tile(np.linspace(0, 255, 800).round().astype(np.uint8), (600, 1))
    Image.fromarray(ramp).save(tmp_path / "plain.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / name)
    plain, deep = (photo_clip(tmp_path / one, "0000", 1, 160, 96, 3) for one in ("plain.png", name))
    assert np.array_equal(deep, plain)
    # between two codes of 8 bits, to the nearer one
    Image.fromarray((ramp.astype(np.uint16) * 257).clip(128) - 128).save(tmp_path / name)
    below = photo_clip(tmp_path / name, "0000", 1, 160, 96, 3)
    assert np.array_equal(below, plain)
    assert 16 <= plain.min() < 60
    assert 190 < plain.max() <= 235


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_a_photo_whose_white_is_unknown_is_refused_by_name(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((600, 800), 40_000, kind)).save(tmp_path / "raw.tif")
    with pytest.raises(UserError, match=r"raw\.tif holds 32-bit numbers whose white is unknown; save it"):
        photo_clip(tmp_path / "raw.tif", "0000", 1, 160, 96, 3)


def test_a_small_photo_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "icon.png", 100, 100)
    with pytest.raises(UserError, match=r"icon\.png is 100x100, smaller than the scenes' 160x96"):
        photo_clip(path, "0000", 1, 160, 96, 3)


@pytest.mark.parametrize("turn", [1, 6])
def test_a_photo_that_would_be_enlarged_is_refused_as_it_is_shown(tmp_path: Path, turn: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    size = (96, 160) if turn == 1 else (160, 96)
    Image.new("L", size, 128).save(tmp_path / "tall.jpg", exif=exif)
    with pytest.raises(UserError, match=r"tall\.jpg is 96x160, smaller than the scenes' 160x96"):
        photo_clip(tmp_path / "tall.jpg", "0000", 1, 160, 96, 3)


def test_a_damaged_photo_is_refused_by_name(tmp_path: Path) -> None:
    whole = save(tmp_path / "half.jpg", 400, 300)
    whole.write_bytes(whole.read_bytes()[:600])
    with pytest.raises(UserError, match=r"cannot read photograph .*half\.jpg"):
        photo_clip(whole, "0000", 1, 160, 96, 3)


def test_the_first_frames_of_a_clip_keep_their_codes(tmp_path: Path) -> None:
    frames = render_clip("0005", 1, 160, 96, 4)
    encode(frames, Impairment(codec="x264", quality=1), 24, tmp_path / "own.mp4")
    clip = photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 3)
    assert np.abs(clip.astype(int) - frames[:3]).mean() < 1


def test_a_short_clip_is_refused_by_name(tmp_path: Path) -> None:
    frames = render_clip("0005", 1, 160, 96, 2)
    encode(frames, Impairment(codec="x264", quality=30), 24, tmp_path / "own.mp4")
    with pytest.raises(UserError, match=r"own\.mp4 has 2 frames, fewer than corpus\.synthetic\.frames \(3\)"):
        photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 3)


def test_a_small_clip_is_refused_by_name(tmp_path: Path) -> None:
    encode(render_clip("0005", 1, 128, 72, 3), Impairment(codec="x264", quality=30), 24, tmp_path / "own.mp4")
    with pytest.raises(UserError, match=r"own\.mp4 is 128x72, smaller than the scenes' 160x96"):
        photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 3)


def test_a_damaged_clip_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.mp4").write_bytes(b"not a clip")
    with pytest.raises(UserError, match=r"cannot read clip .*own\.mp4"):
        photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 3)


def test_a_photo_taken_on_the_side_is_turned_upright(tmp_path: Path) -> None:
    upright = Image.fromarray(np.tile(np.linspace(0, 255, 800).round().astype(np.uint8), (600, 1)))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be shown turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    upright_clip, side = (
        photo_clip(tmp_path / name, "0000", 1, 160, 96, 3) for name in ("upright.png", "side.png")
    )
    assert np.array_equal(side, upright_clip)


def test_a_full_range_clip_becomes_limited_range(tmp_path: Path) -> None:
    white = ["-f", "lavfi", "-i", "color=white:s=320x240:r=24:d=0.2", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"]
    clip_factory.ffmpeg(*white, tmp_path / "full.mkv")
    clip = photo_clip(tmp_path / "full.mkv", "0000", 1, 160, 96, 3)
    assert np.abs(clip.astype(int) - 235).max() <= 1
