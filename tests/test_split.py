"""Split: by the hash of the scene, the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.params import Params, Split
from vmaf_train.split import SPLITS, bucket, split, split_of
from vmaf_train.tables import read_table, write_table

SALT = "vmaf-train-splits-v1"
TENTHS = Split(salt=SALT, test=0.1, val=0.1)


def test_known_keys_stay_where_they_have_always_been() -> None:
    # computed by hand with sha256sum: a change here changes every published figure
    assert bucket("KoNViD_1k_videos_3339962845", SALT) == pytest.approx(0.9947544873225687, abs=1e-15)


@given(st.text())
def test_a_bucket_lies_in_zero_to_one_and_needs_the_key_alone(key: str) -> None:
    assert 0 <= bucket(key, SALT) < 1
    assert bucket(key, SALT) == bucket(key, SALT)


@given(st.text(), st.floats(0, 0.5), st.floats(0, 0.49))
def test_each_key_falls_where_the_fractions_say(key: str, test: float, val: float) -> None:
    position = bucket(key, SALT)
    expected = "test" if position < test else "val" if position < test + val else "train"
    assert split_of(key, Split(salt=SALT, test=test, val=val)) == expected


@given(st.text(), st.text())
def test_adding_clips_never_moves_another_clip(key: str, other: str) -> None:
    alone = split_of(key, TENTHS)
    split_of(other, TENTHS)
    assert split_of(key, TENTHS) == alone


def test_the_fractions_come_out_on_many_keys() -> None:
    names = [split_of(f"clip_{index}", TENTHS) for index in range(20_000)]
    assert names.count("test") == pytest.approx(2000, abs=150)
    assert names.count("val") == pytest.approx(2000, abs=150)


def test_clips_of_one_scene_never_straddle_two_splits(
    make_params: Callable[..., Params], layout: Layout
) -> None:
    keys = [f"s{scene}_{variant}" for scene in range(60) for variant in "abcd"]
    scenes = [key.split("_")[0] for key in keys]
    write_table(layout.manifest, pd.DataFrame({"key": keys, "scene": scenes}))
    counts = split(make_params(), layout)
    table = read_table(layout.split, stage="split")
    assert list(table["key"]) == keys
    assert (table.groupby("scene")["split"].nunique() == 1).all()
    assert counts == table["split"].value_counts().to_dict()
    assert set(counts) == set(SPLITS)


def test_all_clips_in_one_split_is_an_error_that_names_the_empty_one(
    make_params: Callable[..., Params], layout: Layout
) -> None:
    write_table(layout.manifest, pd.DataFrame({"key": ["a", "b"], "scene": ["a", "a"]}))
    with pytest.raises(UserError, match=r"1 scenes give no \w+ clip .*change split\.test"):
        split(make_params(), layout)
    assert not layout.split.exists()


def test_no_manifest_names_the_command_to_run(make_params: Callable[..., Params], layout: Layout) -> None:
    with pytest.raises(UserError, match="manifest-scan"):
        split(make_params(), layout)
