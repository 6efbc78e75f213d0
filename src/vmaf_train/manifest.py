"""Stage `manifest` (command `manifest-scan`): pin every clip by SHA-256, probe it, join its MOS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from vmaf_train.errors import UserError
from vmaf_train.executor import map_ordered
from vmaf_train.files import sha256_file
from vmaf_train.layout import Layout
from vmaf_train.mos import find_clips, find_score_table, join, read_scores
from vmaf_train.params import Params
from vmaf_train.video import probe

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("key", "path", "sha256", "width", "height", "fps", "frames", "duration", "codec", "pix_fmt"),
    *("mos", "scene", "target"),
)
NAMED = 10  # names shown in the error's one line; all of them go to stderr


def manifest(params: Params, layout: Layout) -> int:
    """Write `data/manifest.parquet`, sorted by key; return the number of clips.

    `path` is relative to the corpus. A clip without score, a score without clip and an unreadable clip
    are each named on stderr and left out.

    Raises:
        UserError: no corpus, no clip, a bad score table, or more left out than `corpus.max_dropped`.
    """
    import pandas as pd

    from vmaf_train.tables import write_table

    if not layout.corpus.is_dir():
        raise UserError(f"no corpus folder {layout.corpus}: run `vmaf-train fetch` (or `dvc repro`) first")
    clips = find_clips(layout.corpus)
    if not clips:
        raise UserError(f"no clips in {layout.corpus}: check corpus.name in params.yaml and fetch again")
    joined = join(clips, read_scores(find_score_table(layout.corpus)))
    dropped = [f"{layout.corpus / clip}: clip without score" for clip in joined.clips_without_score]
    dropped += [f"{score}: score without clip" for score in joined.scores_without_clip]
    scan = partial(scan_clip, str(layout.corpus.resolve()))
    found = map_ordered(scan, [str(row.path) for row in joined.rows], params.compute, "manifest")
    rows: list[dict[str, Any]] = []
    for row, facts in zip(joined.rows, found, strict=True):
        if isinstance(facts, UserError):
            dropped.append(str(facts))
        else:
            judged = {"mos": row.mos, "scene": row.scene, "target": row.target}
            rows.append({"key": row.key, **facts, **judged})
    check_dropped(dropped, params.corpus.max_dropped, "manifest")
    if not rows:
        raise UserError(f"no usable clip in {layout.corpus}: every clip was left out, see the lines above")
    table = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values("key", ignore_index=True)
    _tell_copies(table)
    write_table(layout.manifest, table)
    return len(table)


def scan_clip(corpus: str, path: str) -> dict[str, Any]:
    """Path, SHA-256 and facts of one clip; runs in a worker.

    Raises:
        UserError: unreadable, truncated, or a single frame.
    """
    clip = Path(corpus) / PurePosixPath(path)
    info = probe(clip, whole=True)
    if info.frames < 2:
        raise UserError(f"{clip} has a single frame, which is no video; replace the clip or remove it")
    return {"path": path, "sha256": sha256_file(clip), **asdict(info)}


def _tell_copies(table: pd.DataFrame) -> None:
    """Name on stderr clips of equal bytes that may come into different splits."""
    for _, same in table.groupby("sha256", sort=False):
        if same["scene"].nunique() > 1:
            print(
                f"manifest: {', '.join(same['path'])} are one file under several names; give them one "
                "`scene` in the score table, or one may be trained on and another tested on",
                file=sys.stderr,
            )


def check_dropped(dropped: Sequence[str], allowed: int, stage: str) -> None:
    """Name on stderr what was left out.

    Raises:
        UserError: more than `allowed`; the text counts them and names the first ones.
    """
    if not dropped:
        return
    for reason in dropped:
        print(f"{stage}: left out: {reason}", file=sys.stderr)
    if len(dropped) > allowed:
        first = "; ".join(dropped[:NAMED])
        rest = f"; and {len(dropped) - NAMED} more" if len(dropped) > NAMED else ""
        raise UserError(
            f"{stage}: {len(dropped)} left out, corpus.max_dropped allows {allowed}: {first}{rest}; mend "
            "them, or raise corpus.max_dropped in params.yaml"
        )
