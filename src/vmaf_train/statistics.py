"""Accuracy of predictions: MOS statistics and picture fidelity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


def mos_statistics(predicted: FloatArray, true: FloatArray, mean: float) -> dict[str, float | int | None]:
    """Compare MOS predictions with the truth, and with always saying `mean`.

    Args:
        predicted: (N,) MOS on 1..5.
        true: (N,) MOS on 1..5.
        mean: the mean MOS of the training split: the baseline's constant answer.

    Returns:
        n, mse, rmse (MOS units), plcc, srocc, krocc (Pearson, Spearman, Kendall tau-b; None where a
        correlation is undefined: fewer than two clips, or all values the same), and the baseline's mse.
    """
    from scipy import stats

    errors = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    mse = float(np.mean(errors**2))
    defined = len(true) > 1 and np.ptp(predicted) > 0 and np.ptp(true) > 0

    def correlation(function: Any) -> float | None:
        return _round(function(predicted, true).statistic) if defined else None

    return {
        "n": len(true),
        "mse": _round(mse),
        "rmse": _round(math.sqrt(mse)),
        "plcc": correlation(stats.pearsonr),
        "srocc": correlation(stats.spearmanr),
        "krocc": correlation(stats.kendalltau),
        "mean_predictor_mse": _round(np.mean((mean - np.asarray(true, np.float64)) ** 2)),
    }


def fidelity(pictures: FloatArray, clean: FloatArray) -> dict[str, float]:
    """L1, PSNR and SSIM of pictures against the clean ones.

    Args:
        pictures: (N, H, W) luma in 0..1.
        clean: (N, H, W) luma in 0..1.

    Returns:
        l1 (mean absolute error, 0..1), psnr (mean over pictures of 10 log10(1/mse) in dB, 100 where
        equal), ssim (Wang et al. 2004: 11x11 Gaussian window, sigma 1.5).
    """
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    difference = np.asarray(pictures, np.float64) - np.asarray(clean, np.float64)
    mse = np.maximum(np.mean(difference**2, axis=(1, 2)), 1e-10)
    ssim = [
        float(structural_similarity_index_measure(_tensor(torch, a), _tensor(torch, b), data_range=1.0))  # type: ignore[arg-type]
        for a, b in zip(pictures, clean, strict=True)
    ]
    return {
        "l1": _round(np.mean(np.abs(difference))),
        "psnr": _round(np.mean(10 * np.log10(1 / mse))),
        "ssim": _round(np.mean(ssim)),
    }


def _tensor(torch: Any, picture: FloatArray) -> Any:
    return torch.from_numpy(np.ascontiguousarray(picture, np.float32))[None, None]


def _round(value: Any) -> float:
    """Six significant digits: what a reader compares, without the noise of the last bits."""
    return float(f"{float(value):.6g}")
