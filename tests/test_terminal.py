"""Tables and bars, on a terminal and where there is none."""

from __future__ import annotations

import sys

import pytest

from vmaf_train.terminal import print_facts, print_table, progress_bar


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


def test_piped_facts_are_label_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts("title", {"kind": "nr", "bytes": "1,000"})
    assert capsys.readouterr().out == "title\nkind\tnr\nbytes\t1,000\n"


def test_there_is_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working") as report:
        assert report is None
    assert capsys.readouterr().err == ""
