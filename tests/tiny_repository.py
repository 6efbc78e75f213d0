"""A repository as the stages up to `fit` leave it, tiny: real files, made without ffmpeg."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vmaf_train.checkpoint import save_checkpoint
from vmaf_train.degrade import degrade
from vmaf_train.files import write_json, write_text
from vmaf_train.layout import Layout
from vmaf_train.nets import build
from vmaf_train.params import Params
from vmaf_train.scenes import render_still
from vmaf_train.split import split
from vmaf_train.tables import write_table

ROOT = Path(__file__).resolve().parents[1]
CLIPS = 30


def make_repository(layout: Layout, params: Params) -> None:
    """Write corpus provenance, manifest, frames, split, checkpoints and curves for `params.models`."""
    size = params.frames.size
    keys = [f"clips_{index:03d}" for index in range(CLIPS)]
    mos = np.round(np.linspace(1, 5, CLIPS), 4)
    write_json(
        layout.provenance,
        {
            "corpus": "synthetic",
            "label_kind": "vmaf-proxy",
            "description": "Rendered for a test.",
            "citation": "",
            "licence": "BSD-2-Clause-Patent",
            "scores": "scores.csv",
            "sources": {},
        },
    )
    write_table(layout.manifest, pd.DataFrame({"key": keys, "mos": mos, "scene": keys, "target": True}))
    still = render_still("test", 1, 2 * size, 2 * size)
    corners = np.random.default_rng(0).integers(0, size, (CLIPS, 2))
    luma = np.stack([still[y : y + size, x : x + size] for y, x in corners])
    degraded = np.stack([degrade(one, params.frames.blur_sigma, params.frames.jpeg_quality) for one in luma])
    layout.frames.mkdir(parents=True)
    np.save(layout.frames / "luma.npy", luma)
    np.save(layout.frames / "degraded.npy", degraded)
    np.save(layout.frames / "mixed.npy", luma // 16 * 16 + 8)
    np.save(layout.frames / "fragments.npy", luma[:, ::-1])
    rows = np.arange(CLIPS)
    scores = pd.DataFrame({"key": keys, "frame_path": "luma.npy", "row": rows, "mos": mos})
    write_table(layout.frames / "mos.parquet", scores)
    write_table(layout.frames / "fragments.parquet", scores.assign(frame_path="fragments.npy", place=0))
    pairs = pd.DataFrame({"key": keys, "deg_path": "degraded.npy", "clean_path": "luma.npy", "row": rows})
    write_table(layout.frames / "pairs.parquet", pairs)
    mixed = pairs.assign(deg_path="mixed.npy", damage=np.where(rows % 4, "x264", "blur_jpeg"), crf=30)
    write_table(layout.frames / "mixed.parquet", mixed)
    split(params, layout)
    for model, section in params.models.items():
        torch.manual_seed(0)
        save_checkpoint(layout.checkpoint(model), section, build(section).state_dict())
        write_text(layout.curves(model), "step,train/loss,val/x\n1,0.5,\n2,0.4,0.6\n")
    layout.models.mkdir(parents=True)
    for schema in (ROOT / "model" / "tiny").glob("*.schema.json"):
        shutil.copy(schema, layout.models)
