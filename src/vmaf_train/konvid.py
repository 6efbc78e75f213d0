"""Corpus `konvid-1k`: the real KoNViD-1k, from a copy on this machine or from its official page.

Hosu et al., "The Konstanz natural video database (KoNViD-1k)", QoMEX 2017.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from vmaf_train.errors import UserError
from vmaf_train.files import replacing_folder, sha256_file, write_json, write_text
from vmaf_train.layout import Layout
from vmaf_train.mos import (
    Joined,
    Score,
    clip_key,
    find_clips,
    find_known_table,
    join,
    read_scores,
    score_table,
)
from vmaf_train.params import Params
from vmaf_train.place import place_file
from vmaf_train.unpack import unpack

VIDEOS = "KoNViD_1k_videos"
METADATA = "KoNViD_1k_metadata"
SCORES = "scores.csv"
FLICKR_ID = re.compile(r"[0-9]+")  # what every name of a clip starts with
DATES_SWITCH = "corpus.konvid_1k.allow_expired_certificate"
CITATION = (
    "V. Hosu, F. Hahn, M. Jenadeleh, H. Lin, H. Men, T. Szirányi, S. Li, D. Saupe: "
    '"The Konstanz natural video database (KoNViD-1k)", QoMEX 2017'
)
LICENCE = "as stated on the official page of the data set; clips and scores are not redistributed here"


@dataclass(frozen=True)
class Source:
    """One of the two halves of the data set as found on disk; `path` is a zip archive or a folder."""

    name: str
    url: str
    path: Path


def data_root() -> Path:
    """Where KoNViD-1k is kept for all clones: `$VMAF_DATA_ROOT/konvid-1k`, `~/datasets/konvid-1k`."""
    return Path(os.environ.get("VMAF_DATA_ROOT") or "~/datasets").expanduser() / "konvid-1k"


def fetch_konvid(params: Params, layout: Layout, **limits: Any) -> Joined:
    """Put KoNViD-1k into `layout.corpus`: clips in `KoNViD_1k_videos`, one score table by key, provenance.

    A half that already lies in `data_root()`, as the zip or unpacked, is used as it is; the other is
    downloaded to there, so that a second clone does not download again.

    Args:
        limits: time limits and number of tries, as in `download.Rules`.

    Raises:
        UserError: a download fails, an archive is damaged, refused or not the one that
            `corpus.konvid_1k.sha256` asks for, or clips or scores are not found in it.
    """
    section = params.corpus.konvid_1k
    rules: dict[str, Any] = {"ignore_dates": section.allow_expired_certificate, **limits}
    metadata = _obtain(METADATA, section.url.metadata, section.min_bytes.metadata, rules)
    videos = _obtain(VIDEOS, section.url.videos, section.min_bytes.videos, rules)
    sources = {
        "videos": _record(videos, section.sha256.videos, "videos"),
        "metadata": _record(metadata, section.sha256.metadata, "metadata"),
    }
    with replacing_folder(layout.corpus) as corpus:
        scratch = corpus / ".unpacked"
        table = find_table(_unpacked(metadata, scratch, section.max_unpacked_bytes))
        scores = read_scores(table)
        sources["metadata"]["table"] = table.name
        folder = clip_folder(_unpacked(videos, scratch, section.max_unpacked_bytes))
        for clip in find_clips(folder):
            if len(clip.parts) == 1:
                target = corpus / VIDEOS / clip
                # nobody edits the clips of a published data set, so a hard link is safe where reflinks fail
                place_file(folder / clip, target, hard_link=True)
        shutil.rmtree(scratch, ignore_errors=True)
        clips = find_clips(corpus)
        by_key = named_by_key(clips, scores)
        joined = join(clips, by_key)
        if not joined.rows:
            raise UserError(
                f"no clip of {videos.path} has a score in {table.name} of {metadata.path}; check both"
            )
        write_text(corpus / SCORES, score_table(by_key))
        write_json(corpus / layout.provenance.name, _provenance(sources))
    print(
        f"fetch: {len(joined.rows)} clips with a score, {len(joined.clips_without_score)} clips without, "
        f"{len(joined.scores_without_clip)} scores without a clip, in {layout.corpus}"
    )
    return joined


def named_by_key(clips: Iterable[PurePosixPath], scores: Iterable[Score]) -> list[Score]:
    """Scores by the key of the clip with the same flickr id, with the scene `KoNViD_1k_videos_<id>`.

    Releases differ in what follows the id in file names, in tables and among clips: the scene leaves it
    out, so all of them split alike. A score without a clip keeps its name.

    Raises:
        UserError: two clips or two scores have one flickr id.
    """
    of_id: dict[str, PurePosixPath] = {}
    for clip in clips:
        if digits := FLICKR_ID.match(clip.name):
            other = of_id.setdefault(digits[0], clip)
            if other != clip:
                raise UserError(
                    f"clips {other} and {clip} have one flickr id, {digits[0]}; remove one of them"
                )
    seen: dict[str, str] = {}
    named: list[Score] = []
    for score in scores:
        digits = FLICKR_ID.match(PurePosixPath(score.key).name)
        if not digits:
            named.append(score)
            continue
        first = seen.setdefault(digits[0], score.key)
        if first != score.key:
            raise UserError(
                f"scores {first!r} and {score.key!r} have one flickr id, {digits[0]}; remove one of them"
            )
        found = of_id.get(digits[0])
        key = clip_key(found) if found else score.key
        named.append(replace(score, key=key, scene=f"{VIDEOS}_{digits[0]}"))
    return named


def clip_folder(folder: Path) -> Path:
    """The one folder at or below `folder` whose clips have names that start with digits.

    Raises:
        UserError: there is none, or more than one.
    """
    clips = [clip for clip in find_clips(folder) if FLICKR_ID.match(clip.name)]
    parents = sorted({folder / clip.parent for clip in clips})
    if len(parents) != 1:
        found = f"clips in {parents[0]} and in {parents[1]}" if parents else "no clip named by digits"
        raise UserError(
            f"{folder} is not KoNViD-1k's videos: {found}; unpack KoNViD_1k_videos.zip there anew"
        )
    return parents[0]


def find_table(folder: Path) -> Path:
    """The score table below `folder`: by its released name, else the only CSV.

    Raises:
        UserError: there is none, or several without a released name.
    """
    known = find_known_table(folder)
    if known:
        return known
    tables = [path for path in sorted(folder.rglob("*.csv")) if not path.name.startswith(".")]
    if len(tables) != 1:
        names = ", ".join(path.name for path in tables[:5]) or "no CSV"
        raise UserError(
            f"{folder} has no KoNViD_1k_mos.csv (found {names}); keep only the table with the MOS"
        )
    return tables[0]


def _obtain(name: str, url: str, floor: int, rules: dict[str, Any]) -> Source:
    """Find one half of the data set in `data_root()`, or download it to there."""
    root = data_root()
    archive, folder = root / f"{name}.zip", root / name
    if archive.is_file():
        print(f"fetch: using {archive}")
        return Source(name, url, archive)
    if folder.is_dir():
        print(f"fetch: using {folder}")
        return Source(name, url, folder)
    if root.is_dir() and (find_clips(root) if name == VIDEOS else find_known_table(root)):
        print(f"fetch: using what lies unpacked in {root}")
        return Source(name, url, root)
    from vmaf_train.download import Rules, download

    print(f"fetch: downloading {url} to {archive}")
    download(url, archive, Rules(min_bytes=floor, dates_switch=DATES_SWITCH, **rules))
    if not zipfile.is_zipfile(archive):
        # a server that understates the length cuts the file, and HTTP has no way to tell
        archive.unlink()
        raise UserError(f"{url} is not a whole zip archive, so it was not kept; run again, or check the URL")
    return Source(name, url, archive)


def _unpacked(source: Source, scratch: Path, max_bytes: int) -> Path:
    """The folder of one half, unpacked below `scratch` where it came as an archive."""
    if source.path.is_dir():
        return source.path
    print(f"fetch: unpacking {source.path}", flush=True)
    unpack(source.path, scratch / source.name, max_bytes=max_bytes)
    return scratch / source.name


def _record(source: Source, expected: str, key: str) -> dict[str, Any]:
    """What provenance.json says of one half, after comparing its archive with the SHA-256 expected."""
    record: dict[str, Any] = {"archive": f"{source.name}.zip", "published_at": source.url}
    expected = expected.strip().lower()
    if source.path.is_dir():
        if expected:
            raise UserError(
                f"corpus.konvid_1k.sha256.{key} is set, but {source.path} is unpacked and has none; put "
                f"{source.name}.zip beside it or clear the parameter"
            )
        return record | {"sha256": None, "bytes": None, "unpacked_before": True}
    found = sha256_file(source.path)
    print(f"fetch: {source.path.name} has SHA-256 {found}")
    if expected and found != expected:
        raise UserError(
            f"{source.path} has SHA-256 {found}, corpus.konvid_1k.sha256.{key} is {expected}; delete the "
            "file to download it again, or correct the parameter"
        )
    return record | {"sha256": found, "bytes": source.path.stat().st_size}


def _provenance(sources: dict[str, Any]) -> dict[str, Any]:
    return {
        "corpus": "konvid-1k",
        "label_kind": "human-mos",
        "description": "clips of 8 s from Flickr, rated by people (mean opinion score, 1..5)",
        "citation": CITATION,
        "licence": LICENCE,
        "scores": SCORES,
        "sources": sources,
    }
