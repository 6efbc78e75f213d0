from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_frames import write_tiny_frames

from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset, to_float
from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.luma import to_unit
from vmaf_train.tables import read_table, write_table


@pytest.fixture
def frames(layout: Layout) -> Layout:
    write_tiny_frames(layout)
    return layout


def test_scored_item_is_one_frame_and_its_mos(frames: Layout) -> None:
    data = FrameMOSDataset.of_split(frames, "train")
    frame, mos = data[3]
    table = read_table(frames.frames / "mos.parquet", stage="frames").set_index("key")
    row = table.loc[data.keys[3]]
    assert (frame.shape, frame.dtype, mos.shape, mos.dtype) == (
        (1, 64, 64), torch.float32, (), torch.float32,
    )  # fmt: skip
    assert float(mos) == pytest.approx(row["mos"])
    stored = np.load(frames.frames / "luma.npy")[row["row"]]
    np.testing.assert_array_equal(frame[0].numpy(), to_unit(stored))


@pytest.mark.parametrize("pairs", ["degraded", "mixed"])
def test_paired_item_is_degraded_then_clean(frames: Layout, pairs: str) -> None:
    data = PairedFrameDataset.of_split(frames, "val", pairs=pairs)
    degraded, clean = data[0]
    row = int(data.keys[0].rsplit("_", 1)[-1])
    for given, name in ((degraded, pairs), (clean, "luma")):
        stored = np.load(frames.frames / f"{name}.npy")[row]
        np.testing.assert_array_equal(given[0].numpy(), to_unit(stored))


def test_every_code_value_is_mapped_as_the_using_half_maps_it() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_float(torch.from_numpy(codes)).numpy(), to_unit(codes))


@pytest.mark.parametrize("kind", [FrameMOSDataset, PairedFrameDataset])
def test_each_clip_is_in_its_split_alone(
    frames: Layout, kind: type[FrameMOSDataset] | type[PairedFrameDataset]
) -> None:
    table = read_table(frames.split, stage="split")
    for name, group in table.groupby("split"):
        data = kind.of_split(frames, str(name))
        assert data.keys == sorted(group["key"])
        assert len(data) == len(group)


def test_fragments_are_an_item_a_place_to_train_on_and_one_a_clip_to_measure(frames: Layout) -> None:
    stored = np.load(frames.frames / "fragments.npy")
    plain = FrameMOSDataset.of_split(frames, "train")
    data = FrameMOSDataset.of_split(frames, "train", sampling="fragments")
    assert data.keys == [key for key in plain.keys for _ in range(2)]
    rows = [2 * int(key.rsplit("_", 1)[-1]) + place for key in plain.keys for place in (0, 1)]
    np.testing.assert_array_equal(data.frames.numpy(), stored[rows])
    # a scene at one place is ranked within itself
    assert data.scene[0] != data.scene[1]
    assert data.scene[0] == data.scene[2]
    assert len(set(data.scene.tolist())) == 2 * len(set(plain.scene.tolist()))
    val = FrameMOSDataset.of_split(frames, "val", sampling="fragments")
    assert val.keys == FrameMOSDataset.of_split(frames, "val").keys
    np.testing.assert_array_equal(val.frames.numpy(), np.load(frames.frames / "luma.npy")[[0, 1, 10, 11]])


def test_clips_of_one_scene_share_a_number(frames: Layout) -> None:
    data = FrameMOSDataset.of_split(frames, "train")
    assert data.scene.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_frames_follow_the_row_column_in_any_order_and_over_several_arrays(frames: Layout) -> None:
    before = FrameMOSDataset.of_split(frames, "train")
    luma = np.load(frames.frames / "luma.npy")
    np.save(frames.frames / "other.npy", luma[::-1])
    table = read_table(frames.frames / "mos.parquet", stage="frames")
    odd = table.index % 2 == 1
    table.loc[odd, "frame_path"] = "other.npy"
    table.loc[odd, "row"] = len(luma) - 1 - table.loc[odd, "row"]
    write_table(frames.frames / "mos.parquet", table)
    after = FrameMOSDataset.of_split(frames, "train")
    assert torch.equal(before.frames, after.frames)


@pytest.mark.parametrize("kind", [FrameMOSDataset, PairedFrameDataset])
def test_clips_below_min_mos_are_left_out(
    frames: Layout, kind: type[FrameMOSDataset] | type[PairedFrameDataset]
) -> None:
    scores = read_table(frames.frames / "mos.parquet", stage="frames").set_index("key")["mos"]
    kept = kind.of_split(frames, "train", min_mos=3.0).keys
    assert kept == [key for key in kind.of_split(frames, "train").keys if scores[key] >= 3]
    with pytest.raises(UserError, match=r"no train clip has a MOS of at least min_mos = 5.*lower min_mos"):
        kind.of_split(frames, "train", min_mos=5.0)


def test_a_missing_array_names_the_stage_to_run(frames: Layout) -> None:
    (frames.frames / "degraded.npy").unlink()
    with pytest.raises(UserError, match=r"no .*degraded\.npy: run `vmaf-train frames`"):
        PairedFrameDataset.of_split(frames, "train")


@pytest.mark.parametrize(
    "stored", [np.zeros((20, 64, 64), np.float32), np.zeros((3, 64, 64), np.uint8), np.zeros(20, np.uint8)]
)
def test_an_array_that_does_not_fit_its_table_is_named(frames: Layout, stored: np.ndarray) -> None:
    np.save(frames.frames / "luma.npy", stored)
    with pytest.raises(UserError, match=r"luma\.npy holds .* does not fit the tables"):
        FrameMOSDataset.of_split(frames, "train")


def test_a_broken_array_is_named(frames: Layout) -> None:
    (frames.frames / "luma.npy").write_bytes(b"")
    with pytest.raises(UserError, match=r"luma\.npy is not a packed array"):
        FrameMOSDataset.of_split(frames, "train")


def test_a_split_without_frames_is_named(frames: Layout) -> None:
    table = read_table(frames.split, stage="split")
    write_table(frames.split, table[table["split"] != "val"])
    with pytest.raises(UserError, match="no val clip has a row"):
        FrameMOSDataset.of_split(frames, "val")


def test_a_clip_with_exactly_min_mos_is_kept(frames: Layout) -> None:
    table = read_table(frames.frames / "mos.parquet", stage="frames")
    key = FrameMOSDataset.of_split(frames, "train").keys[0]
    table.loc[table["key"] == key, "mos"] = 3.0
    write_table(frames.frames / "mos.parquet", table)
    assert key in FrameMOSDataset.of_split(frames, "train", min_mos=3.0).keys
