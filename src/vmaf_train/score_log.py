"""Scores as files: JSON in the shape of libvmaf's log, and CSV.

`-` is standard output. What is no log of this module is replaced only when asked to.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vmaf_train.bars import Crop
from vmaf_train.errors import UserError
from vmaf_train.files import json_text, write_text
from vmaf_train.load import LoadedModel
from vmaf_train.score import ClipScore

STDOUT = Path("-")
# how a log and a table of this module begin
BEGINNINGS = (b'{\n  "version": "vmaf-train ', b"video,frame,")


@dataclass(frozen=True)
class Targets:
    """Where the scores of some clips go, checked before a clip is decoded."""

    logs: dict[Path, Path]
    """Clip -> its JSON file."""
    table: Path | None
    """The CSV file of all clips."""

    @property
    def takes_stdout(self) -> bool:
        """Whether standard output is one of them."""
        return STDOUT in (*self.logs.values(), self.table)


def plan(
    clips: Sequence[Path],
    json: Path | str | None = None,
    csv: Path | str | None = None,
    *,
    force: bool = False,
) -> Targets:
    """Decide where scores go: `json` is one file for one clip, a folder of logs for several.

    Args:
        clips: what will be scored.
        json: a file, a folder or `-`; text that ends in a slash is a folder, also for one clip.
        csv: a file or `-`.
        force: replace a file that is no log of this module.

    Raises:
        UserError: a target is a clip, a folder, another's file, the other target, or cannot be written.
    """
    in_folder = len(clips) > 1 or _names_folder(json)
    if _names_folder(csv):
        raise UserError(f"--csv {csv} is a folder; name a file")
    json, csv = (None if given is None else Path(given) for given in (json, csv))
    logs: dict[Path, Path] = {}
    if json == STDOUT and len(clips) > 1:
        raise UserError(f"--json - takes one clip, not {len(clips)}; name a folder")
    if json == STDOUT or (json is not None and not in_folder and not json.is_dir()):
        logs = dict.fromkeys(clips, json)
    elif json is not None:
        if json.exists() and not json.is_dir():
            many = f"for {len(clips)} clips" if len(clips) > 1 else "with a slash at its end"
            raise UserError(f"--json {json}: a file, and {many} it must be a folder")
        logs = {clip: json / f"{clip.name}.json" for clip in clips}
        name, times = Counter(logs.values()).most_common(1)[0]
        if times > 1:
            raise UserError(
                f"{name}: {times} clips would be written to it; score them in several runs, to a folder each"
            )
    targets = {*logs.values(), *([csv] if csv else [])}
    if csv is not None and _real(csv) in {_real(target) for target in logs.values()}:
        raise UserError(f"--json and --csv are both {csv}; name two files")
    for target in targets - {STDOUT}:
        try:
            _check(target, clips, force)
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror}; name another place") from None
    return Targets(logs, csv)


def _real(path: Path) -> Path:
    # not Path.resolve, which has an error of its own for links in a circle
    return Path(os.path.realpath(path))


def _names_folder(given: Path | str | None) -> bool:
    # a Path has dropped the slash
    return isinstance(given, str) and given.endswith(("/", os.sep))


def _check(target: Path, clips: Sequence[Path], force: bool) -> None:
    if target.is_dir():
        raise UserError(f"{target} is a folder; name a file")
    if any(clip.exists() and target.exists() and target.samefile(clip) for clip in clips):
        raise UserError(f"{target} is a clip to be scored; name another output")
    if target.is_file() and not force:
        with open(target, "rb") as handle:
            begins = handle.read(64)
        if begins and not begins.startswith(BEGINNINGS):
            raise UserError(f"{target} exists and holds no scores; name another file, or --force")
    # a link stays, and what it points to is replaced
    replaced = target.is_file() or not target.exists()
    folder = next(parent for parent in _real(target).parents if parent.exists())
    if not folder.is_dir() or (replaced and not os.access(folder, os.W_OK)):
        raise UserError(f"cannot write {target}: {folder} takes no files; name another place")


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
        return (
            f"{model.id}: unverified model without a sidecar; what its scores mean is not known, nor whether "
            "it takes frames that were shrunk, as here, or fragments"
        )
    low, high = facts["score_range"] or (1, 5)
    direction = str(facts["score_direction"]).replace("-is-", " is ")
    corpus, labels = facts["corpus"], facts["label_kind"]
    return f"{model.id}: MOS {low:g}..{high:g}, {direction}; trained on {corpus} ({labels})"


def log(clip: ClipScore, model: LoadedModel) -> dict[str, Any]:
    """One clip in the shape of libvmaf's JSON log, which has `frames` and `pooled_metrics`."""
    pooled = {key: round(value, 6) for key, value in asdict(clip.pooled).items()}
    return {
        "version": f"vmaf-train {importlib.metadata.version('vmaf-train')}",
        "fps": round(len(clip.frames) / clip.seconds, 2),
        "frames": [_frame(clip, place, model) for place in range(len(clip.frames))],
        "pooled_metrics": {model.id: pooled},
        "aggregate_metrics": {},
        "input": asdict(clip.condition) | {"crop": _text(clip.crop), "picture": _text(clip.picture)},
        "model": {"id": model.id, "sha256": model.entry.sha256 if model.entry else None, **meaning(model)},
    }


def _frame(clip: ClipScore, place: int, model: LoadedModel) -> dict[str, Any]:
    """One frame of the log; what libvmaf's does not have comes last, and only where there is something."""
    told: dict[str, Any] = {"frameNum": clip.frames[place]}
    told["metrics"] = {model.id: round(float(clip.scores[place]), 6)}
    if np.isfinite(clip.times[place]):
        told["time"] = round(float(clip.times[place]), 6)
    if clip.flat[place]:
        told["flat"] = True
    return told


def _text(part: Crop | None) -> str | None:
    return None if part is None else str(part)


def write(targets: Targets, clips: Sequence[ClipScore], model: LoadedModel) -> None:
    """Write the scores of `clips` to their targets, each file whole or not at all.

    Raises:
        UserError: the file system refuses.
    """
    for clip in clips:
        if clip.path in targets.logs:
            _put(targets.logs[clip.path], json_text(log(clip, model)))
    if targets.table is not None:
        _put(targets.table, table(clips, model))


def table(clips: Sequence[ClipScore], model: LoadedModel) -> str:
    """CSV of one row a frame: video, frame, score, seconds from the first frame, 1 where it is flat."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "frame", model.id, "time", "flat"])
    for clip in clips:
        for index, score, at, flat in zip(clip.frames, clip.scores, clip.times, clip.flat, strict=True):
            shown = f"{at:.6f}" if np.isfinite(at) else ""
            writer.writerow([clip.path, index, f"{float(score):.6f}", shown, int(flat)])
    return text.getvalue()


def _put(target: Path, text: str) -> None:
    if target == STDOUT:
        sys.stdout.write(text)
    elif target.is_file() or not target.exists():
        # a link stays one, and what it points to is replaced
        write_text(_real(target), text)
    else:
        # a pipe or a device takes what comes
        try:
            target.write_text(text, encoding="utf-8", errors="surrogateescape")
        except OSError as error:
            raise UserError(f"cannot write {target}: {error.strerror or error}; name another file") from None
