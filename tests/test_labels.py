from pathlib import Path

import pytest
from impaired_clip import score_of

from vmaf_train.camera import Frames
from vmaf_train.impair import Impairment, damage, encode
from vmaf_train.labels import libvmaf_version, vmaf, vmaf_to_mos
from vmaf_train.leaves import seeded


def test_clips_measured_together_score_as_each_alone(pristine: Frames, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("fine.mp4", "small.mp4", "coarse.mp4")]
    for path, (quality, factor) in zip(paths, [(18, 1.0), (20, 2.0), (40, 1.0)], strict=True):
        impairment = Impairment(codec="x264", quality=quality, factor=factor)
        encode(damage(pristine, impairment, seeded(1, "x")), impairment, 24, path)
    together = vmaf(paths, pristine, 24)
    # the motion after the last frame of a clip differs a little
    assert together == pytest.approx([vmaf([path], pristine, 24)[0] for path in paths], abs=0.5)
    assert together[0] > together[1] > together[2]


def test_the_first_frame_does_not_count_and_every_other_does(pristine: Frames, tmp_path: Path) -> None:
    fine = Impairment(codec="x264", quality=1)
    scores = []
    for index in (0, 1, 3):
        clip = pristine.copy()
        clip[index] = clip[index].mean()
        encode(clip, fine, 24, tmp_path / "clip.mp4")
        scores += vmaf([tmp_path / "clip.mp4"], pristine, 24)
    assert scores[0] > 96
    assert max(scores[1:]) < 80


def test_of_two_frames_the_second_alone_counts_for_each_clip(pristine: Frames, tmp_path: Path) -> None:
    both, fine = pristine[:2], Impairment(codec="x264", quality=1)
    paths = [tmp_path / f"{name}.mp4" for name in ("whole", "first", "second")]
    for path, spoilt in zip(paths, (None, 0, 1), strict=True):
        clip = both.copy()
        if spoilt is not None:
            clip[spoilt] = clip[spoilt].mean()
        encode(clip, fine, 24, path)
    whole, first, second = vmaf(paths, both, 24)
    assert min(whole, first) > 96
    assert second < 80


def test_an_untouched_clip_scores_near_the_top(pristine: Frames, tmp_path: Path) -> None:
    assert score_of(pristine, Impairment(codec="x264", quality=1), tmp_path) > 96


@pytest.mark.parametrize(("value", "mos"), [(0, 1), (20, 1), (60, 3), (100, 5)])
def test_vmaf_maps_linearly_to_mos(value: float, mos: float) -> None:
    assert vmaf_to_mos(value) == pytest.approx(mos)


def test_libvmaf_tells_its_version() -> None:
    assert libvmaf_version()


def test_a_smaller_clip_is_measured_as_enlarged_with_bicubic_interpolation(
    pristine: Frames, tmp_path: Path
) -> None:
    stored = [Impairment(codec="x264", quality=1, factor=3.0, enlarged=large) for large in (False, True)]
    small, large = (score_of(pristine, impairment, tmp_path) for impairment in stored)
    assert small == pytest.approx(large, abs=3)
