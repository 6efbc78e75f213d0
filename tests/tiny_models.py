"""Tiny ONNX models with known answers, built with onnx.helper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vmaf_train.files import sha256_bytes
from vmaf_train.graph import check_graph
from vmaf_train.kinds import Kind
from vmaf_train.params import Sampling
from vmaf_train.registry import NAME, Entry, bundle_name, onnx_name, sidecar_name, write_registry
from vmaf_train.schemas import write_schemas
from vmaf_train.sidecar import Sidecar, write_sidecar

HASH = "0" * 64
PROVENANCE = {"params": HASH, "manifest": HASH, "frames": HASH, "sources": HASH, "versions": {"onnx": "1"}}
OPSET = 17
IR = 8
Dims = Sequence[int | str]
NR_INPUT: Dims = ("batch", 1, 224, 224)
FREE: Dims = ("batch", 1, "height", "width")


def model_bytes(
    nodes: Sequence[onnx.NodeProto],
    source: tuple[str, Dims],
    target: tuple[str, Dims],
    constants: dict[str, np.ndarray] | None = None,
    *,
    opset: int = OPSET,
) -> bytes:
    """Serialise a graph of float32 with one input and one output."""
    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(source[0], TensorProto.FLOAT, list(source[1]))],
        [helper.make_tensor_value_info(target[0], TensorProto.FLOAT, list(target[1]))],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = IR
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def identity_filter() -> bytes:
    """A filter that returns its input."""
    nodes = [helper.make_node("Identity", ["degraded"], ["filtered"])]
    return model_bytes(nodes, ("degraded", FREE), ("filtered", FREE))


def affine_filter(scale: float, offset: float) -> bytes:
    """A filter that returns `scale * x + offset`, and does not clip."""
    nodes = [
        helper.make_node("Mul", ["degraded", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["filtered"]),
    ]
    constants = {"scale": np.float32([scale]), "offset": np.float32([offset])}
    return model_bytes(nodes, ("degraded", FREE), ("filtered", FREE), constants)


def blur_filter() -> bytes:
    """A filter that returns the mean of each 3x3 neighbourhood, clipped to 0..1."""
    nodes = [
        helper.make_node("Conv", ["degraded", "kernel"], ["mean"], pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["mean", "zero", "one"], ["filtered"]),
    ]
    constants = {
        "kernel": np.full((1, 1, 3, 3), 1 / 9, np.float32),
        "zero": np.float32(0),
        "one": np.float32(1),
    }
    return model_bytes(nodes, ("degraded", FREE), ("filtered", FREE), constants)


def mean_nr() -> bytes:
    """A no-reference metric whose score is 1 + 4 * (mean of the luma)."""
    nodes = [
        helper.make_node("ReduceMean", ["frame"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "four"], ["spread"]),
        helper.make_node("Add", ["spread", "one"], ["mos"]),
    ]
    constants = {"four": np.float32(4), "one": np.float32(1)}
    return model_bytes(nodes, ("frame", NR_INPUT), ("mos", ("batch",)), constants)


def textured_nr() -> bytes:
    """A no-reference metric that depends on every pixel's neighbours: a seeded convolution and a pooling."""
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["frame", "kernel"], ["maps"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["column"], transB=1),
        helper.make_node("Squeeze", ["column", "axis"], ["mos"]),
    ]
    constants = {
        "kernel": generator.normal(0, 1, (8, 1, 3, 3)).astype(np.float32),
        "weight": generator.normal(0, 4, (1, 8)).astype(np.float32),
        "bias": np.float32([3]),
        "axis": np.int64([1]),
    }
    return model_bytes(nodes, ("frame", NR_INPUT), ("mos", ("batch",)), constants)


def linear_fr() -> bytes:
    """A full-reference regressor: the mean of its six features."""
    nodes = [helper.make_node("ReduceMean", ["features"], ["score"], axes=[1], keepdims=0)]
    return model_bytes(nodes, ("features", ("batch", 6)), ("score", ("batch",)))


def write_model(folder: Path, name: str, data: bytes) -> Path:
    """Write `data` to `folder/<name>.onnx` and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(data)
    return path


def registered(folder: Path, models: dict[str, bytes], sampling: Sampling | None = None) -> Path:
    """A model directory in which every model has its sidecar and its row; kinds are read off the shapes.

    `sampling` is what the sidecars say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_schemas(folder)
    write_registry(folder / NAME, [_entry(folder, name, data, sampling) for name, data in models.items()])
    return folder


def _entry(folder: Path, name: str, data: bytes, sampling: Sampling | None) -> Entry:
    facts = check_graph(data, name=name)
    kind = Kind.FR if len(facts.input.shape) == 2 else Kind.NR
    kind = Kind.FILTER if len(facts.output.shape) == 4 else kind
    write_model(folder, name, data)
    sidecar = Sidecar(
        name=name,
        kind=kind,
        input_name=facts.input.name,
        output_name=facts.output.name,
        onnx_opset=facts.opset,
        description="A tiny model for tests.",
        input_shape=facts.input.shape,
        output_shape=facts.output.shape,
        sampling=sampling,
        output_range=(0, 1) if kind is Kind.FILTER else (1, 5),
        score_range=None if kind is Kind.FILTER else (1, 5),
        score_direction=None if kind is Kind.FILTER else "higher-is-better",
        sha256=sha256_bytes(data),
        corpus="none",
        label_kind="vmaf-proxy",
        split_counts={"train": 8, "val": 1, "test": 1},
        metrics={"val": {"n": 1}},
        provenance=PROVENANCE,
        licence="BSD-2-Clause-Patent",
    )
    path = folder / sidecar_name(name)
    write_sidecar(path, sidecar)
    return Entry(
        id=name,
        kind=kind,
        file=onnx_name(name),
        sha256=sidecar.sha256,
        sidecar=path.name,
        sidecar_sha256=sha256_bytes(path.read_bytes()),
        opset=facts.opset,
        licence=sidecar.licence,
        provenance=PROVENANCE,
        sigstore_bundle=bundle_name(name),
    )
