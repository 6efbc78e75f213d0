from __future__ import annotations

from pathlib import Path

import pytest
from clip_factory import CLIPS, COUNT, FPS, HEIGHT, WIDTH, X264, known_clip, make_clip, number_in

from vmaf_train.video import iterate_luma, probe


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "plain.mp4", *X264)


@pytest.mark.parametrize("name", CLIPS)
def test_size_length_and_rate_are_told_whatever_the_container(clips: Path, name: str) -> None:
    info = probe(known_clip(clips, name), whole=True)
    assert (info.width, info.height, info.frames) == (WIDTH, HEIGHT, COUNT)
    if name != "no_times.h264":
        assert info.duration == pytest.approx(COUNT / FPS, abs=0.01)
        assert info.fps == pytest.approx(FPS, rel=0.01)


def test_all_frames_come_in_order_and_in_steps(plain: Path) -> None:
    assert [number_in(luma) for _, luma in iterate_luma(plain)] == list(range(COUNT))
    stepped = list(iterate_luma(plain, every=10))
    assert [index for index, _ in stepped] == [number_in(luma) for _, luma in stepped] == [0, 10, 20, 30, 40]
