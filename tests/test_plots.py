"""Plots: pictures that can be opened, and the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from vmaf_train.params import Params
from vmaf_train.plots import degrade_sample, filter_strip, predicted_against_true, sample_luma


def test_the_scatter_is_a_png_with_a_panel_a_split(tmp_path: Path) -> None:
    points = (np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    predicted_against_true(tmp_path / "one.png", {"val": points}, "m, corpus c")
    predicted_against_true(tmp_path / "two.png", {"val": points, "test": points}, "m, corpus c")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert two.width > 1.5 * one.width


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).random((1, 32, 32))
    for name in ("a.png", "b.png"):
        filter_strip(tmp_path / name, pictures, pictures * 0.9, pictures * 0.95)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_sample_stills_are_seeded_and_differ_from_each_other() -> None:
    stills = sample_luma(64, seed=1, count=2)
    assert stills.shape == (2, 64, 64)
    assert stills.dtype == np.uint8
    assert np.abs(stills[0].astype(int) - stills[1]).mean() > 1
    np.testing.assert_array_equal(stills, sample_luma(64, seed=1, count=2))


def test_a_degraded_still_keeps_its_size_and_loses_detail(make_params: Callable[..., Params]) -> None:
    still = np.random.default_rng(0).integers(16, 235, (64, 64)).astype(np.uint8)
    degraded = degrade_sample(still, make_params().frames)
    assert degraded.shape == still.shape
    assert degraded.std() < still.std() / 2
