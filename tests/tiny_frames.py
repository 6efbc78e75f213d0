"""Tiny frame sets, laid out as the stages `frames` and `split` leave them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vmaf_train.layout import Layout
from vmaf_train.tables import write_table

SPLIT_OF_SCENE = ("val", "test", "train", "train", "train")


def write_tiny_frames(layout: Layout, *, scenes: int = 10, variants: int = 2, size: int = 64) -> None:
    """Blocks with noise that grows as the MOS falls; scene s is in `SPLIT_OF_SCENE[s % 5]`."""
    generator = np.random.default_rng(7)
    count = scenes * variants
    mos = generator.uniform(1, 5, count)
    blocks = generator.integers(40, 215, (count, size // 8, size // 8)).repeat(8, 1).repeat(8, 2)
    noise = generator.normal(0, 10, (count, size, size)) * (5 - mos)[:, None, None]
    luma = np.clip(blocks + noise, 0, 255).astype(np.uint8)
    degraded = np.clip(luma + generator.normal(0, 20, luma.shape), 0, 255).astype(np.uint8)
    layout.frames.mkdir(parents=True)
    np.save(layout.frames / "luma.npy", luma)
    np.save(layout.frames / "degraded.npy", degraded)
    np.save(layout.frames / "mixed.npy", luma // 16 * 16 + 8)
    # as if cut at two places
    np.save(layout.frames / "fragments.npy", np.stack([luma, luma[:, ::-1]], 1).reshape(-1, size, size))
    keys = [f"clips_{number:04d}" for number in range(count)]
    rows = pd.Series(range(count))
    scores = pd.DataFrame({"key": keys, "frame_path": "luma.npy", "row": rows, "mos": mos})
    pairs = pd.DataFrame({"key": keys, "deg_path": "degraded.npy", "clean_path": "luma.npy", "row": rows})
    scene = [number // variants for number in range(count)]
    split = pd.DataFrame(
        {
            "key": keys,
            "scene": [f"scene-{number}" for number in scene],
            "split": [SPLIT_OF_SCENE[number % 5] for number in scene],
        }
    )
    write_table(layout.frames / "mos.parquet", scores)
    write_table(layout.frames / "pairs.parquet", pairs)
    write_table(layout.frames / "mixed.parquet", pairs.assign(deg_path="mixed.npy", damage="x264", crf=30))
    pieces = scores.loc[scores.index.repeat(2)].reset_index(drop=True)
    pieces = pieces.assign(frame_path="fragments.npy", row=range(2 * count), place=[0, 1] * count)
    write_table(layout.frames / "fragments.parquet", pieces)
    write_table(layout.split, split)
