"""Tables and bars, on a terminal and where there is none."""

from __future__ import annotations

import re
import sys

import pytest

from vmaf_train.terminal import print_facts, print_table, progress_bar

BOLD = r"\x1b\[[0-9;]*m"


def test_a_piped_table_is_tab_separated_with_its_caption_as_a_comment(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("a", "b"), [("1", "2"), ("3", "4")], "what it is")
    assert capsys.readouterr().out == "# what it is\na\tb\n1\t2\n3\t4\n"


def test_names_in_a_table_on_a_terminal_are_no_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table(("file",), [("a[v2].mp4",)], "x[/b] m[v2].onnx")
    out = capsys.readouterr().out
    assert "a[v2].mp4" in out
    assert "x[/b]" in out
    assert "m[v2].onnx" in out.replace("\n", " ")


def test_on_a_narrow_terminal_neither_ids_nor_words_of_the_header_are_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    ids = ["learned_filter_v1", "nr_metric_v3"]
    rows = [(name, "1", "1,000,000", "a corpus of many words (vmaf-proxy)") for name in ids]
    print_table(("model", "parameters", "harmonic mean", "corpus"), rows, "x", fold=False)
    out = re.sub(BOLD, "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 60
    for whole in (*ids, "parameters", "harmonic", "1,000,000"):
        assert whole in out


def test_on_a_narrow_terminal_a_path_is_broken_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    path = "/a/folder/" + "0123456789" * 8 + ".mp4"
    print_table(("video", "mean"), [(path, "3.000")], "x")
    out = re.sub(BOLD, "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 40
    cells = [line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")]
    assert "".join(cells) == path


def test_piped_facts_are_label_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("title", {"kind": "nr", "bytes": "1,000"})
    assert capsys.readouterr().out == "title\nkind\tnr\nbytes\t1,000\n"


def test_there_is_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working") as report:
        assert report is None
    assert capsys.readouterr().err == ""
