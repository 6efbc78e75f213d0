"""Statistics: against hand-made and reference values."""

from __future__ import annotations

import numpy as np
import pytest

from vmaf_train.statistics import fidelity, mos_statistics


def test_mos_statistics_of_a_case_worked_by_hand() -> None:
    result = mos_statistics(np.array([1.0, 2, 3, 5]), np.array([1.0, 2, 4, 4]), mean=3.0)
    assert result["n"] == 4
    assert result["mse"] == 0.5
    assert result["rmse"] == pytest.approx(0.5**0.5, rel=1e-5)
    assert result["mean_predictor_mse"] == 1.75
    # Pearson by its definition
    assert result["plcc"] == pytest.approx(6.75 / (8.75 * 6.75) ** 0.5, rel=1e-5)


def test_a_perfect_order_has_srocc_and_krocc_one() -> None:
    result = mos_statistics(np.array([1.0, 1.5, 4.9]), np.array([2.0, 3, 3.5]), mean=3.0)
    assert result["srocc"] == result["krocc"] == 1


def test_a_constant_prediction_has_no_correlation_rather_than_a_false_one() -> None:
    result = mos_statistics(np.array([3.0, 3, 3]), np.array([2.0, 3, 4]), mean=3.0)
    assert (result["plcc"], result["srocc"], result["krocc"]) == (None, None, None)
    assert result["mse"] == result["mean_predictor_mse"]


def test_equal_pictures_have_no_error() -> None:
    pictures = np.random.default_rng(0).random((2, 32, 32))
    assert fidelity(pictures, pictures) == {"l1": 0.0, "psnr": 100.0, "ssim": 1.0}


def test_psnr_and_l1_of_a_constant_difference() -> None:
    clean = np.full((3, 32, 32), 0.5)
    result = fidelity(clean + 0.1, clean)
    assert result["l1"] == pytest.approx(0.1)
    assert result["psnr"] == pytest.approx(20.0)


def test_psnr_is_the_mean_of_the_pictures_psnr_not_that_of_their_mean_error() -> None:
    clean = np.full((2, 32, 32), 0.5)
    result = fidelity(clean + np.array([0.1, 0.01])[:, None, None], clean)
    assert result["psnr"] == pytest.approx((20 + 40) / 2)


def test_rank_correlations_of_a_case_worked_by_hand() -> None:
    result = mos_statistics(np.array([1.0, 2, 3, 5]), np.array([1.0, 2, 4.5, 4]), mean=3.0)
    # of six pairs one is in the wrong order; two ranks are off by one
    assert result["srocc"] == pytest.approx(1 - 6 * 2 / (4 * (4**2 - 1)))
    assert result["krocc"] == pytest.approx((5 - 1) / 6, rel=1e-5)


def test_clips_that_are_all_rated_alike_have_no_correlation() -> None:
    for predicted, true in (([2.0, 3, 4], [3.0, 3, 3]), ([2.0], [3.0])):
        result = mos_statistics(np.array(predicted), np.array(true), mean=3.0)
        assert (result["plcc"], result["srocc"], result["krocc"]) == (None, None, None)


def test_ssim_is_that_of_values_in_0_to_1() -> None:
    # plain pictures: luminance alone, (2 a b + C) / (a^2 + b^2 + C) with C = 0.01^2 (Wang et al. 2004)
    clean = np.full((2, 32, 32), 0.5)
    assert fidelity(clean + 0.1, clean)["ssim"] == pytest.approx((0.6 + 1e-4) / (0.61 + 1e-4), rel=1e-5)
