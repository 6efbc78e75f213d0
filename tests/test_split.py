"""Split: by the hash of the scene, the same on every machine."""

from __future__ import annotations

import hashlib
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


@given(st.text(), st.text())
def test_a_bucket_is_the_start_of_the_sha256_of_salt_and_key_as_a_fraction(key: str, salt: str) -> None:
    digits = hashlib.sha256(salt.encode() + b":" + key.encode()).hexdigest()
    assert bucket(key, salt) == pytest.approx(int(digits[:16], 16) / 16**16, abs=1e-15)
    assert 0 <= bucket(key, salt) < 1


@pytest.mark.parametrize(
    ("key", "digits", "name"),
    [
        # the first digits of `sha256sum` of vmaf-train-splits-v1:<key>; 0.1 is 1999999a, 0.2 is 33333333
        ("clip_11", 0x0B52E383, "test"),
        ("clip_26194", 0x1999968A, "test"),
        ("clip_26745", 0x1999B55E, "val"),
        ("clip_3", 0x25B009B1, "val"),
        ("clip_58095", 0x3333BD5A, "train"),
        ("clip_0", 0xA9249E8F, "train"),
    ],
)
def test_known_keys_fall_on_their_side_of_the_thresholds(key: str, digits: int, name: str) -> None:
    assert bucket(key, SALT) == pytest.approx(digits / 16**8, abs=16**-8)
    assert split_of(key, TENTHS) == name


@given(st.text(), st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 0.3))
def test_raising_a_fraction_moves_keys_towards_test_only(
    key: str, test: float, val: float, more: float
) -> None:
    order = ["test", "val", "train"]
    before = order.index(split_of(key, Split(salt=SALT, test=test, val=val)))
    assert order.index(split_of(key, Split(salt=SALT, test=test, val=val + more))) <= before
    assert order.index(split_of(key, Split(salt=SALT, test=test + more, val=val))) <= before
    assert split_of(key, Split(salt=SALT, test=0, val=0)) == "train"
    assert split_of(key, Split(salt=SALT, test=1, val=0)) == "test"


def test_adding_clips_never_moves_another_clip(make_params: Callable[..., Params], layout: Layout) -> None:
    def splits(count: int, first: int = 0) -> dict[str, str]:
        keys = [f"clip_{index}" for index in range(first, count)]
        write_table(layout.manifest, pd.DataFrame({"key": keys, "scene": keys}))
        split(make_params(), layout)
        table = read_table(layout.split, stage="split")
        return dict(zip(table["key"], table["split"], strict=True))

    few, many = splits(160, first=60), splits(300)
    assert few == {key: many[key] for key in few}
    assert len(few) == 100


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
