"""Every corpus is fetched by one command and leaves one layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmaf_train.fetch import fetch
from vmaf_train.layout import Layout
from vmaf_train.mos import find_clips, find_score_table, join, read_scores
from vmaf_train.params import Params


@pytest.mark.parametrize("name", ["synthetic", "konvid-1k", "folder"])
def test_each_corpus_has_clips_a_joined_table_and_provenance(
    name: str,
    tmp_path: Path,
    layout: Layout,
    make_params: Callable[..., Params],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VMAF_DATA_ROOT", str(tmp_path / "datasets"))
    for folder in (tmp_path / "own", tmp_path / "datasets" / "konvid-1k"):
        folder.mkdir(parents=True)
        (folder / "11.mp4").write_bytes(b"clip")
    (tmp_path / "datasets" / "konvid-1k" / "KoNViD_1k_mos.csv").write_text("flickr_id,mos\n11,3\n")
    (tmp_path / "own.csv").write_text("key,mos\n11,3\n")
    changes: dict[str, Any] = {
        "corpus__folder__path": str(tmp_path / "own"),
        "corpus__folder__scores": str(tmp_path / "own.csv"),
        "compute__workers": 1,
    }
    synthetic = {"scenes": 1, "variants": 1, "width": 64, "height": 64, "frames": 2}
    changes |= {f"corpus__synthetic__{key}": value for key, value in synthetic.items()}
    fetch(make_params(corpus__name=name, **changes), layout)
    joined = join(find_clips(layout.corpus), read_scores(find_score_table(layout.corpus)))
    assert len(joined.rows) == 1
    assert not joined.clips_without_score + joined.scores_without_clip
    provenance = json.loads(layout.provenance.read_text())
    assert provenance["corpus"] == name
    assert provenance["label_kind"] == ("vmaf-proxy" if name == "synthetic" else "human-mos")
    keys = {"corpus", "label_kind", "description", "citation", "licence", "scores", "sources"}
    assert keys <= set(provenance)
