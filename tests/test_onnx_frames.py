"""Frames of one split through an exported file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from onnx import helper
from tiny_models import identity_filter, model_bytes
from tiny_repository import make_repository

from vmaf_train.errors import UserError
from vmaf_train.export import export
from vmaf_train.layout import Layout
from vmaf_train.onnx_frames import frames_of, onnx_runner, packed_frames, split_rows
from vmaf_train.params import Params

FILTER = "learned_filter_v1"


@pytest.fixture
def repository(make_params: Callable[..., Params], layout: Layout) -> Layout:
    make_repository(layout, make_params(models=[FILTER], frames__size=48))
    return layout


def test_the_three_splits_share_no_row_and_lose_none(repository: Layout) -> None:
    rows = [set(split_rows(repository, name)["row"]) for name in ("train", "val", "test")]
    assert sum(len(part) for part in rows) == len(set.union(*rows)) == 30


def test_frames_come_in_the_order_of_their_rows(repository: Layout) -> None:
    rows = split_rows(repository, "train").iloc[::-1]
    frames = packed_frames(repository, "luma", rows)
    packed = np.load(repository.frames / "luma.npy")
    assert frames.shape == (len(rows), 1, 48, 48)
    np.testing.assert_array_equal(frames[0, 0], packed[rows["row"].iloc[0]])


def test_a_metric_that_samples_fragments_is_run_on_those_of_its_first_place(
    repository: Layout, make_params: Callable[..., Params]
) -> None:
    params = make_params(models=["nr_metric_v1", "nr_metric_v3", FILTER])
    arrays = [frames_of(section) for section in params.models.values()]
    assert arrays == ["luma", "fragments", "degraded"]
    table = pd.read_parquet(repository.frames / "fragments.parquet")
    twice = pd.concat([table, table.assign(place=1, row=99)])
    twice.to_parquet(repository.frames / "fragments.parquet")
    rows, plain = split_rows(repository, "val", "fragments"), split_rows(repository, "val")
    assert rows["key"].tolist() == plain["key"].tolist()
    np.testing.assert_array_equal(
        packed_frames(repository, "fragments", rows), packed_frames(repository, "luma", plain)[:, :, ::-1]
    )


@pytest.mark.parametrize("data", [b"", b"no model", identity_filter()[:-9]])
def test_a_file_that_breaks_the_rules_is_named_before_it_runs(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^a\.onnx: "):
        onnx_runner(data, name="a.onnx")


def test_batches_do_not_change_a_result(repository: Layout, make_params: Callable[..., Params]) -> None:
    export(FILTER, make_params(models=[FILTER], frames__size=48), repository)
    data = repository.onnx(FILTER).read_bytes()
    frames = np.random.default_rng(0).integers(0, 256, (40, 1, 48, 48)).astype(np.uint8)
    run = onnx_runner(data, name="a file")
    together, alone = run(frames), np.concatenate([run(frames[i : i + 1]) for i in range(40)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize(("operator", "frames"), [("Sqrt", [0, 255]), ("Log", [127, 255])])
def test_one_value_that_is_not_finite_is_enough_to_be_refused(operator: str, frames: list[int]) -> None:
    # the root of -0.5 is no number, the logarithm of 0 is endless
    nodes = [
        helper.make_node("Sub", ["degraded", "shift"], ["moved"]),
        helper.make_node(operator, ["moved"], ["filtered"]),
    ]
    free, shift = ("batch", 1, "height", "width"), np.float32(127 / 255)
    data = model_bytes(nodes, ("degraded", free), ("filtered", free), {"shift": shift})
    with pytest.raises(UserError, match=r"a\.onnx gives values that are not finite"):
        onnx_runner(data, name="a.onnx")(np.array(frames, np.uint8).reshape(1, 1, 1, 2))


def test_a_split_without_a_clip_is_named_with_what_to_change(repository: Layout) -> None:
    splits = pd.read_parquet(repository.split)
    splits.assign(split="train").to_parquet(repository.split)
    with pytest.raises(UserError, match=r"^no test clip has a frame; change `split` in params\.yaml"):
        split_rows(repository, "test")
    with pytest.raises(UserError, match=r"^no val clip has a frame that is a clean target \(column `target`"):
        split_rows(repository, "val", "degraded")
