"""Paths of the user's own: taken as DVC takes them, and never mixed up with the corpus."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.own import own_folder, own_path

KEY = "corpus.folder.path"


def test_a_path_is_relative_to_the_repository_or_absolute(layout: Layout) -> None:
    (layout.root / "mine").mkdir()
    (layout.root / "mine" / "mos.csv").touch()
    assert own_folder(KEY, "mine", layout) == layout.root / "mine"
    assert own_folder(KEY, str(layout.root / "mine"), layout) == layout.root / "mine"
    assert own_path(KEY, "mine/mos.csv", layout) == layout.root / "mine" / "mos.csv"


def test_what_is_not_there_is_told_with_its_key(layout: Layout) -> None:
    (layout.root / "file").touch()
    for value, message in (
        ("", rf"{KEY} is empty in params\.yaml; give a path"),
        ("nowhere", rf"{KEY} is 'nowhere', which does not exist; correct it"),
        ("~/clips", r"'~/clips', which does not exist \(DVC expands no ~: write the path in full\)"),
        ("file", "'file', which is no folder"),
    ):
        with pytest.raises(UserError, match=message):
            own_folder(KEY, value, layout)


@pytest.mark.parametrize("value", ["data/corpus", "data/corpus/deeper", "link"])
def test_a_folder_in_the_corpus_is_refused_since_fetch_replaces_it(layout: Layout, value: str) -> None:
    (layout.corpus / "deeper").mkdir(parents=True)
    (layout.root / "link").symlink_to(layout.corpus, target_is_directory=True)
    with pytest.raises(UserError, match="which fetch replaces"):
        own_folder(KEY, value, layout)


@pytest.mark.parametrize("value", [".", "data", ".."])
@pytest.mark.parametrize("fetched", [False, True])
def test_a_folder_that_holds_the_corpus_is_refused_before_and_after_a_fetch(
    layout: Layout, value: str, fetched: bool
) -> None:
    (layout.corpus if fetched else layout.corpus.parent).mkdir(parents=True)
    with pytest.raises(UserError, match="take its own output in"):
        own_folder(KEY, value, layout)


def test_the_default_folders_beside_the_corpus_pass(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (layout.corpus, layout.photos, layout.root / "data" / "clips"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(layout.root)
    for value in ("data/clips", "data/photos"):
        assert own_folder(KEY, value, Layout()) == Path(value)


def test_a_home_folder_is_not_expanded_since_dvc_would_not_see_it(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "clips").mkdir()
    with pytest.raises(UserError, match=r"'~/clips', which does not exist \(DVC expands no ~"):
        own_folder(KEY, "~/clips", layout)
