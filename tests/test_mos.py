"""Score tables: what is understood, what is refused and how that is said."""

from __future__ import annotations

import json
from pathlib import Path, PurePath, PurePosixPath

import pytest

from vmaf_train.errors import UserError
from vmaf_train.labels import vmaf_to_mos
from vmaf_train.mos import (
    OF_VMAF,
    Row,
    Score,
    clip_key,
    find_clips,
    find_score_table,
    join,
    read_scores,
    score_table,
)


def table(folder: Path, text: str | bytes, name: str = "scores.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "key,mos\na,3.5\nb,2\n",
        "KEY,MOS\r\na,3.5\r\nb,2\r\n",
        "\ufeffkey;mos\na;3,5\nb;2\n",
        "mos\tkey\tnote\n3.5\ta\tx\n2\tb\t\n",
        '"key","mos","scene"\n"a","3.5","a"\n\n"b","2","b"',
    ],
)
def test_delimiters_byte_order_mark_order_and_case_of_columns_are_understood(
    tmp_path: Path, text: str
) -> None:
    scores = read_scores(table(tmp_path, text))
    assert [(score.key, score.mos) for score in scores] == [("a", 3.5), ("b", 2.0)]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("flickr_id,mos\n3339962845,3.2\n", "3339962845"),
        ("flickr_id;MOS\n3339962845.0;3,2\n", "3339962845"),
        ("file_name,MOS\n3339962845_centered.mp4,3.2\n", "3339962845_centered.mp4"),
        ("file_name,flickr_id,mos,mos_std\n3339962845.mp4,3339962845,3.2,.5\n", "3339962845"),
    ],
)
def test_every_released_shape_of_konvids_tables_is_read(tmp_path: Path, text: str, key: str) -> None:
    assert read_scores(table(tmp_path, text)) == [Score(key, 3.2)]


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    scores = [
        Score("a, b", 3.1234567890123456, "s"),
        Score("v/c.mp4", 5.0, "v/c.mp4"),
        Score("d;", 1.0, 'e"'),
    ]
    assert read_scores(table(tmp_path, score_table(scores))) == scores
    assert read_scores(table(tmp_path, score_table([Score("a", 2.0)]))) == [Score("a", 2.0, "a")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,mos\na,3\nb,high\n", "line 3: mos is 'high'; expected a number from 1 to 5"),
        ("key,mos\na,nan\n", "line 2: mos is 'nan'"),
        ("key,mos\na,\n", "line 2: mos is ''"),
        ("key,mos\na,5.01\n", "line 2: mos is '5.01'"),
        (
            "key,mos\na,80\n",
            "mos is '80'; expected a number from 1 to 5 (VMAF maps to 1 + (vmaf - 20) / 20, not below 1),",
        ),
        ("key;mos\na;72,5\n", "mos is '72,5'; expected a number from 1 to 5 (VMAF maps to "),
        ("key,mos\na,0\n", "mos is '0'; expected a number from 1 to 5, correct"),
        ("key,mos\na,101\n", "mos is '101'; expected a number from 1 to 5, correct"),
        ("key,mos\na,0.99\n", "line 2: mos is '0.99'"),
        ("key,mos\na,1_0\n", "line 2: mos is '1_0'"),
        ("key,mos\na,1e999\n", "line 2: mos is '1e999'"),
        ("key,mos\na,3\nb,4\na,2\n", "line 4: 'a' already has a score in line 2"),
        ("key,mos\n,3\n", "line 2: key is empty"),
        ("key,mos,scene\na,3,\n", "line 2: scene of 'a' is empty"),
        ("key,mos,target\na,3,no\n", "line 2: target of 'a' is 'no'; expected 0 or 1"),
        ("key,mos\na\n", "line 2: 1 columns where the first line has 2"),
        ("flickr_id,mos\n3.34E+09,3\n", "line 2: flickr_id is '3.34E+09'"),
        ("id,mos\na,3\n", "line 1: no column key or flickr_id or file_name among 'id', 'mos'"),
        ("key,score\na,3\n", "line 1: no column mos among 'key', 'score'"),
        ("key,mos,MOS\na,3,3\n", "line 1: column 'mos' is there twice"),
        ('key,mos\n"a,3\n', "line 2: not valid CSV"),
        ("key,mos\n", "holds no scores"),
        ("", "line 1: no column key"),
        (b"key,mos\n\xff\xfe,3\n", "is not UTF-8 text (byte 0xff)"),
    ],
)
def test_a_bad_table_is_one_line_that_names_file_line_and_value(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    path = table(tmp_path, text)
    with pytest.raises(UserError) as error:
        read_scores(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("vmaf", [0, 20, 20.5, 72.5, 100])
def test_the_map_of_vmaf_that_an_error_tells_is_that_of_the_labels(vmaf: float) -> None:
    assert max(1, eval(OF_VMAF, {"vmaf": vmaf})) == pytest.approx(vmaf_to_mos(vmaf))


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*none\.csv"):
        read_scores(tmp_path / "none.csv")


def test_the_key_is_the_path_without_suffix() -> None:
    assert clip_key(PurePath("KoNViD_1k_videos/3339962845.mp4")) == "KoNViD_1k_videos_3339962845"


def test_clips_without_score_and_scores_without_clip_are_named() -> None:
    clips = [PurePath("v/11.mp4"), PurePath("v/12_x.mp4"), PurePath("v/110.mp4")]
    joined = join(clips, [Score("11", 3.0), Score("13", 4.0)])
    assert joined.rows == [Row(PurePosixPath("v/11.mp4"), "v_11", 3.0, "v_11")]
    assert joined.clips_without_score == ["v/110.mp4", "v/12_x.mp4"]
    assert joined.scores_without_clip == ["13"]


@pytest.mark.parametrize("name", ["sub_a.b", "sub/a.b.mp4", "./sub/a.b.mp4", "sub/a.b", "a.b.mp4", "a.b"])
def test_a_score_by_key_joins_by_key_path_or_file_name(name: str) -> None:
    joined = join([PurePath("sub/a.b.mp4")], [Score(name, 2.0, scene="s")])
    assert joined.rows == [Row(PurePosixPath("sub/a.b.mp4"), "sub_a.b", 2.0, "s")]


@pytest.mark.parametrize("column", ["key", "flickr_id", "file_name"])
@pytest.mark.parametrize("name", ["12", "12_concert.mp4", "12_party_late.mp4", "012_party.mp4"])
def test_a_score_never_joins_a_clip_whose_name_only_starts_alike(
    tmp_path: Path, column: str, name: str
) -> None:
    if column == "flickr_id":
        name = "12"
    joined = join([PurePath("12_party.mp4")], read_scores(table(tmp_path, f"{column},mos\n{name},1.5\n")))
    assert (joined.rows, joined.clips_without_score) == ([], ["12_party.mp4"])
    assert joined.scores_without_clip == [name]


def test_file_names_that_share_digits_are_told_apart() -> None:
    clips = [PurePath("1_a.mp4"), PurePath("1_b.mp4")]
    joined = join(clips, [Score("1_a.mp4", 2.0), Score("1_b.mp4", 4.0)])
    assert [(row.key, row.mos, row.scene) for row in joined.rows] == [
        ("1_a", 2.0, "1_a"),
        ("1_b", 4.0, "1_b"),
    ]


@pytest.mark.parametrize(
    ("clips", "scores", "message"),
    [
        (["a/b.mp4", "a_b.mp4"], [], "have the same key 'a_b'"),
        (["x/c.mp4", "y/c.mp4"], [Score("c", 3.0)], "fits the clips x/c.mp4 and y/c.mp4"),
        (["x/c.mp4"], [Score("c", 3.0), Score("x_c", 2.0)], "x/c.mp4 has two scores, 'c' and 'x_c'"),
    ],
)
def test_an_ambiguous_join_is_refused(clips: list[str], scores: list[Score], message: str) -> None:
    with pytest.raises(UserError, match=message):
        join(map(PurePath, clips), scores)


def test_the_table_of_the_provenance_comes_first_and_cannot_leave_the_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "meta").mkdir(parents=True)
    with pytest.raises(UserError, match="no score table"):
        find_score_table(corpus)
    attributes = table(corpus / "meta", "", "KoNViD_1k_attributes.csv")
    assert find_score_table(corpus) == attributes
    mos = table(corpus / "meta", "", "KoNViD_1k_mos.csv")
    assert find_score_table(corpus) == mos
    other = table(corpus, "", "other.csv")
    (corpus / "provenance.json").write_text(json.dumps({"scores": "other.csv"}))
    assert find_score_table(corpus) == other
    table(tmp_path, "", "outside.csv")
    too_long = json.dumps({"scores": "x" * 5000})
    for text in (
        too_long,
        '{"scores": "../outside.csv"}',
        '{"scores": "none.csv"}',
        '{"scores": 3}',
        "[]",
        "{",
    ):
        (corpus / "provenance.json").write_text(text)
        with pytest.raises(UserError, match=r"provenance\.json"):
            find_score_table(corpus)


def test_hidden_files_and_other_files_are_no_clips(tmp_path: Path) -> None:
    for name in ("b/2.MP4", "a/1.mkv", "a/notes.txt", "a/._1.mp4", ".cache/3.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path) for path in find_clips(tmp_path)] == ["a/1.mkv", "b/2.MP4"]


def test_a_clip_is_a_target_of_filters_unless_the_table_says_no(tmp_path: Path) -> None:
    assert [score.target for score in read_scores(table(tmp_path, "key,mos\na,3\n"))] == [True]
    scores = read_scores(table(tmp_path, "key,mos,Target\na,3,0\nb,4,1\n"))
    assert [score.target for score in scores] == [False, True]
    assert [row.target for row in join([PurePath("a.mp4"), PurePath("b.mp4")], scores).rows] == [False, True]
    assert read_scores(table(tmp_path, score_table(scores))) == [
        Score("a", 3.0, "a", target=False), Score("b", 4.0, "b"),
    ]  # fmt: skip
