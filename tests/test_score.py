"""Scoring whole clips."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clip_factory import FPS, X264, ffmpeg, make_clip, zero_middle
from tiny_models import identity_filter, linear_fr, mean_nr, model_bytes, registered, textured_nr

from vmaf_train.bars import Crop
from vmaf_train.errors import UserError
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.pooling import pool
from vmaf_train.score import ClipScore, FrameScorer, expected_frames, score_video, score_videos
from vmaf_train.specialize import specialize
from vmaf_train.video import iterate_luma


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = {
        "mean_v1": mean_nr(),
        "textured_v1": textured_nr(),
        "noop_v1": identity_filter(),
        "linear_v1": linear_fr(),
    }
    return registered(tmp_path_factory.mktemp("models"), tiny)


@pytest.fixture
def mean(folder: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    return load_model("mean_v1", threads=1)


def write_grey(path: Path, levels: list[int], size: tuple[int, int] = (320, 180), form: str = "gray") -> Path:
    """A lossless clip; frame i is flat at `levels[i]` code values."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, form
        for index, level in enumerate(levels):
            plane = np.full(size[::-1], level, np.uint8 if form == "gray" else np.uint16)
            frame = av.VideoFrame.from_ndarray(plane, form)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_every_frame_is_scored_in_order(mean: LoadedModel, tmp_path: Path) -> None:
    levels = list(range(0, 255, 5))
    clip = score_video(write_grey(tmp_path / "a.mkv", levels), mean)
    assert clip.frames == tuple(range(len(levels)))
    assert clip.scores == pytest.approx([1 + 4 * level / 255 for level in levels], abs=5e-4)
    assert clip.pooled.mean == pytest.approx(1 + 4 * np.mean(levels) / 255, abs=5e-4)


def test_every_nth_frame_starts_with_the_first(mean: LoadedModel, tmp_path: Path) -> None:
    path = write_grey(tmp_path / "a.mkv", list(range(10)))
    clip = score_video(path, mean, every=4)
    assert clip.frames == (0, 4, 8)
    assert len(clip.scores) == 3 == expected_frames([path], 4)


def test_a_bar_knows_its_length_from_headers_alone(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / name, count=50) for name in ("a.mkv", "b.mkv")]
    # half of the packets are not there to be counted
    clips[1].write_bytes(clips[1].read_bytes()[: clips[1].stat().st_size // 2])
    assert expected_frames(clips, 1) == 100
    assert expected_frames(clips, 20) == 6
    assert expected_frames([*clips, tmp_path / "none.mp4"], 1) == 0


def test_luma_is_taken_as_coded_without_range_expansion(mean: LoadedModel, tmp_path: Path) -> None:
    assert score_video(write_grey(tmp_path / "a.mkv", [16, 235]), mean).scores == pytest.approx(
        [1 + 4 * 16 / 255, 1 + 4 * 235 / 255], abs=5e-4
    )


def test_a_deep_clip_scores_as_its_8_bit_copy(mean: LoadedModel, tmp_path: Path) -> None:
    deep = score_video(write_grey(tmp_path / "a.mkv", [64, 500, 940], form="gray10le"), mean)
    assert deep.scores == pytest.approx([1 + 4 * level / 255 for level in (16, 125, 235)], abs=5e-4)


def test_a_clip_scores_as_its_frames_one_by_one(folder: Path, mean: LoadedModel, tmp_path: Path) -> None:
    model = load_model("textured_v1", threads=1)
    path = tmp_path / "a.mkv"
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 322, 182, "gray"
        for _ in range(9):
            frame = av.VideoFrame.from_ndarray(generator.integers(0, 256, (182, 322), np.uint8), "gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    scorer = FrameScorer(model)
    alone = [scorer(luma) for _, luma in iterate_luma(path)]
    assert score_video(path, model).scores == pytest.approx(alone, abs=1e-6)
    assert score_video(path, model, threads=1).scores == pytest.approx(alone, abs=1e-6)


def test_several_clips_keep_their_order_and_a_bad_one_gives_its_error(
    mean: LoadedModel, tmp_path: Path
) -> None:
    good = [write_grey(tmp_path / f"{level}.mkv", [level] * 3) for level in (10, 20, 30)]
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"no video")
    first, broken, second, missing, third = score_videos(
        [good[0], bad, good[1], tmp_path / "none.mkv", good[2]], mean
    )
    means = [clip.pooled.mean for clip in (first, second, third) if isinstance(clip, ClipScore)]
    assert means == pytest.approx([1 + 4 * level / 255 for level in (10, 20, 30)], abs=5e-4)
    assert isinstance(broken, UserError)
    assert "bad.mkv: cannot decode" in str(broken)
    assert isinstance(missing, UserError)
    assert "no clip" in str(missing)


def test_progress_counts_up_to_every_frame(mean: LoadedModel, tmp_path: Path) -> None:
    seen: list[int] = []
    score_video(write_grey(tmp_path / "a.mkv", [1] * 11), mean, progress=seen.append)
    assert seen[-1] == 11
    assert seen == sorted(seen)


def test_a_model_of_another_kind_is_refused_and_the_right_command_is_named(
    mean: LoadedModel, tmp_path: Path
) -> None:
    path = write_grey(tmp_path / "a.mkv", [1])
    with pytest.raises(UserError, match="this is a filter: use `vmaf-train filter`"):
        score_videos([path], load_model("noop_v1"))
    with pytest.raises(UserError, match="full-reference model"):
        score_video(path, load_model("linear_v1"))


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [
        helper.make_node("ReduceMean", ["frame"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Sub", ["mean", "two"], ["below"]),
        helper.make_node("Log", ["below"], ["mos"]),
    ]
    frame = ("frame", ("batch", 1, 224, 224))
    data = model_bytes(nodes, frame, ("mos", ("batch",)), {"two": np.float32(2)})
    model = load_model(registered(tmp_path / "m", {"log_v1": data}) / "log_v1.onnx", unverified=True)
    with pytest.raises(UserError, match="no number"):
        score_video(write_grey(tmp_path / "a.mkv", [1]), model)


def test_short_memory_is_one_line(mean: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnx import TensorProto, helper

    path = write_grey(tmp_path / "a.mkv", [1])
    # how large it gets only the run tells, so that the checks let it pass
    nodes = [
        helper.make_node("ReduceMean", ["frame"], ["mean"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Add", ["mean", "one"], ["above"]),
        helper.make_node("Cast", ["above"], ["unit"], to=TensorProto.INT64),
        helper.make_node("Mul", ["unit", "sides"], ["shape"]),
        helper.make_node("Expand", ["frame", "shape"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["mos"], axes=[1, 2, 3], keepdims=0),
    ]
    constants = {"one": np.float32(1), "sides": np.int64([1, 2**24, 224, 224])}
    data = model_bytes(nodes, ("frame", ("batch", 1, 224, 224)), ("mos", ("batch",)), constants)
    large = load_model(registered(tmp_path / "m", {"large_v1": data}) / "large_v1.onnx", unverified=True)
    with pytest.raises(UserError, match=r"large_v1: cannot run on \[1, 1, 180, 320\]"):
        score_video(path, large)

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("vmaf_train.score.luma_view", fail)
    with pytest.raises(UserError, match=r"a\.mkv: no memory for its frames"):
        score_video(path, mean)


def test_flat_frames_are_counted_and_scored_all_the_same(mean: LoadedModel, tmp_path: Path) -> None:
    clip = score_video(str(write_grey(tmp_path / "a.mkv", [16, 235])), mean)
    assert clip.condition.flat == 2
    assert len(clip.scores) == 2


def test_flat_frames_do_not_count_in_the_pooled_scores(mean: LoadedModel, tmp_path: Path) -> None:
    clip = tmp_path / "leader.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=black:s=320x180:r=25:d=0.4"),
        *("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=0.4"),
        *("-lavfi", "concat", "-c:v", "ffv1", str(clip)),
    )
    scored = score_video(clip, mean)
    assert scored.flat.tolist() == [True] * 10 + [False] * 10
    assert scored.condition.flat == 10
    assert scored.pooled == pool(scored.scores[10:])
    assert "flat frames: 10 of 20, left out of the pooled scores" in scored.condition.notes(20)[0]


def test_frames_have_the_times_that_a_player_shows_them_at(mean: LoadedModel, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "late.ts", *X264, "-output_ts_offset", "3")
    assert score_video(clip, mean, every=5).times[:3].tolist() == pytest.approx([0, 5 / FPS, 10 / FPS])
    uneven = make_clip(
        tmp_path / "vfr.mkv", "-vf", "setpts=N*(N+1)/2/30/TB", "-fps_mode", "passthrough", *X264
    )
    times = score_video(uneven, mean).times[:4].tolist()
    assert times == pytest.approx([0, 1 / 30, 3 / 30, 6 / 30], abs=2e-3)


def test_a_crop_scores_that_part_alone_and_one_beyond_the_frame_names_the_clip(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    textured = load_model("textured_v1", threads=1)
    bare, boxed = tmp_path / "bare.mkv", tmp_path / "boxed.mkv"
    source = ("-f", "lavfi", "-i", "testsrc2=s=320x136:r=25:d=0.4")
    ffmpeg(*source, "-c:v", "ffv1", str(bare))
    ffmpeg(*source, "-vf", "pad=320:240:0:60", "-c:v", "ffv1", str(boxed))
    want, whole = score_video(bare, textured), score_video(boxed, textured)
    assert (want.picture, whole.picture) == (None, Crop(320, 132, (0, 62)))
    assert not np.array_equal(whole.scores, want.scores)
    cropped = score_video(boxed, textured, crop=Crop(320, 136, (0, 60)))
    assert np.array_equal(cropped.scores, want.scores)
    found = score_video(boxed, textured, crop="auto")
    inner = score_video(bare, textured, crop=Crop(320, 132))
    assert np.array_equal(found.scores, inner.scores)
    assert (found.crop, found.picture) == (whole.picture, None)
    assert score_video(bare, textured, crop="auto").crop is None
    with pytest.raises(
        UserError, match=r"boxed\.mkv: --crop 320:136:1:60 reaches beyond its frames of 320x240"
    ):
        score_video(boxed, textured, crop=Crop(320, 136, (1, 60)))


def test_frames_of_avi_have_the_times_that_they_are_shown_at(mean: LoadedModel, tmp_path: Path) -> None:
    for name, codec in {"h264": X264, "mpeg4": ["-c:v", "mpeg4"]}.items():
        clip = make_clip(tmp_path / f"{name}.avi", *codec, "-bf", "2")
        times = score_video(clip, mean).times
        assert np.diff(times)[:-2] == pytest.approx(1 / FPS)


def test_looking_for_bars_can_be_interrupted(mean: LoadedModel, tmp_path: Path) -> None:
    clip, seen = make_clip(tmp_path / "a.mkv", *X264), []

    def watch() -> None:
        seen.append(None)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_video(clip, mean, crop="auto", watch=watch)
    assert len(seen) == 3


def test_a_damaged_clip_has_one_score_with_any_number_of_threads(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(folder))
    textured = load_model("textured_v1", threads=1)
    clip = zero_middle(make_clip(tmp_path / "hurt.mkv", *X264, count=90))
    alone = score_video(clip, textured, threads=1)
    assert alone.condition.damaged > 0
    for threads in (2, 3, 8) * 4:
        again = score_video(clip, textured, threads=threads)
        assert np.array_equal(again.scores, alone.scores)
        assert again.condition == alone.condition


def test_a_copy_for_one_size_scores_frames_of_that_size_and_names_another(
    folder: Path, mean: LoadedModel, tmp_path: Path
) -> None:
    specialize(load_model("textured_v1"), 320, 180, tmp_path)
    copy = load_model(tmp_path / "textured_v1_320x180.onnx", unverified=True)
    clip = make_clip(tmp_path / "a.mp4", count=3, width=320, height=180)
    expected = score_video(clip, load_model("textured_v1")).scores
    assert score_video(clip, copy).scores == pytest.approx(expected, abs=1e-3)
    other = make_clip(tmp_path / "b.mp4", count=3, width=160, height=90)
    with pytest.raises(UserError, match="is a copy for 320x180, and the frames are 160x90"):
        score_video(other, copy)
    with pytest.raises(UserError, match="is a specialized copy already"):
        specialize(copy, 160, 90, tmp_path)


@pytest.mark.parametrize(("clips", "every"), [(1, 1), (3, 1), (3, 200)])
def test_an_interrupted_run_ends_within_a_frame(
    clips: int, every: int, mean: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_grey(tmp_path / f"{index}.mkv", [1] * 2000) for index in range(clips)]
    monkeypatch.setattr("vmaf_train.score.worker_count", lambda threads: threads or 4)
    done: dict[Path, int] = {}

    interrupted = threading.Event()

    def stop(path: Path, count: int) -> None:
        done[path] = count
        if path == paths[0] and count == max(1, 20 // every):
            interrupted.set()
            raise KeyboardInterrupt
        if count * every >= 1000:
            # however slow the first clip's thread is, the others are not through before it
            interrupted.wait(60)
            time.sleep(0.1)

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        score_videos(paths, mean, every=every, progress=stop)
    assert set(threading.enumerate()) <= before
    assert max(done.values()) < 2000 // every


def test_a_step_below_one_is_refused(mean: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="every 0"):
        score_video(tmp_path / "a.mkv", mean, every=0)


def test_a_negative_number_of_threads_is_refused(mean: LoadedModel, tmp_path: Path) -> None:
    path = write_grey(tmp_path / "a.mkv", [1])
    with pytest.raises(UserError, match="threads -1"):
        score_video(path, mean, threads=-1)


def test_threads_that_score_at_the_same_time_do_not_mix_their_frames(mean: LoadedModel) -> None:
    scorer = FrameScorer(mean)
    # rows that lie further apart than they are wide, as a decoder's do
    frames = [np.full((1080, 2048), level, np.uint8)[:, :1920] for level in range(0, 256, 15)]
    expected = [1 + 4 * int(frame[0, 0]) / 255 for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(scorer, frames)) == pytest.approx(expected, abs=5e-4)
