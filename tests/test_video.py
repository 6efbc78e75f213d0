from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import COUNT, FPS, HEIGHT, WIDTH, X264, ffmpeg, make_clip, number_in, numbered_frame

from vmaf_train.errors import UserError
from vmaf_train.executor import attempt
from vmaf_train.luma import luma_of
from vmaf_train.video import iterate_luma, middle_luma, probe

MIDDLE = 23  # of 45 frames: the first at or after 0.75 s
OPEN_GOP = "open-gop=1:bframes=3:b-pyramid=normal:keyint=12:min-keyint=12:scenecut=0"
X265 = ["-c:v", "libx265", "-x265-params", "log-level=none:keyint=12:min-keyint=12:open-gop=1"]
INTERLACED = ["-flags", "+ilme+ildct"]

# name -> encoder options; every one of these holds frame 23 in its middle
CLIPS: dict[str, list[str]] = {
    "closed_gop.mp4": X264,
    "open_gop.mp4": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "open_gop.mkv": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "open_gop.ts": ["-c:v", "libx264", "-x264-params", OPEN_GOP],
    "hevc_open_gop.mp4": X265,
    "intra_refresh.mp4": ["-c:v", "libx264", "-x264-params", "intra-refresh=1:keyint=12"],
    "vp9.webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-g", "12"],
    "av1.mp4": ["-c:v", "libsvtav1", "-preset", "12", "-g", "12"],
    "mpeg4.avi": ["-c:v", "mpeg4", "-bf", "2", "-g", "12"],
    "mpeg2.mpg": ["-c:v", "mpeg2video", "-bf", "2", "-g", "12"],
    "motion_jpeg.mp4": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "2"],
    "fragmented.mp4": [*X264, "-movflags", "frag_keyframe+empty_moov"],
    "no_duration.mkv": [*X264, "-f", "matroska", "-live", "1"],
    "no_times.h264": X264,
    "interlaced.mp4": [*X264, *INTERLACED],
    "interlaced.mpg": ["-c:v", "mpeg2video", "-bf", "2", "-g", "12", *INTERLACED],
    "wide_pixels.mp4": [*X264, "-vf", "setsar=16/11"],
    "h264_10_bits.mp4": [*X264, "-pix_fmt", "yuv420p10le"],
    "hevc_12_bits.mp4": [*X265, "-pix_fmt", "yuv420p12le"],
    "prores_422_10_bits.mov": ["-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"],
    "h264_444.mp4": [*X264, "-pix_fmt", "yuv444p"],
    "packed_422.mov": ["-c:v", "rawvideo", "-pix_fmt", "uyvy422"],
    "rgb.mkv": ["-c:v", "ffv1", "-pix_fmt", "bgr0"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4", *X264, "-movflags", "+faststart")


def by_full_decode(clip: Path) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "NONE"
        return [luma_of(frame, clip) for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", CLIPS)
def test_the_middle_frame_is_that_of_a_full_decode(folder: Path, name: str) -> None:
    clip = make_clip(folder / name, *CLIPS[name])
    middle = middle_luma(clip)
    assert number_in(middle) == MIDDLE
    assert np.array_equal(middle, by_full_decode(clip)[MIDDLE])
    assert np.abs(middle.astype(int) - numbered_frame(MIDDLE)).mean() < 8
    info = probe(clip, whole=True)
    assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, COUNT)
    if name != "no_times.h264":
        assert info.duration == pytest.approx(COUNT / FPS, abs=0.01)
        assert info.fps == pytest.approx(FPS, rel=0.01)


def test_every_length_gives_the_frame_at_or_after_half(folder: Path) -> None:
    for count in (2, 3, 4, 5, 12, 13, 24, 25, 26):
        clip = make_clip(folder / f"length_{count}.mp4", *CLIPS["open_gop.mp4"], count=count)
        assert number_in(middle_luma(clip)) == (count + 1) // 2 if count > 2 else 1


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_frame_rate_is_followed(folder: Path, suffix: str) -> None:
    # frame n is shown from n * n / 100 s on
    slow = ["-vf", "setpts=N*N/100/TB", "-fps_mode", "vfr", "-enc_time_base", "1:1000", "-bf", "0"]
    clip = make_clip(folder / f"variable.{suffix}", *X264, *slow)
    half = probe(clip).duration / 2
    assert number_in(middle_luma(clip)) == next(n for n in range(COUNT) if n * n / 100 >= half - 1e-3)


def test_a_last_frame_that_fills_the_second_half_is_the_middle(folder: Path) -> None:
    clip = make_clip(folder / "long_last.mkv", *X264, "-vf", "setpts='if(eq(N,4),4,N)/25/TB'", count=5)
    long = folder / "long_last_edited.mkv"
    ffmpeg("-i", clip, "-f", "lavfi", "-i", "sine=duration=10", "-c:v", "copy", long)
    assert number_in(middle_luma(long)) in (3, 4)


@pytest.mark.parametrize("delay", [0, 1])
def test_sound_longer_than_the_pictures_or_before_them_moves_nothing(
    folder: Path, plain: Path, delay: int
) -> None:
    for suffix in ("mp4", "mkv"):
        clip = folder / f"sound_{delay}.{suffix}"
        sound = ["-f", "lavfi", "-i", "sine=duration=6", "-itsoffset", str(delay), "-i", plain]
        ffmpeg(*sound, "-c:v", "copy", clip)
        assert number_in(middle_luma(clip)) == MIDDLE


def test_a_cut_without_reencoding_keeps_to_its_edit_list(folder: Path, plain: Path) -> None:
    clip = folder / "cut.mp4"
    ffmpeg("-ss", "0.6", "-i", plain, "-c", "copy", clip)
    shown = by_full_decode(clip)
    assert number_in(middle_luma(clip)) in [number_in(frame) for frame in shown]
    assert probe(clip, whole=True).codec == "h264"


def test_odd_sizes_keep_every_pixel(folder: Path) -> None:
    clip = make_clip(folder / "odd.mkv", "-c:v", "ffv1", width=161, height=97)
    middle = middle_luma(clip)
    assert middle.shape == (97, 161)
    assert np.array_equal(middle, numbered_frame(MIDDLE, 161, 97))


TURNS = {
    "90": ["-display_rotation", "90"],
    "180": ["-display_rotation", "180"],
    "270": ["-display_rotation", "270"],
    "mirror": ["-display_hflip"],
    "turned_mirror": ["-display_rotation", "90", "-display_vflip"],
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_clip_is_upright_as_in_ffmpeg(folder: Path, plain: Path, turn: str) -> None:
    clip = folder / f"turned_{turn}.mp4"
    ffmpeg(*TURNS[turn], "-i", plain, "-c", "copy", clip)
    raw = ffmpeg("-i", clip, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-")
    middle, info = middle_luma(clip), probe(clip)
    height, width = middle.shape
    assert (info.height, info.width) == middle.shape
    assert (height > width) == (turn in ("90", "270", "turned_mirror"))
    reference = np.frombuffer(raw, np.uint8).reshape(COUNT, -1)[MIDDLE, : height * width]
    assert np.array_equal(middle, reference.reshape(height, width))


def test_an_odd_angle_is_refused_by_name(folder: Path, plain: Path) -> None:
    clip = folder / "odd_angle.mp4"
    ffmpeg("-display_rotation", "30", "-i", plain, "-c", "copy", clip)
    with pytest.raises(UserError, match=r"odd_angle\.mp4 is turned by an odd angle"):
        middle_luma(clip)


def test_8k_is_decoded(folder: Path) -> None:
    source = ["-f", "lavfi", "-i", "color=gray:s=7680x4320:r=25:d=0.12"]
    ffmpeg(*source, "-c:v", "libx264", "-preset", "ultrafast", folder / "8k.mp4")
    assert middle_luma(folder / "8k.mp4").shape == (4320, 7680)


def test_a_single_frame_is_an_error_that_names_the_clip(folder: Path) -> None:
    for suffix in ("mp4", "mkv", "avi"):
        clip = make_clip(folder / f"single.{suffix}", *X264, count=1)
        with pytest.raises(UserError, match=f"single.{suffix} has a single frame"):
            middle_luma(clip)


def test_sound_alone_is_an_error_that_names_the_clip(folder: Path, plain: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", folder / "sound.mp4")
    ffmpeg("-i", plain, "-frames:v", "1", folder / "cover.png")
    cover = ["-i", folder / "cover.png", "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg("-i", folder / "sound.mp4", *cover, "-disposition:v", "attached_pic", folder / "covered.mp4")
    for name in ("sound.mp4", "covered.mp4"):
        for read in (probe, middle_luma):
            with pytest.raises(UserError, match=f"{name} has no video stream"):
                read(folder / name)


@pytest.mark.parametrize("source", ["plain.mp4", "late_index.mp4", "open.mkv"])
def test_a_truncated_clip_is_right_or_named(folder: Path, plain: Path, source: str) -> None:
    made = plain if source == "plain.mp4" else make_clip(folder / source, *X264)
    data = made.read_bytes()
    for part in range(1, 20):
        clip = folder / f"cut_{part}_{source}"
        clip.write_bytes(data[: len(data) * part // 20])
        facts, middle = attempt(lambda path: probe(path, whole=True), clip), attempt(middle_luma, clip)
        if isinstance(facts, UserError):
            assert clip.name in str(facts)
        else:
            # Matroska declares no number of frames: the loss of a few at the very end passes
            assert source == "open.mkv"
            assert facts.frames >= COUNT - 5
        if isinstance(middle, UserError):
            assert clip.name in str(middle)
        else:
            assert number_in(middle) == MIDDLE


BAD = {
    "empty.mp4": b"",
    "garbage.mp4": bytes(np.random.default_rng(3).integers(0, 256, 20_000, dtype=np.uint8)),
    "text.mp4": b"this is no video\n" * 100,
    "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nplain.mp4\n#EXT-X-ENDLIST\n",
    "concat.mp4": b"ffconcat version 1.0\nfile plain.mp4\n",
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video_is_an_error_that_names_it(folder: Path, plain: Path, name: str) -> None:
    (folder / name).write_bytes(BAD[name])
    for read in (probe, middle_luma, lambda clip: list(iterate_luma(clip))):
        with pytest.raises(UserError, match=name) as caught:
            read(folder / name)
        assert "\n" not in str(caught.value)


def test_a_missing_clip_and_a_folder_are_named(folder: Path) -> None:
    (folder / "folder.mp4").mkdir()
    for name in ("missing.mp4", "folder.mp4"):
        with pytest.raises(UserError, match=f"no clip .*{name}"):
            middle_luma(folder / name)


def test_all_frames_come_in_order_and_in_steps(plain: Path) -> None:
    assert [number_in(luma) for _, luma in iterate_luma(plain)] == list(range(COUNT))
    stepped = list(iterate_luma(plain, every=10))
    assert [index for index, _ in stepped] == [number_in(luma) for _, luma in stepped] == [0, 10, 20, 30, 40]
