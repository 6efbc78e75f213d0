from pathlib import Path

import av
import clip_factory
import numpy as np
import pytest
from PIL import ExifTags, Image

from vmaf_train.camera import Frames
from vmaf_train.errors import UserError
from vmaf_train.impair import Impairment, encode
from vmaf_train.layout import Layout
from vmaf_train.photos import check_sizes, find_photos, photo_clip
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
    halves = np.tile(np.repeat(np.array([0, 255], np.uint8), 400), (600, 1))
    Image.fromarray(halves).save(tmp_path / "halves.png")
    clip = photo_clip(tmp_path / "halves.png", "0000", 1, 160, 96, 3)
    assert clip.shape == (3, 96, 160)
    assert (clip[:, :, :20] == 16).all()
    assert (clip[:, :, -20:] == 235).all()


def test_a_photo_of_one_grey_level_is_refused_by_name(tmp_path: Path) -> None:
    path = save(tmp_path / "white.png", 800, 600, 255)
    with pytest.raises(UserError, match=r"white\.png shows one grey level, which is no picture; replace or"):
        photo_clip(path, "0000", 1, 160, 96, 3)


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


def test_all_photos_and_clips_that_are_too_small_are_named_in_one_line(tmp_path: Path) -> None:
    encode(render_clip("0005", 1, 128, 72, 3), Impairment(codec="x264", quality=30), 24, tmp_path / "b.mp4")
    sizes = {"a": (100, 100), "c": (160, 95), "d": (160, 96), "e": (159, 96), "f": (8, 8)}
    photos = [save(tmp_path / f"{name}.png", *size) for name, size in sizes.items()]
    check_sizes([photos[2]], 160, 96)
    with pytest.raises(UserError) as refusal:
        check_sizes([photos[0], tmp_path / "b.mp4", *photos[1:]], 160, 96)
    assert str(refusal.value) == (
        f"smaller than the scenes' 160x96: {photos[0]} (100x100), {tmp_path / 'b.mp4'} (128x72), {photos[1]} "
        "(160x95) and 2 more; remove what is too small or lower corpus.synthetic.width and height"
    )


@pytest.mark.parametrize("turn", [1, 6])
def test_a_photo_that_would_be_enlarged_is_refused_as_it_is_shown(tmp_path: Path, turn: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    size = (96, 160) if turn == 1 else (160, 96)
    Image.new("L", size, 128).save(tmp_path / "tall.jpg", exif=exif)
    with pytest.raises(UserError, match=r"smaller than the scenes' 160x96: .*tall\.jpg \(96x160\);"):
        check_sizes([tmp_path / "tall.jpg"], 160, 96)


def test_a_damaged_photo_is_refused_by_name(tmp_path: Path) -> None:
    whole = save(tmp_path / "half.jpg", 400, 300)
    whole.write_bytes(whole.read_bytes()[:600])
    with pytest.raises(UserError, match=r"cannot read photograph .*half\.jpg"):
        photo_clip(whole, "0000", 1, 160, 96, 3)
    whole.write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot read photograph .*half\.jpg"):
        check_sizes([whole], 160, 96)


def test_the_frames_of_a_clip_keep_their_codes(tmp_path: Path) -> None:
    frames = render_clip("0005", 1, 160, 96, 4)
    encode(frames, Impairment(codec="x264", quality=1), 24, tmp_path / "own.mp4")
    clip = photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 2)
    assert np.abs(clip.astype(int) - frames[2:]).mean() < 1


def numbers(clip: Frames) -> list[int]:
    return [clip_factory.number_in(frame) for frame in clip]


# where the search is not exact, the next key frame is as good: they are 12 frames apart
AFTER = {
    "open_gop.ts": 36,
    "hevc_open_gop.mp4": 24,
    "mpeg2.mpg": 36,
    "mpeg4.avi": 24,
    "intra_refresh.mp4": 33,
}


@pytest.mark.parametrize(
    "name",
    [
        "closed_gop.mp4",
        "open_gop.mkv",
        "no_duration.mkv",
        "no_times.h264",
        "interlaced.mp4",
        "rgb.mkv",
        *AFTER,
    ],
)
def test_the_frames_of_a_clip_are_those_from_its_middle_on(tmp_path: Path, name: str) -> None:
    path = clip_factory.known_clip(tmp_path, name)
    first = AFTER.get(name, clip_factory.MIDDLE)
    assert numbers(photo_clip(path, "0000", 1, 160, 96, 3)) == [first, first + 1, first + 2]


def test_the_middle_of_a_clip_is_half_of_its_time_not_of_its_frames(tmp_path: Path) -> None:
    # from frame 30 on each frame is shown four times as long: 60 frames' time of the whole 90 follow it
    slower = ["-vf", "setpts='if(lt(N,30),N,30+4*(N-30))/30/TB'", "-fps_mode", "vfr"]
    path = clip_factory.make_clip(tmp_path / "slower.mkv", *clip_factory.X264, *slower)
    assert numbers(photo_clip(path, "0000", 1, 160, 96, 3)) == [34, 35, 36]


def test_a_clip_with_fewer_frames_after_its_middle_gives_its_last_ones(tmp_path: Path) -> None:
    path = clip_factory.known_clip(tmp_path, "closed_gop.mp4")
    assert numbers(photo_clip(path, "0000", 1, 160, 96, 24)) == list(range(21, 45))
    assert numbers(photo_clip(path, "0000", 1, 160, 96, 45)) == list(range(45))


def test_a_clip_that_ends_before_its_header_says_gives_the_middle_of_what_is_there(tmp_path: Path) -> None:
    intra = ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "5", "-movflags", "+faststart"]
    path = clip_factory.make_clip(tmp_path / "cut.mp4", *intra)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    first, *others = numbers(photo_clip(path, "0000", 1, 160, 96, 3))
    assert 5 <= first <= 9
    assert others == [first + 1, first + 2]


def test_what_comes_before_the_middle_of_a_clip_is_not_decoded(tmp_path: Path) -> None:
    path = clip_factory.known_clip(tmp_path, "motion_jpeg.mp4")
    clip_factory.zero_packet(path, 5)
    assert numbers(photo_clip(path, "0000", 1, 160, 96, 3)) == [23, 24, 25]


def test_a_clip_whose_middle_cannot_be_decoded_is_refused_by_name(tmp_path: Path) -> None:
    path = clip_factory.zero_packet(clip_factory.known_clip(tmp_path, "closed_gop.mp4"), 24)
    with pytest.raises(UserError, match=r"closed_gop\.mp4: cannot decode .*; replace"):
        photo_clip(path, "0000", 1, 160, 96, 3)


def test_a_clip_whose_middle_the_decoder_patched_up_is_refused_by_name(tmp_path: Path) -> None:
    path = clip_factory.make_clip(tmp_path / "hurt.mkv", "-c:v", "mpeg2video", "-g", "1", "-q:v", "2")
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[24]
    with open(path, "r+b") as handle:
        handle.seek(packet.pos + packet.size // 2)
        handle.write(bytes(packet.size // 4))
    with pytest.raises(UserError, match=r"hurt\.mkv: the frames in its middle are damaged; replace"):
        photo_clip(path, "0000", 1, 160, 96, 3)


def fading(path: Path, count: int) -> Path:
    """A clip of 30 frames of which the first `count` are black."""
    frames = np.stack([clip_factory.numbered_frame(number) for number in range(30)])
    frames[:count] = 16
    encode(frames, Impairment(codec="x264", quality=20), 24, path)
    return path


def test_a_film_that_opens_in_black_is_no_black_scene(tmp_path: Path) -> None:
    clip = photo_clip(fading(tmp_path / "film.mp4", 12), "0000", 1, 160, 96, 3)
    assert numbers(clip) == [15, 16, 17]


@pytest.mark.parametrize("count", [16, 30])
def test_a_clip_with_a_frame_of_one_grey_level_in_its_middle_is_refused_by_name(
    tmp_path: Path, count: int
) -> None:
    path = fading(tmp_path / "film.mp4", count)
    with pytest.raises(
        UserError, match=r"film\.mp4 shows one grey level in its middle, .* 3 frames .*; cut it"
    ):
        photo_clip(path, "0000", 1, 160, 96, 3)


def test_a_clip_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    flat = clip_factory.make_clip(tmp_path / "flat.mp4", "-vf", "transpose=clock", *clip_factory.X264)
    turned = tmp_path / "turned.mp4"
    clip_factory.ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", turned)
    assert numbers(photo_clip(turned, "0000", 1, 160, 96, 3)) == [23, 24, 25]


def test_a_larger_clip_of_another_form_is_shrunk_and_cut_as_ffmpeg_does(tmp_path: Path) -> None:
    path = clip_factory.make_clip(tmp_path / "large.mp4", *clip_factory.X264, width=400, height=320, count=10)
    as_is = [
        "scale=160:96:force_original_aspect_ratio=increase:flags=area",
        "crop=160:96",
        "format=yuv420p",
        "extractplanes=y",
    ]
    raw = clip_factory.ffmpeg(
        *["-i", path, "-vf", ",".join(["select=gte(n\\,5)", *as_is])],
        *["-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"],
    )
    wanted = np.frombuffer(raw, np.uint8).reshape(-1, 96, 160)[:3]
    assert np.abs(photo_clip(path, "0000", 1, 160, 96, 3).astype(int) - wanted).max() <= 1


def test_a_short_clip_is_refused_by_name(tmp_path: Path) -> None:
    frames = render_clip("0005", 1, 160, 96, 2)
    encode(frames, Impairment(codec="x264", quality=30), 24, tmp_path / "own.mp4")
    with pytest.raises(UserError, match=r"own\.mp4 has 2 frames, fewer than corpus\.synthetic\.frames \(3\)"):
        photo_clip(tmp_path / "own.mp4", "0000", 1, 160, 96, 3)


def test_a_clip_on_its_side_has_the_size_that_is_shown(tmp_path: Path) -> None:
    flat = clip_factory.make_clip(tmp_path / "flat.mp4", *clip_factory.X264, count=3)
    clip_factory.ffmpeg("-display_rotation", "90", "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    check_sizes([flat], 160, 96)
    check_sizes([tmp_path / "turned.mp4"], 96, 160)
    with pytest.raises(UserError, match=r"turned\.mp4 \(96x160\);"):
        check_sizes([tmp_path / "turned.mp4"], 160, 96)


def test_a_damaged_clip_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "own.mp4").write_bytes(b"not a clip")
    with pytest.raises(UserError, match=r"own\.mp4: cannot decode .*; replace the clip or"):
        check_sizes([tmp_path / "own.mp4"], 160, 96)
    with pytest.raises(UserError, match=r"own\.mp4: cannot decode .*; replace the clip or"):
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


@pytest.mark.parametrize(
    "name", ["mjpeg yuvj420p", "ffv1 gray", "ffv1 gray10le", "ffv1 bgr0", "libx264rgb rgb24"]
)
def test_a_full_range_clip_becomes_limited_range(tmp_path: Path, name: str) -> None:
    codec, pixels = name.split()
    halves = "color=white:s=320x240:r=24:d=0.2,drawbox=w=160:color=black:t=fill"
    clip_factory.ffmpeg("-f", "lavfi", "-i", halves, "-c:v", codec, "-pix_fmt", pixels, tmp_path / "full.mkv")
    clip = photo_clip(tmp_path / "full.mkv", "0000", 1, 160, 96, 3).astype(int)
    assert np.abs(clip[:, :, :76] - 16).max() <= 1
    assert np.abs(clip[:, :, 84:] - 235).max() <= 1


def test_a_photograph_in_colours_that_pillow_does_not_convert_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "lab.tiff"
    Image.new("LAB", (64, 64), (120, 130, 140)).save(path)
    with pytest.raises(
        UserError, match=r"cannot read photograph .*lab\.tiff \(.*LAB.*\); remove or replace it"
    ):
        photo_clip(path, "0000", 1, 32, 32, 2)
