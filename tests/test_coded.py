"""Twins from real encoders: aligned with their frames, the same bytes again, in the wanted shares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from vmaf_train.coded import CODECS, GROUP, Encode, Job, draw_encodes, draw_jobs, through_encoder
from vmaf_train.errors import UserError
from vmaf_train.params import CodedPairs, Params, Shares
from vmaf_train.scenes import render_still

NONE = {"blur_jpeg": 0.0, "x264": 0.0, "x265": 0.0, "svtav1": 0.0, "vp9": 0.0}
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
    job = Job(Encode(name, codec.best, codec.presets[0]), rows, drifts, pictures)
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
    jobs = draw_jobs(KEYS, replace(coded, shares=shares), seed=1)
    assert {job.encode.codec for job in jobs} == {"x264"}
    assert sum(len(job.rows) for job in jobs) / len(KEYS) == pytest.approx(0.25, abs=0.06)
    assert all(0 <= picture < GROUP for job in jobs for picture in job.picture)


def test_a_clips_draw_does_not_depend_on_the_other_clips(coded: CodedPairs) -> None:
    def of(key: str, keys: list[str]) -> list[tuple[Encode, tuple[int, int], int]]:
        row = keys.index(key)
        return [
            (job.encode, job.drift[job.rows.index(row)], job.picture[job.rows.index(row)])
            for job in draw_jobs(keys, coded, seed=1)
            if row in job.rows
        ]

    assert all(of(key, KEYS) == of(key, KEYS[100:]) for key in KEYS[100:120])


def test_encodes_follow_the_shares_and_cover_the_range_of_each_codec(coded: CodedPairs) -> None:
    shares = Shares(**{**NONE, "x264": 3.0, "vp9": 1.0})
    drawn = draw_encodes(replace(coded, encodes=40, shares=shares), seed=1)
    assert {name: len(encodes) for name, encodes in drawn.items()} == {"x264": 30, "vp9": 10}
    for name, encodes in drawn.items():
        codec = CODECS[name]
        crfs = [encode.crf for encode in encodes]
        assert codec.best <= min(crfs) < codec.best + 3
        assert codec.worst - 3 < max(crfs) <= codec.worst


def test_shares_that_are_all_zero_are_refused(coded: CodedPairs) -> None:
    with pytest.raises(UserError, match="shares"):
        draw_jobs(KEYS, replace(coded, shares=Shares(**NONE)), seed=1)
