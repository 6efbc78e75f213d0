from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vmaf_train.batches import Batches, InOrder, PairBatch, ScoredBatch, Windows, cut, gather
from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset
from vmaf_train.errors import UserError
from vmaf_train.params import Params

SIZE = 16


def scored(count: int = 12, a_scene: int = 3) -> FrameMOSDataset:
    frames = torch.randint(256, (count, SIZE, SIZE), generator=torch.Generator().manual_seed(3))
    mos = torch.arange(count, dtype=torch.float32)
    keys = [f"clip_{number}" for number in range(count)]
    scenes = [f"scene_{number // a_scene}" for number in range(count)]
    return FrameMOSDataset(frames.to(torch.uint8), mos, keys, scenes)


def paired(count: int = 12) -> PairedFrameDataset:
    clean = scored(count).frames
    return PairedFrameDataset(255 - clean, clean, [f"clip_{number}" for number in range(count)])


def test_an_epoch_takes_each_clip_once_and_the_next_in_another_order() -> None:
    batches = Batches(scored(), 4, seed=1)
    first, second = [torch.cat([batch.mos for batch in batches]).tolist() for _ in range(2)]  # type: ignore[union-attr]
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_the_same_seed_gives_the_same_batches_and_another_seed_others() -> None:
    def pixels(seed: int) -> torch.Tensor:
        return torch.cat([batch[0] for batch in Batches(paired(), 4, seed=seed, crop=8)])

    assert torch.equal(pixels(1), pixels(1))
    assert not torch.equal(pixels(1), pixels(2))


def test_both_pictures_of_a_pair_are_cut_and_turned_alike() -> None:
    for batch in Batches(paired(), 4, seed=1, crop=8):
        assert isinstance(batch, PairBatch)
        assert batch.degraded.shape == (4, 1, 8, 8)
        torch.testing.assert_close(batch.degraded, 1 - batch.clean)


def test_a_frame_for_a_metric_is_mirrored_or_not_but_never_upside_down() -> None:
    data = scored()
    seen = set()
    for batch in Batches(data, 4, seed=1):
        assert isinstance(batch, ScoredBatch)
        for frame, mos in zip(batch.frame, batch.mos, strict=True):
            original = data[int(mos)][0]
            as_is, mirrored = torch.equal(frame, original), torch.equal(frame, original.flip(-1))
            assert as_is != mirrored
            seen.add(mirrored)
    assert seen == {True, False}


def test_cut_equals_slicing_and_flipping() -> None:
    frames = scored().frames
    windows = Windows(
        top=torch.tensor([0, 5]), left=torch.tensor([3, 8]),
        mirror=torch.tensor([False, True]), turn=torch.tensor([True, False]),
    )  # fmt: skip
    given = cut(frames, torch.tensor([2, 7]), windows, 8)
    torch.testing.assert_close(given[0, 0], frames[2, 0:8, 3:11].flip(0))
    torch.testing.assert_close(given[1, 0], frames[7, 5:13, 8:16].flip(1))


def test_batches_by_scene_hold_whole_scenes() -> None:
    for batch in Batches(scored(a_scene=3), 7, seed=1, by_scene=True):
        assert isinstance(batch, ScoredBatch)
        assert torch.bincount(batch.scene)[batch.scene.unique()].tolist() == [3, 3]


@pytest.mark.parametrize("model", ["nr_metric_v1", "nr_metric_v2", "nr_metric_v3"])
def test_scenes_of_the_default_corpus_make_the_batches_that_they_always_made(
    model: str, make_params: Callable[..., Params]
) -> None:
    params = make_params()
    variants, batch_size = params.corpus.synthetic.variants, params.recipe(model).batch_size
    places, scenes = params.frames.fragments.places, 2 * batch_size
    # as a table of fragments has them: the places of one clip after each other, a scene a place
    names = [f"{i // variants}/{place}" for i in range(scenes * variants) for place in range(places)]
    count = len(names)
    frames = torch.zeros((count, 1, 1), dtype=torch.uint8)
    data = FrameMOSDataset(frames, torch.arange(float(count)), names, names)
    batches = Batches(data, batch_size, seed=params.seed, by_scene=True)
    whole = [[row for row in range(count) if names[row] == name] for name in dict.fromkeys(names)]
    for epoch in range(2):
        generator = torch.Generator().manual_seed(params.seed * 1_000_003 + epoch)
        order = torch.randperm(len(whole), generator=generator).tolist()
        each = batch_size // variants
        expected = [
            [row for scene in order[start : start + each] for row in whole[scene]]
            for start in range(0, len(whole) - each + 1, each)  # a rest is left out
        ]
        assert [batch[1].tolist() for batch in batches] == expected


def test_a_large_scene_among_single_clips_makes_no_batch_of_one_clip() -> None:
    names = ["large"] * 40 + [f"single_{number}" for number in range(8)]
    data = FrameMOSDataset(torch.zeros((48, 1, 1), dtype=torch.uint8), torch.arange(48.0), names, names)
    for batch_size in (2, 3, 4, 16, 64):
        batches = Batches(data, batch_size, seed=1, by_scene=True)
        assert sorted(row for piece in batches.groups for row in piece) == list(range(48))
        assert max(map(len, batches.groups)) <= max(2, batch_size // 2)
        sizes = [len(batch[1]) for _ in range(20) for batch in batches]
        assert min(sizes) >= 2
        assert max(sizes) <= max(4, batch_size)
        again, other = (Batches(data, batch_size, seed=seed, by_scene=True).groups for seed in (1, 2))
        assert batches.groups == again != other


def test_processes_share_an_epoch_without_overlap_and_in_equal_numbers() -> None:
    parts = [list(Batches(scored(), 2, seed=1, rank=rank, world=3)) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    mos = [float(value) for part in parts for batch in part for value in batch[1]]
    assert sorted(mos) == list(range(12))


def test_a_set_smaller_than_a_batch_still_gives_one_batch_of_different_clips() -> None:
    batches = Batches(scored(3), 64, seed=1)
    (batch,) = batches
    assert len(batches) == 1
    assert sorted(batch[1].tolist()) == [0, 1, 2]


def test_each_process_gets_a_batch_even_of_a_tiny_set() -> None:
    assert [len(list(Batches(scored(3), 2, seed=1, rank=rank, world=4))) for rank in range(4)] == [1, 1, 1, 1]


def test_validation_takes_all_in_order_in_whole_frames() -> None:
    batches = InOrder(paired(), 5)
    assert [len(batch.clean) for batch in batches] == [5, 5, 2]  # type: ignore[union-attr]
    torch.testing.assert_close(torch.cat([batch[1] for batch in batches])[:, 0], paired().clean / 255)
    assert len(batches) == 3


def test_measured_frames_come_in_place_of_luma_with_their_own_scores() -> None:
    data = scored()
    data.measure(lambda luma: luma.mean((1, 2, 3))[:, None])
    expected = data.frames.float().mean((1, 2)) / 255
    for batches in (Batches(data, 4, seed=1), InOrder(data, 5)):
        for batch in batches:
            assert isinstance(batch, ScoredBatch)
            assert batch.measured
            rows = [data.mos.tolist().index(score) for score in batch.mos.tolist()]
            torch.testing.assert_close(batch.frame[:, 0], expected[rows])


def test_what_was_measured_for_each_pixel_is_cropped_and_mirrored_as_luma_is() -> None:
    plain, measured = scored(), scored()
    measured.measure(lambda luma: 2 * luma - 1)
    for luma, batch in zip(
        Batches(plain, 4, seed=1, crop=8), Batches(measured, 4, seed=1, crop=8), strict=True
    ):
        assert isinstance(luma, ScoredBatch)
        assert isinstance(batch, ScoredBatch)
        assert batch.measured
        torch.testing.assert_close(batch.frame, 2 * luma.frame - 1)
        torch.testing.assert_close(batch.mos, luma.mos)


def test_a_crop_larger_than_the_frames_is_refused() -> None:
    with pytest.raises(UserError, match=r"crop = 32 .* larger than the frames \(16 pixels\)"):
        Batches(paired(), 4, seed=1, crop=32)


@pytest.mark.parametrize("device", ["meta", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU"))])  # fmt: skip
def test_a_batch_is_put_together_on_the_device_of_the_data(device: str) -> None:
    for batches in (Batches(scored().to(device), 4, seed=1), Batches(paired().to(device), 4, seed=1, crop=8)):
        for batch in batches:
            assert {values.device.type for values in batch if isinstance(values, torch.Tensor)} == {device}
    for batch in InOrder(scored().to(device), 5):
        assert {values.device.type for values in batch if isinstance(values, torch.Tensor)} == {device}


@pytest.mark.parametrize("crop", [0, 8])
def test_crops_on_a_gpu_are_those_on_a_processor(crop: int) -> None:
    frames = torch.randint(256, (5, SIZE, SIZE + 3), dtype=torch.uint8)
    room = (SIZE - crop + 1, SIZE + 3 - crop + 1) if crop else (1, 1)
    top, left = (torch.randint(limit, (16,)) for limit in room)
    windows = Windows(top, left, torch.arange(16) % 2 > 0, torch.arange(16) % 4 > 1)
    index = torch.randint(5, (16,))
    assert torch.equal(gather(frames, index, windows, crop), cut(frames, index, windows, crop))


def test_crops_reach_the_last_row_and_column() -> None:
    places = torch.arange(SIZE * SIZE, dtype=torch.uint8).reshape(1, SIZE, SIZE).repeat(40, 1, 1)
    data = PairedFrameDataset(places, places, [str(number) for number in range(40)])
    seen = torch.cat([(batch.clean * 255).round() for batch in Batches(data, 4, seed=1, crop=SIZE - 1)])
    assert set(seen.unique().tolist()) == set(range(SIZE * SIZE))
