from __future__ import annotations

import csv
import signal
import subprocess
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pandas as pd
import pytest
import torch
from tiny_fit import FILTER, NR, SMALL, start_fit
from tiny_frames import write_tiny_frames

from vmaf_train.batches import InOrder
from vmaf_train.checkpoint import load_checkpoint
from vmaf_train.datasets import FrameMOSDataset, PairedFrameDataset
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.fit import choose_precision, fit
from vmaf_train.layout import Layout
from vmaf_train.params import Params

MakeParams = Callable[..., Params]
StartFit = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def frames(layout: Layout) -> Layout:
    write_tiny_frames(layout)
    return layout


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny pictures gain nothing from threads, and threads of busy cores wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def curves(layout: Layout, model: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(layout.curves(model).read_text())))


@pytest.mark.parametrize(
    ("model", "figure", "crop"),
    [
        (NR, "val/mse", 48),
        ("nr_metric_v2", "val/mse", 0),  # measured once a frame
        ("nr_metric_v2", "val/mse", 48),
        (FILTER, "val/l1", 32),
    ],
)
def test_the_checkpoint_is_the_best_one_and_gives_its_figure_again(
    frames: Layout, make_params: MakeParams, model: str, figure: str, crop: int
) -> None:
    small = SMALL | {f"{model}__capped__crop": crop, f"{model}__capped__keep": "best"}
    params = make_params(max_steps=30, **small, train__precision="32-true")
    fitted = fit(model, params, frames)
    values = {int(row["step"]): float(row[figure]) for row in curves(frames, model) if row[figure]}
    assert fitted.figure == figure
    assert fitted.steps == 30
    assert values[fitted.step] == pytest.approx(fitted.value) == min(values.values())
    net = load_checkpoint(frames.checkpoint(model), params.model(model))
    kind = PairedFrameDataset if model == FILTER else FrameMOSDataset
    (batch,) = InOrder(kind.of_split(frames, "val"), 100)
    with torch.no_grad():
        error = net(batch[0]) - batch[1]
    again = error.abs().mean() if model == FILTER else error.square().mean()
    assert float(again) == pytest.approx(fitted.value, rel=1e-4)


def test_a_filter_takes_max_steps_times_its_scale_on_the_pairs_that_it_names(
    frames: Layout, make_params: MakeParams
) -> None:
    changes = {f"{FILTER}__capped__steps_scale": 1.5, f"{FILTER}__capped__ema_decay": 0.0}
    degraded, mixed = (
        fit(
            FILTER,
            make_params(max_steps=4, **{**SMALL, **changes, f"{FILTER}__capped__pairs": pairs}),
            frames,
        )
        for pairs in ("degraded", "mixed")
    )
    assert degraded.steps == mixed.steps == 6
    assert degraded.value != mixed.value


def test_training_lowers_the_loss(frames: Layout, make_params: MakeParams) -> None:
    rows = curves_of(frames, make_params, FILTER, max_steps=60)
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert sum(losses[-5:]) < 0.95 * sum(losses[:5])


def curves_of(frames: Layout, make_params: MakeParams, model: str, **changes: Any) -> list[dict[str, str]]:
    fit(model, make_params(**SMALL, **changes), frames)
    return curves(frames, model)


@pytest.mark.parametrize("model", [NR, FILTER])
def test_the_same_seed_gives_the_same_checkpoint_and_another_seed_another(
    frames: Layout, make_params: MakeParams, model: str
) -> None:
    def checkpoint(seed: int) -> str:
        fit(model, make_params(max_steps=4, seed=seed, **SMALL), frames)
        return sha256_file(frames.checkpoint(model)) + sha256_file(frames.curves(model))

    first = checkpoint(1)
    assert checkpoint(1) == first
    assert checkpoint(2) != first


def test_the_last_step_is_validated_even_where_the_interval_misses_it(
    frames: Layout, make_params: MakeParams
) -> None:
    steps = [
        int(row["step"]) for row in curves_of(frames, make_params, FILTER, max_steps=43) if row["val/l1"]
    ]
    assert len(steps) <= 21
    assert steps[-1] == 43


def test_the_reference_recipe_validates_each_epoch_and_stops_without_improvement(
    frames: Layout, make_params: MakeParams
) -> None:
    small = {f"{NR}__net__width": 4, f"{NR}__reference__batch_size": 4, f"{NR}__reference__patience": 2}
    # a rate too low to improve anything that float32 can hold
    changes = {f"{NR}__reference__lr_scale": 1e-9, f"{NR}__reference__epochs": 50}
    fitted = fit(NR, make_params(max_steps=-1, lr=1e-9, **small, **changes), frames)
    steps = [int(row["step"]) for row in curves(frames, NR) if row["val/mse"]]
    assert steps[:3] == [3, 6, 9]
    assert fitted.steps == steps[-1] < 150


def test_ranking_inside_scenes_and_averaging_train_too(frames: Layout, make_params: MakeParams) -> None:
    changes = {f"{NR}__capped__rank_weight": 0.5, f"{NR}__capped__ema_decay": 0.9}
    fitted = fit(NR, make_params(max_steps=6, **SMALL, **changes), frames)
    net = load_checkpoint(frames.checkpoint(NR), make_params(**SMALL).model(NR))
    assert fitted.steps == 6
    assert all(value.isfinite().all() for value in net.state_dict().values())


@pytest.mark.parametrize("min_mos", [1.0, 3.0])
def test_a_metric_starts_at_the_mean_score_of_the_clips_that_it_trains_on(
    frames: Layout, make_params: MakeParams, min_mos: float
) -> None:
    params = make_params(max_steps=1, lr=1e-9, **SMALL, **{f"{NR}__capped__min_mos": min_mos})
    fit(NR, params, frames)
    bias = load_checkpoint(frames.checkpoint(NR), params.model(NR)).state_dict()["head.bias"]
    scores = FrameMOSDataset.of_split(frames, "train").mos
    assert float(bias) == pytest.approx(float(scores[scores >= min_mos].mean()), rel=1e-5)


@pytest.mark.parametrize(("model", "unused"), [(NR, "fragments"), ("nr_metric_v3", "luma")])
def test_a_metric_trains_on_the_frames_of_its_own_sampling_alone(
    frames: Layout, make_params: MakeParams, model: str, unused: str
) -> None:
    (frames.frames / f"{unused}.npy").unlink()
    assert fit(model, make_params(max_steps=2, **SMALL), frames).steps == 2


def test_a_loss_that_is_not_finite_names_lr_and_leaves_the_checkpoint(
    frames: Layout, make_params: MakeParams
) -> None:
    frames.checkpoint(FILTER).parent.mkdir(parents=True)
    frames.checkpoint(FILTER).write_bytes(b"yesterday's")
    params = make_params(max_steps=50, lr=10.0, **SMALL, **{f"{FILTER}__capped__lr_scale": 1e6})
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step \d+ with lr 1e\+07; lower lr"):
        fit(FILTER, params, frames)
    assert frames.checkpoint(FILTER).read_bytes() == b"yesterday's"
    assert not frames.curves(FILTER).exists()


def test_missing_frames_name_the_stage_to_run(layout: Layout, make_params: MakeParams) -> None:
    with pytest.raises(UserError, match=r"no .*mos\.parquet: run `vmaf-train frames`"):
        fit(NR, make_params(), layout)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train__strategy": "fsdp"}, "train.strategy is 'fsdp'"),
        ({"train__precision": "17-mixed"}, "precision '17-mixed'"),
        ({"train__precision": "transformer-engine"}, "precision 'transformer-engine'"),
        ({"train__devices": "many"}, "devices 'many'"),
    ],
)
def test_a_trainer_setting_that_cannot_be_used_is_named(
    frames: Layout, make_params: MakeParams, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(UserError, match=text):
        fit(FILTER, make_params(max_steps=1, **SMALL, **changes), frames)


@pytest.mark.parametrize("model", [NR, "nr_metric_v2"])
def test_one_clip_is_too_few_to_train_a_metric_on_and_two_are_enough(
    layout: Layout, make_params: MakeParams, model: str
) -> None:
    write_tiny_frames(layout, scenes=5)
    params = make_params(max_steps=2, **SMALL)
    table = pd.read_parquet(layout.split)
    training = table.index[table["split"] == "train"]
    table.loc[training[1:], "split"] = "test"
    table.to_parquet(layout.split)
    with pytest.raises(UserError, match=rf"{model} has 1 train clip .* needs 2 or more; add clips"):
        fit(model, params, layout)
    table.loc[training[:2], "split"] = "train"
    table.to_parquet(layout.split)
    assert fit(model, params, layout).steps == 2


def test_only_half_precision_that_the_processor_has_is_chosen() -> None:
    native = torch.cpu.get_capabilities()
    half = bool(native.get("avx512_bf16") or native.get("amx_bf16"))
    if torch.cuda.is_available():
        assert choose_precision("auto", "nr") == choose_precision("auto", "filter") == "16-mixed"
    else:
        assert choose_precision("auto", "nr") == "32-true"
        assert choose_precision("auto", "filter") == ("bf16-mixed" if half else "32-true")
    assert choose_precision("64-true", "nr") == "64-true"


def test_settings_of_the_process_are_as_before(frames: Layout, make_params: MakeParams) -> None:
    handler = signal.getsignal(signal.SIGINT)
    fit(FILTER, make_params(max_steps=1, **SMALL), frames)
    assert not torch.are_deterministic_algorithms_enabled()
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.fixture
def command(frames: Layout, raw_params: Callable[..., dict[str, Any]]) -> StartFit:
    """Start `vmaf-train fit` in the tiny repository, with changed parameters."""
    return lambda model=FILTER, **changes: start_fit(frames, raw_params(**SMALL, **changes), model)


def test_the_command_prints_one_line_and_leaves_no_other_file(frames: Layout, command: StartFit) -> None:
    process = command(max_steps=3)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith(f"fit {FILTER}: last val/l1 0.0")
    assert output.count("\n") == 1
    assert sorted(path.name for path in frames.root.iterdir()) == ["data", "params.yaml", "tmp"]
    assert list((frames.root / "tmp").iterdir()) == []


def test_two_processes_train_together_until_nothing_improves_and_one_reports(
    frames: Layout, command: StartFit, make_params: MakeParams
) -> None:
    # at this rate the figure soon falls and rises
    recipe = {f"{NR}__reference__{name}": value for name, value in {"batch_size": 2, "patience": 1}.items()}
    process = command(
        NR, max_steps=-1, lr=0.1, train__devices=2, train__strategy="ddp",
        **recipe, **{f"{NR}__reference__epochs": 50},
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert output.startswith(f"fit {NR}: best val/mse ")
    assert output.count("\n") == 1
    load_checkpoint(frames.checkpoint(NR), make_params(**SMALL).model(NR))


def test_gradients_are_clipped_where_the_recipe_says_so(frames: Layout, make_params: MakeParams) -> None:
    def checkpoint(clip: float) -> str:
        changes = {f"{FILTER}__capped__gradient_clip": clip}
        fit(FILTER, make_params(max_steps=4, **{**SMALL, **changes}), frames)
        return sha256_file(frames.checkpoint(FILTER))

    assert checkpoint(1e-6) != checkpoint(0.0) == checkpoint(1e6)


def test_the_best_or_the_last_checkpoint_is_kept_as_the_recipe_says(
    frames: Layout, make_params: MakeParams
) -> None:
    # at this rate the figure soon rises
    changes = {**SMALL, f"{NR}__capped__ema_decay": 0.0, f"{NR}__capped__schedule": "constant"}
    kept = {}
    for keep in ("best", "last"):
        params = make_params(max_steps=12, lr=0.05, **changes, **{f"{NR}__capped__keep": keep})
        fitted = fit(NR, params, frames)
        values = [float(row["val/mse"]) for row in curves(frames, NR) if row["val/mse"]]
        assert fitted.value == pytest.approx(min(values) if keep == "best" else values[-1])
        assert str(fitted).startswith(f"{keep} val/mse")
        kept[keep] = fitted.step
    assert kept["best"] < kept["last"] == fitted.steps


@pytest.mark.parametrize(("lr", "patience"), [(1e-3, 1), (1e-3, 2), (1e-4, 6)])
def test_a_run_ends_once_it_has_not_improved_for_so_many_validations_in_a_row(
    frames: Layout, make_params: MakeParams, lr: float, patience: int
) -> None:
    small = {f"{NR}__net__width": 4, f"{NR}__reference__batch_size": 4, f"{NR}__reference__epochs": 200}
    fit(NR, make_params(max_steps=-1, lr=lr, **small, **{f"{NR}__reference__patience": patience}), frames)
    values = [float(row["val/mse"]) for row in curves(frames, NR) if row["val/mse"]]
    assert len(values) < 200
    assert len(values) - 1 - values.index(min(values)) == patience


@pytest.mark.parametrize("steps", [20, 150])  # a point a step, a point every third
def test_each_point_of_the_training_curve_is_the_mean_loss_since_the_one_before(
    frames: Layout, make_params: MakeParams, steps: int
) -> None:
    # an untrained filter returns its input, and at this rate stays one
    rows = curves_of(frames, make_params, FILTER, max_steps=steps, lr=1e-9)
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    assert len(losses) == min(steps, 50)
    assert max(losses) < 1.3 * min(losses)


def test_a_metric_is_validated_in_float32_even_where_it_trains_in_less(
    frames: Layout, make_params: MakeParams
) -> None:
    params = make_params(max_steps=3, **SMALL, train__precision="bf16-mixed")
    fitted = fit(NR, params, frames)
    net = load_checkpoint(frames.checkpoint(NR), params.model(NR))
    (batch,) = InOrder(FrameMOSDataset.of_split(frames, "val"), 100)
    with torch.no_grad():
        again = (net(batch[0]) - batch[1]).square().mean()
    assert fitted.value == pytest.approx(float(again), rel=1e-4)
