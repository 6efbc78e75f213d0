from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from vmaf_train.camera import published
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.impair import Impairment, damage, draw_plans, encode
from vmaf_train.layout import Layout
from vmaf_train.leaves import seeded
from vmaf_train.mos import find_clips, find_score_table, join, read_scores
from vmaf_train.params import Params
from vmaf_train.scenes import render_clip
from vmaf_train.synthetic import Rendered, render, render_scene, variant_letters

TINY = {
    "corpus__synthetic__scenes": 3,
    "corpus__synthetic__variants": 5,
    "corpus__synthetic__width": 192,
    "corpus__synthetic__height": 128,
    "corpus__synthetic__frames": 3,
}


def hashes(layout: Layout) -> dict[str, str]:
    files = [path for path in layout.corpus.rglob("*") if path.is_file()]
    return {path.relative_to(layout.corpus).as_posix(): sha256_file(path) for path in files}


@pytest.fixture(scope="module")
def tiny(
    tmp_path_factory: pytest.TempPathFactory, make_params: Callable[..., Params]
) -> tuple[Layout, list[Rendered]]:
    layout = Layout(tmp_path_factory.mktemp("tiny"))
    return layout, render(make_params(**TINY, compute__workers=2), layout)


def test_a_corpus_has_a_labelled_clip_for_each_variant(tiny: tuple[Layout, list[Rendered]]) -> None:
    layout, clips = tiny
    table = find_score_table(layout.corpus)
    joined = join(find_clips(layout.corpus), read_scores(table))
    assert len(joined.rows) == 15
    assert joined.clips_without_score == joined.scores_without_clip == []
    assert joined.rows[0].key == "synthetic_videos_0000_a"
    assert {row.scene for row in joined.rows} == {"0000", "0001", "0002"}
    assert [row.mos for row in joined.rows] == pytest.approx([clip.mos for clip in clips], abs=1e-4)


def test_clips_of_a_scene_differ_in_score(tiny: tuple[Layout, list[Rendered]]) -> None:
    _, clips = tiny
    scores = np.array([clip.mos for clip in clips]).reshape(3, 5)
    assert (scores.max(axis=1) - scores.min(axis=1) > 0.5).all()


def test_the_clip_that_was_damaged_more_has_the_lower_label(
    make_params: Callable[..., Params], tmp_path: Path
) -> None:
    def crfs(scene: str) -> list[int]:
        plans = draw_plans(seeded(1, "plans", scene), 3, 0.2)[:2]
        encoded = [Impairment(codec="x264", quality=plan.quality, angle=plan.angle) for plan in plans]
        return [plan.quality for plan in plans if plan in encoded]

    # a scene whose first two clips are encoded and nothing else, the first one far worse
    scenes = ((scene, crfs(scene)) for scene in (f"{number:04d}" for number in range(2000)))
    name = next(scene for scene, found in scenes if len(found) == 2 and found[0] > found[1] + 15)
    wanted = make_params(**TINY | {"corpus__synthetic__variants": 3}).corpus.synthetic
    (tmp_path / "synthetic_videos").mkdir()
    worse, better, _ = render_scene(name, seed=1, wanted=wanted, folder=tmp_path)
    assert worse.impairment["quality"] > better.impairment["quality"] + 15
    assert (tmp_path / worse.path).stat().st_size < (tmp_path / better.path).stat().st_size
    assert worse.vmaf < better.vmaf - 20
    assert worse.mos < better.mos - 1


def test_provenance_says_rendered_and_no_human_label(tiny: tuple[Layout, list[Rendered]]) -> None:
    layout, _ = tiny
    said = json.loads(layout.provenance.read_text())
    assert said["corpus"] == "synthetic"
    assert said["label_kind"] == "vmaf-proxy"
    assert "no person rated them" in said["description"]
    assert "not KoNViD-1k" in said["description"]
    assert said["sources"]["seed"] == 1
    assert said["sources"]["ffmpeg"]
    assert said["sources"]["libvmaf"]


def test_the_list_of_clips_tells_what_was_done_to_each(tiny: tuple[Layout, list[Rendered]]) -> None:
    layout, clips = tiny
    listed = json.loads((layout.corpus / "clips.json").read_text())
    assert [entry["path"] for entry in listed] == [clip.path for clip in clips]
    assert all(entry["impairment"]["codec"] for entry in listed)


def test_another_number_of_workers_gives_the_same_bytes(
    tiny: tuple[Layout, list[Rendered]], make_params: Callable[..., Params], layout: Layout
) -> None:
    render(make_params(**TINY, compute__workers=1), layout)
    assert hashes(layout) == hashes(tiny[0])


def test_more_scenes_leave_the_earlier_ones_as_they_were(
    tiny: tuple[Layout, list[Rendered]], make_params: Callable[..., Params], layout: Layout
) -> None:
    render(make_params(**TINY | {"corpus__synthetic__scenes": 1}), layout)
    clips = {name: digest for name, digest in hashes(layout).items() if name.endswith(".mp4")}
    assert len(clips) == 5
    assert clips.items() <= hashes(tiny[0]).items()


def test_photos_take_the_place_of_the_first_scenes(
    tiny: tuple[Layout, list[Rendered]],
    make_params: Callable[..., Params],
    layout: Layout,
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    grey = np.random.default_rng(1).integers(0, 255, (30, 40), np.uint8)
    Image.fromarray(grey).resize((400, 300)).save(photos / "mine.png")
    smaller = TINY | {"corpus__synthetic__scenes": 2, "corpus__synthetic__photos": str(photos)}
    clips = render(make_params(**smaller), layout)
    assert [clip.source for clip in clips] == ["mine.png"] * 5 + [""] * 5
    mine, first = hashes(layout), hashes(tiny[0])
    assert mine["synthetic_videos/0000_a.mp4"] != first["synthetic_videos/0000_a.mp4"]
    assert mine["synthetic_videos/0001_a.mp4"] == first["synthetic_videos/0001_a.mp4"]
    text = layout.provenance.read_text()
    assert json.loads(text)["sources"]["photos"] == 1
    assert str(tmp_path) not in text


def test_a_missing_photo_folder_leaves_the_earlier_corpus(
    make_params: Callable[..., Params], layout: Layout
) -> None:
    layout.corpus.mkdir(parents=True)
    (layout.corpus / "kept").write_text("kept")
    with pytest.raises(UserError, match="photos is 'nowhere', which does not exist"):
        render(make_params(**TINY, corpus__synthetic__photos="nowhere"), layout)
    assert (layout.corpus / "kept").read_text() == "kept"


def test_a_photo_that_a_worker_cannot_read_is_named(
    make_params: Callable[..., Params], layout: Layout, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    # its header is whole: the size, which is checked first, can be read
    Image.new("RGB", (400, 300)).save(photos / "bad.jpg")
    (photos / "bad.jpg").write_bytes((photos / "bad.jpg").read_bytes()[:700])
    with pytest.raises(UserError, match=r"cannot read photograph .*bad\.jpg"):
        render(make_params(**TINY, corpus__synthetic__photos=str(photos)), layout)
    assert list(layout.corpus.parent.iterdir()) == []


def test_pictures_that_are_too_small_are_all_named_before_anything_is_rendered(
    make_params: Callable[..., Params], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmaf_train.synthetic.map_ordered", lambda *_: pytest.fail("a scene was rendered"))
    layout.photos.mkdir(parents=True)
    for name, side in (("a", 300), ("b", 100), ("c", 90), ("d", 80)):
        Image.new("L", (side, side)).save(layout.photos / f"{name}.png")
    with pytest.raises(
        UserError, match=r"the scenes' 192x128: .*b\.png \(100x100\), .*c\.png \(90x90\);"
    ) as told:
        render(make_params(**TINY), layout)
    # the fourth is no scene of three
    assert "d.png" not in str(told.value)
    assert list(layout.corpus.parent.iterdir()) == [layout.photos]


def test_odd_sides_are_refused(make_params: Callable[..., Params], layout: Layout) -> None:
    with pytest.raises(UserError, match="191x128, but video needs even sides"):
        render(make_params(**TINY | {"corpus__synthetic__width": 191}), layout)


def start_fetch(raw: dict[str, object], folder: Path, limit: int | None = None) -> subprocess.Popen[str]:
    """`vmaf-train fetch` in a folder of its own, perhaps with no room for files larger than `limit`."""
    with open(folder / "params.yaml", "w") as handle:
        YAML().dump(raw, handle)

    def no_room() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "vmaf_train.cli", "fetch"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=no_room,
    )


def test_ctrl_c_leaves_the_earlier_corpus_and_nothing_else(
    raw_params: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    corpus = tmp_path / "data" / "corpus"
    corpus.mkdir(parents=True)
    (corpus / "kept").write_text("kept")
    process = start_fetch(raw_params(**TINY | {"corpus__synthetic__scenes": 500}), tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("data/.corpus.*/synthetic_videos/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    try:
        _, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert [path.name for path in corpus.parent.iterdir()] == ["corpus"]
    assert (corpus / "kept").read_text() == "kept"


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    raw_params: Callable[..., dict[str, object]], tmp_path: Path
) -> None:
    process = start_fetch(raw_params(**TINY), tmp_path, limit=1500)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in complaint
    assert "free some disk space" in complaint.splitlines()[-1]
    assert list((tmp_path / "data").iterdir()) == []


def test_the_score_table_has_the_columns_of_every_corpus(tiny: tuple[Layout, list[Rendered]]) -> None:
    with open(tiny[0].corpus / "scores.csv", newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[0] == ["key", "mos", "scene", "target"]
    assert len(rows) == 16
    touched_up = {clip.key: bool(clip.impairment["earlier"]) for clip in tiny[1]}
    assert {row[0]: row[3] == "0" for row in rows[1:]} == touched_up
    assert sum(touched_up.values()) == 3


def test_variant_names_go_on_after_z() -> None:
    names = [variant_letters(index) for index in range(64)]
    assert names[0] == "a"
    assert names[25:28] == ["z", "aa", "ab"]
    assert len(set(names)) == 64


def test_each_clip_is_its_scene_as_published_with_damage_of_its_own(
    tiny: tuple[Layout, list[Rendered]], make_params: Callable[..., Params], tmp_path: Path
) -> None:
    layout, clips = tiny
    wanted = make_params(**TINY).corpus.synthetic
    for clip in clips:
        name, letter = Path(clip.path).stem.split("_")
        scene = render_clip(name, 1, wanted.width, wanted.height, wanted.frames)
        pristine = published(scene, seeded(1, "published", name))
        plan = Impairment(**clip.impairment)
        damaged = damage(pristine, plan, seeded(1, "damage", name, letter))
        encode(damaged, plan, wanted.fps, tmp_path / "again.mp4")
        assert (tmp_path / "again.mp4").read_bytes() == (layout.corpus / clip.path).read_bytes()
