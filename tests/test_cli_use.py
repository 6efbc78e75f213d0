"""The commands that use the models, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_filter import read, same_pictures, samples, write_clip
from tiny_models import affine_filter, identity_filter, mean_nr, registered, textured_nr, write_model

# runs one command where nothing can be imported that the plain package, without extras, does not bring
PLAIN = """
import importlib.metadata, re, sys

def normal(name):
    return re.sub("[-_.]+", "-", name).lower()

brought, pending = set(), ["vmaf-train"]
while pending:
    name = pending.pop()
    if name not in brought:
        brought.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # for another system
            needs = []
        pending += [normal(re.match("[A-Za-z0-9._-]+", need)[0]) for need in needs if "extra ==" not in need]
owners = importlib.metadata.packages_distributions()
foreign = {name for name, own in owners.items() if not brought & {normal(one) for one in own}}
assert {"torch", "lightning", "pandas", "dvc", "scipy"} <= foreign

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in foreign:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from vmaf_train.cli import main
main()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = {
        "nr_metric_v1": textured_nr(),
        "nr_metric_v3": textured_nr(),
        "learned_filter_v3": identity_filter(),
        "mean_v1": mean_nr(),
    }
    return registered(tmp_path_factory.mktemp("models"), tiny)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv", frames=6)


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PLAIN, *map(str, arguments)],
        env={**os.environ, "VMAF_TINY_MODEL_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_score_prints_plain_lines_when_piped_and_writes_logs(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    log, table = tmp_path / "clip.json", tmp_path / "clip.csv"
    done = run(folder, "score", clip, "--json", log, "--csv", table)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    caption, header, row = done.stdout.splitlines()
    assert caption == "# nr_metric_v3: MOS 1..5, higher is better; trained on none (vmaf-proxy)"
    assert header.split("\t")[:3] == ["video", "frames", "mean"]
    assert row.split("\t")[:2] == [str(clip), "6"]
    value = json.loads(log.read_text())
    assert [frame["frameNum"] for frame in value["frames"]] == list(range(6))
    assert list(value["pooled_metrics"]["nr_metric_v3"]) == ["min", "max", "mean", "harmonic_mean"]
    assert len(table.read_text().splitlines()) == 7


def test_score_goes_on_after_a_bad_clip_and_fails_at_the_end(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    done = run(folder, "score", tmp_path / "none.mkv", clip, "--every", "2")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].split("\t")[1] == "3"
    first, last = done.stderr.splitlines()
    assert first.startswith(f"vmaf-train: no clip {tmp_path / 'none.mkv'}")
    assert last == "vmaf-train: 1 of 2 clips failed"


def test_each_clip_that_fails_has_a_line_of_its_own(folder: Path, clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    done = run(folder, "score", tmp_path / "a.mkv", clip, tmp_path / "b.mkv", cut, "--strict")
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == [
        f"vmaf-train: no clip {tmp_path / 'a.mkv'}; a clip is a file, check the path",
        f"vmaf-train: no clip {tmp_path / 'b.mkv'}; a clip is a file, check the path",
        f"vmaf-train: {cut} is damaged or ends early, and --strict was given",
        "vmaf-train: 3 of 4 clips failed",
    ]
    alone = run(folder, "score", tmp_path / "a.mkv")
    assert alone.stderr.splitlines() == [
        f"vmaf-train: no clip {tmp_path / 'a.mkv'}; a clip is a file, check the path"
    ]


def test_scores_go_to_standard_output_alone_when_asked(folder: Path, clip: Path) -> None:
    done = run(folder, "score", clip, "--json", "-")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["frames"]) == 6


def test_a_slash_at_the_end_of_json_names_a_folder(folder: Path, clip: Path, tmp_path: Path) -> None:
    done = run(folder, "score", clip, "--json", f"{tmp_path}/logs/")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["clip.mkv.json"]


def test_a_damaged_clip_is_told_on_stderr_and_fails_when_strict(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    data = clip.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: len(data) // 2])
    done = run(folder, "score", cut)
    assert done.returncode == 0
    assert f"note: {cut}: the file ends early" in done.stderr
    strict = run(folder, "score", cut, "--strict")
    assert strict.returncode == 1
    assert strict.stdout.splitlines()[-1].startswith(str(cut))
    assert "--strict was given" in strict.stderr.splitlines()[-1]


def test_a_clip_is_never_replaced_by_its_scores(folder: Path, clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.mkv"
    other.write_bytes(clip.read_bytes())
    done = run(folder, "score", "--json", other, clip)
    assert done.returncode == 1
    assert "holds no scores; name another file, or --force" in done.stderr
    assert other.read_bytes() == clip.read_bytes()


def test_inspect_alone_lists_the_models(folder: Path) -> None:
    done = run(folder, "inspect")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[2:]]
    assert [row[:2] for row in rows] == [
        ["learned_filter_v3", "filter"],
        ["mean_v1", "nr"],
        ["nr_metric_v1", "nr"],
        ["nr_metric_v3", "nr"],
    ]


def test_filter_writes_the_clip_and_refuses_to_replace_one(folder: Path, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    arguments = ("filter", clip, target, "--option", "qp=0", "--preset", "ultrafast", "--chroma")
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert f"{target}: 6 frames in " in done.stdout
    assert same_pictures(clip, target)
    again = run(folder, *arguments)
    assert again.returncode == 1
    assert "--force to replace it" in again.stderr
    assert run(folder, *arguments, "--force").returncode == 0
    assert len(read(target)) == 6
    odd = run(folder, "filter", clip, tmp_path / "o.mkv", "--option", "qp")
    assert "'qp' is not KEY=VALUE" in odd.stderr


def test_specialize_and_inspect_describe_what_they_made(folder: Path, tmp_path: Path) -> None:
    done = run(folder, "specialize", "nr_metric_v1", "--width", "320", "--height", "180", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    copy = tmp_path / "nr_metric_v1_320x180.onnx"
    assert f"{copy}: frame [1, 1, 180, 320] -> mos [1], opset 17" in done.stdout
    told = run(folder, "inspect", copy, "--unverified")
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    assert "specialized from\tid nr_metric_v1" in told.stdout
    assert "MatMul" in told.stdout


def test_a_wrong_kind_and_an_unverified_file_are_one_line_errors(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    wrong = run(folder, "score", clip, "--model", "learned_filter_v3")
    assert wrong.returncode == 1
    assert "use `vmaf-train filter`" in wrong.stderr.splitlines()[0]
    other = run(folder, "filter", clip, tmp_path / "o.mkv", "--model", "nr_metric_v1")
    assert "use `vmaf-train score`" in other.stderr.splitlines()[0]
    stranger = write_model(tmp_path, "stranger", mean_nr())
    refused = run(folder, "score", clip, "--model", stranger)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert run(folder, "score", clip, "--model", stranger, "--unverified").returncode == 0


def test_chroma_is_filtered_when_asked_and_only_then(folder: Path, clip: Path, tmp_path: Path) -> None:
    dark, target = write_model(tmp_path, "dark", affine_filter(0.5, 0.0)), tmp_path / "out.mkv"
    arguments = ("filter", clip, target, "--model", dark, "--unverified", "--encoder", "ffv1", "--force")
    for options, factor in ((), 1.0), (("--chroma",), 0.5):
        assert run(folder, *arguments, *options).returncode == 0
        for before, after in zip(samples(read(clip)[0])[1:], samples(read(target)[0])[1:], strict=True):
            assert np.max(np.abs(after - factor * before)) <= 0.5


def test_quality_and_speed_reach_the_encoder(folder: Path, clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    done = run(folder, "filter", clip, target, "--crf", "31.5", "--preset", "ultrafast")
    assert done.returncode == 0, done.stderr
    # libx264 writes its settings into the stream
    settings = target.read_bytes()
    assert b" crf=31.5 " in settings
    assert b" cabac=0 " in settings


def test_scores_that_cannot_be_written_fail_the_command(folder: Path, clip: Path) -> None:
    done = run(folder, "score", clip, "--csv", "/dev/full")
    assert done.returncode == 1
    assert done.stderr == "vmaf-train: cannot write /dev/full: No space left on device; name another file\n"
    assert done.stdout.splitlines()[-1].startswith(str(clip))
