from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vmaf_train.checkpoint import load_checkpoint, save_checkpoint
from vmaf_train.errors import UserError
from vmaf_train.nets import build
from vmaf_train.params import Params

FILTER = "learned_filter_v1"


def test_a_network_comes_back_as_it_was(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    for model in ("nr_metric_v1", FILTER):
        section = make_params().model(model)
        net = build(section).eval()
        save_checkpoint(tmp_path / "a.ckpt", section, net.state_dict())
        loaded = load_checkpoint(tmp_path / "a.ckpt", section)
        frame = torch.rand(2, 1, 32, 32)
        with torch.no_grad():
            assert torch.equal(net(frame), loaded(frame))
        assert not loaded.training


def test_the_same_weights_give_the_same_bytes_whatever_their_layout_and_the_files_name(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    section = make_params().model(FILTER)
    weights = build(section).state_dict()
    save_checkpoint(tmp_path / "a.ckpt", section, weights)
    for name, values in weights.items():
        weights[name] = values.to(memory_format=torch.channels_last) if values.ndim == 4 else values.clone()
    save_checkpoint(tmp_path / "other.ckpt", section, weights)
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "other.ckpt").read_bytes()


def test_a_missing_checkpoint_names_the_command(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    with pytest.raises(UserError, match=rf"no .*{FILTER}\.ckpt: run .*vmaf-train fit {FILTER}"):
        load_checkpoint(tmp_path / f"{FILTER}.ckpt", make_params().model(FILTER))


class Dangerous:
    """Unpickling it would run a function."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return print, ("ran",)


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"not a checkpoint", saved({"net": {}}), saved([1, 2]), saved(Dangerous()), saved({})[:-50]],
    ids=["empty", "text", "no weights", "a list", "code inside", "cut short"],
)
def test_what_is_no_checkpoint_is_named_and_nothing_in_it_runs(
    tmp_path: Path, make_params: Callable[..., Params], data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.ckpt").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.ckpt is not a checkpoint"):
        load_checkpoint(tmp_path / "a.ckpt", make_params().model(FILTER))
    assert capsys.readouterr().out == ""


def test_weights_of_another_network_are_named(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    section = make_params().model(FILTER)
    save_checkpoint(tmp_path / "a.ckpt", section, {"weight": torch.zeros(3)})
    with pytest.raises(UserError, match=r"a\.ckpt is not a checkpoint"):
        load_checkpoint(tmp_path / "a.ckpt", section)


def test_a_checkpoint_of_other_sizes_is_named(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    before = make_params().model(FILTER)
    save_checkpoint(tmp_path / "a.ckpt", before, build(before).state_dict())
    after = make_params(learned_filter_v1__net__channels=8).model(FILTER)
    with pytest.raises(UserError, match=r"holds the network .*'channels': 16.* asks for .*'channels': 8"):
        load_checkpoint(tmp_path / "a.ckpt", after)
