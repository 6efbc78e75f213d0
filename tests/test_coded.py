"""Twins from real encoders: aligned with their frames, the same bytes again, in the wanted shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmaf_train.coded import (
    CLEAN,
    CODECS,
    GROUP,
    NOISE,
    NOISE_RANGE,
    Encode,
    Job,
    draw_damage,
    draw_encodes,
    draw_jobs,
    run_job,
    through_encoder,
    uncoded_twin,
)
from vmaf_train.params import CodedPairs, Params, Shares
from vmaf_train.scenes import render_still

NONE = dict.fromkeys(("blur_jpeg", *CODECS, NOISE, CLEAN), 0.0)
KEYS = [f"clips_{index}" for index in range(400)]


@pytest.fixture(scope="module")
def coded(make_params: Callable[..., Params]) -> CodedPairs:
    return make_params().frames.coded


@pytest.mark.parametrize("name", CODECS)
def test_a_drifting_frame_comes_back_in_its_place_and_the_same_again(name: str) -> None:
    still = render_still("coded", 1, 200, 130)
    frames = np.stack([still[:50, :70], still[60:110, 100:170]])
    codec = CODECS[name]
    rows, drifts, pictures = (0, 1), ((2, -1), (-2, 2)), (3, 0)
    job = Job(Encode(name, codec.best, codec.presets[0]), True, rows, drifts, pictures)
    twins = through_encoder(frames, job)
    assert twins.shape == frames.shape
    for twin, frame in zip(twins.astype(int), frames, strict=True):
        shifted = [np.roll(twin, shift, axis) for axis in (0, 1) for shift in (-1, 1)]
        errors = [np.abs(one - frame)[2:-2, 2:-2].mean() for one in (twin, *shifted)]
        assert 0 < errors[0] < 0.7 * min(errors[1:])
    assert np.array_equal(twins, through_encoder(frames, job))
    worse = through_encoder(frames, replace(job, encode=replace(job.encode, crf=codec.worst)))
    assert np.abs(worse - frames.astype(int)).mean() > np.abs(twins - frames.astype(int)).mean()


def test_frames_get_the_damage_that_the_shares_ask_for(coded: CodedPairs) -> None:
    shares = Shares(**{**NONE, "blur_jpeg": 3.0, "x264": 1.0})
    jobs = draw_jobs(dict(enumerate(KEYS)), replace(coded, shares=shares), seed=1)
    assert {job.encode.codec for job in jobs} == {"x264"}
    assert sum(len(job.rows) for job in jobs) / len(KEYS) == pytest.approx(0.25, abs=0.06)
    assert all(0 <= picture < GROUP for job in jobs for picture in job.picture)


def test_a_clips_draw_does_not_depend_on_the_other_clips(coded: CodedPairs) -> None:
    def of(key: str, keys: list[str]) -> list[tuple[Encode, tuple[int, int], int]]:
        row = keys.index(key)
        return [
            (job.encode, job.drift[job.rows.index(row)], job.picture[job.rows.index(row)])
            for job in draw_jobs(dict(enumerate(keys)), coded, seed=1)
            if row in job.rows
        ]

    assert all(of(key, KEYS) == of(key, KEYS[100:]) for key in KEYS[100:120])


def test_the_wanted_part_is_coded_without_a_blur(coded: CodedPairs, tmp_path: Path) -> None:
    shares = Shares(**{**NONE, "x264": 1.0})
    jobs = draw_jobs(dict(enumerate(KEYS)), replace(coded, sharp=0.25, shares=shares), seed=1)
    sharp = sum(len(job.rows) for job in jobs if not job.blurred)
    assert sharp / len(KEYS) == pytest.approx(0.25, abs=0.06)
    np.save(tmp_path / "luma.npy", render_still("coded", 1, 96, 64)[None])
    job = Job(Encode("x264", 22, "medium"), True, (0,), ((0, 0),), (0,))
    detail = [
        np.abs(np.diff(run_job(str(tmp_path / "luma.npy"), 2.0, one).astype(int))).mean()
        for one in (job, replace(job, blurred=False))
    ]
    assert detail[0] < 0.8 * detail[1]


def test_noise_has_the_drawn_strength_and_clean_frames_stay(coded: CodedPairs) -> None:
    shares = Shares(**{**NONE, NOISE: 1.0, CLEAN: 1.0})
    grey = np.full((64, 64), 126, np.uint8)
    drawn = {key: draw_damage(key, replace(coded, shares=shares), seed=1) for key in KEYS}
    assert {damage.share for damage in drawn.values()} == {NOISE, CLEAN}
    assert draw_jobs(dict(enumerate(KEYS)), replace(coded, shares=shares), seed=1) == []
    for key, damage in drawn.items():
        twin = uncoded_twin(grey, key, damage, seed=1)
        assert np.array_equal(twin, uncoded_twin(grey, key, damage, seed=1))
        if damage.share == CLEAN:
            assert np.array_equal(twin, grey)
        else:
            assert NOISE_RANGE[0] <= damage.noise <= NOISE_RANGE[1]
            assert twin.std() == pytest.approx(damage.noise, rel=0.1, abs=0.1)


def test_encodes_follow_the_shares_and_cover_the_range_of_each_codec(coded: CodedPairs) -> None:
    shares = Shares(**{**NONE, "x264": 3.0, "vp9": 1.0})
    drawn = draw_encodes(replace(coded, encodes=40, shares=shares), seed=1)
    assert {name: len(encodes) for name, encodes in drawn.items()} == {"x264": 30, "vp9": 10}
    for name, encodes in drawn.items():
        codec = CODECS[name]
        crfs = [encode.crf for encode in encodes]
        assert codec.best <= min(crfs) < codec.best + 3
        assert codec.worst - 3 < max(crfs) <= codec.worst


def test_frames_drift_as_far_both_ways_as_asked_and_no_further(coded: CodedPairs) -> None:
    drifts = [draw_damage(key, replace(coded, drift=2), seed=1).drift for key in KEYS]
    for axis in (0, 1):
        assert {drift[axis] for drift in drifts} == {-2, -1, 0, 1, 2}


def test_every_picture_of_a_group_is_drawn(coded: CodedPairs) -> None:
    drawn = [draw_damage(key, coded, seed=1).picture for key in KEYS]
    assert set(drawn) == set(range(GROUP))
    assert drawn.count(0) / len(drawn) == pytest.approx(1 / GROUP, abs=0.07)


def test_frames_of_a_codec_are_spread_over_all_its_encodes(coded: CodedPairs) -> None:
    shares = Shares(**{**NONE, "x264": 1.0})
    jobs = draw_jobs(dict(enumerate(KEYS)), replace(coded, encodes=8, shares=shares), seed=1)
    counts: dict[int, int] = {}
    for job in jobs:
        counts[job.encode.crf] = counts.get(job.encode.crf, 0) + len(job.rows)
    assert len(counts) == 8
    assert min(counts.values()) > len(KEYS) / 16
