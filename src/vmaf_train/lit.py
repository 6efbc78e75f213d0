"""What one training step is, for each kind of model; `fit` runs it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import Any, TypeVar, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vmaf_train.batches import PairBatch, ScoredBatch
from vmaf_train.errors import UserError
from vmaf_train.filter_nets import LearnedFilter
from vmaf_train.metric_nets import Metric
from vmaf_train.params import FilterRecipe, Recipe

Net = TypeVar("Net", bound=nn.Module)


class Training(LightningModule, ABC):
    """AdamW, schedule, averaging of the weights and the watch over the loss, common to all kinds."""

    monitor: str  # the figure whose lowest value marks the best checkpoint

    def __init__(self, net: Metric | LearnedFilter, recipe: Recipe, *, lr: float, steps: int) -> None:
        super().__init__()
        self.net = to_channels_last(net)
        self.recipe = recipe
        self.lr = lr * recipe.lr_scale
        self.steps = steps
        self.log_every = max(1, min(20, steps // 50))
        self.averaged = copy.deepcopy(self.net).requires_grad_(False) if recipe.ema_decay else None
        self.averages = 0
        self.weights: tuple[list[Tensor], list[Tensor]] | None = None  # of the average, of the network
        self.loss_sum: Tensor | None = None
        self.loss_count = 0

    @property
    def scored_net(self) -> nn.Module:
        """The network that is validated and kept: the averaged one where the recipe averages."""
        return self.averaged or self.net

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """The training loss of one batch, a scalar."""

    @abstractmethod
    def figure(self, batch: Any) -> Tensor:
        """The validation figure of each item of a batch, (N,)."""

    def training_step(self, batch: Any, _index: int) -> Tensor:
        """One step; every `log_every` steps the mean loss is logged and must be finite."""
        loss = self.loss(batch)
        held = loss.detach().float()
        self.loss_sum = held if self.loss_sum is None else self.loss_sum + held
        self.loss_count += 1
        # reading the loss waits for the GPU, so it is not read at every step
        if (self.global_step + 1) % self.log_every == 0:
            self._log_loss()
        return loss

    def _log_loss(self) -> None:
        if self.loss_sum is None:
            return
        mean = float(self.loss_sum) / self.loss_count
        self.loss_sum, self.loss_count = None, 0
        if not math.isfinite(mean):
            raise UserError(
                f"fit: the loss is {mean} at step {self.global_step + 1} with lr {self.lr:g}; "
                "lower lr (or lr_scale) in params.yaml; the earlier checkpoint, if any, is unchanged"
            )
        self._plot("train/loss", mean, self.global_step + 1)

    def on_train_batch_end(self, *_: Any) -> None:
        """Take the new weights and batch statistics into the moving average."""
        if self.averaged is None:
            return
        # early averages hold few steps, so they forget the untrained weights faster
        decay = min(self.recipe.ema_decay, (1 + self.averages) / (10 + self.averages))
        self.averages += 1
        if self.weights is None:
            self.weights = _weights(self.averaged), _weights(self.net)
        # one call for all of them: on a GPU each call takes about as long
        cast(Any, get_ema_multi_avg_fn)(decay)(*self.weights, self.averages)

    def validation_step(self, batch: Any, _index: int) -> None:
        """Log the mean of `figure` over the whole validation split."""
        figure = self.figure(batch)
        self.log(self.monitor, figure.mean(), batch_size=len(figure), prog_bar=True, logger=False)

    def on_validation_epoch_end(self) -> None:
        """Plot the validation figure at the number of steps done."""
        self._plot(self.monitor, float(self.trainer.callback_metrics[self.monitor]), self.global_step)

    def _plot(self, name: str, value: float, step: int) -> None:
        # straight to the logger: Lightning's own numbering of steps lags by one behind a validation
        if self.logger is not None:
            self.logger.log_metrics({name: value}, step=step)

    def configure_optimizers(self) -> Any:
        """AdamW (Loshchilov & Hutter 2019), at a constant rate or with cosine decay to zero."""
        # not fused: Lightning clips no gradients of a fused optimizer in mixed precision
        optimizer = torch.optim.AdamW(
            self.net.parameters(), lr=self.lr, weight_decay=self.recipe.weight_decay
        )
        if self.recipe.schedule == "constant":
            return optimizer
        steps = max(1, self.steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class NrTraining(Training):
    """Mean squared error on MOS, and within each scene a ranking loss where the recipe weighs one."""

    monitor = "val/mse"

    def loss(self, batch: ScoredBatch) -> Tensor:
        """Squared error (MOS^2) plus `rank_weight` times the ranking loss."""
        predicted = self._scores(self.net, batch).float()
        loss = fn.mse_loss(predicted, batch.mos)
        if self.recipe.rank_weight:
            loss = loss + self.recipe.rank_weight * rank_loss(predicted, batch.mos, batch.scene)
        return loss

    def figure(self, batch: ScoredBatch) -> Tensor:
        """Squared error of each clip, MOS^2."""
        # half precision rounds a score of 3 to steps of 1/64 (bf16): scores are compared in float32
        with torch.autocast(batch.frame.device.type, enabled=False):
            return fn.mse_loss(self._scores(self.scored_net, batch), batch.mos, reduction="none")

    @staticmethod
    def _scores(net: nn.Module, batch: ScoredBatch) -> Tensor:
        return cast(Metric, net).judge(batch.frame) if batch.measured else cast(Tensor, net(batch.frame))


class FilterTraining(Training):
    """Mean absolute error between filtered and clean luma; the clamp is left out while training.

    With `charbonnier` e of the recipe it is sqrt(error^2 + e^2) (Charbonnier et al., ICIP 1994): the pull of
    frames that need no help then fades, where plain absolute error holds the network at doing nothing.
    """

    monitor = "val/l1"

    def loss(self, batch: PairBatch) -> Tensor:
        """Error in 0..1 of the unclamped output: the clamp's gradient is zero outside."""
        filtered = cast(LearnedFilter, self.net).unclamped(batch.degraded).float()
        if isinstance(self.recipe, FilterRecipe) and self.recipe.charbonnier:
            return ((filtered - batch.clean).square() + self.recipe.charbonnier**2).sqrt().mean()
        return fn.l1_loss(filtered, batch.clean)

    def figure(self, batch: PairBatch) -> Tensor:
        """Absolute error of each frame, in 0..1."""
        filtered = self.scored_net(batch.degraded).float()
        return fn.l1_loss(filtered, batch.clean, reduction="none").mean((1, 2, 3))


def to_channels_last(net: Net) -> Net:
    """Lay the weights out channels last, which convolutions on a CPU or in half precision run faster."""
    # torch's annotations know only the form of `to` for single tensors
    cast(Any, net).to(memory_format=torch.channels_last)
    return net


def rank_loss(predicted: Tensor, mos: Tensor, scene: Tensor) -> Tensor:
    """Pairwise logistic loss between clips of one scene, weighted by how far their MOS differ.

    RankNet (Burges et al., ICML 2005), pairs inside a scene as in RankIQA (Liu et al., ICCV 2017).

    Args:
        predicted: scores (N,).
        mos: true scores (N,).
        scene: scene number of each clip (N,).

    Returns:
        A scalar; 0 where no scene has two clips of different MOS.
    """
    gap = mos[:, None] - mos[None, :]
    weight = gap.clamp(min=0) * (scene[:, None] == scene[None, :])
    loss = fn.softplus(predicted[None, :] - predicted[:, None])
    return (weight * loss).sum() / weight.sum().clamp(min=1e-6)


def _weights(net: nn.Module) -> list[Tensor]:
    """Weights and batch statistics, not the count of batches: it plays no part with a fixed momentum."""
    return [tensor.detach() for tensor in net.state_dict().values() if tensor.is_floating_point()]
