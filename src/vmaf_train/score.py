"""Command `score`: a no-reference metric on the frames of clips.

Each frame's luma becomes a frame of the metric's own size as its training frames did (see `sampling`), by
the operators that a specialised graph has. Frames are decoded in the calling thread and the
decoder's own, and scored in others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from vmaf_train.bars import Crop, Margins, find_picture, margins, picture_of
from vmaf_train.condition import Condition, is_flat
from vmaf_train.container import likely_frames, opened, races
from vmaf_train.cores import worker_count
from vmaf_train.errors import UserError
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel
from vmaf_train.luma import Plane, luma_view, to_unit
from vmaf_train.overlap import map_ahead
from vmaf_train.pooling import Pooled, pool
from vmaf_train.resize import resize_first
from vmaf_train.surgery import fix_shape
from vmaf_train.video import iterate_frames

if TYPE_CHECKING:
    from av import VideoFrame
    from onnx import ModelProto

    from vmaf_train.raw import Raw

# decoded frames that wait for their score: enough to fill the gaps that decoding leaves on the cores; twice
# as many took a tenth longer at 1080p
WAITING = 8


@dataclass(frozen=True)
class ClipScore:
    """Scores of one clip: `scores[i]` is that of frame `frames[i]`, shown `times[i]` s after the first."""

    path: Path
    frames: tuple[int, ...]
    times: NDArray[np.float64]
    """NaN where the file does not tell."""
    scores: NDArray[np.float32]
    flat: NDArray[np.bool_]
    """Frames of one grey level."""
    pooled: Pooled
    """Of the frames that are not flat; of all, where all are."""
    seconds: float
    """What scoring took."""
    condition: Condition = field(default_factory=Condition)
    """What makes the scores doubtful."""
    crop: Crop | None = None
    """The part of each frame that was scored; None: all."""
    picture: Crop | None = None
    """The part of that between black bars, where there are some."""


@dataclass(frozen=True)
class _Scored:
    """What one frame gives."""

    index: int
    time: float | None
    score: float
    flat: bool
    margins: Margins | None


class FrameScorer:
    """Scores luma frames of any size with one model; may be called from several threads at once."""

    def __init__(self, model: LoadedModel) -> None:
        """Prepare a no-reference metric.

        Raises:
            UserError: a model of another kind (the command for it is named), or without a fixed size.
        """
        self.model = model.require(Kind.NR)
        if not all(isinstance(side, int) for side in model.facts.input.shape[2:]):
            raise UserError(f"{model.id}: its input size is free; a metric needs a fixed one to resize to")
        self._own = threading.local()

    def __call__(self, frame: Plane) -> float:
        """Score of one luma frame, uint8 (H, W); a view of rows that lie apart will do.

        Raises:
            UserError: a copy of the model for one size (`specialize`), and a frame of another; or no memory.
        """
        height, width = frame.shape
        if self.model.is_specialized:
            return float(self.model.run(to_unit(frame)[None, None])[0])

        def resize(graph: ModelProto) -> None:
            resize_first(graph, height, width, sampling=self.model.sampling, codes=True)
            fix_shape(graph, height, width)

        # one thread an operator: frames run side by side
        session = self.model.edited(("resize", height, width), resize, 1)
        score = self.model.run_session(session, self._compact(frame)[None, None])
        return float(score.reshape(()))

    def _compact(self, frame: Plane) -> Plane:
        """The frame without gaps between its rows, in memory that this thread uses for every frame.

        Fresh memory of a plane's size costs more, in page faults, than the copy.
        """
        if frame.flags.c_contiguous:
            return frame
        buffer: Plane | None = getattr(self._own, "buffer", None)
        if buffer is None or buffer.shape != frame.shape:
            buffer = self._own.buffer = np.empty(frame.shape, np.uint8)
        np.copyto(buffer, frame)
        return buffer


def score_video(
    path: Path | str,
    model: LoadedModel,
    *,
    every: int = 1,
    crop: Crop | Literal["auto"] | None = None,
    raw: Raw | None = None,
    threads: int = 0,
    progress: Callable[[int], None] | None = None,
    watch: Callable[[], None] | None = None,
) -> ClipScore:
    """Score every `every`-th frame of a clip, the first included.

    Args:
        path: the clip.
        model: a no-reference metric, from `load_model`.
        every: step between frames, at least 1.
        crop: the part of each frame that is scored; None: all; `auto`: what lies between black bars,
            which a look at the key frames finds first.
        raw: the clip is raw video of this size and format.
        threads: decoder threads, and threads that score; 0: one a core each.
        progress: called with the number of frames scored so far.
        watch: called at each decoded frame; what it raises ends the run.

    Raises:
        UserError: a wrong kind of model, no such file, not a video, or one that cannot be read to its end;
            a crop beyond the frame. Frames that are damaged, or lost to damage, are counted in the
            result's `condition`.
    """
    if every < 1:
        raise UserError(f"every {every}: the step between frames must be at least 1")
    if threads < 0:
        raise UserError(f"threads {threads}: must be at least 1, or 0 for one a core")
    path = Path(path)
    begin = time.perf_counter()
    scorer = FrameScorer(model)
    part = find_picture(path, threads, watch or (lambda: None), raw) if crop == "auto" else crop

    def score_frame(item: tuple[int, VideoFrame]) -> _Scored:
        # luma is taken here, not where frames come from: the decoder is what the clock waits for
        luma = luma_view(item[1], path)
        if part is not None:
            try:
                luma = part.of(luma)
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
        flat = is_flat(luma)
        return _Scored(item[0], item[1].time, scorer(luma), flat, None if flat else margins(luma))

    workers = decoders = worker_count(threads)
    racing = cache(partial(races, path))  # opens the clip

    def unsure() -> bool:
        """Whether threads made up what was damaged: it differs from run to run, and so would the scores."""
        return condition.damaged > 0 and decoders > 1 and racing()

    while True:
        condition = Condition()
        decoded = iterate_frames(path, every, decoders, condition, watch, raw)
        done: list[_Scored] = []
        try:
            with closing(map_ahead(score_frame, decoded, workers, WAITING)) as results:
                for scored in results:
                    done.append(scored)
                    if progress is not None:
                        progress(len(done))
                    if unsure():
                        break
        except MemoryError:
            raise UserError(
                f"{path}: no memory for its frames; score it alone, or where more is free"
            ) from None
        if not unsure():
            break
        decoders = 1
    scored_clip = _clip_score(path, model, done, condition, time.perf_counter() - begin)
    return replace(scored_clip, crop=part)


def _clip_score(
    path: Path, model: LoadedModel, done: Sequence[_Scored], condition: Condition, seconds: float
) -> ClipScore:
    scores = np.array([one.score for one in done], np.float32)
    if not np.isfinite(scores).all():
        raise UserError(f"{path}: {model.id} gives a score that is no number; the model is broken")
    flat = np.array([one.flat for one in done])
    condition.flat = int(flat.sum())
    times = np.array([np.nan if one.time is None else one.time for one in done])
    return ClipScore(
        path=path,
        frames=tuple(one.index for one in done),
        times=times - times[0],
        scores=scores,
        flat=flat,
        pooled=pool(scores if flat.all() else scores[~flat]),
        seconds=seconds,
        condition=condition,
        picture=picture_of(one.margins for one in done),
    )


def score_videos(
    paths: Sequence[Path],
    model: LoadedModel,
    *,
    every: int = 1,
    crop: Crop | Literal["auto"] | None = None,
    raw: Raw | None = None,
    progress: Callable[[Path, int], None] | None = None,
) -> list[ClipScore | UserError]:
    """Score several clips at the same time, one a core; results come in the order of `paths`.

    A clip that cannot be read gives its error in its place, and the others are scored all the same.

    Raises:
        UserError: a wrong kind of model.
    """
    FrameScorer(model)
    cores = worker_count(0)
    at_once = max(1, min(len(paths), cores))
    # as many decoder threads as cores over all clips
    threads = max(1, cores // at_once) if at_once > 1 else 0

    stop = threading.Event()

    def watch() -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    def one(path: Path) -> ClipScore | UserError:
        report = None if progress is None else lambda done: progress(path, done)
        try:
            return score_video(
                path, model, every=every, crop=crop, raw=raw, threads=threads, progress=report, watch=watch
            )
        except UserError as error:
            return error

    if at_once == 1:
        # in this thread, which Ctrl-C reaches
        return [one(path) for path in paths]
    with ThreadPoolExecutor(at_once) as pool_of_threads:
        try:
            return list(pool_of_threads.map(one, paths))
        except BaseException:
            stop.set()
            pool_of_threads.shutdown(cancel_futures=True)
            raise


def expected_frames(paths: Sequence[Path], every: int, raw: Raw | None = None) -> int:
    """About how many frames will be scored, by the headers of the clips; 0 where one does not tell."""
    total = 0
    for path in paths:
        try:
            with opened(path, raw=raw) as (container, stream):
                count = likely_frames(container, stream)
        except UserError:
            count = 0
        if not count:
            return 0
        total += -(-count // every)
    return total
