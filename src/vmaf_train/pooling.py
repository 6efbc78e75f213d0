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
    worst frames.

    Raises:
        ValueError: no scores.
    """
    if not len(scores):
        raise ValueError("no scores to pool")
    values = scores.astype(np.float64)
    # a score below 0 is outside every range in use; it must not divide by zero
    shifted = np.maximum(values, 0.0) + 1.0
    return Pooled(
        min=float(values.min()),
        max=float(values.max()),
        mean=float(values.mean()),
        harmonic_mean=float(len(values) / np.sum(1.0 / shifted) - 1.0),
    )
