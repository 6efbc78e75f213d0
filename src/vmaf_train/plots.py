"""Pictures people look at: predicted against true MOS, and what the filter does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmaf_train.statistics import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vmaf_train.params import CodedPairs, Frames


def predicted_against_true(
    path: Path, predictions: dict[str, tuple[FloatArray, FloatArray]], title: str
) -> None:
    """Scatter of predicted against true MOS (1..5), one panel a split, as a PNG.

    Args:
        path: where the PNG goes.
        predictions: split name -> (predicted (N,), true (N,)).
        title: names the model, the corpus and the kind of labels.
    """
    figure = _figure(4.2 * len(predictions), 4.4)
    for index, (name, (predicted, true)) in enumerate(predictions.items(), start=1):
        axes = figure.add_subplot(1, len(predictions), index)
        axes.plot([1, 5], [1, 5], color="0.6", linewidth=1)
        axes.scatter(true, predicted, s=16, alpha=0.6, linewidths=0)
        axes.set(xlim=(0.9, 5.1), ylim=(0.9, 5.1), aspect="equal", title=f"{name}, n = {len(true)}")
        axes.set(xlabel="true MOS", ylabel="predicted MOS")
        axes.grid(color="0.92")
    figure.suptitle(title, fontsize=9)
    _save(figure, path)


def sample_luma(size: int, seed: int, count: int = 3) -> NDArray[np.uint8]:
    """Rendered stills for the strip, (count, size, size): of no corpus, so they may be published."""
    from vmaf_train.luma import area_resize
    from vmaf_train.scenes import render_still

    stills = [render_still(f"strip-{index}", seed, 960, 540) for index in range(count)]
    return np.stack([area_resize(still, size, size) for still in stills])


def degrade_sample(luma: NDArray[np.uint8], frames: Frames) -> NDArray[np.uint8]:
    """The degraded twin of one still (H, W), made as the `frames` stage makes it."""
    from vmaf_train.degrade import degrade

    return degrade(luma, frames.blur_sigma, frames.jpeg_quality)


def code_samples(luma: NDArray[np.uint8], coded: CodedPairs) -> NDArray[np.uint8]:
    """Twins of stills (N, H, W) that went through x264 at CRF 32, made as the `frames` stage makes them."""
    from vmaf_train.coded import GROUP, Encode, Job, through_encoder
    from vmaf_train.degrade import blur

    count = len(luma)
    encode = Encode("x264", 32, "medium")
    job = Job(encode, True, tuple(range(count)), ((coded.drift, 0),) * count, (GROUP - 1,) * count)
    return through_encoder(np.stack([blur(still, coded.blur_sigma) for still in luma]), job)


def filter_strip(path: Path, clean: FloatArray, degraded: FloatArray, filtered: FloatArray) -> None:
    """Rows of degraded, filtered and clean luma (N, H, W in 0..1) with L1 to clean, as a PNG."""
    rows = len(clean)
    figure = _figure(9, 3.1 * rows)
    for row in range(rows):
        columns = [("degraded", degraded[row]), ("filtered", filtered[row]), ("clean", clean[row])]
        for column, (name, picture) in enumerate(columns, start=1):
            axes = figure.add_subplot(rows, 3, 3 * row + column)
            axes.imshow(_centre(picture), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            error = np.mean(np.abs(picture - clean[row]))
            axes.set_title(name if name == "clean" else f"{name}, L1 {error:.4f}", fontsize=9)
            axes.set_axis_off()
    _save(figure, path)


def _centre(picture: FloatArray) -> FloatArray:
    """The middle half, so that single pixels can be seen."""
    height, width = picture.shape
    return picture[height // 4 : height - height // 4, width // 4 : width - width // 4]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="tight")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    # no software name or date inside: the same pixels give the same bytes
    figure.savefig(path, format="png", metadata={"Software": None})
