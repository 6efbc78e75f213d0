"""Command `inspect`: what a model is, what it costs on this machine, and where it comes from."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vmaf_train.graph import macs
from vmaf_train.kinds import Kind
from vmaf_train.load import LoadedModel, load_model, models_dir
from vmaf_train.registry import NAME as REGISTRY
from vmaf_train.registry import read_registry

# frame sizes at which a filter is measured
SIZES = {"540p": (540, 960), "1080p": (1080, 1920)}
RUNS = 5


@dataclass(frozen=True)
class Cost:
    """Work and time of one run at one input shape."""

    label: str
    shape: tuple[int, ...]
    macs: int
    seconds: float


def costs(model: LoadedModel) -> list[Cost]:
    """Measure one frame at the model's own size; a filter of free size at 540p and 1080p.

    Raises:
        UserError: the model cannot run at such a size.
    """
    axes = model.facts.input.shape
    if model.kind is Kind.FILTER and not all(isinstance(axis, int) for axis in axes[2:]):
        shapes: dict[str, tuple[int, ...]] = {label: (1, 1, *size) for label, size in SIZES.items()}
    else:
        own = tuple(axis if isinstance(axis, int) else 1 for axis in axes)
        shapes = {"x".join(map(str, own[:0:-1])) if len(own) == 2 else f"{own[3]}x{own[2]}": own}
    return [_measure(model, label, shape) for label, shape in shapes.items()]


def _measure(model: LoadedModel, label: str, shape: tuple[int, ...]) -> Cost:
    frame = np.random.default_rng(0).random(shape, np.float32)
    # the first run plans the memory; one of a second or more is measured once
    begin = time.perf_counter()
    model.run(frame)
    times = [time.perf_counter() - begin]
    if times[0] < 1:
        times = []
        for _ in range(RUNS):
            begin = time.perf_counter()
            model.run(frame)
            times.append(time.perf_counter() - begin)
    return Cost(label, shape, macs(model.data, shape, name=model.id), statistics.median(times))


def models() -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of all registered models; `facts` says more of one, such as its input and output.

    Raises:
        UserError: a model that cannot be trusted, or no registry.
    """
    header = ("model", "kind", "parameters", "bytes", "corpus")
    rows: list[tuple[str, ...]] = []
    for entry in read_registry(models_dir() / REGISTRY).entries:
        model = load_model(entry.id)
        graph = model.facts
        corpus = f"{model.sidecar.corpus} ({model.sidecar.label_kind})" if model.sidecar else ""
        rows.append((model.id, model.kind.label, f"{graph.parameters:,}", f"{graph.bytes:,}", corpus))
    return header, rows


def facts(model: LoadedModel) -> dict[str, str]:
    """Label -> value: kind, shapes, operators, size, and what the sidecar and the registry say."""
    graph, sidecar = model.facts, model.sidecar
    rows = {
        "file": str(model.path),
        "kind": f"{model.kind.label} ({int(model.kind)})",
        "input": f"float32 {graph.input.text}",
        "output": f"float32 {graph.output.text}",
        "opset, IR": f"{graph.opset}, {graph.ir_version}",
        "operators": ", ".join(f"{name} {count}" for name, count in graph.operators.items()),
        "parameters": f"{graph.parameters:,}",
        "bytes": f"{graph.bytes:,}",
        "trust": "in the registry, SHA-256 checked" if model.entry else "NOT in the registry (--unverified)",
    }
    if sidecar is not None:
        rows["what"] = sidecar.description
        if sidecar.sampling is not None:
            rows["sampling"] = sidecar.sampling
        if sidecar.score_range is not None:
            rows["score"] = (
                f"{sidecar.score_range[0]:g}..{sidecar.score_range[1]:g}, {sidecar.score_direction}"
            )
        rows["corpus"] = f"{sidecar.corpus} ({sidecar.label_kind})"
        rows["split"] = ", ".join(f"{count} {name}" for name, count in sidecar.split_counts.items())
        rows["licence"] = sidecar.licence
        rows |= {f"provenance: {key}": _short(value) for key, value in sidecar.provenance.items()}
        if sidecar.specialized_from is not None:
            rows["specialized from"] = _short(sidecar.specialized_from)
    if model.entry is not None and model.entry.int8_file is not None:
        rows["int8"] = model.entry.int8_file
    return rows


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    text = str(value)
    return f"{text[:16]}…" if len(text) == 64 else text
