"""Corpus `folder`: a user's own clips with a CSV `key,mos` (and perhaps `scene`)."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath

from vmaf_train.errors import UserError
from vmaf_train.files import replacing_folder, sha256_file, write_json
from vmaf_train.layout import Layout
from vmaf_train.mos import Joined, find_clips, join, read_scores
from vmaf_train.own import own_folder, own_path
from vmaf_train.params import Folder, Params
from vmaf_train.place import place_file

SCORES = "scores.csv"


def fetch_folder(params: Params, layout: Layout) -> Joined:
    """Put the clips and scores that `corpus.folder` names into `layout.corpus`; return the join.

    Clips keep their paths below the folder; they are shared by reflink or copied, never hard-linked, so
    that editing one's own clips later does not change the corpus behind DVC's back.

    Raises:
        UserError: a path is not there, the folder holds no clip or lies around `layout.corpus` or in it,
            the CSV is not valid, or no clip has a score.
    """
    wanted = params.corpus.folder
    clips_folder = own_folder("corpus.folder.path", wanted.path, layout)
    clips = find_clips(clips_folder)
    if not clips:
        raise UserError(
            f"no clip in {clips_folder} (corpus.folder.path); put your clips and their scores there"
        )
    table = own_path("corpus.folder.scores", wanted.scores, layout)
    if not table.resolve().is_relative_to(clips_folder.resolve()):
        print(
            f"fetch: {table} lies outside {clips_folder}, so DVC does not see it change: after an edit run "
            "`dvc repro -f -s fetch`",
            file=sys.stderr,
        )
    scores = read_scores(table)
    joined = join(clips, scores)
    if not joined.rows:
        raise UserError(
            f"none of the {len(clips)} clips in {clips_folder} has a score in {table}; name clips there by "
            "their path below that folder, or by file name"
        )
    with replacing_folder(layout.corpus) as corpus:
        for clip in clips:
            place_file(clips_folder / clip, corpus / clip)
        place_file(table, corpus / SCORES)
        write_json(corpus / layout.provenance.name, _provenance(wanted, clips, corpus / SCORES))
    print(
        f"fetch: {len(clips)} clips and {len(scores)} scores, {len(joined.rows)} of them joined, "
        f"in {layout.corpus}"
    )
    return joined


def _provenance(wanted: Folder, clips: list[PurePosixPath], table: Path) -> dict[str, object]:
    return {
        "corpus": "folder",
        "label_kind": wanted.label_kind,
        "description": "clips and scores of the user's own",
        "citation": "",
        "licence": "",
        "scores": SCORES,
        "sources": {"clips": len(clips), "scores_sha256": sha256_file(table)},
    }
