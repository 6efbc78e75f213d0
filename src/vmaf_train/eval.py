"""Stage `eval`: the exported ONNX file, as users get it, on val and test beside its baseline."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from vmaf_train import plots
from vmaf_train.coded import CODECS, NOISE
from vmaf_train.files import made_by, replacing_folder, sha256_bytes, write_json
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.onnx_frames import Run, frames_of, onnx_runner, packed_frames, split_rows
from vmaf_train.params import Params
from vmaf_train.statistics import fidelity, mos_statistics
from vmaf_train.strict_json import read_json
from vmaf_train.tables import read_table

if TYPE_CHECKING:
    import pandas as pd


def eval_model(model_id: str, params: Params, layout: Layout) -> dict[str, Any]:
    """Write `metrics/<model_id>.json` and the model's plots; return the metrics.

    Raises:
        UserError: an input is missing, or the model's output is not finite.
    """
    section = params.model(model_id)
    provenance = read_json(layout.provenance, "fetch")
    file = made_by(layout.onnx(model_id), f"export {model_id}")
    data = file.read_bytes()
    run = onnx_runner(data, name=str(file))
    trained = made_by(layout.curves(model_id), f"fit {model_id}")
    metrics: dict[str, Any] = {
        "corpus": provenance["corpus"],
        "label_kind": provenance["label_kind"],
        # DVC's tables of metrics have a column for a text, none for a list
        "onnx_sha256": [sha256_bytes(data)],
    }
    with replacing_folder(layout.plots(model_id)) as folder:
        if section.kind == "nr":
            predictions, array = {}, frames_of(section)
            training_mean = float(split_rows(layout, "train")["mos"].mean())
            for name in ("val", "test"):
                rows = split_rows(layout, name, array)
                true = rows["mos"].to_numpy(np.float64)
                predicted = run(packed_frames(layout, array, rows))
                metrics[name] = mos_statistics(predicted, true, training_mean)
                predictions[name] = (predicted, true)
            title = f"{model_id}, {_corpus_line(provenance)}"
            plots.predicted_against_true(folder / "predicted_mos.png", predictions, title)
        else:
            clips = {name: split_rows(layout, name, "degraded") for name in ("val", "test")}
            for name, rows in clips.items():
                metrics[name] = _beside_nothing(run, layout, "degraded", rows)
            mixed = read_table(layout.frames / "mixed.parquet", stage="frames")
            for name, damages in (("test_coded", list(CODECS)), ("test_noise", [NOISE])):
                keys = mixed.loc[mixed["damage"].isin(damages), "key"]
                damaged = clips["test"][clips["test"]["key"].isin(keys)]
                if len(damaged):
                    metrics[name] = _beside_nothing(run, layout, "mixed", damaged)
            samples = plots.sample_luma(params.frames.size, params.seed)
            twins = {
                "filtered.png": np.stack([plots.degrade_sample(sample, params.frames) for sample in samples]),
                "coded.png": plots.code_samples(samples, params.frames.coded),
            }
            for name, twin in twins.items():
                filtered = run(twin[:, None])[:, 0]
                plots.filter_strip(folder / name, to_unit(samples), to_unit(twin), filtered)
        shutil.copyfile(trained, folder / "curves.csv")
    write_json(layout.metrics(model_id), metrics)
    return metrics


def _beside_nothing(run: Run, layout: Layout, array: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Fidelity of the filtered twins in `array` to the clean frames, and that of the unfiltered ones."""
    twins = packed_frames(layout, array, rows)
    clean = to_unit(packed_frames(layout, "luma", rows))[:, 0]
    nothing = fidelity(to_unit(twins)[:, 0], clean)
    return {
        "n": len(clean),
        **fidelity(run(twins)[:, 0], clean),
        **{f"do_nothing_{key}": value for key, value in nothing.items()},
    }


def _corpus_line(provenance: dict[str, Any]) -> str:
    return f"corpus {provenance['corpus']}, labels {provenance['label_kind']}"
