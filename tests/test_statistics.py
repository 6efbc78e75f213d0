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
