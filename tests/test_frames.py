from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clip_factory import X264, make_clip
from distributed import LocalCluster

from vmaf_train.degrade import degrade
from vmaf_train.errors import UserError
from vmaf_train.files import sha256_file
from vmaf_train.frames import frames
from vmaf_train.layout import Layout
from vmaf_train.luma import area_resize
from vmaf_train.manifest import manifest
from vmaf_train.middle import middle_luma
from vmaf_train.params import Params
from vmaf_train.sampling import fragments

COUNT = 24
SIZE = 64
# a metric takes no frames of this size
SMALL = {"models": ["learned_filter_v1"], "frames__size": SIZE, "frames__coded__encodes": 4}
STAGES = """
from vmaf_train.frames import frames
from vmaf_train.layout import Layout
from vmaf_train.manifest import manifest
from vmaf_train.params_reader import read_params
if __name__ == "__main__":
    manifest(read_params(), Layout())
    frames(read_params(), Layout())
"""


@pytest.fixture(scope="module")
def params(make_params: Callable[..., Params]) -> Params:
    return make_params(**SMALL, compute__workers=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Layout:
    """A corpus, its manifest and its frames."""
    layout = Layout(tmp_path_factory.mktemp("repository"))
    clips = layout.corpus / "clips"
    rows = ["key,mos"]
    for number in range(COUNT):
        make_clip(clips / f"{number:02d}.mp4", *X264, count=4 + number)
        rows.append(f"clips_{number:02d},{1 + number / 8}")
    (layout.corpus / "scores.csv").write_text("\n".join(rows))
    manifest(params, layout)
    frames(params, layout)
    return layout


def hashes(layout: Layout) -> dict[str, str]:
    files = [layout.manifest, *sorted(layout.frames.iterdir())]
    return {path.name: sha256_file(path) for path in files}


def copy_of(made: Layout, root: Path) -> Layout:
    layout = Layout(root)
    layout.corpus.parent.mkdir(parents=True)
    layout.corpus.symlink_to(made.corpus, target_is_directory=True)
    layout.manifest.write_bytes(made.manifest.read_bytes())
    return layout


def test_arrays_and_tables_say_whose_frame_is_where(made: Layout, params: Params) -> None:
    table = pd.read_parquet(made.manifest)
    luma, degraded = np.load(made.frames / "luma.npy"), np.load(made.frames / "degraded.npy")
    mos, pairs = pd.read_parquet(made.frames / "mos.parquet"), pd.read_parquet(made.frames / "pairs.parquet")
    assert luma.shape == degraded.shape == (COUNT, SIZE, SIZE)
    assert luma.dtype == degraded.dtype == np.uint8
    assert list(mos.columns) == ["key", "frame_path", "row", "mos"]
    assert list(pairs.columns) == ["key", "deg_path", "clean_path", "row"]
    assert mos["key"].tolist() == pairs["key"].tolist() == table["key"].tolist() == sorted(table["key"])
    assert mos["mos"].tolist() == table["mos"].tolist()
    for row, path in zip(mos["row"], table["path"], strict=True):
        clean = area_resize(middle_luma(made.corpus / path), SIZE, SIZE)
        assert np.array_equal(luma[row], clean)
        twin = degrade(clean, params.frames.blur_sigma, params.frames.jpeg_quality)
        assert np.array_equal(degraded[row], twin)


def test_a_clip_that_is_no_target_has_frames_and_no_pairs(tmp_path: Path, params: Params) -> None:
    layout = Layout(tmp_path)
    for name in ("a", "b", "c"):
        make_clip(layout.corpus / f"{name}.mp4", *X264, count=4)
    (layout.corpus / "scores.csv").write_text("key,mos,target\na,4,1\nb,4,0\nc,4,1\n")
    manifest(params, layout)
    frames(params, layout)
    tables = {name: pd.read_parquet(layout.frames / f"{name}.parquet") for name in ("mos", "pairs", "mixed")}
    assert tables["mos"]["key"].tolist() == ["a", "b", "c"]
    for name in ("pairs", "mixed"):
        assert tables[name]["key"].tolist() == ["a", "c"]
        assert tables[name]["row"].tolist() == [0, 2]


def test_fragments_of_each_frame_lie_place_by_place(made: Layout, params: Params) -> None:
    packed, table = np.load(made.frames / "fragments.npy"), pd.read_parquet(made.frames / "fragments.parquet")
    places = params.frames.fragments.places
    assert packed.shape == (COUNT * places, SIZE, SIZE)
    assert list(table.columns) == ["key", "frame_path", "row", "mos", "place"]
    assert table["row"].tolist() == list(range(len(packed)))
    mos = pd.read_parquet(made.frames / "mos.parquet")
    assert table["key"].tolist() == mos["key"].repeat(places).tolist()
    assert table["mos"].tolist() == mos["mos"].repeat(places).tolist()
    paths = pd.read_parquet(made.manifest)["path"]
    for number in (0, COUNT - 1):
        cuts = fragments(middle_luma(made.corpus / paths[number]), SIZE, places)
        for row in table.loc[table["key"] == mos["key"][number]].itertuples():
            assert np.array_equal(packed[row.row], cuts[row.place])


def test_a_frame_side_that_fragments_do_not_fill_is_refused(
    made: Layout, tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    with pytest.raises(UserError, match=r"frames\.size is 72 .*no multiple of the 16 pixels"):
        frames(make_params(**SMALL | {"frames__size": 72}), made)
    layout = copy_of(made, tmp_path)
    frames(
        make_params(**SMALL | {"frames__size": 72, "frames__fragments__places": 0}),
        layout,
    )
    assert len(np.load(layout.frames / "fragments.npy")) == 0


def test_mixed_twins_are_damaged_frames_the_degraded_or_the_clean_ones(made: Layout) -> None:
    mixed, degraded = np.load(made.frames / "mixed.npy"), np.load(made.frames / "degraded.npy")
    luma, table = np.load(made.frames / "luma.npy"), pd.read_parquet(made.frames / "mixed.parquet")
    assert list(table.columns) == ["key", "deg_path", "clean_path", "row", "damage", "crf"]
    kept = (table["damage"] == "blur_jpeg").to_numpy()
    assert 0 < kept.sum() < COUNT
    assert np.array_equal(mixed[kept], degraded[kept])
    clean = (table["damage"] == "clean").to_numpy()
    assert np.array_equal(mixed[clean], luma[clean])
    for row in table["row"][~kept & ~clean]:
        assert not np.array_equal(mixed[row], degraded[row])
        shifts = [np.roll(mixed[row], shift, axis) for axis in (0, 1) for shift in (-4, 4)]
        errors = [np.abs(one.astype(int) - luma[row]).mean() for one in (mixed[row], *shifts)]
        assert errors[0] == min(errors)


def test_dask_with_a_worker_killed_half_way_gives_the_same_bytes(
    made: Layout, tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    layout = copy_of(made, tmp_path)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:

        def kill_half_way() -> None:
            while True:
                for array in layout.frames.parent.glob(".frames.*/degraded.npy"):
                    if array.stat().st_size > COUNT // 2 * SIZE * SIZE:
                        os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
                        return
                time.sleep(0.002)

        killer = threading.Thread(target=kill_half_way)
        killer.start()
        change = {"compute__engine": "dask", "compute__dask_address": cluster.scheduler_address}
        params = make_params(**SMALL, **change)
        manifest(params, layout)
        frames(params, layout)
        killer.join(timeout=30)
        assert not killer.is_alive()
    assert hashes(layout) == hashes(made)


def test_dask_workers_may_be_started_in_another_folder(
    made: Layout, tmp_path: Path, make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = copy_of(made, tmp_path)
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as cluster:
        # the workers are running by now
        monkeypatch.chdir(tmp_path)
        change = {"compute__engine": "dask", "compute__dask_address": cluster.scheduler_address}
        frames(make_params(**SMALL, **change), Layout())
    assert hashes(layout) == hashes(made)


def test_a_killed_run_started_again_gives_the_same_bytes(
    made: Layout, tmp_path: Path, params: Params
) -> None:
    layout = copy_of(made, tmp_path)
    layout.manifest.unlink()
    text = (Path(__file__).parents[1] / "params.yaml").read_text()
    text = text.replace("size: 224", f"size: {SIZE}").replace("encodes: 32", "encodes: 4")
    text = re.sub(r"^models: .*$", "models: [learned_filter_v1]", text, flags=re.MULTILINE)
    layout.params.write_text(text)
    for delay in (0.5, 1.0, 1.5):
        with subprocess.Popen(
            [sys.executable, "-c", STAGES], cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
        ) as run:
            time.sleep(delay)
            run.kill()
    manifest(params, layout)
    frames(params, layout)
    assert hashes(layout) == hashes(made)
    # nothing of the killed runs is left
    assert sorted(path.name for path in layout.frames.parent.iterdir()) == [
        *("corpus", "frames", "manifest.parquet")
    ]


def test_a_clip_that_cannot_be_decoded_is_named_and_changes_nothing(
    made: Layout, tmp_path: Path, params: Params, make_params: Callable[..., Params]
) -> None:
    layout = copy_of(made, tmp_path)
    frames(params, layout)
    before = hashes(layout)
    table = pd.read_parquet(layout.manifest)
    table.loc[3, "path"] = "clips/gone.mp4"
    table.to_parquet(layout.manifest)
    with pytest.raises(UserError, match=r"frames: 1 left out.*gone\.mp4"):
        frames(params, layout)
    assert {**hashes(layout), "manifest.parquet": ""} == {**before, "manifest.parquet": ""}
    frames(make_params(**SMALL | {"frames__coded__encodes": 1}, corpus__max_dropped=1), layout)
    assert len(np.load(layout.frames / "luma.npy")) == len(pd.read_parquet(layout.frames / "mos.parquet"))
    assert len(np.load(layout.frames / "luma.npy")) == COUNT - 1


def test_a_missing_manifest_says_what_to_run(layout: Layout, params: Params) -> None:
    with pytest.raises(UserError, match="manifest-scan"):
        frames(params, layout)
