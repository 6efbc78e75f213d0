"""Stage `eval`: the exported ONNX file, as users get it, on val and test beside its baseline."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from vmaf_train import plots
from vmaf_train.errors import UserError
from vmaf_train.files import replacing, write_json
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.params import Params
from vmaf_train.statistics import FloatArray, fidelity, mos_statistics
from vmaf_train.tables import read_table

if TYPE_CHECKING:
    import pandas as pd

BATCH = 32


def eval_model(model_id: str, params: Params, layout: Layout) -> dict[str, Any]:
    """Write `metrics/<model_id>.json` and the model's plots; return the metrics.

    Raises:
        UserError: an input is missing, or the model's output is not finite.
    """
    section = params.model(model_id)
    provenance = _provenance(layout)
    metrics: dict[str, Any] = {"corpus": provenance["corpus"], "label_kind": provenance["label_kind"]}
    folder = layout.plots(model_id)
    if section.kind == "nr":
        predictions = {}
        training_mean = float(_rows(layout, "mos", "train")["mos"].mean())
        for name in ("val", "test"):
            table = _rows(layout, "mos", name)
            frames = _frames(layout, "luma", table)
            predicted = run_onnx(layout, model_id, frames)
            true = table["mos"].to_numpy(np.float64)
            metrics[name] = mos_statistics(predicted, true, training_mean)
            predictions[name] = (predicted, true)
        with replacing(folder / "predicted_mos.png") as picture:
            plots.predicted_against_true(picture, predictions, f"{model_id}, {_corpus_line(provenance)}")
    else:
        for name in ("val", "test"):
            table = _rows(layout, "pairs", name)
            degraded, clean = _frames(layout, "degraded", table), _frames(layout, "luma", table)
            filtered = run_onnx(layout, model_id, degraded)
            baseline = {
                f"do_nothing_{key}": value for key, value in fidelity(degraded[:, 0], clean[:, 0]).items()
            }
            metrics[name] = {"n": len(table), **fidelity(filtered[:, 0], clean[:, 0]), **baseline}
        samples = plots.sample_luma(params.frames.size, params.seed)
        degraded = np.stack([plots.degrade_sample(sample, params.frames) for sample in samples])[:, None]
        filtered = run_onnx(layout, model_id, to_unit(degraded))
        with replacing(folder / "filtered.png") as picture:
            plots.filter_strip(picture, to_unit(samples), to_unit(degraded[:, 0]), filtered[:, 0])
    with replacing(folder / "curves.csv") as curves:
        shutil.copyfile(_existing(layout.curves(model_id), "fit"), curves)
    write_json(layout.metrics(model_id), metrics)
    return metrics


def run_onnx(layout: Layout, model_id: str, frames: FloatArray) -> FloatArray:
    """Run the exported file on (N, 1, H, W) luma in 0..1, in batches; return its output, first axis N.

    Raises:
        UserError: the file is missing, or an output is not finite.
    """
    import onnxruntime

    path = _existing(layout.onnx(model_id), f"export {model_id}")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [session.run(None, {name: frames[i : i + BATCH]})[0] for i in range(0, len(frames), BATCH)]
    output: FloatArray = np.concatenate(parts)
    if not np.isfinite(output).all():
        raise UserError(f"eval: {path} gives values that are not finite; lower lr and train it again")
    return output


def _rows(layout: Layout, table: str, split: str) -> pd.DataFrame:
    rows = read_table(layout.frames / f"{table}.parquet", stage="frames")
    splits = read_table(layout.split, stage="split")
    keys = splits.loc[splits["split"] == split, "key"]
    return rows[rows["key"].isin(keys)]


def _frames(layout: Layout, array: str, table: pd.DataFrame) -> FloatArray:
    packed = np.load(_existing(layout.frames / f"{array}.npy", "frames"), mmap_mode="r")
    return to_unit(packed[table["row"].to_numpy()])[:, None]


def _provenance(layout: Layout) -> dict[str, Any]:
    provenance: dict[str, Any] = json.loads(_existing(layout.provenance, "fetch").read_text("utf-8"))
    return provenance


def _corpus_line(provenance: dict[str, Any]) -> str:
    return f"corpus {provenance['corpus']}, labels {provenance['label_kind']}"


def _existing(path: Any, command: str) -> Any:
    if not path.is_file():
        raise UserError(f"no {path}: run `vmaf-train {command}` (or `dvc repro`) first")
    return path
