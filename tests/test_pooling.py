"""Pooling of per-frame scores."""

from __future__ import annotations

import numpy as np
import pytest

from vmaf_train.pooling import Pooled, pool


def test_pooling_is_that_of_libvmaf() -> None:
    pooled = pool(np.float32([1, 3, 5]))
    assert (pooled.min, pooled.max, pooled.mean) == (1, 5, 3)
    # N / sum(1 / (x + 1)) - 1 for 1, 3, 5
    assert pooled.harmonic_mean == pytest.approx(3 / (1 / 2 + 1 / 4 + 1 / 6) - 1)


def test_one_frame_pools_to_itself() -> None:
    assert pool(np.float32([2.5])) == Pooled(2.5, 2.5, 2.5, 2.5)


def test_a_score_below_zero_does_not_break_the_harmonic_mean() -> None:
    assert 0 <= pool(np.float32([-1.5, 4])).harmonic_mean <= 4


def test_no_scores_cannot_be_pooled() -> None:
    with pytest.raises(ValueError, match="no scores"):
        pool(np.float32([]))


def test_the_fields_are_those_of_libvmafs_log_in_its_order() -> None:
    assert list(Pooled.__dataclass_fields__) == ["min", "max", "mean", "harmonic_mean"]


def test_a_score_below_zero_counts_as_zero_in_the_harmonic_mean() -> None:
    pooled = pool(np.float32([-1.5, 4]))
    assert (pooled.min, pooled.mean) == (-1.5, 1.25)
    assert pooled.harmonic_mean == pytest.approx(2 / (1 + 1 / 5) - 1)


def test_scores_that_are_all_below_zero_pool_within_them() -> None:
    scores = np.float32([-0.5, -0.25])
    assert pool(scores) == Pooled(-0.5, -0.25, -0.375, -0.25)
