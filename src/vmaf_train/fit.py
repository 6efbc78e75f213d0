"""Stage `fit`: train one model with Lightning and keep its best checkpoint, or its last."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torch.utils.deterministic
from dvclive.lightning import DVCLiveLogger
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, RichProgressBar

from vmaf_train.batches import Batches, InOrder
from vmaf_train.checkpoint import save_checkpoint
from vmaf_train.curves import write_curves
from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset
from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.lit import FilterTraining, NrTraining, Training
from vmaf_train.metric_nets import Metric
from vmaf_train.nets import build
from vmaf_train.params import FilterRecipe, Model, NrModel, Params, Recipe
from vmaf_train.stopping import stoppable

VALIDATIONS = 10  # of a capped run; the reference recipe validates after every epoch
VALIDATION_BATCH = 8  # small: activations stay in a processor's cache, and no figure depends on it
GPU_VALIDATION_BATCH = 128
STRATEGIES = ("auto", "ddp")  # the weights lie whole in the process that writes the checkpoint


@dataclass(frozen=True)
class Fitted:
    """The kept checkpoint (`best` or `last`), its figure and step, and how the run was done."""

    kept: str
    figure: str
    value: float
    step: int
    steps: int
    how: str

    def __str__(self) -> str:
        return f"{self.kept} {self.figure} {self.value:.5f} at step {self.step} of {self.steps} ({self.how})"


def fit(model_id: str, params: Params, layout: Layout) -> Fitted:
    """Train a model; write its curves and the checkpoint that is kept, both at the very end.

    A run is a function of the parameters, the frames, the machine's kind and its number of threads:
    the same again gives the same bytes.

    Raises:
        UserError: an input is missing, a parameter cannot be used, or the loss is not finite.
        KeyboardInterrupt: the user stopped the run; the earlier checkpoint is whole.
    """
    section, recipe = params.model(model_id), params.recipe(model_id)
    with _settings(params.seed), tempfile.TemporaryDirectory() as scratch:
        data = _Data(layout, section, recipe, params.seed)
        net = build(section)
        if isinstance(net, Metric) and isinstance(data.train, FrameMOSDataset):
            _check_count(model_id, data.train, recipe)
            net.start_at(float(data.train.mos.mean()))
            data.measure(net)
        precision = choose_precision(params.train.precision, section.kind)
        kept = _Keep(recipe)
        trainer = _trainer(params, recipe, precision, len(data.batches()), Path(scratch), kept)
        steps = recipe.epochs * len(data.batches(trainer.world_size))
        if params.max_steps > 0:
            steps = min(steps, step_limit(params, recipe))
        kind = NrTraining if section.kind == "nr" else FilterTraining
        training = kind(net, recipe, lr=params.lr, steps=steps)
        with stoppable(trainer):
            trainer.fit(training, data)
            if kept.seen != trainer.global_step:
                trainer.validate(training, data, verbose=False)
        if kept.weights is None:
            raise UserError(f"fit: {training.monitor} was never a finite number; lower lr in params.yaml")
        if trainer.is_global_zero:
            write_curves(layout.curves(model_id), Path(scratch), ["train/loss", training.monitor])
            save_checkpoint(layout.checkpoint(model_id), section, kept.weights)
    how = f"{precision} on {trainer.strategy.root_device.type}"
    return Fitted(recipe.keep, training.monitor, kept.value, kept.step, trainer.global_step, how)


def _check_count(model_id: str, data: FrameMOSDataset, recipe: Recipe) -> None:
    """Refuse a set of one frame; of two or more, `Batches` makes no batch of one."""
    if len(data) < 2:
        raise UserError(
            f"fit: {model_id} has 1 train clip with a MOS of at least min_mos = {recipe.min_mos:g}, "
            "and the batch normalisation of a metric needs 2 or more; add clips, or change split or min_mos "
            "in params.yaml"
        )


class _Data(LightningDataModule):
    """Both splits; each process puts its copy on its own device before the first batch."""

    def __init__(self, layout: Layout, section: Model, recipe: Recipe, seed: int) -> None:
        super().__init__()
        read: Any = FrameMOSDataset.of_split
        if isinstance(section, NrModel):
            read = partial(read, sampling=section.net.sampling)
        elif isinstance(recipe, FilterRecipe):
            read = partial(PairedFrameDataset.of_split, pairs=recipe.pairs)
        self.train: FrameMOSDataset | PairedFrameDataset = read(layout, "train", min_mos=recipe.min_mos)
        self.val: FrameMOSDataset | PairedFrameDataset = read(layout, "val")
        self.recipe = recipe
        self.seed = seed

    def measure(self, net: Metric) -> None:
        """Do the part of a metric that no training changes once a frame, where crops allow it."""
        if net.measures == "pixels" or (net.measures == "cells" and not self.recipe.crop):
            for data in (self.train, self.val):
                if isinstance(data, FrameMOSDataset):
                    data.measure(net.measure)

    def batches(self, world: int = 1, rank: int = 0) -> Batches[Any]:
        recipe = self.recipe
        by_scene = recipe.rank_weight > 0 and isinstance(self.train, FrameMOSDataset)
        return Batches(
            self.train, recipe.batch_size, seed=self.seed, crop=recipe.crop, by_scene=by_scene,
            rank=rank, world=world,
        )  # fmt: skip

    def train_dataloader(self) -> Any:
        trainer = self._attached()
        self.train.to(trainer.strategy.root_device)
        return self.batches(trainer.world_size, trainer.global_rank)

    def val_dataloader(self) -> Any:
        device = self._attached().strategy.root_device
        batch = VALIDATION_BATCH if device.type == "cpu" else GPU_VALIDATION_BATCH
        return InOrder(self.val.to(device), batch)

    def _attached(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("the data has no trainer yet")
        return self.trainer


class _Keep(Callback):
    """The weights of the best or the last validation, in memory; ends a run that no longer improves."""

    def __init__(self, recipe: Recipe) -> None:
        self.keep, self.patience = recipe.keep, recipe.patience
        self.best = self.value = math.inf
        self.step = 0
        self.seen = 0
        self.waited = 0
        self.weights: dict[str, torch.Tensor] | None = None

    def on_validation_end(self, trainer: Trainer, training: LightningModule) -> None:
        if not isinstance(training, Training):
            raise TypeError(f"cannot keep the weights of a {type(training).__name__}")
        # each process has batch statistics of its own: all go by the figure of the one that writes
        value = float(trainer.strategy.broadcast(float(trainer.callback_metrics[training.monitor])))
        self.seen = trainer.global_step
        better = value < self.best
        self.best, self.waited = (value, 0) if better else (self.best, self.waited + 1)
        if self.patience and self.waited >= self.patience:
            trainer.should_stop = True
        if better or (self.keep == "last" and math.isfinite(value)):
            self.value, self.step = value, trainer.global_step
            weights = training.scored_net.state_dict()
            self.weights = {name: tensor.detach().clone() for name, tensor in weights.items()}


def choose_precision(wanted: str, kind: str) -> str:
    """Resolve `auto`: 16-mixed on a GPU; on a CPU 32-true, for filters bf16-mixed where it is native.

    Emulated bf16 is some 50 times slower than float32, and torch's depthwise convolutions, of which a
    metric is made, learn slower in bf16 even where it is native.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "16-mixed"
    if kind != "filter":
        return "32-true"
    native = torch.cpu.get_capabilities()
    return "bf16-mixed" if native.get("avx512_bf16") or native.get("amx_bf16") else "32-true"


def step_limit(params: Params, recipe: Recipe) -> int:
    """The steps of a capped run: `max_steps` times the recipe's `steps_scale`."""
    return max(1, round(params.max_steps * recipe.steps_scale))


def _trainer(
    params: Params, recipe: Recipe, precision: str, epoch: int, scratch: Path, kept: Callback
) -> Trainer:
    """The Trainer of one run; an epoch has `epoch` steps in one process."""
    train = params.train
    if train.strategy not in STRATEGIES:
        raise UserError(
            f"train.strategy is {train.strategy!r} in params.yaml; expected one of {', '.join(STRATEGIES)}"
        )
    schedule: dict[str, Any] = {"max_epochs": recipe.epochs, "check_val_every_n_epoch": 1}
    if params.max_steps > 0:
        limit = step_limit(params, recipe)
        steps = min(limit, recipe.epochs * epoch)
        schedule = {
            "max_epochs": recipe.epochs,
            "max_steps": limit,
            "check_val_every_n_epoch": None,
            "val_check_interval": math.ceil(steps / VALIDATIONS),
        }
    logger = DVCLiveLogger(dir=str(scratch), dvcyaml=None, save_dvc_exp=False, report=None)
    shown = sys.stdout.isatty()
    try:
        return Trainer(
            devices=train.devices,
            num_nodes=train.num_nodes,
            strategy=train.strategy,
            precision=cast(Any, precision),
            gradient_clip_val=recipe.gradient_clip or None,
            deterministic=True,
            logger=logger,
            log_every_n_steps=1,
            callbacks=[kept, RichProgressBar(leave=True)] if shown else [kept],
            enable_progress_bar=shown,
            enable_model_summary=False,
            enable_checkpointing=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            default_root_dir=scratch,
            **schedule,
        )
    except (MisconfigurationException, ModuleNotFoundError, ValueError, TypeError) as error:
        given = ", ".join(f"{name} {value!r}" for name, value in vars(train).items())
        reason = " ".join(str(error).split())
        raise UserError(f"train in params.yaml ({given}) cannot be used here: {reason}") from None


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory in this process; without glibc nothing happens.

    It would hand large activations back to the system at each step and fault them in again at the next:
    about a fifth of the time of a float32 step on a CPU.
    """
    mmap_max, trim_threshold = -4, -1  # mallopt(3): M_MMAP_MAX, M_TRIM_THRESHOLD
    with contextlib.suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


@contextlib.contextmanager
def _settings(seed: int) -> Iterator[None]:
    """Seeds and deterministic algorithms on, the libraries' chatter off, and all as before afterwards."""
    logger = logging.getLogger("lightning.pytorch")
    deterministic: Any = torch.utils.deterministic
    level, exact = logger.level, torch.are_deterministic_algorithms_enabled()
    filled = deterministic.fill_uninitialized_memory
    logger.setLevel(logging.ERROR)
    # filling fresh memory is a debugging aid that costs time and changes no result
    deterministic.fill_uninitialized_memory = False
    keep_freed_memory()
    seed_everything(seed, verbose=False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            # in 16-mixed the first step may be skipped while the loss scale is found
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            yield
    finally:
        logger.setLevel(level)
        torch.use_deterministic_algorithms(exact)
        deterministic.fill_uninitialized_memory = filled
