"""The parameter reader: strict, and every complaint names its key."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from vmaf_train.errors import UserError
from vmaf_train.export import SHAPES
from vmaf_train.params import Params
from vmaf_train.params_reader import METRIC_SIDE, parse_params, read_params

ROOT = Path(__file__).resolve().parents[1]
RAW: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text("utf-8"))

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def paths(value: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return [prefix]
    return [prefix, *(path for key in value for path in paths(value[key], (*prefix, key)))][not prefix :]


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    section = raw
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    return raw


def test_the_projects_own_file_is_read() -> None:
    params = read_params(ROOT / "params.yaml")
    assert isinstance(params, Params)
    assert list(params.models) == RAW["models"]


def test_the_reference_recipe_is_the_published_one(make_params: Callable[..., Params]) -> None:
    params = make_params(max_steps=-1)
    c2, c3 = params.recipe("nr_metric_v1"), params.recipe("learned_filter_v1")
    assert (params.lr * c2.lr_scale, c2.weight_decay, c2.batch_size) == (1e-3, 1e-4, 64)
    assert (c2.epochs, c2.patience, c2.schedule) == (60, 15, "constant")
    assert params.lr * c3.lr_scale == pytest.approx(1e-4)
    assert (c3.batch_size, c3.epochs, c3.patience, c3.schedule) == (32, 100, 0, "constant")


def test_a_positive_max_steps_takes_the_capped_recipe(make_params: Callable[..., Params]) -> None:
    params = make_params(max_steps=5)
    assert params.recipe("nr_metric_v1") is params.models["nr_metric_v1"].capped


@given(st.sampled_from(paths(RAW)), values)
@settings(max_examples=400, deadline=None)
def test_any_value_anywhere_is_read_or_refused_in_one_line(path: tuple[str, ...], value: Any) -> None:
    try:
        parse_params(changed(path, value))
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 the text is what is tested
        assert str(error).startswith("params.yaml: ")  # noqa: PT017


@given(st.sampled_from([path for path in paths(RAW) if path]), st.text(min_size=1))
@settings(max_examples=200, deadline=None)
def test_an_unknown_key_in_any_section_is_refused_by_name(path: tuple[str, ...], name: str) -> None:
    section = RAW
    for key in path[:-1]:
        section = section[key]
    if name in section:
        return
    with pytest.raises(UserError) as caught:
        parse_params(changed((*path[:-1], name), 1))
    assert repr(name)[1:-1] in str(caught.value) or name in str(caught.value)


@pytest.mark.parametrize("path", [path for path in paths(RAW) if path], ids=".".join)
def test_each_key_is_needed(path: tuple[str, ...]) -> None:
    raw = copy.deepcopy(RAW)
    section = raw
    for key in path[:-1]:
        section = section[key]
    del section[path[-1]]
    with pytest.raises(UserError, match=path[-1]):
        parse_params(raw)


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("lr", "1e-4", "lr is '1e-4'; expected a number, not text: write it without quotes, as 0.0001"),
        ("lr", 0, "lr is 0.0; expected a number from 1e-09 to 10"),
        ("lr", float("nan"), "lr is nan"),
        ("seed", 1.5, "seed is 1.5; expected a whole number"),
        ("seed", True, "seed is True; expected a whole number"),
        ("max_steps", 0, "max_steps is 0; give -1 for the full recipe"),
        ("corpus.name", "konvid", "corpus.name is 'konvid'; expected one of synthetic, konvid-1k, folder"),
        ("split.test", 0.95, "split.test + split.val is 1.05, which leaves nothing to train on"),
        ("split.test", 0, "split.test is 0.0; expected a number from 1e-06 to 1"),
        ("split.val", 0, "split.val is 0.0; expected a number from 1e-06 to 1"),
        (
            "nr_metric_v2.net.radius",
            7,
            "nr_metric_v2.net.radius is 7, and design energies has no use",
        ),
        ("nr_metric_v3.net.layers", 0, "nr_metric_v3.net.layers is 0, and design energies needs 1 or more"),
        ("nr_metric_v1.net.layers", 2, "nr_metric_v1.net has layers 2 and pooling mean, and design conv"),
        ("nr_metric_v1.net.pooling", "attention", "has layers 0 and pooling attention, and design conv"),
        ("nr_metric_v2.net.pooling", "max", "pooling is 'max'; expected one of mean, attention"),
        (
            "learned_filter_v1.capped.rank_weight",
            0.5,
            "v1.capped.rank_weight is 0.5, and a filter",
        ),
        ("learned_filter_v2.reference.rank_weight", 1, "v2.reference.rank_weight is 1, and a filter"),
        ("nr_metric_v1.kind", "no", "nr_metric_v1.kind is 'no'; expected one of nr, filter"),
        ("nr_metric_v1.net.width", 0, "nr_metric_v1.net.width is 0; expected a number from 1 to 256"),
        ("models", ["nr_metric_v9"], "models lists 'nr_metric_v9' but there is no section"),
        ("models", [], "models is []; expected a list of different model ids"),
        ("models", ["_x"], "models is ['_x']; expected a list of different model ids"),
        ("models", ["vmaf"], "models lists 'vmaf', a metric of libvmaf's own; give another id"),
        ("models", ["psnr_y"], "models lists 'psnr_y', a metric of libvmaf's own; give another id"),
        ("lr", 10**400, "lr has too many digits for a number"),
        ("spare", {"kind": ["nr"]}, "unknown key 'spare'"),
        ("corpus.konvid_1k.min_bytes.videos", -5, "min_bytes.videos is -5; expected a number from 0"),
    ],
)
def test_each_complaint_names_the_key_and_the_value(path: str, value: Any, complaint: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_params(changed(tuple(path.split(".")), value))
    assert complaint in str(caught.value)


SHARES = RAW["frames"]["coded"]["shares"]


@pytest.mark.parametrize("name", SHARES)
@pytest.mark.parametrize("share", [-0.05, float("inf"), float("nan")])
def test_no_share_of_the_coded_twins_may_be_negative_or_endless(name: str, share: float) -> None:
    with pytest.raises(UserError, match=rf"frames\.coded\.shares\.{name} is .*; expected a number from 0 to"):
        parse_params(changed(("frames", "coded", "shares", name), share))


def test_shares_that_are_all_zero_are_refused() -> None:
    with pytest.raises(UserError, match=r"frames\.coded\.shares are all 0; give at least one"):
        parse_params(changed(("frames", "coded", "shares"), dict.fromkeys(SHARES, 0)))
    for name in SHARES:
        parse_params(changed(("frames", "coded", "shares"), dict.fromkeys(SHARES, 0) | {name: 1}))


@pytest.mark.parametrize("size", [32, 223, 448])
def test_frames_that_no_metric_could_take_are_refused_before_anything_is_trained(
    make_params: Callable[..., Params], size: int
) -> None:
    with pytest.raises(
        UserError, match=rf"frames\.size is {size}, but nr_metric_v2 takes 224 pixels; set it"
    ):
        make_params(models=["learned_filter_v1", "nr_metric_v2"], frames__size=size)
    assert make_params(models=["learned_filter_v1"], frames__size=size).frames.size == size
    assert {side for _, *sides in SHAPES["nr"] for side in sides} == {METRIC_SIDE}


@pytest.mark.parametrize("recipe", ["capped", "reference"])
def test_a_metric_needs_batches_of_two(make_params: Callable[..., Params], recipe: str) -> None:
    with pytest.raises(UserError, match=r"v1's batch_size is 1, .* 2 clips or more"):
        make_params(**{f"nr_metric_v1__{recipe}__batch_size": 1})
    make_params(**{f"learned_filter_v1__{recipe}__batch_size": 1})


@pytest.mark.parametrize("recipe", ["capped", "reference"])
def test_crops_smaller_than_a_cell_of_energies_are_refused(
    make_params: Callable[..., Params], recipe: str
) -> None:
    changes = {f"nr_metric_v2__{recipe}__crop": 15}
    with pytest.raises(UserError, match=r"v2 crops 15 pixels.*set crop to 16 or more, or to 0"):
        make_params(models=["nr_metric_v2"], **changes)
    make_params(models=["nr_metric_v2"], **{f"nr_metric_v2__{recipe}__crop": 16})
    make_params(models=["nr_metric_v1"], **{f"nr_metric_v1__{recipe}__crop": 15})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (
            {"frames__fragments__places": 0},
            "v3 samples fragments, but frames.fragments.places is 0",
        ),
        ({"nr_metric_v3__net__design": "convolutional"}, "nr_metric_v3.net.sampling fragments needs design"),
        ({"nr_metric_v3__capped__crop": 64}, "which no crop may cut; set crop to 0"),
        ({"nr_metric_v3__reference__crop": 64}, "which no crop may cut; set crop to 0"),
    ],
)
def test_fragments_that_no_metric_could_use_are_refused(
    make_params: Callable[..., Params], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=re.escape(complaint)):
        make_params(models=["nr_metric_v3"], **changes)
    assert make_params(models=["nr_metric_v1"], frames__fragments__places=0).frames.fragments.places == 0


@pytest.mark.parametrize(
    "changes", [{"learned_filter_v2__net__separable": 3}, {"learned_filter_v1__net__separable": 1}]
)
def test_more_separable_blocks_than_there_are_is_refused(
    make_params: Callable[..., Params], changes: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"separable is \d; expected at most [02] "):
        make_params(models=["learned_filter_v1", "learned_filter_v2"], **changes)


def test_a_number_in_the_form_1e_minus_4_is_a_number(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text("utf-8").replace("lr: 1.0e-3 ", "lr: 3e-4 ")
    (tmp_path / "params.yaml").write_text(text, "utf-8")
    assert read_params(tmp_path / "params.yaml").lr == 3e-4


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\xff", "- 1\n", "", "3", "[" * 3000 + "]" * 3000])
def test_a_file_that_is_no_parameter_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"params\.yaml") as caught:
        read_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


def test_no_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run this in the top folder of the repository"):
        read_params(tmp_path / "params.yaml")


def test_an_unlisted_model_is_named_with_the_listed_ones(make_params: Callable[..., Params]) -> None:
    with pytest.raises(UserError, match=r"no model 'nr_metric_v7' .*nr_metric_v1"):
        make_params().model("nr_metric_v7")


def test_only_devices_may_be_a_number_in_place_of_text() -> None:
    assert parse_params(changed(("train", "devices"), 2)).train.devices == "2"
    for path in (("split", "salt"), ("train", "strategy"), ("corpus", "folder", "path")):
        with pytest.raises(UserError, match=rf"{path[-1]} is 5; expected text"):
            parse_params(changed(path, 5))
