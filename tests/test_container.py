from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clip_factory import COUNT, FPS, LATE, X264, ffmpeg, known_clip, late_sound, make_clip

from vmaf_train.container import declared_span, opened, read_packets
from vmaf_train.errors import UserError
from vmaf_train.middle import middle_luma
from vmaf_train.video import iterate_luma, probe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    return make_clip(folder / "plain.mp4", *X264, "-movflags", "+faststart")


@pytest.mark.parametrize("name", ["closed_gop.mp4", "vp9.webm"])
def test_header_and_packets_agree_on_when_the_pictures_are_shown(clips: Path, name: str) -> None:
    with opened(known_clip(clips, name)) as (container, stream):
        declared = declared_span(container, stream)
        packets = read_packets(container, stream)
        tick = stream.time_base
    assert declared is not None
    assert tick is not None
    assert float(declared.duration * tick) == pytest.approx(COUNT / FPS, abs=0.01)
    assert (packets.count, packets.whole, packets.span) == (COUNT, True, declared)


def test_a_container_that_rounds_or_guesses_times_is_not_believed(clips: Path) -> None:
    for name in ("mpeg4.avi", "open_gop.ts", "no_times.h264"):
        with opened(known_clip(clips, name)) as (container, stream):
            assert declared_span(container, stream) is None


def test_a_lost_packet_is_damage_and_no_early_end(folder: Path) -> None:
    data = make_clip(folder / "whole.ts", *X264).read_bytes()
    middle = len(data) // 2 // 188 * 188
    lost = folder / "lost.ts"
    lost.write_bytes(data[:middle] + data[middle + 188 :])
    with opened(lost) as (container, stream):
        packets = read_packets(container, stream)
    assert (packets.whole, packets.damaged) == (True, 1)
    with pytest.raises(UserError, match=rf"lost\.ts: 1 of {packets.count} pictures are damaged"):
        probe(lost, whole=True)


def test_sound_alone_is_an_error_that_names_the_clip(folder: Path, plain: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", folder / "sound.mp4")
    ffmpeg("-i", plain, "-frames:v", "1", folder / "cover.png")
    cover = ["-i", folder / "cover.png", "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg("-i", folder / "sound.mp4", *cover, "-disposition:v", "attached_pic", folder / "covered.mp4")
    for name in ("sound.mp4", "covered.mp4"):
        for read in (probe, middle_luma):
            with pytest.raises(UserError, match=f"{name} has no video stream"):
                read(folder / name)


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


def test_a_missing_clip_a_folder_and_a_picture_are_named(folder: Path, plain: Path) -> None:
    (folder / "folder.mp4").mkdir()
    ffmpeg("-i", plain, "-frames:v", "1", folder / "still.png")
    said = {"missing.mp4": "no clip", "folder.mp4": "is a folder", "still.png": "no container that is read"}
    for name, text in said.items():
        with pytest.raises(UserError, match=text) as caught:
            middle_luma(folder / name)
        assert name in str(caught.value)


def test_a_title_that_is_no_utf8_keeps_no_clip_out(folder: Path) -> None:
    title = b"title=\xe9t\xe9".decode("utf-8", "surrogateescape")
    clip = make_clip(folder / "latin.mp4", *X264, "-metadata", title, count=6)
    assert b"\xe9t\xe9" in clip.read_bytes()
    assert probe(clip, whole=True).frames == 6


def test_a_colon_in_a_name_is_no_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_clip(tmp_path / "12:30 concat:x.mp4", *X264, count=6)
    monkeypatch.chdir(tmp_path)
    assert probe(Path("12:30 concat:x.mp4"), whole=True).frames == 6


def test_a_header_that_rounds_up_by_less_than_a_tenth_of_a_second_is_believed(folder: Path) -> None:
    # 45 pictures at 120 a second
    clip = make_clip(folder / "fast.mkv", *X264, before=("-r", "120"))
    data = clip.read_bytes()
    assert data.count(b"00:00:00.375000000") == 1
    for end, whole in ((b"00:00:00.425", True), (b"00:00:00.575", False)):
        clip.write_bytes(data.replace(b"00:00:00.375", end))
        with opened(clip) as (container, stream):
            assert read_packets(container, stream).whole == whole


def test_sound_that_begins_late_in_the_file_ends_no_reading(tmp_path: Path) -> None:
    clip = late_sound(tmp_path / "late.flv")
    assert probe(clip, whole=True).frames == LATE
    decoded = dict(iterate_luma(clip))
    assert list(decoded) == list(range(LATE))
    assert np.array_equal(middle_luma(clip), decoded[LATE // 2])
