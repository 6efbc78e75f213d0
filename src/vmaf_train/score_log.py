"""Scores as files: JSON in the shape of libvmaf's log, and CSV."""

from __future__ import annotations

import csv
import importlib.metadata
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vmaf_train.errors import UserError
from vmaf_train.files import write_json, write_text
from vmaf_train.load import LoadedModel
from vmaf_train.score import ClipScore


def meaning(model: LoadedModel) -> dict[str, Any]:
    """What a score of this model is: range, direction, corpus, kind of labels; empty without a sidecar."""
    sidecar = model.sidecar
    if sidecar is None:
        return {}
    return {
        "score_range": list(sidecar.score_range or ()),
        "score_direction": sidecar.score_direction,
        "corpus": sidecar.corpus,
        "label_kind": sidecar.label_kind,
    }


def meaning_text(model: LoadedModel) -> str:
    """The same in one line, for a person."""
    facts = meaning(model)
    if not facts:
        return f"{model.id}: unverified model without a sidecar; what its scores mean is not known"
    low, high = facts["score_range"] or (1, 5)
    direction = str(facts["score_direction"]).replace("-is-", " is ")
    corpus, labels = facts["corpus"], facts["label_kind"]
    return f"{model.id}: MOS {low:g}..{high:g}, {direction}; trained on {corpus} ({labels})"


def log(clip: ClipScore, model: LoadedModel) -> dict[str, Any]:
    """One clip in the shape of libvmaf's JSON log, which has `frames` and `pooled_metrics`."""
    rounded = [round(float(score), 6) for score in clip.scores]
    pooled = {key: round(value, 6) for key, value in asdict(clip.pooled).items()}
    return {
        "version": f"vmaf-train {importlib.metadata.version('vmaf-train')}",
        "fps": round(len(clip.frames) / clip.seconds, 2),
        "frames": [
            {"frameNum": index, "metrics": {model.id: score}}
            for index, score in zip(clip.frames, rounded, strict=True)
        ],
        "pooled_metrics": {model.id: pooled},
        "aggregate_metrics": {},
        "model": {"id": model.id, "sha256": model.entry.sha256 if model.entry else None, **meaning(model)},
    }


def write_logs(path: Path, clips: Sequence[ClipScore], model: LoadedModel) -> None:
    """Write one log to `path`, or, for several clips, one a clip into the folder `path`.

    Raises:
        UserError: two clips of the same name, or the file system refuses.
    """
    if len(clips) == 1 and not path.is_dir():
        write_json(path, log(clips[0], model))
        return
    names = [f"{clip.path.name}.json" for clip in clips]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: two clips would both be {twice[0]}; score them in two runs")
    for name, clip in zip(names, clips, strict=True):
        write_json(path / name, log(clip, model))


def write_csv(path: Path, clips: Sequence[ClipScore], model: LoadedModel) -> None:
    """Write one row a frame: video, frame, score."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "frame", model.id])
    for clip in clips:
        for index, score in zip(clip.frames, clip.scores, strict=True):
            writer.writerow([clip.path, index, f"{float(score):.6f}"])
    write_text(path, text.getvalue())
