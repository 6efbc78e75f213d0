"""Per-frame scores to one number a clip, with libvmaf's four poolings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pooled:
    """Scores of one clip, pooled; the fields have the names and the order of libvmaf's log."""

    min: float
    max: float
    mean: float
    harmonic_mean: float


def pool(scores: NDArray[np.floating[Any]]) -> Pooled:
    """Pool scores (N,), N at least 1.

    The harmonic mean is libvmaf's, N / sum(1 / (score + 1)) - 1: defined at 0, and pulled down by the
    worst frames. A score below 0 counts as 0 there; where all are, it is the highest.

    Raises:
        ValueError: no scores.
    """
    if not len(scores):
        raise ValueError("no scores to pool")
    values = scores.astype(np.float64)
    # an extrapolated score may lie below 0, and near -1 its reciprocal would be all that counts
    shifted = np.maximum(values, 0.0) + 1.0
    low, high = float(values.min()), float(values.max())
    return Pooled(
        min=low,
        max=high,
        mean=float(values.mean()),
        harmonic_mean=min(high, float(len(values) / np.sum(1.0 / shifted) - 1.0)),
    )
