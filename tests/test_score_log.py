"""Scores as JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiny_models import mean_nr, registered, write_model

from vmaf_train.bars import Crop
from vmaf_train.condition import Condition
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_bytes
from vmaf_train.load import LoadedModel, load_model
from vmaf_train.pooling import pool
from vmaf_train.score import ClipScore
from vmaf_train.score_log import STDOUT, log, meaning_text, plan, table, write


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    monkeypatch.setenv("VMAF_TINY_MODEL_DIR", str(registered(tmp_path / "m", {"mean_v1": mean_nr()})))
    return load_model("mean_v1")


def clip(path: str = "a.mp4") -> ClipScore:
    scores = np.float32([1.5, 2.5])
    return ClipScore(
        path=Path(path),
        frames=(0, 3),
        times=np.float64([0, 0.12]),
        scores=scores,
        flat=np.array([False, True]),
        pooled=pool(scores),
        seconds=0.5,
        condition=Condition(damaged=1),
        crop=Crop(640, 300, (0, 30)),
        picture=Crop(640, 272, (0, 14)),
    )


def test_the_log_has_the_shape_of_libvmaf_and_says_what_the_score_is(model: LoadedModel) -> None:
    value = log(clip(), model)
    assert value["frames"] == [
        {"frameNum": 0, "metrics": {"mean_v1": 1.5}, "time": 0.0},
        {"frameNum": 3, "metrics": {"mean_v1": 2.5}, "time": 0.12, "flat": True},
    ]
    assert value["pooled_metrics"] == {
        "mean_v1": {"min": 1.5, "max": 2.5, "mean": 2.0, "harmonic_mean": 1.916667}
    }
    assert value["fps"] == 4
    assert value["model"]["score_range"] == [1, 5]
    assert value["model"]["score_direction"] == "higher-is-better"
    assert value["model"]["label_kind"] == "vmaf-proxy"


def test_the_log_says_what_makes_its_scores_doubtful(model: LoadedModel) -> None:
    assert log(clip(), model)["input"] == {
        "damaged": 1,
        "truncated": False,
        "flat": 0,
        "hdr": "",
        "full_range": False,
        "interlaced": False,
        "crop": "640:300:0:30",
        "picture": "640:272:0:14",
    }


def test_a_time_that_the_file_does_not_tell_is_left_out(model: LoadedModel) -> None:
    untimed = dataclasses.replace(clip(), times=np.float64([0, np.nan]))
    assert "time" not in log(untimed, model)["frames"][1]
    assert table([untimed], model).splitlines()[-1] == "a.mp4,3,2.500000,,1"


def test_one_clip_is_a_file_and_several_are_a_folder_even_where_one_alone_could_be_scored(
    model: LoadedModel, tmp_path: Path
) -> None:
    one, many = tmp_path / "one.json", tmp_path / "many"
    write(plan([Path("a.mp4")], one), [clip()], model)
    assert json.loads(one.read_text())["frames"]
    write(plan([Path("x/a.mp4"), Path("x/b.mp4")], many), [clip("x/b.mp4")], model)
    assert [path.name for path in many.iterdir()] == ["b.mp4.json"]
    write(plan([Path("a.mp4")], many), [clip("a.mp4")], model)
    assert sorted(path.name for path in many.iterdir()) == ["a.mp4.json", "b.mp4.json"]


def test_a_slash_at_the_end_names_a_folder_also_for_one_clip(model: LoadedModel, tmp_path: Path) -> None:
    write(plan([Path("a.mp4")], f"{tmp_path}/logs/"), [clip()], model)
    assert json.loads((tmp_path / "logs" / "a.mp4.json").read_text())["frames"]


def test_csv_has_one_row_a_frame_and_any_file_name(model: LoadedModel, tmp_path: Path) -> None:
    name = b"c\xff.mp4".decode("utf-8", "surrogateescape")
    target = tmp_path / "s.csv"
    write(plan([Path("a,b.mp4"), Path(name)], csv=target), [clip("a,b.mp4"), clip(name)], model)
    with open(target, newline="", encoding="utf-8", errors="surrogateescape") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["video", "frame", "mean_v1", "time", "flat"]
    assert rows[2] == ["a,b.mp4", "3", "2.500000", "0.120000", "1"]
    assert rows[4][0] == name
    assert len(rows) == 5


def test_earlier_scores_are_replaced_and_nothing_else_is(model: LoadedModel, tmp_path: Path) -> None:
    mine, video, target = tmp_path / "mine.json", tmp_path / "a.mp4", tmp_path / "scores"
    mine.write_text("{}")
    video.write_bytes(b"a film")
    for given in ({"json": mine}, {"csv": mine}):
        with pytest.raises(UserError, match="holds no scores"):
            plan([video], **given)
        assert plan([video], **given, force=True)
    for given in ({"json": video}, {"csv": video}):
        with pytest.raises(UserError, match="is a clip to be scored"):
            plan([video], **given, force=True)
    link = tmp_path / "link.csv"
    link.symlink_to(video)
    with pytest.raises(UserError, match="is a clip to be scored"):
        plan([video], csv=link, force=True)
    for _ in range(2):
        write(plan([video], target), [clip(str(video))], model)
    for _ in range(2):
        write(plan([video], csv=tmp_path / "t.csv"), [clip()], model)


@pytest.mark.parametrize(
    ("json_to", "csv_to", "complaint"),
    [
        ("same", "same", "--json and --csv are both"),
        ("-", "-", "--json and --csv are both -"),
        (None, ".", "is a folder; name a file"),
        (None, "new/", "--csv new/ is a folder; name a file"),
        ("file/", None, "with a slash at its end it must be a folder"),
        ("file/below", None, "file takes no files"),
    ],
)
def test_a_target_that_cannot_be_is_named_before_a_clip_is_scored(
    json_to: str | None, csv_to: str | None, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(UserError, match=complaint):
        plan([Path("a.mp4")], json_to, csv_to)


def test_two_clips_of_one_name_and_a_file_in_place_of_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.mp4\.json: 2 clips would .*, to a folder each"):
        plan([Path("x/a.mp4"), Path("y/a.mp4")], tmp_path / "logs")
    with pytest.raises(UserError, match="takes one clip, not 2"):
        plan([Path("x/a.mp4"), Path("x/b.mp4")], STDOUT)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="for 2 clips it must be a folder"):
        plan([Path("x/a.mp4"), Path("x/b.mp4")], tmp_path / "file")


def test_standard_output_a_pipe_and_a_link_take_what_is_written(
    model: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = plan([Path("a.mp4")], csv=STDOUT)
    assert targets.takes_stdout
    write(targets, [clip()], model)
    assert capsys.readouterr().out == table([clip()], model)
    pipe, link, real = tmp_path / "pipe", tmp_path / "link", tmp_path / "real"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    link.symlink_to(real)
    for target in (pipe, link):
        write(plan([Path("a.mp4")], csv=target), [clip()], model)
    assert os.read(reader, 1000).decode() == table([clip()], model) == real.read_text()
    os.close(reader)
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_a_model_without_a_sidecar_does_not_pretend_to_know_its_range(tmp_path: Path) -> None:
    bare = load_model(write_model(tmp_path, "bare", mean_nr()), unverified=True)
    assert "not known" in meaning_text(bare)
    assert "score_range" not in log(clip(), bare)["model"]


def test_the_log_names_the_file_that_scored(model: LoadedModel) -> None:
    assert log(clip(), model)["model"]["id"] == "mean_v1"
    assert log(clip(), model)["model"]["sha256"] == sha256_bytes(mean_nr())


def test_clips_of_one_name_are_told_apart_by_their_folders_in_csv(model: LoadedModel) -> None:
    rows = list(csv.reader(table([clip("x/a.mp4"), clip("y/a.mp4")], model).splitlines()))
    assert [row[0] for row in rows] == ["video", "x/a.mp4", "x/a.mp4", "y/a.mp4", "y/a.mp4"]
