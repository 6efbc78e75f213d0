from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from clip_factory import FPS, HEIGHT, WIDTH, X264, make_clip

from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.layout import Layout
from vmaf_train.manifest import COLUMNS, manifest
from vmaf_train.params import Params


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", *X264, count=6)


@pytest.fixture
def corpus(layout: Layout, clip: Path) -> Layout:
    """Three clips with scores; nothing is wrong with them."""
    folder = layout.corpus / "clips"
    folder.mkdir(parents=True)
    for name in ("c", "a", "b"):
        (folder / f"{name}.mp4").write_bytes(clip.read_bytes())
    (layout.corpus / "scores.csv").write_text("key,mos\nclips_a,1.5\nclips_b,2.5\nclips_c,3.5\n")
    return layout


@pytest.fixture
def params(make_params: Callable[..., Params]) -> Params:
    return make_params(compute__workers=1)


def test_every_clip_is_pinned_probed_and_joined_sorted_by_key(corpus: Layout, params: Params) -> None:
    assert manifest(params, corpus) == 3
    table = pd.read_parquet(corpus.manifest)
    assert tuple(table.columns) == COLUMNS
    assert table["key"].tolist() == table["scene"].tolist() == ["clips_a", "clips_b", "clips_c"]
    assert table["mos"].tolist() == [1.5, 2.5, 3.5]
    for _, row in table.iterrows():
        assert row["sha256"] == sha256_file(corpus.corpus / row["path"])
        assert (row["width"], row["height"], row["frames"]) == (WIDTH, HEIGHT, 6)
        assert (row["codec"], row["pix_fmt"]) == ("h264", "yuv420p")
        assert row["fps"] == FPS
        assert row["duration"] == pytest.approx(6 / FPS)


def test_a_second_run_gives_the_same_bytes(corpus: Layout, params: Params) -> None:
    manifest(params, corpus)
    first = sha256_file(corpus.manifest)
    (corpus.manifest.parent / ".manifest.parquet.unfinished-killed.parquet").touch()
    manifest(params, corpus)
    assert sha256_file(corpus.manifest) == first
    assert sorted(path.name for path in corpus.manifest.parent.iterdir()) == ["corpus", "manifest.parquet"]


def test_everything_left_out_is_named_and_counted_and_nothing_is_written(
    corpus: Layout, params: Params, make_params: Callable[..., Params], capsys: pytest.CaptureFixture[str]
) -> None:
    clips = corpus.corpus / "clips"
    data = (clips / "a.mp4").read_bytes()
    (clips / "unrated.mp4").write_bytes(data)
    (clips / "b.mp4").write_bytes(b"")
    (clips / "c.mp4").write_bytes(data[: len(data) // 2])
    with open(corpus.corpus / "scores.csv", "a") as scores:
        scores.write("clips_lost,4\n")
    with pytest.raises(UserError, match=r"manifest: 4 left out, corpus\.max_dropped allows 0") as caught:
        manifest(params, corpus)
    for name in (
        "unrated.mp4: clip without score",
        "clips_lost: score without clip",
        "b.mp4 is empty",
        "c.mp4",
    ):
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().err.count("manifest: left out: ") == 4
    assert not corpus.manifest.exists()
    assert manifest(make_params(compute__workers=1, corpus__max_dropped=4), corpus) == 1
    assert capsys.readouterr().err.count("manifest: left out: ") == 4


def test_a_clip_of_one_frame_is_named(corpus: Layout, params: Params) -> None:
    make_clip(corpus.corpus / "clips" / "a.mp4", *X264, count=1)
    with pytest.raises(UserError, match=r"a\.mp4 has a single frame"):
        manifest(params, corpus)


def test_a_missing_corpus_and_one_without_clips_say_what_to_do(
    layout: Layout, corpus: Layout, params: Params, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"no corpus folder .* run `vmaf-train fetch`"):
        manifest(params, Layout(tmp_path / "elsewhere"))
    for clip in corpus.corpus.rglob("*.mp4"):
        clip.unlink()
    with pytest.raises(UserError, match="no clips in "):
        manifest(params, corpus)


def test_two_clips_with_one_key_are_named(corpus: Layout, params: Params, clip: Path) -> None:
    (corpus.corpus / "clips_a.mp4").write_bytes(clip.read_bytes())
    with pytest.raises(UserError, match=r"clips_a\.mp4"):
        manifest(params, corpus)


def test_one_file_under_several_names_is_told_unless_it_is_one_scene(
    corpus: Layout, params: Params, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest(params, corpus)
    said = capsys.readouterr().err
    assert "clips/a.mp4, clips/b.mp4, clips/c.mp4 are one file under several names" in said
    rows = "clips_a,1.5,one\nclips_b,2.5,one\nclips_c,3.5,one\n"
    (corpus.corpus / "scores.csv").write_text(f"key,mos,scene\n{rows}")
    manifest(params, corpus)
    assert "several names" not in capsys.readouterr().err
