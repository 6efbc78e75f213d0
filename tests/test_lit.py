from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch

from vmaf_train.batches import PairBatch, ScoredBatch
from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.lit import FilterTraining, NrTraining, rank_loss
from vmaf_train.metric_nets import EnergyMetric, NrMetric
from vmaf_train.params import FilterRecipe, Recipe

RECIPE = Recipe(
    lr_scale=0.5, schedule="cosine", weight_decay=0.01, batch_size=4, epochs=1, patience=0, keep="best",
    crop=0, gradient_clip=0.0, rank_weight=0.0, ema_decay=0.0, min_mos=1.0, steps_scale=1.0,
)  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)


def scored_batch(count: int = 4) -> ScoredBatch:
    torch.manual_seed(1)
    return ScoredBatch(torch.rand(count, 1, 64, 64), torch.linspace(1, 5, count), torch.arange(count) // 2)


def test_metric_loss_is_the_mean_squared_error() -> None:
    training = NrTraining(NrMetric(2), RECIPE, lr=1e-3, steps=10)
    batch = scored_batch()
    expected = (training.net(batch.frame) - batch.mos).square().mean()
    assert training.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_measured_batch_gives_the_loss_of_its_frames() -> None:
    net, batch = EnergyMetric(4, dropout=0.0), scored_batch()
    measured = batch._replace(frame=net.measure(batch.frame), measured=True)
    training = NrTraining(net, recipe(rank_weight=0.0), lr=1e-3, steps=10)
    torch.testing.assert_close(training.loss(measured), training.loss(batch))


def test_rank_weight_adds_the_ranking_loss() -> None:
    batch = scored_batch()
    plain = NrTraining(NrMetric(2), RECIPE, lr=1e-3, steps=10)
    ranked = NrTraining(plain.net, recipe(rank_weight=2.0), lr=1e-3, steps=10)
    extra = 2 * rank_loss(plain.net(batch.frame), batch.mos, batch.scene)
    assert (ranked.loss(batch) - plain.loss(batch)).item() == pytest.approx(extra.item(), rel=1e-4)


def test_rank_loss_falls_as_the_order_inside_a_scene_gets_right() -> None:
    mos, scene = torch.tensor([1.0, 3.0, 5.0]), torch.zeros(3)
    right, flat, wrong = (rank_loss(predicted, mos, scene) for predicted in (mos, mos * 0, -mos))
    assert float(right) < float(flat) < float(wrong)


def test_rank_loss_compares_no_clips_of_different_scenes() -> None:
    mos = torch.tensor([1.0, 5.0])
    predicted = torch.tensor([5.0, 1.0], requires_grad=True)
    loss = rank_loss(predicted, mos, torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None
    assert predicted.grad.abs().max() == 0


def test_filter_loss_is_the_absolute_error_before_the_clamp() -> None:
    training = FilterTraining(LearnedFilter(2, 1), RECIPE, lr=1e-3, steps=10)
    batch = PairBatch(torch.full((2, 1, 8, 8), 0.9), torch.full((2, 1, 8, 8), 1.0))
    with torch.no_grad():
        training.net.exit.bias.fill_(0.5)  # type: ignore[union-attr]
    assert training.loss(batch).item() == pytest.approx(0.4, rel=1e-5)
    assert training.figure(batch).tolist() == pytest.approx([0, 0])


def test_a_charbonnier_loss_is_the_absolute_error_of_large_errors_and_flat_at_small_ones() -> None:
    changes = {**vars(recipe()), "pairs": "mixed", "charbonnier": 0.01}
    training = FilterTraining(LearnedFilter(4, 1), FilterRecipe(**changes), lr=1e-3, steps=10)
    clean = torch.full((1, 1, 8, 8), 0.5)
    # an untrained filter returns its input
    losses = [training.loss(PairBatch(clean + error, clean)).item() for error in (0.0, 0.001, 0.3)]
    assert losses[0] == pytest.approx(0.01)
    assert losses[1] == pytest.approx(0.01, rel=0.01)
    assert losses[2] == pytest.approx(0.3, rel=0.01)


def test_the_rate_is_lr_times_lr_scale_and_falls_as_a_cosine_to_zero() -> None:
    training = NrTraining(NrMetric(2), RECIPE, lr=1e-3, steps=10)
    configured = training.configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(5e-4)
    assert rates[2] == pytest.approx(5e-4 * (1 + math.cos(math.pi / 5)) / 2)
    assert rates[5] == pytest.approx(2.5e-4)
    assert rates[10] == pytest.approx(0, abs=1e-12)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_a_constant_schedule_has_no_scheduler() -> None:
    training = NrTraining(NrMetric(2), recipe(schedule="constant"), lr=1e-3, steps=10)
    assert isinstance(training.configure_optimizers(), torch.optim.AdamW)


def test_averaged_weights_follow_the_trained_ones_and_are_the_ones_validated() -> None:
    training = NrTraining(NrMetric(2), recipe(ema_decay=0.5), lr=1e-3, steps=10)
    assert training.scored_net is training.averaged
    before = training.averaged.head.bias.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        training.net.head.bias.add_(1)  # type: ignore[union-attr]
        training.net.features[0].norm.running_mean.add_(1)  # type: ignore[index, union-attr]
    training.on_train_batch_end()
    averaged = training.averaged
    assert float(averaged.head.bias - before) == pytest.approx(0.9)  # type: ignore[union-attr]
    norm = averaged.features[0].norm  # type: ignore[index, union-attr]
    assert norm.running_mean.tolist() == pytest.approx([0.9, 0.9])


def test_without_averaging_the_trained_weights_are_validated() -> None:
    training = NrTraining(NrMetric(2), RECIPE, lr=1e-3, steps=10)
    assert training.scored_net is training.net


def test_an_average_forgets_less_the_more_steps_it_holds() -> None:
    training = NrTraining(NrMetric(2), recipe(ema_decay=0.15), lr=1e-3, steps=10)
    before = training.averaged.head.bias.clone()  # type: ignore[union-attr]
    with torch.no_grad():
        training.net.head.bias.add_(1)  # type: ignore[union-attr]
    missing, expected = 1.0, []
    for decay in (1 / 10, 0.15, 0.15):  # 1/10, 2/11, 3/12, but never more than the recipe's
        missing *= decay
        training.on_train_batch_end()
        expected.append(1 - missing)
        assert float(training.averaged.head.bias - before) == pytest.approx(expected[-1])  # type: ignore[union-attr]


def test_a_pair_counts_in_the_ranking_loss_by_how_far_its_scores_differ() -> None:
    mos, predicted = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0.5, 0.0, 3.0])
    # MOS 1 apart, 4 apart, 3 apart; softplus of what the worse one is rated above the better
    losses = [math.log1p(math.exp(above)) for above in (0.5, -2.5, -3.0)]
    expected = (1 * losses[0] + 4 * losses[1] + 3 * losses[2]) / (1 + 4 + 3)
    assert float(rank_loss(predicted, mos, torch.zeros(3))) == pytest.approx(expected, rel=1e-5)


def test_the_rate_stays_at_zero_after_the_last_step() -> None:
    configured = NrTraining(NrMetric(2), RECIPE, lr=1e-3, steps=10).configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    for _ in range(20):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
