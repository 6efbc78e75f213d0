"""Score tables: find the CSV of a corpus, read it strictly, join its scores with the clips.

Every released shape of KoNViD-1k's tables is understood, and the table `key,mos[,scene][,target]` that a
corpus and a user's own folder hold.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from vmaf_train.errors import UserError

LOWEST, HIGHEST = 1.0, 5.0
OF_VMAF = "1 + (vmaf - 20) / 20"  # as `labels` maps it, told to whoever takes VMAF for MOS
CLIP_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".nut", ".ogv", ".ts", ".webm", ".wmv", ".y4m"),
)
# a table's columns, without regard to case; the first that a table has names its clips
NAME_COLUMNS = ("key", "flickr_id", "file_name", "filename", "video_name")
TABLE_NAMES = ("scores.csv", "KoNViD_1k_mos.csv", "KoNViD_1k_attributes.csv")
OPTIONAL = ("scene", "target")
# tables that went through a spreadsheet or pandas hold ids as `3339962845.0`
WHOLE_NUMBER = re.compile(r"([0-9]+)(?:\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Score:
    """One row of a score table.

    `key` names a clip by its key, path, file name or flickr id, as the table does; `mos` lies in 1..5;
    `scene` is empty where the table has no such column. `target`: filters may take the clip for clean; with
    grain or sharpening that was added it is a clip for metrics alone.
    """

    key: str
    mos: float
    scene: str = ""
    target: bool = True


@dataclass(frozen=True)
class Row:
    """A clip with its score; `path` is relative to the corpus, `scene` is the key where none is given."""

    path: PurePosixPath
    key: str
    mos: float
    scene: str
    target: bool = True


@dataclass(frozen=True)
class Joined:
    """Clips with a score, sorted by key, and the names of what found no partner."""

    rows: list[Row]
    clips_without_score: list[str]
    scores_without_clip: list[str]


def clip_key(relative: PurePath) -> str:
    """Key of a clip: its path below the corpus without suffix, `/` replaced by `_`."""
    return "_".join(relative.with_suffix("").parts)


def find_clips(corpus: Path) -> list[PurePosixPath]:
    """Paths of all clips below `corpus`, relative to it, sorted; hidden files and folders are left out."""
    return sorted(
        relative
        for path in corpus.rglob("*")
        if path.suffix.lower() in CLIP_SUFFIXES and path.is_file()
        for relative in [PurePosixPath(path.relative_to(corpus).as_posix())]
        if not is_hidden(relative)
    )


def is_hidden(path: PurePath) -> bool:
    """Whether a file or a folder above it is hidden: a thumbnail, or what macOS lays beside a file."""
    return any(part.startswith(".") for part in path.parts)


def find_score_table(corpus: Path) -> Path:
    """Return the score table of a corpus: the one `provenance.json` names, else one with a known name.

    Raises:
        UserError: there is none, or provenance.json names a file that is not below `corpus`.
    """
    provenance = corpus / "provenance.json"
    if provenance.is_file():
        name = _named_in(provenance)
        try:
            if (corpus / name).resolve().is_relative_to(corpus.resolve()) and (corpus / name).is_file():
                return corpus / name
        except OSError:
            pass  # a name that is too long for the file system is no file either
        raise UserError(
            f"{provenance}: scores is {name!r}, which is no file of the corpus; run `vmaf-train fetch`"
        )
    found = find_known_table(corpus)
    if found is None:
        raise UserError(
            f"no score table in {corpus} (looked for {', '.join(TABLE_NAMES)}); run `vmaf-train fetch`"
        )
    return found


def find_known_table(folder: Path) -> Path | None:
    """The first table below `folder` with a known name, `_mos` before `_attributes`, or None."""
    tables = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".csv" and path.is_file())
    for name in TABLE_NAMES:
        for path in tables:
            if path.name.lower() == name.lower():
                return path
    return None


def read_scores(path: Path) -> list[Score]:
    """Read a CSV of scores, with `,`, `;` or tab between the columns and with or without a BOM.

    The columns are a name (`key`, `flickr_id` or `file_name`), `mos` (1..5), perhaps `scene` and perhaps
    `target` (0 or 1), in any order and case; others are ignored. In a table with `;` a decimal comma is
    understood.

    Raises:
        UserError: the file cannot be read, a column is missing, or a row has no name, a MOS that is not
            a number from 1 to 5, or a name that an earlier row has. The text names file, line and value.
    """
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = _rows(text, delimiter, path)
    _, header = next(rows, (1, [""]))
    columns = _columns(header, path)
    scores: list[Score] = []
    first_line: dict[str, int] = {}
    for line, values in rows:
        where = f"{path}, line {line}"
        if len(values) != len(header):
            raise UserError(
                f"{where}: {len(values)} columns where the first line has {len(header)}; correct the line"
            )
        key = _name(values[columns["name"]].strip(), header[columns["name"]], where)
        mos = _mos(values[columns["mos"]].strip(), delimiter, where)
        scene = values[columns["scene"]].strip() if "scene" in columns else ""
        if "scene" in columns and not scene:
            raise UserError(f"{where}: scene of {key!r} is empty; fill it in or remove the column")
        target = values[columns["target"]].strip() if "target" in columns else "1"
        if target not in ("0", "1"):
            raise UserError(f"{where}: target of {key!r} is {target!r}; expected 0 or 1, correct it there")
        if key in first_line:
            raise UserError(
                f"{where}: {key!r} already has a score in line {first_line[key]}; remove one of them"
            )
        first_line[key] = line
        scores.append(Score(key, mos, scene, target=target == "1"))
    if not scores:
        raise UserError(f"{path} holds no scores below its first line; add rows or give another file")
    return scores


def join(clips: Iterable[PurePath], scores: Iterable[Score]) -> Joined:
    """Join clips (paths relative to the corpus) with scores.

    A score belongs to the clip that has its name as key, path or file name, with or without suffix, and to
    no other: a name that only starts alike may be another clip's. The scene of a clip is the score's, else
    its key.

    Raises:
        UserError: two clips have one key or one score, or two scores one clip.
    """
    paths = sorted(PurePosixPath(clip.as_posix()) for clip in clips)
    by_key: dict[str, PurePosixPath] = {}
    by_name: dict[str, list[PurePosixPath]] = {}
    for path in paths:
        key = clip_key(path)
        if key in by_key:
            raise UserError(f"clips {by_key[key]} and {path} have the same key {key!r}; rename one of them")
        by_key[key] = path
        for name in {str(path), str(path.with_suffix("")), path.name, path.stem}:
            by_name.setdefault(name, []).append(path)
    taken: dict[PurePosixPath, Score] = {}
    orphans: list[str] = []
    for score in scores:
        name = score.key.removeprefix("./")  # as `find .` prints it
        matches = [by_key[name]] if name in by_key else by_name.get(name, [])
        if len(matches) > 1:
            raise UserError(
                f"score {score.key!r} fits the clips {matches[0]} and {matches[1]}; "
                "name the clip by its path, or remove one of them"
            )
        if not matches:
            orphans.append(score.key)
        elif matches[0] in taken:
            raise UserError(
                f"clip {matches[0]} has two scores, {taken[matches[0]].key!r} and {score.key!r}; "
                "remove one of them"
            )
        else:
            taken[matches[0]] = score
    rows = [
        Row(path, key, taken[path].mos, taken[path].scene or key, taken[path].target)
        for key, path in sorted(by_key.items())
        if path in taken
    ]
    return Joined(rows, [str(path) for path in paths if path not in taken], orphans)


def score_table(scores: Iterable[Score]) -> str:
    """The text of a table that `read_scores` reads back; a key stands in for no scene."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["key", "mos", "scene", "target"])
    for score in scores:
        writer.writerow([score.key, repr(score.mos), score.scene or score.key, int(score.target)])
    return table.getvalue()


def _named_in(provenance: Path) -> str:
    try:
        scores = json.loads(provenance.read_text(encoding="utf-8"))["scores"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        scores = None
    if not isinstance(scores, str) or not scores or "\0" in scores:
        raise UserError(f"{provenance} names no score table; run `vmaf-train fetch`")
    return scores


def _text(path: Path) -> str:
    try:
        # utf-8-sig: spreadsheets put a byte order mark first
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text (byte {error.object[error.start]:#04x}); save it as CSV in UTF-8"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from None


def _rows(text: str, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number and the columns of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield reader.line_num, values
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num}: not valid CSV ({error}); correct the line"
        ) from None


def _columns(header: list[str], path: Path) -> dict[str, int]:
    plain = [name.strip().lower() for name in header]
    found: dict[str, int] = {}
    for role, choices in (("name", NAME_COLUMNS), ("mos", ("mos",)), *((name, (name,)) for name in OPTIONAL)):
        name = next((choice for choice in choices if choice in plain), None)
        if name is not None:
            if plain.count(name) > 1:
                raise UserError(f"{path}, line 1: column {name!r} is there twice; remove one of them")
            found[role] = plain.index(name)
        elif role not in OPTIONAL:
            raise UserError(
                f"{path}, line 1: no column {' or '.join(choices[:3])} among {', '.join(map(repr, header))}; "
                "the first line must name the columns, such as key,mos"
            )
    return found


def _name(value: str, column: str, where: str) -> str:
    column = column.strip().lower()
    if not value:
        raise UserError(f"{where}: {column} is empty; name the clip or remove the line")
    if column != "flickr_id":
        return value
    whole = WHOLE_NUMBER.fullmatch(value)
    if not whole:
        raise UserError(f"{where}: flickr_id is {value!r}; expected digits only, correct it there")
    return whole[1]


def _mos(value: str, delimiter: str, where: str) -> float:
    number = value.replace(",", ".") if delimiter == ";" else value
    mos = float(number) if NUMBER.fullmatch(number) else float("nan")
    if not LOWEST <= mos <= HIGHEST:
        scale = f" (VMAF maps to {OF_VMAF}, not below 1)" if HIGHEST < mos <= 100 else ""
        raise UserError(f"{where}: mos is {value!r}; expected a number from 1 to 5{scale}, correct it there")
    return mos
