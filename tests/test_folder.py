"""A user's own clips and scores become a corpus like any other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.folder import fetch_folder
from vmaf_train.layout import Layout
from vmaf_train.manifest import manifest
from vmaf_train.mos import find_clips, find_score_table, join, read_scores
from vmaf_train.params import Params

Make = Callable[..., Params]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    own = tmp_path / "own"
    (own / "day").mkdir(parents=True)
    for name in ("day/1.mp4", "day/2.mp4", "3.mkv"):
        (own / name).write_bytes(name.encode())
    (own / "ratings.csv").write_text("key,mos\nday_1,3.5\nday/2.mp4,2\n3,4.5\n")
    return own


def asked(make_params: Make, clips: Path | str, scores: Path | str, **changes: str) -> Params:
    folder = {"corpus__folder__path": str(clips), "corpus__folder__scores": str(scores)}
    return make_params(corpus__name="folder", **folder, **changes)


def test_clips_scores_and_provenance_lie_in_the_common_layout(
    own: Path, make_params: Make, layout: Layout
) -> None:
    fetch_folder(asked(make_params, own, own / "ratings.csv"), layout)
    clips = find_clips(layout.corpus)
    assert [str(clip) for clip in clips] == ["3.mkv", "day/1.mp4", "day/2.mp4"]
    assert (layout.corpus / "day/1.mp4").read_bytes() == b"day/1.mp4"
    joined = join(clips, read_scores(find_score_table(layout.corpus)))
    assert [(row.key, row.mos) for row in joined.rows] == [("3", 4.5), ("day_1", 3.5), ("day_2", 2.0)]
    provenance = json.loads(layout.provenance.read_text())
    assert (provenance["corpus"], provenance["label_kind"]) == ("folder", "human-mos")
    assert str(own) not in layout.provenance.read_text()


def test_a_second_fetch_replaces_the_corpus_and_leaves_nothing_beside_it(
    own: Path, make_params: Make, layout: Layout
) -> None:
    params = asked(make_params, own, own / "ratings.csv")
    fetch_folder(params, layout)
    (own / "3.mkv").write_bytes(b"edited")
    assert (layout.corpus / "3.mkv").read_bytes() == b"3.mkv"
    (layout.corpus.parent / ".corpus.unfinished-killed").mkdir()
    fetch_folder(params, layout)
    assert (layout.corpus / "3.mkv").read_bytes() == b"edited"
    assert [path.name for path in layout.corpus.parent.iterdir()] == ["corpus"]


@pytest.mark.parametrize("kind", ["human-mos", "vmaf-proxy"])
def test_the_provenance_says_who_rated_the_clips(
    own: Path, make_params: Make, layout: Layout, kind: str
) -> None:
    table = own / "ratings.csv"
    fetch_folder(asked(make_params, own, table, corpus__folder__label_kind=kind), layout)
    assert json.loads(layout.provenance.read_text())["label_kind"] == kind


def test_a_kind_of_label_that_no_card_knows_is_refused(make_params: Make) -> None:
    with pytest.raises(UserError, match=r"label_kind is 'dmos'; expected one of human-mos, vmaf-proxy"):
        make_params(corpus__folder__label_kind="dmos")


def test_the_default_folder_takes_clips_and_scores_as_they_are_put_there(
    own: Path, make_params: Make, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "ratings.csv").rename(own / "mos.csv")
    layout.corpus.parent.mkdir()
    own.rename(layout.root / "data" / "clips")
    fetch_folder(make_params(corpus__name="folder"), layout)
    assert len(find_clips(layout.corpus)) == 3
    assert capsys.readouterr().err == ""


def test_scores_outside_the_folder_are_taken_with_a_word_on_what_dvc_does_not_see(
    own: Path, make_params: Make, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = (own / "ratings.csv").rename(own.parent / "ratings.csv")
    assert len(fetch_folder(asked(make_params, own, scores), layout).rows) == 3
    assert "DVC does not see it change: after an edit run `dvc repro -f -s fetch`" in capsys.readouterr().err


@pytest.mark.parametrize("column", ["key", "file_name", "flickr_id"])
def test_a_score_of_another_clip_with_the_same_digits_is_never_taken(
    own: Path, make_params: Make, layout: Layout, column: str
) -> None:
    (own / "3.mkv").rename(own / "12_party.mkv")
    name = "12" if column == "flickr_id" else "12_concert.mp4"
    (own / "ratings.csv").write_text(f"{column},mos\n1,3\n2,2\n{name},1.5\n")
    joined = fetch_folder(asked(make_params, own, own / "ratings.csv"), layout)
    assert [(row.key, row.mos) for row in joined.rows] == [("day_1", 3.0), ("day_2", 2.0)]
    with pytest.raises(UserError, match=rf"12_party\.mkv: clip without score; {name}: score without clip"):
        manifest(make_params(), layout)


def test_what_is_wrong_with_the_folder_is_named(own: Path, make_params: Make, layout: Layout) -> None:
    layout.corpus.mkdir(parents=True)
    (own / "empty").mkdir()
    strangers = own / "strangers.csv"
    strangers.write_text("key,mos\nx,3\n")
    for clips, scores, message in (
        ("", own / "ratings.csv", "corpus.folder.path is empty"),
        (own, "", "corpus.folder.scores is empty"),
        (own, own / "none.csv", "corpus.folder.scores is .*none.csv', which does not exist"),
        (own / "none", own / "ratings.csv", "corpus.folder.path is .*none', which does not exist"),
        (own / "3.mkv", own / "ratings.csv", "which is no folder"),
        (own / "empty", own / "ratings.csv", "no clip in .*empty .*put your clips and their scores there"),
        (own, strangers, "none of the 3 clips"),
        (layout.corpus, own / "ratings.csv", "which fetch replaces"),
        (layout.root, own / "ratings.csv", "fetch would take its own output in"),
    ):
        with pytest.raises(UserError, match=message):
            fetch_folder(asked(make_params, clips, scores), layout)
    assert not list(layout.corpus.iterdir())
