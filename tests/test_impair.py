from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from impaired_clip import score_of

from vmaf_train.camera import Frames
from vmaf_train.impair import (
    CODECS,
    Impairment,
    damage,
    draw_impairment,
    draw_plans,
    encode,
    encode_together,
)
from vmaf_train.labels import vmaf
from vmaf_train.leaves import seeded


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_gives_the_same_bytes_twice_and_loses_with_its_quality(
    codec: str, pristine: Frames, tmp_path: Path
) -> None:
    _, _, best, worst = CODECS[codec]
    for name, quality in [("a.mp4", best), ("b.mp4", best), ("c.mp4", worst)]:
        encode(pristine, Impairment(codec=codec, quality=quality), 24, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    (best,), (worst,) = (vmaf([tmp_path / name], pristine, 24) for name in ("a.mp4", "c.mp4"))
    assert best > worst
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 4


def test_clips_encoded_together_are_those_encoded_alone(pristine: Frames, tmp_path: Path) -> None:
    # the first is the smallest: each output must be of its own input, not of the largest
    factors = np.linspace(3, 1, len(CODECS))
    plans = [
        Impairment(codec=codec, quality=30, factor=factor)
        for codec, factor in zip(CODECS, factors, strict=True)
    ]
    clips = [damage(pristine, plan, seeded(1, "x")) for plan in plans]
    alone, together = (
        [tmp_path / f"{plan.codec}-{way}.mp4" for plan in plans] for way in ("alone", "together")
    )
    for clip, plan, path in zip(clips, plans, alone, strict=True):
        encode(clip, plan, 24, path)
    encode_together(zip(clips, plans, together, strict=True), 24)
    assert [path.read_bytes() for path in together] == [path.read_bytes() for path in alone]


@pytest.mark.parametrize(
    ("mild", "strong"),
    [
        ({"defocus": 0.6}, {"defocus": 2.5}),
        ({"motion": 3}, {"motion": 12}),
        ({"noise": 3.0}, {"noise": 30.0}),
        ({"factor": 1.5}, {"factor": 3.0}),
    ],
)
def test_more_damage_scores_less(
    mild: dict[str, float], strong: dict[str, float], pristine: Frames, tmp_path: Path
) -> None:
    light = score_of(pristine, Impairment(codec="x264", quality=16, **mild), tmp_path)  # type: ignore[arg-type]
    heavy = score_of(pristine, Impairment(codec="x264", quality=16, **strong), tmp_path)  # type: ignore[arg-type]
    assert light > heavy + 5


def test_a_resized_clip_is_stored_small_unless_enlarged(pristine: Frames) -> None:
    small = Impairment(codec="x264", quality=20, factor=2.0)
    large = Impairment(codec="x264", quality=20, factor=2.0, enlarged=True)
    assert damage(pristine, small, seeded(1, "x")).shape == (4, 64, 96)
    assert damage(pristine, large, seeded(1, "x")).shape == pristine.shape


def test_exposure_moves_light_about_black() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    brighter = damage(ramp, Impairment(codec="x264", quality=20, gain=1.5), seeded(1, "x"))
    assert brighter[0, 1, 0] == 16
    assert brighter[0, 6, 4] == 142  # 16 + 1.5 * 84
    assert brighter.max() == 255


def test_motion_blur_smears_along_its_angle_only() -> None:
    dot = np.zeros((1, 21, 21), np.uint8)
    dot[0, 10, 10] = 250
    smeared = damage(dot, Impairment(codec="x264", quality=20, motion=5, angle=0.0), seeded(1, "x"))
    np.testing.assert_array_equal(smeared[0, 10, 8:13], 50)
    assert int(smeared.sum()) == 250


def test_a_scene_gets_as_many_different_impairments_as_variants() -> None:
    plans = draw_plans(seeded(1, "plans"), 6, 0.2)
    assert len(set(plans)) == 6
    assert draw_plans(seeded(1, "plans"), 6, 0.2) == plans
    assert len(draw_plans(seeded(1, "plans"), 1, 0.2)) == 1
    assert len(draw_plans(seeded(1, "plans"), 2, 0.2)) == 2


@pytest.mark.parametrize(
    ("variants", "share", "copies"),
    [(4, 0.2, 0), (5, 0.2, 1), (10, 0.3, 3), (6, 0.34, 2), (5, 0, 0), (5, 1, 5)],
)
def test_a_share_of_the_clips_are_copies_and_the_others_do_not_change_with_it(
    variants: int, share: float, copies: int
) -> None:
    plans = draw_plans(seeded(1, "plans"), variants, share)
    assert [bool(plan.earlier) for plan in plans] == [False] * (variants - copies) + [True] * copies
    if 0 < copies < variants:
        assert plans[:-copies] == draw_plans(seeded(1, "plans"), variants - copies, 0)


def test_the_last_fifth_of_a_scene_was_encoded_before_and_touched_up() -> None:
    scenes = [draw_plans(seeded(1, "plans", str(scene)), 10, 0.2) for scene in range(100)]
    assert not any(plan.earlier or plan.grain or plan.sharpening for plans in scenes for plan in plans[:8])
    touched = [plan for plans in scenes for plan in plans[8:]]
    assert all(plan.earlier and (plan.grain or plan.sharpening) for plan in touched)
    grained = [plan for plan in touched if plan.grain]
    # grain comes on good and bad encodes alike
    finest, coarsest = CODECS["x264"][2:]
    qualities = [plan.earlier_quality for plan in grained if plan.earlier == "x264"]
    assert min(qualities) < finest + 8
    assert max(qualities) > coarsest - 8
    assert 0.6 < len(grained) / len(touched) < 0.8


def test_grain_on_a_bad_encode_does_not_bring_back_what_it_took(pristine: Frames, tmp_path: Path) -> None:
    plain = Impairment(codec="x264", quality=14)
    coarse = replace(plain, earlier="x264", earlier_quality=44)
    grained = replace(coarse, grain=6.0)
    scores = [score_of(pristine, one, tmp_path) for one in (plain, coarse, grained)]
    assert scores[0] > scores[1] + 20
    assert scores[2] < scores[1] + 3
    detail = [
        np.abs(np.diff(damage(pristine, one, seeded(1, "x")).astype(int))).mean() for one in (coarse, grained)
    ]
    assert detail[1] > 2 * detail[0]


def test_sharpening_comes_after_the_earlier_encode(pristine: Frames) -> None:
    coarse = Impairment(codec="x264", quality=14, earlier="x264", earlier_quality=36)
    plain, sharp = (
        damage(pristine, replace(coarse, sharpening=percent), seeded(1, "x")) for percent in (0, 100)
    )
    assert plain.shape == sharp.shape == pristine.shape
    edges = [np.abs(np.diff(clip.astype(int))).mean() for clip in (plain, sharp)]
    assert edges[1] > 1.2 * edges[0]


def test_a_stronger_impairment_of_the_same_draw_is_worse_in_every_respect() -> None:
    for index in range(60):
        weak, strong = (draw_impairment(seeded(1, "draw", str(index)), value) for value in (0.1, 0.9))
        assert weak.codec == strong.codec
        assert weak.quality <= strong.quality
        assert weak.defocus <= strong.defocus
        assert weak.noise <= strong.noise
        assert weak.motion <= strong.motion
        assert abs(weak.gain - 1) <= abs(strong.gain - 1)


def test_strength_is_the_encoders_where_nothing_else_is_done_and_light_goes_both_ways() -> None:
    plain = Impairment(codec="", quality=0)
    gains = set()
    for index in range(200):
        weak, strong = (draw_impairment(seeded(1, "draw", str(index)), value) for value in (0.1, 0.9))
        if replace(strong, codec="", quality=0, angle=0.0, enlarged=False) == plain:
            _, _, best, worst = CODECS[strong.codec]
            assert weak.quality == round(best + 0.1 * (worst - best))
            assert strong.quality == round(best + 0.9 * (worst - best))
        gains.add(np.sign(strong.gain - 1))
    assert gains == {-1, 0, 1}
