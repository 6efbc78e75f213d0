"""Command `score`: a no-reference metric on the frames of clips.

Each frame's luma is resized to the metric's own size by area interpolation, in float and without
rounding, as the resize inside a specialised graph does it. (Training frames are rounded to 8 bits after
the same resize, which moves a score by less than 0.01.) Decoding runs ahead in threads of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmaf_train.errors import UserError
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel
from vmaf_train.luma import Plane
from vmaf_train.pipeline import ahead, batches
from vmaf_train.pooling import Pooled, pool
from vmaf_train.resize import AreaResize
from vmaf_train.video import iterate_luma

# frames of one run of the model; larger batches leave the processor's cache
BATCH = 4
# decoded batches that wait
DECODED = 4


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip: `scores[i]` is that of frame `frames[i]`."""

    path: Path
    frames: tuple[int, ...]
    scores: NDArray[np.float32]
    pooled: Pooled
    seconds: float


class FrameScorer:
    """Scores luma frames with one model; one object serves one thread."""

    def __init__(self, model: LoadedModel) -> None:
        """Prepare a no-reference metric.

        Raises:
            UserError: a model of another kind (the command for it is named), or without a fixed size.
        """
        self.model = model.require(Kind.NR)
        height, width = model.facts.input.shape[2:]
        if not isinstance(height, int) or not isinstance(width, int):
            raise UserError(f"{model.id}: its input size is free; a metric needs a fixed one to resize to")
        self._size = (height, width)
        self._resize: AreaResize | None = None

    def __call__(self, frames: Sequence[Plane]) -> NDArray[np.float32]:
        """Scores (N,) of luma frames, each uint8 (H, W) of any size."""
        small = np.empty((len(frames), 1, *self._size), np.float32)
        for frame, out in zip(frames, small, strict=True):
            if self._resize is None or self._resize.size != frame.shape:
                self._resize = AreaResize(*frame.shape, *self._size)
            self._resize(frame, out[0])
        small *= np.float32(1 / 255)
        return self.model.run(small)


def score_video(
    path: Path,
    model: LoadedModel,
    *,
    every: int = 1,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
) -> ClipScore:
    """Score every `every`-th frame of a clip, the first included.

    Args:
        path: the clip.
        model: a no-reference metric, from `load_model(..., threads=1)`: cores are shared by clip and
            decoder already.
        every: step between frames, at least 1.
        threads: decoder threads; 0: one a core.
        progress: called with the number of frames scored so far.

    Raises:
        UserError: a wrong kind of model, no such file, not a video, or damage.
    """
    if every < 1:
        raise UserError(f"every {every}: the step between frames must be at least 1")
    begin = time.perf_counter()
    scorer = FrameScorer(model)
    frames: list[int] = []
    scores: list[NDArray[np.float32]] = []
    decoded = ahead(batches(iterate_luma(path, every, threads), BATCH), DECODED)
    with closing(decoded):
        for batch in decoded:
            scores.append(scorer([luma for _, luma in batch]))
            frames += [index for index, _ in batch]
            if progress is not None:
                progress(len(frames))
    values = np.concatenate(scores)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: {model.id} gives a score that is no number; the model is broken")
    return ClipScore(path, tuple(frames), values, pool(values), time.perf_counter() - begin)


def score_videos(
    paths: Sequence[Path],
    model: LoadedModel,
    *,
    every: int = 1,
    progress: Callable[[Path, int], None] | None = None,
) -> list[ClipScore | UserError]:
    """Score several clips at the same time, one a core; results come in the order of `paths`.

    A clip that cannot be read gives its error in its place, and the others are scored all the same.

    Raises:
        UserError: a wrong kind of model.
    """
    FrameScorer(model)
    cores = os.cpu_count() or 1
    at_once = max(1, min(len(paths), cores))
    # as many decoder threads as cores over all clips
    threads = max(1, cores // at_once) if at_once > 1 else 0

    def one(path: Path) -> ClipScore | UserError:
        report = None if progress is None else lambda done: progress(path, done)
        try:
            return score_video(path, model, every=every, threads=threads, progress=report)
        except UserError as error:
            return error

    with ThreadPoolExecutor(at_once) as pool_of_threads:
        return list(pool_of_threads.map(one, paths))
