"""A row, its files and its graph must tell the same story."""

from __future__ import annotations

from pathlib import Path

import pytest
from model_folder import ID, make_folder, model

from vmaf_train.errors import UserError
from vmaf_train.files import sha256_bytes
from vmaf_train.graph import GraphFacts, Value, check_graph
from vmaf_train.kinds import Kind
from vmaf_train.registered import (
    check_hash,
    check_kind,
    check_row,
    check_sidecar,
    read_model,
    read_sidecar_of,
)
from vmaf_train.registry import read_registry

LUMA: tuple[int | str, ...] = ("batch", 1, "height", "width")
FIXED: tuple[int | str, ...] = (1, 1, 1080, 1920)


def facts(source: tuple[int | str, ...], target: tuple[int | str, ...]) -> GraphFacts:
    return GraphFacts(17, 8, Value("in", source), Value("out", target), {"Conv": 1}, 9, 100)


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (Kind.NR, LUMA, ("batch",)),
        (Kind.NR, FIXED, (1,)),
        (Kind.NR, FIXED, (1, 1)),
        (Kind.FILTER, LUMA, LUMA),
        (Kind.FILTER, FIXED, FIXED),
        (Kind.FILTER, LUMA, ("batch", 1, "h2", "w2")),
        (Kind.FR, ("batch", 6), ("batch",)),
    ],
)
def test_the_shapes_of_each_kind_pass(
    kind: Kind, source: tuple[int | str, ...], target: tuple[int | str, ...]
) -> None:
    check_kind(facts(source, target), kind, name="m")


@pytest.mark.parametrize(
    ("kind", "source", "target"),
    [
        (Kind.NR, LUMA, LUMA),
        (Kind.NR, ("batch", 3, 224, 224), ("batch",)),
        (Kind.NR, LUMA, ("batch", 2)),
        (Kind.NR, ("batch", 6), ("batch",)),
        (Kind.FILTER, LUMA, ("batch",)),
        (Kind.FILTER, FIXED, (1, 1, 540, 960)),
        (Kind.FILTER, LUMA, ("batch", 3, "height", "width")),
        (Kind.FR, LUMA, ("batch",)),
    ],
)
def test_the_shapes_of_another_job_are_refused(
    kind: Kind, source: tuple[int | str, ...], target: tuple[int | str, ...]
) -> None:
    with pytest.raises(UserError, match=f"is not the shape of a {kind.label} model"):
        check_kind(facts(source, target), kind, name="m")


def test_an_svm_is_no_onnx_model() -> None:
    with pytest.raises(UserError, match="'svm' is not an ONNX model"):
        check_kind(facts(LUMA, LUMA), Kind.SVM, name="m")


def test_a_whole_row_passes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    entry = read_registry(folder / "registry.json").find(ID)
    data = read_model(folder / entry.file, folder)
    check_hash(data, entry.sha256, name="m")
    sidecar = read_sidecar_of(entry, folder)
    check_row(sidecar, entry, name="s")
    check_sidecar(sidecar, check_graph(data, name="m"), name="s", sha256=sha256_bytes(data))


def test_an_altered_file_shows_both_hashes() -> None:
    expected, found = sha256_bytes(model()), sha256_bytes(b"x")
    with pytest.raises(UserError, match=f"^m: SHA-256 {found[:16]}… is not the registry's {expected[:16]}…"):
        check_hash(b"x", expected, name="m")
