"""Stage `fetch`: put the corpus that params.yaml names into `data/corpus`.

Every corpus leaves the same layout (clips, one score table, `provenance.json`), so nothing after this
stage knows which it was.
"""

from __future__ import annotations

from vmaf_train.layout import Layout
from vmaf_train.params import Params


def fetch(params: Params, layout: Layout) -> None:
    """Fetch or render `params.corpus.name` into `layout.corpus`, whole or not at all.

    Raises:
        UserError: what the corpus needs is missing, cannot be downloaded or is not what it should be.
    """
    # imported here: rendering needs numpy and ffmpeg, downloading needs requests, neither needs both
    match params.corpus.name:
        case "synthetic":
            from vmaf_train.synthetic import render

            render(params, layout)
        case "konvid-1k":
            from vmaf_train.konvid import fetch_konvid

            fetch_konvid(params, layout)
        case "folder":
            from vmaf_train.folder import fetch_folder

            fetch_folder(params, layout)
